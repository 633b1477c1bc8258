//! Values of one series as a stream of bytes that grows by one value at a time.
//!
//! A value that is a decimal `number / 10^scale` (see `codec/decimal.rs`) is written as the difference of its number to the
//! one before, in units of `2^shift`; other values, where there are many, as the bits that differ from the value before.
//! Repeats of the value before are counted. Staleness markers and odd values leave the state as it is.
//!
//! ```text
//! decimals   00..7f                   zigzag difference of 7 bits
//!            80..bf, u8               of 14 bits, upper bits first
//!            c0..df, 2 bytes          of 21 bits
//!            e0..ef, 3 bytes          of 28 bits
//!            f0..f3, 5..8 bytes LE    of more
//! floats     00..3f = lead << 3 | len - 1, len bytes LE: the xor with the bits before has `lead` zero bytes above
//!                                     these and zeros below
//! both       f4, scale, shift         from here on; scale 16 means floats
//!            f5                       a staleness marker
//!            f6, u64 LE               these bits
//!            f7, n                    the value before, n times more
//!            f8..ff                   1..8 times more
//! ```
//!
//! This lives in memory only; it is no format of anything at rest.

use crate::codec::decimal::{self, MAX_SCALE};
use crate::model::{STALE_NAN_BITS, is_stale};

/// The scale that means floats.
const FLOATS: u8 = 16;
const MODE: u8 = 0xf4;
const STALE: u8 = 0xf5;
const BITS: u8 = 0xf6;
const REPEAT: u8 = 0xf7;
const REPEAT_FEW: u8 = 0xf8;
/// Repeats that [`REPEAT_FEW`] counts.
const FEW: u8 = 8;

/// Zero bits below all differences from which a shift is worth its three bytes: page-sized gauges.
const MIN_SHIFT: u32 = 6;
/// In [`ValueState::shift`]: differences do not share enough zero bits, no other shift is tried.
const SHIFT_SETTLED: u8 = 0x80;
/// Values at the start of a stream during which the scale follows the values without hesitation.
const FREE_ROWS: u32 = 8;
/// What an odd value adds to [`ValueState::odd`]; a good one takes 1.
const ODD: u8 = 2;
/// From here on odd values are worth a greater scale ...
const MANY_ODD: u8 = 4;
/// ... or, where no scale takes them, floats.
const MOSTLY_ODD: u8 = 8;

/// Where the bytes go.
pub(super) trait ByteSink {
    fn push(&mut self, byte: u8);
    /// Replaces the byte pushed last.
    fn replace_last(&mut self, byte: u8);
}

/// What an encoder carries from value to value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ValueState {
    /// The number before; in floats its bits.
    number: i64,
    scale: u8,
    shift: u8,
    /// Repeats counted by what was written last; 0 where that is no repeat.
    repeats: u8,
    /// How odd the values were lately.
    odd: u8,
    /// Whether the value before is the state's, not a staleness marker or odd.
    exact: bool,
}

impl ValueState {
    /// Appends a value behind `rows` others.
    #[inline]
    pub fn push(&mut self, value: f64, rows: u32, out: &mut impl ByteSink) {
        self.exact = true;
        if self.scale == FLOATS {
            return self.push_float(value, out);
        }
        match decimal::to_integer(value, self.scale) {
            Some(number) if number == self.number => self.repeat(out),
            Some(number) => {
                self.odd = self.odd.saturating_sub(1);
                self.push_number(number, rows, out);
            }
            None => self.push_odd(value, rows, out),
        }
    }

    /// Whether `value` is the value before; may say no where it is.
    pub fn is_last(&self, value: f64) -> bool {
        if !self.exact {
            false
        } else if self.scale == FLOATS {
            value.to_bits() == self.number as u64
        } else {
            decimal::to_integer(value, self.scale) == Some(self.number)
        }
    }

    #[inline]
    fn repeat(&mut self, out: &mut impl ByteSink) {
        match self.repeats {
            0 | u8::MAX => {
                out.push(REPEAT_FEW);
                self.repeats = 0;
            }
            FEW => {
                out.replace_last(REPEAT);
                out.push(FEW + 1);
            }
            few if few < FEW => out.replace_last(REPEAT_FEW + few),
            many => out.replace_last(many + 1),
        }
        self.repeats += 1;
    }

