//! Values that are decimal numbers: `v = m / 10^k` with a whole `m`, bit for bit.
//!
//! The test is exact: dividing `m` by `10^k` is correctly rounded and both are whole numbers below 2^53 in magnitude, so
//! a value that passes at `k` also passes at every greater `k` for which `m` stays in bounds, and decoding is one division.
//! -0, NaN, infinities, staleness markers and whole numbers from 2^53 on never pass.

/// Largest exponent tried: nanoseconds written as seconds.
pub const MAX_SCALE: u8 = 9;

const POWERS: [f64; MAX_SCALE as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers up to here are exact as `f64`.
const MAX_EXACT: u64 = 1 << 53;

/// Above this the half added for rounding could itself be rounded.
const MAX_SCALED: f64 = (1u64 << 52) as f64;

/// Values looked at before choosing a scale.
const PROBES: usize = 32;

/// `m` of `value` at `scale`, where it passes the test.
#[inline]
pub fn to_integer(value: f64, scale: u8) -> Option<i64> {
    let m = if scale == 0 {
        value as i64
    } else {
        let scaled = value * POWERS[scale as usize];
        if scaled.is_nan() || scaled.abs() >= MAX_SCALED {
            return None;
        }
        (scaled + 0.5f64.copysign(scaled)) as i64
    };
    (m.unsigned_abs() <= MAX_EXACT && from_integer(m, scale).to_bits() == value.to_bits()).then_some(m)
}

/// The value of `m` at `scale`, which must not be above [`MAX_SCALE`].
#[inline]
pub fn from_integer(m: i64, scale: u8) -> f64 {
    m as f64 / POWERS[scale as usize]
}

/// Appends the values of `numbers` to `out`.
pub fn from_integers(numbers: &[i64], scale: u8, out: &mut Vec<f64>) {
    if scale == 0 {
        out.extend(numbers.iter().map(|m| *m as f64));
    } else {
        let power = POWERS[scale as usize];
        out.extend(numbers.iter().map(|m| *m as f64 / power));
    }
}

/// The smallest scale at which `value` passes.
fn smallest_scale(value: f64) -> Option<u8> {
    (0..=MAX_SCALE).find(|scale| to_integer(value, *scale).is_some())
}

/// How many values may fail the test and be kept aside; more, and the series is no series of decimals.
pub fn max_exceptions(rows: usize) -> usize {
    (2 + rows / 32).min(rows / 4)
}

/// Turns `values` into whole numbers at one scale. Positions that fail go to `exceptions` and repeat the number before
/// them (0 at the front), so that they cost the integer coder nothing. `None` where too many fail.
pub fn to_integers(values: &[f64], numbers: &mut Vec<i64>, exceptions: &mut Vec<u32>) -> Option<u8> {
    let max_exceptions = max_exceptions(values.len());
    let mut scale = probe_scale(values);
    loop {
        numbers.clear();
        exceptions.clear();
        let mut previous = values.iter().find_map(|v| to_integer(*v, scale)).unwrap_or(0);
        let mut wider = scale;
        for (row, value) in values.iter().enumerate() {
            match to_integer(*value, scale) {
                Some(m) => previous = m,
                None => {
                    exceptions.push(row as u32);
                    wider = smallest_scale(*value).unwrap_or(0).max(wider);
                    if exceptions.len() > max_exceptions && wider == scale {
                        return None;
                    }
                }
            }
            numbers.push(previous);
            if exceptions.len() > max_exceptions && wider > scale {
                break;
            }
        }
        if exceptions.len() <= max_exceptions {
            return Some(scale);
        }
        // Each round is at a greater scale, so there are at most ten.
        scale = wider;
    }
}

/// The scale that suits a spread of values, leaving aside the few that want a greater one.
fn probe_scale(values: &[f64]) -> u8 {
    let mut wanted = [0usize; MAX_SCALE as usize + 1];
    let mut probed = 0;
    for value in values.iter().step_by(values.len().div_ceil(PROBES).max(1)) {
        if let Some(scale) = smallest_scale(*value) {
            wanted[scale as usize] += 1;
            probed += 1;
        }
    }
    let mut above = probed;
    for (scale, count) in wanted.iter().enumerate() {
        above -= count;
        if above <= probed / PROBES {
            return scale as u8;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_pass_at_their_smallest_scale() {
        let check = |value: f64, expected: Option<u8>| {
            assert_eq!(smallest_scale(value), expected, "{value:?}");
            if let Some(scale) = expected {
                let m = to_integer(value, scale).map(|m| from_integer(m, scale).to_bits());
                assert_eq!(m, Some(value.to_bits()));
            }
        };
        check(0.0, Some(0));
        check(-0.0, None);
        check(0.1, Some(1));
        check(-12.75, Some(2));
        check(1.005, Some(3));
        check(0.000000001, Some(9));
        check(1e15, Some(0));
        check(9007199254740992.0, Some(0));
        check(9007199254740994.0, None);
        check(4503599627370497.0, Some(0));
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        check(f64::MIN_POSITIVE / 4.0, None);
        check(std::f64::consts::PI, None);
    }

    #[test]
    fn a_scale_holds_for_a_series_with_few_exceptions() {
        let check = |values: &[f64], expected: Option<(u8, &[u32])>| {
            let (mut numbers, mut exceptions) = (Vec::new(), Vec::new());
            let scale = to_integers(values, &mut numbers, &mut exceptions);
            assert_eq!(scale.map(|s| (s, exceptions.as_slice())), expected, "{values:?}");
        };
        check(&[], Some((0, &[])));
        check(&[1.0, 2.5, 3.25], Some((2, &[])));
        check(&[1.0, f64::NAN, 3.0, 4.0], Some((0, &[1])));
        check(&[f64::NAN, f64::NAN], None);
        check(&[1.0, std::f64::consts::E, std::f64::consts::PI, 4.0], None);
        let mut many: Vec<f64> = (0..100).map(|i| f64::from(i) / 10.0).collect();
        many[99] = 0.123456789;
        check(&many, Some((1, &[99])));
    }
}
