//! Values that are decimal numbers: `v = m / 10^k` with a whole `m`, bit for bit.
//!
//! The test is exact: dividing `m` by `10^k` is correctly rounded and both are whole numbers below 2^53 in magnitude, so
//! a value that passes at `k` also passes at every greater `k` for which `m` stays in bounds, and decoding is one division.
//! -0, NaN, infinities, staleness markers and whole numbers from 2^53 on never pass.
//!
//! Programs also make floats of whole numbers in ways that miss `m / 10^k` by a bit or a few: by multiplying with 0.001
//! (disk times), by dividing twice (pressure stalls), by adding up (sums of durations). [`Method`] names the first two, for
//! the last the distance to `m / 10^k` is kept beside `m`, see [`to_near_integers`].

/// Largest exponent tried: nanoseconds written as seconds.
pub const MAX_SCALE: u8 = 9;

const POWERS: [f64; MAX_SCALE as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers up to here are exact as `f64`.
const MAX_EXACT: u64 = 1 << 53;

/// Above this the half added for rounding could itself be rounded.
const MAX_SCALED: f64 = (1u64 << 52) as f64;

/// Values looked at before choosing a scale.
const PROBES: usize = 32;

/// How a whole number became a float. The codes are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `m / 10^k`
    Divide = 0,
    /// `m * 10^-k`
    Multiply = 1,
    /// `m / 1000`, as often as three goes into `k`, then `/ 10` for what is left.
    Thousands = 2,
}

impl Method {
    /// The method of a code.
    pub fn from_code(code: u8) -> Option<Method> {
        [Method::Divide, Method::Multiply, Method::Thousands]
            .get(code as usize)
            .copied()
    }

    /// The value of `m` at `scale`, which must not be above [`MAX_SCALE`].
    #[inline]
    pub fn value(self, m: i64, scale: u8) -> f64 {
        match self {
            Method::Divide => from_integer(m, scale),
            Method::Multiply => m as f64 * INVERSE_POWERS[scale as usize],
            Method::Thousands => {
                let thousands = (0..scale / 3).fold(m as f64, |v, _| v / 1000.0);
                (0..scale % 3).fold(thousands, |v, _| v / 10.0)
            }
        }
    }

    /// `m` of `value` at `scale`, where it passes the test.
    fn to_integer(self, value: f64, scale: u8) -> Option<i64> {
        let m = nearest_integer(value, scale)?;
        // The nearest may be one off where the product rounds.
        [m, m - 1, m + 1]
            .into_iter()
            .find(|m| self.value(*m, scale).to_bits() == value.to_bits())
    }
}

const INVERSE_POWERS: [f64; MAX_SCALE as usize + 1] = [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];

/// `value * 10^scale`, rounded; `None` from 2^52 on.
fn nearest_integer(value: f64, scale: u8) -> Option<i64> {
    let scaled = value * POWERS[scale as usize];
    (scaled.abs() < MAX_SCALED).then(|| (scaled + 0.5f64.copysign(scaled)) as i64)
}

/// `m` of `value` at `scale` and how many floats `value` lies above `m / 10^scale`, where that is no more than a
/// thirty-second of the way to the next decimal: by chance one float in sixteen would pass, a whole series never.
fn to_near_integer(value: f64, scale: u8) -> Option<(i64, i64)> {
    let m = nearest_integer(value, scale)?;
    let distance = (value.to_bits() as i64).wrapping_sub(from_integer(m, scale).to_bits() as i64);
    let floats_between = 1u64 << 53 >> (64 - m.unsigned_abs().leading_zeros());
    (distance.unsigned_abs() <= floats_between / 32).then_some((m, distance))
}

/// As [`to_integers`] for values that are decimals by another method than division.
pub fn to_integers_by(method: Method, values: &[f64], numbers: &mut Vec<i64>, exceptions: &mut Vec<u32>) -> Option<u8> {
    let scale = probe(values, |v| {
        (0..=MAX_SCALE).find(|scale| method.to_integer(v, *scale).is_some())
    })?;
    let found = |v: &f64| method.to_integer(*v, scale);
    fill_numbers(values, numbers, exceptions, found).then_some(scale)
}