    #[inline]
    fn push_number(&mut self, number: i64, rows: u32, out: &mut impl ByteSink) {
        // Both are at most 2^53 in magnitude.
        let difference = number - self.number;
        self.number = number;
        self.repeats = 0;
        let mut code = zigzag(difference);
        let shift = self.shift & !SHIFT_SETTLED;
        if shift > 0 {
            if difference.trailing_zeros() < u32::from(shift) {
                self.set_shift(difference, out);
            }
            code = zigzag(difference >> (self.shift & !SHIFT_SETTLED));
        } else if code >= 1 << 14 && self.shift == 0 && rows > 0 && difference.trailing_zeros() >= MIN_SHIFT {
            self.set_shift(difference, out);
            code = zigzag(difference >> self.shift);
        }
        put_code(code, out);
    }

    /// The shift that this difference allows.
    #[cold]
    fn set_shift(&mut self, difference: i64, out: &mut impl ByteSink) {
        let zeros = difference.trailing_zeros();
        self.shift = if zeros >= MIN_SHIFT { zeros as u8 } else { SHIFT_SETTLED };
        self.put_mode(out);
    }

    fn put_mode(&self, out: &mut impl ByteSink) {
        out.push(MODE);
        out.push(self.scale);
        out.push(self.shift & !SHIFT_SETTLED);
    }

    /// A value that is no decimal at the present scale.
    #[cold]
    fn push_odd(&mut self, value: f64, rows: u32, out: &mut impl ByteSink) {
        self.repeats = 0;
        if is_stale(value) {
            self.exact = false;
            return out.push(STALE);
        }
        self.odd = self.odd.saturating_add(ODD);
        let free = rows < FREE_ROWS;
        if free || self.odd >= MANY_ODD {
            if let Some((scale, before, number)) = self.greater_scale(value) {
                (self.scale, self.number, self.odd) = (scale, before, 0);
                // Numbers of another scale share other zeros.
                self.shift = 0;
                self.put_mode(out);
                return self.push_number(number, rows, out);
            }
            // At the start a value that no scale takes counts more, unless it is one that often stands in for "nothing yet".
            let odd = self
                .odd
                .saturating_add(if free && value.is_finite() { MANY_ODD } else { 0 });
            if odd >= MOSTLY_ODD || (rows == 0 && value.is_finite()) {
                self.number = decimal::from_integer(self.number, self.scale).to_bits() as i64;
                (self.scale, self.shift) = (FLOATS, 0);
                self.put_mode(out);
                return self.push_float(value, out);
            }
            self.odd = odd;
        }
        self.exact = false;
        out.push(BITS);
        value.to_bits().to_le_bytes().into_iter().for_each(|b| out.push(b));
    }

    /// The smallest scale above the present at which `value` and the value before are decimals, and their numbers.
    fn greater_scale(&self, value: f64) -> Option<(u8, i64, i64)> {
        let before = decimal::from_integer(self.number, self.scale);
        (self.scale + 1..=MAX_SCALE).find_map(|scale| {
            let number = decimal::to_integer(value, scale)?;
            Some((scale, decimal::to_integer(before, scale)?, number))
        })
    }

    fn push_float(&mut self, value: f64, out: &mut impl ByteSink) {
        let changed = value.to_bits() ^ self.number as u64;
        if changed == 0 {
            return self.repeat(out);
        }
        self.repeats = 0;
        if is_stale(value) {
            self.exact = false;
            return out.push(STALE);
        }
        self.number = value.to_bits() as i64;
        let lead = changed.leading_zeros() / 8;
        let below = changed.trailing_zeros() / 8;
        let len = 8 - lead - below;
        out.push((lead << 3 | (len - 1)) as u8);
        let bytes = (changed >> (below * 8)).to_le_bytes();
        bytes[..len as usize].iter().for_each(|b| out.push(*b));
    }
}

