//! The values of one series as VictoriaMetrics stores a block of them, as a yardstick for sizes: decimal mantissas under one
//! exponent, then constant, constant delta, delta (gauges) or delta of delta (counters) as zigzag varints, then zstd.
//!
//! Behaviour after `lib/decimal/decimal.go` and `lib/encoding/encoding.go` at precision 64. The header of a block, about
//! 80 bytes in their index, is not counted.

/// From so many bytes on zstd is tried, and kept where it saves a tenth.
const MIN_COMPRESSED_BYTES: usize = 128;
/// Mantissas stay below this, since larger whole numbers carry digits that a float does not have.
const MAX_MANTISSA: u64 = 1 << 55;
const MAX_SCALED: i64 = i64::MAX - 2;

/// Bytes of the values of a block.
pub fn encode(values: &[f64]) -> Vec<u8> {
    let numbers = mantissas(values);
    let mut out = Vec::new();
    if numbers.windows(2).all(|w| w[0] == w[1]) {
        put_varint(&mut out, numbers[0]);
        return out;
    }
    let mut deltas: Vec<i64> = numbers.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    if deltas.windows(2).all(|w| w[0] == w[1]) {
        put_varint(&mut out, numbers[0]);
        put_varint(&mut out, deltas[0]);
        return out;
    }
    if !is_gauge(&numbers) {
        let second: Vec<i64> = deltas.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        deltas.truncate(1);
        deltas.extend(second);
    }
    let mut packed = Vec::new();
    deltas.iter().for_each(|d| put_varint(&mut packed, *d));
    let level = match values.len() {
        0..=64 => 1,
        65..=256 => 2,
        257..=1024 => 3,
        1025..=4096 => 4,
        _ => 5,
    };
    if packed.len() >= MIN_COMPRESSED_BYTES
        && let Ok(compressed) = zstd::bulk::compress(&packed, level)
        && compressed.len() as f64 <= 0.9 * packed.len() as f64
    {
        packed = compressed;
    }
    // The first value stands in their block header; it is counted here as it is for the other coders.
    put_varint(&mut out, numbers[0]);
    out.extend_from_slice(&packed);
    out
}

fn put_varint(out: &mut Vec<u8>, n: i64) {
    let mut n = ((n << 1) ^ (n >> 63)) as u64;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Whether differences are the better form: falls that are no resets, or many resets.
fn is_gauge(numbers: &[i64]) -> bool {
    let mut resets = 0;
    for (before, n) in numbers.iter().zip(&numbers[1..]) {
        if *before < 0 || *n < 0 {
            return true;
        }
        if n < before {
            if *n > before >> 3 {
                return true;
            }
            resets += 1;
        }
    }
    resets > 2 && resets > numbers.len() / 8
}

/// All values as whole numbers at the smallest exponent that fits.
fn mantissas(values: &[f64]) -> Vec<i64> {
    let parts: Vec<(i64, i32)> = values.iter().map(|v| decimal(*v)).collect();
    let is_special = |n: i64| !(-MAX_SCALED..=MAX_SCALED).contains(&n);
    let smallest = parts.iter().filter(|(n, _)| !is_special(*n)).map(|(_, e)| *e).min();
    let smallest = smallest.unwrap_or(0);
    // Where a value cannot be scaled up that far, the exponent gives way and digits of the others are lost.
    let lost = parts.iter().filter(|(n, _)| *n != 0 && !is_special(*n)).map(|(n, e)| {
        let mut room = 0;
        let mut scaled = n.unsigned_abs();
        while scaled <= i64::MAX as u64 / 10 && room < 18 {
            scaled *= 10;
            room += 1;
        }
        e - smallest - room
    });
    let exponent = smallest + lost.max().unwrap_or(0).max(0);
    let scale = |(n, e): &(i64, i32)| match (is_special(*n), e - exponent) {
        (true, _) => *n,
        (false, up @ 0..) => (0..up).fold(*n, |n, _| n.wrapping_mul(10)),
        (false, down) => (down..0).fold(*n, |n, _| n / 10),
    };
    parts.iter().map(scale).collect()
}

/// A value as mantissa and power of ten.
fn decimal(value: f64) -> (i64, i32) {
    if value == 0.0 {
        return (0, 0);
    }
    if value.is_nan() {
        return (i64::MAX - 1, 0);
    }
    if value.is_infinite() {
        return (if value > 0.0 { i64::MAX } else { i64::MIN }, 0);
    }
    let (mantissa, exponent) = positive_decimal(value.abs());
    let mantissa = mantissa.min(MAX_SCALED as u64) as i64;
    (if value < 0.0 { -mantissa } else { mantissa }, exponent)
}

fn positive_decimal(value: f64) -> (u64, i32) {
    let whole = value as u64;
    if whole as f64 == value && value < u64::MAX as f64 {
        return without_zeros(whole);
    }
    let (mut value, mut exponent, mut precision) = (value, 0, 1e12);
    if !(1e-6..=1e6).contains(&value) {
        if value > 1e6 {
            precision = 1e15;
        }
        // The power of two of the fraction 0.5 to 1, as a power of ten.
        let power = (value.log2().floor() as i32 + 1).clamp(-1022, 1023);
        exponent = (f64::from(power) * std::f64::consts::LOG10_2) as i32;
        value *= 10f64.powi(-exponent);
    }
    while value < precision {
        let (whole, fraction) = (value.trunc(), value.fract());
        if fraction * precision < whole {
            value = whole;
            break;
        }
        if (1.0 - fraction) * precision < whole {
            value = whole + 1.0;
            break;
        }
        value *= 100.0;
        exponent -= 2;
    }
    let whole = value as u64;
    if whole.is_multiple_of(10) {
        return (whole / 10, exponent + 1);
    }
    (whole, exponent)
}

fn without_zeros(mut n: u64) -> (u64, i32) {
    let mut exponent = 0;
    while n >= MAX_MANTISSA {
        n /= 10;
        exponent += 1;
    }
    while n != 0 && n.is_multiple_of(10) {
        n /= 10;
        exponent += 1;
    }
    (n, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_their_shortest_decimals() {
        assert_eq!(decimal(-1.234), (-1234, -3));
        assert_eq!(decimal(1_500_000.0), (15, 5));
        assert_eq!(decimal(0.1), (1, -1));
        assert_eq!(decimal(2.0418e-5), (20418, -9));
        assert_eq!(mantissas(&[1.0, 2.5, 100.0]), [10, 25, 1000]);
        assert_eq!(mantissas(&[0.0, 300.0]), [0, 300]);
    }

    #[test]
    fn the_form_follows_the_values() {
        assert_eq!(encode(&[5.0; 100]).len(), 1);
        assert_eq!(encode(&(0..100).map(f64::from).collect::<Vec<_>>()).len(), 2);
        assert!(is_gauge(&[5, 4, 5]));
        assert!(is_gauge(&[5, -1]));
        assert!(!is_gauge(&[5, 9, 10, 0, 3]));
    }
}