/// Turns `values` that lie near decimals into whole numbers at one scale and their distances, counted in floats. Positions
/// that fail are as in [`to_integers`].
pub fn to_near_integers(
    values: &[f64],
    numbers: &mut Vec<i64>,
    distances: &mut Vec<i64>,
    exceptions: &mut Vec<u32>,
) -> Option<u8> {
    let scale = probe(values, |v| {
        (0..=MAX_SCALE).find(|scale| to_near_integer(v, *scale).is_some())
    })?;
    if !fill_numbers(values, numbers, exceptions, |v| {
        to_near_integer(*v, scale).map(|(m, _)| m)
    }) {
        return None;
    }
    distances.clear();
    let mut before = 0;
    distances.extend(values.iter().map(|v| {
        before = to_near_integer(*v, scale).map_or(before, |(_, distance)| distance);
        before
    }));
    Some(scale)
}

/// Fills `numbers`, with what came before in the place of what fails; false where too many do.
fn fill_numbers(
    values: &[f64],
    numbers: &mut Vec<i64>,
    exceptions: &mut Vec<u32>,
    to_integer: impl Fn(&f64) -> Option<i64>,
) -> bool {
    numbers.clear();
    exceptions.clear();
    let max_exceptions = max_exceptions(values.len());
    let mut previous = values.iter().find_map(&to_integer).unwrap_or(0);
    for (row, value) in values.iter().enumerate() {
        match to_integer(value) {
            Some(m) => previous = m,
            None if exceptions.len() == max_exceptions => return false,
            None => exceptions.push(row as u32),
        }
        numbers.push(previous);
    }
    true
}

/// The scale that suits a spread of values; `None` where one in eight of them has none.
fn probe(values: &[f64], scale_of: impl Fn(f64) -> Option<u8>) -> Option<u8> {
    let spread = values.iter().step_by(values.len().div_ceil(PROBES).max(1));
    let (mut widest, mut probed, mut failed) = (None, 0, 0);
    for value in spread {
        probed += 1;
        match scale_of(*value) {
            Some(scale) => widest = widest.max(Some(scale)),
            None => failed += 1,
        }
        if failed > 1 + values.len().min(PROBES) / 8 {
            return None;
        }
    }
    widest.filter(|_| failed * 8 <= probed)
}

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
    if scale == 0 {
        // Without the division, which would be most of the work on whole numbers.
        return m as f64;
    }
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

    #[test]
    fn floats_made_otherwise_are_decimals_too() {
        let check = |method: Method, scale: u8, make: &dyn Fn(i64) -> f64| {
            let numbers: Vec<i64> = (0..200).map(|i| 100_003 + i * 7919).collect();
            let values: Vec<f64> = numbers.iter().map(|m| make(*m)).collect();
            let (mut found, mut exceptions) = (Vec::new(), Vec::new());
            let by_division = to_integers(&values, &mut found, &mut exceptions);
            assert_eq!(by_division, None, "{method:?}");
            assert_eq!(
                to_integers_by(method, &values, &mut found, &mut exceptions),
                Some(scale)
            );
            assert_eq!((&found, exceptions.len()), (&numbers, 0));
            let back: Vec<f64> = found.iter().map(|m| method.value(*m, scale)).collect();
            assert_eq!(back, values);
        };
        check(Method::Multiply, 3, &|m| m as f64 * 0.001);
        check(Method::Thousands, 6, &|m| m as f64 / 1000.0 / 1000.0);
    }

    #[test]
    fn sums_of_decimals_lie_near_decimals() {
        let mut sum = 0.0;
        let values: Vec<f64> = (0..300)
            .map(|i| {
                sum += f64::from((i * 7919) % 10_007) / 1e9;
                sum
            })
            .collect();
        let (mut numbers, mut distances, mut exceptions) = (Vec::new(), Vec::new(), Vec::new());
        let scale = to_near_integers(&values, &mut numbers, &mut distances, &mut exceptions);
        assert_eq!((scale, exceptions.len()), (Some(9), 0));
        for ((m, distance), value) in numbers.iter().zip(&distances).zip(&values) {
            let bits = from_integer(*m, 9).to_bits().wrapping_add_signed(*distance);
            assert_eq!(bits, value.to_bits());
        }
        let floats: Vec<f64> = (1..300).map(|i| f64::from(i).sqrt()).collect();
        let found = to_near_integers(&floats, &mut numbers, &mut distances, &mut exceptions);
        assert_eq!(found, None);
    }
}