#[inline]
fn put_code(code: u64, out: &mut impl ByteSink) {
    if code < 1 << 7 {
        out.push(code as u8);
    } else if code < 1 << 14 {
        out.push(0x80 | (code >> 8) as u8);
        out.push(code as u8);
    } else if code < 1 << 21 {
        out.push(0xc0 | (code >> 16) as u8);
        out.push((code >> 8) as u8);
        out.push(code as u8);
    } else if code < 1 << 28 {
        out.push(0xe0 | (code >> 24) as u8);
        out.push((code >> 16) as u8);
        out.push((code >> 8) as u8);
        out.push(code as u8);
    } else {
        let len = (64 - code.leading_zeros() as usize).div_ceil(8).max(5);
        out.push(0xf0 + (len - 5) as u8);
        code.to_le_bytes()[..len].iter().for_each(|b| out.push(*b));
    }
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Appends the first `rows` values of a stream to `values`; fewer where the stream ends before.
pub(super) fn decode(stream: &[u8], rows: usize, values: &mut Vec<f64>) {
    let end = values.len() + rows;
    values.reserve(rows);
    // Fails only at the end of the stream.
    let _ = decode_until(stream, end, values);
}

fn decode_until(mut stream: &[u8], end: usize, values: &mut Vec<f64>) -> Option<()> {
    let (mut number, mut scale, mut shift) = (0i64, 0u8, 0u8);
    let mut current = 0.0f64;
    while values.len() < end {
        let byte = take(&mut stream, 1)?[0];
        if byte >= MODE {
            match byte {
                MODE => {
                    let mode = take(&mut stream, 2)?;
                    // A number of floats is its bits.
                    number = match mode[0] {
                        FLOATS => current.to_bits() as i64,
                        scale if scale <= MAX_SCALE => decimal::to_integer(current, scale)?,
                        _ => return None,
                    };
                    (scale, shift) = (mode[0], mode[1]);
                }
                STALE => values.push(f64::from_bits(STALE_NAN_BITS)),
                BITS => values.push(f64::from_bits(little_endian(take(&mut stream, 8)?))),
                _ => {
                    let repeats = match byte {
                        REPEAT => usize::from(take(&mut stream, 1)?[0]),
                        few => usize::from(few - REPEAT_FEW) + 1,
                    };
                    let len = (values.len() + repeats).min(end);
                    values.resize(len, current);
                }
            }
            continue;
        }
        if scale == FLOATS {
            let (lead, len) = (u32::from(byte >> 3), u32::from(byte & 7) + 1);
            let below = 8u32.checked_sub(lead + len)?;
            number ^= (little_endian(take(&mut stream, len as usize)?) << (below * 8)) as i64;
            current = f64::from_bits(number as u64);
        } else {
            let code = match byte {
                0..0x80 => u64::from(byte),
                0x80..0xc0 => u64::from(byte & 0x3f) << 8 | u64::from(take(&mut stream, 1)?[0]),
                0xc0..0xe0 => {
                    let more = take(&mut stream, 2)?;
                    u64::from(byte & 0x1f) << 16 | u64::from(more[0]) << 8 | u64::from(more[1])
                }
                0xe0..0xf0 => {
                    let more = take(&mut stream, 3)?;
                    let low = u64::from(more[0]) << 16 | u64::from(more[1]) << 8 | u64::from(more[2]);
                    u64::from(byte & 0xf) << 24 | low
                }
                _ => little_endian(take(&mut stream, usize::from(byte - 0xf0) + 5)?),
            };
            number = number.wrapping_add(unzigzag(code) << (shift & 63));
            current = decimal::from_integer(number, scale);
        }
        values.push(current);
    }
    Some(())
}

#[inline]
fn take<'a>(stream: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = stream.split_at_checked(len)?;
    *stream = rest;
    Some(taken)
}

fn little_endian(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl ByteSink for Vec<u8> {
        fn push(&mut self, byte: u8) {
            Vec::push(self, byte);
        }

        fn replace_last(&mut self, byte: u8) {
            if let Some(last) = self.last_mut() {
                *last = byte;
            }
        }
    }

    /// Encodes, checks that every beginning comes back bit for bit, returns the bytes.
    fn check(input: &[f64]) -> Vec<u8> {
        let mut state = ValueState::default();
        let mut stream = Vec::new();
        for (row, value) in input.iter().enumerate() {
            state.push(*value, row as u32, &mut stream);
            if row % 37 == 0 {
                check_beginning(&stream, &input[..=row]);
            }
        }
        check_beginning(&stream, input);
        check_beginning(&stream, &input[..input.len() / 2]);
        stream
    }

    fn check_beginning(stream: &[u8], expected: &[f64]) {
        let mut values = vec![];
        decode(stream, expected.len(), &mut values);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(expected));
    }

    fn bytes_of(rows: u32, value: impl Fn(f64) -> f64) -> usize {
        check(&(0..rows).map(|i| value(f64::from(i))).collect::<Vec<_>>()).len()
    }

    #[test]
    fn usual_series_take_few_bytes() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        assert!(bytes_of(120, |_| 0.0) <= 2);
        assert!(bytes_of(1000, |_| 0.25) <= 20);
        assert!(bytes_of(120, |i| 1.7e9 + 15.0 * i) <= 128);
        assert!(bytes_of(120, |i| (i * 1531.0 % 1500.0 + i * 700.0).round() / 100.0) <= 250);
        assert!(bytes_of(120, |i| 4096.0 * (1_000_000.0 + i * 37.0 % 50.0)) <= 140);
        assert!(bytes_of(120, |i| (i / 7.0).sin()) <= 120 * 9);
        assert!(bytes_of(120, |_| f64::NAN) <= 45);
        assert!(bytes_of(120, |i| if i == 50.0 { stale } else { 3.0 }) <= 10);
        assert!(bytes_of(120, |i| if i == 50.0 { 0.123456789 } else { i }) <= 135);
    }

    #[test]
    fn scales_and_kinds_may_change_on_the_way() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        check(&[]);
        check(&[-0.0, 0.0, -0.0]);
        check(&[
            1.0,
            0.1,
            0.12,
            0.123456789,
            2f64.powi(53),
            -(2f64.powi(53)),
            2f64.powi(60),
            1.0,
        ]);
        check(&[std::f64::consts::PI, 1.0, 1.0, stale, 1.0, f64::NAN, f64::INFINITY, 1.0]);
        check(&[stale, stale, 0.0, 0.0, 5e-324, f64::MAX, f64::MIN]);
        let mut mixed: Vec<f64> = (0..400).map(|i| f64::from(i % 7)).collect();
        for (at, odd) in [
            (100, 0.1),
            (101, 0.25),
            (102, 1.0 / 3.0),
            (250, 1.0 / 7.0),
            (251, 1e300),
            (252, -0.0),
            (253, 2.0f64.sqrt()),
        ] {
            mixed[at] = odd;
        }
        check(&mixed);
        // A shift that must be lowered, and then given up.
        check(
            &(0..50)
                .map(|i| {
                    f64::from(i * i)
                        * if i < 20 {
                            65536.0
                        } else if i < 40 {
                            1024.0
                        } else {
                            3.0
                        }
                })
                .collect::<Vec<_>>(),
        );
    }

    fn values() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1000i32..1000).prop_map(f64::from),
            3 => (any::<i32>(), 0..4u32).prop_map(|(n, k)| f64::from(n) / 10f64.powi(k as i32)),
            2 => Just(42.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => any::<i64>().prop_map(|n| n as f64),
            1 => Just(f64::from_bits(STALE_NAN_BITS)),
        ]
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(values(), 0..600)) {
            check(&values);
        }

        #[test]
        fn any_bits_come_back(bits in prop::collection::vec(any::<u64>(), 0..100)) {
            check(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_end(stream in prop::collection::vec(any::<u8>(), 0..200), rows in 0..1000usize) {
            let mut values = vec![];
            decode(&stream, rows, &mut values);
            prop_assert!(values.len() <= rows);
        }
    }
}
