//! Time columns of metric chunks: strictly ascending nanoseconds, usually a grid with jitter.
//!
//! ```text
//! times    = nothing where n is 1, otherwise varint quantum, u8 kind, fields of the kind
//! regular  (kind 0)  varint interval                               u(i) = i * interval
//! grid     (kind 1)  varint interval, zigzag base, pfor of n       u(i) = i * interval + base + pfor(i)
//! delta    (kind 2)  varint interval, pfor of n - 1                u(i) = u(i-1) + interval + unzigzag(pfor(i-1))
//! gap      (kind 3)  varint interval, pfor of n - 1                u(i) = u(i-1) + interval + pfor(i-1)
//! double   (kind 4)  varint interval, pfor of n - 1                step(i) = step(i-1) + unzigzag(pfor(i-1)),
//!                                                                  step(0) = interval, u(i) = u(i-1) + step(i)
//! time(i)  = first + quantum * u(i), u(0) = 0, everything modulo 2^64; `first` is stored by whoever stores n
//! ```
//!
//! `quantum` is the greatest common divisor of the steps: a millisecond for most scrapers, the whole interval where scrapes
//! are exact. Residuals from the grid beat differences where scrapes jitter around a fixed schedule, since a difference
//! sees each jitter twice; after gaps the differences win, and differences of differences where the interval itself
//! drifts. The smallest is taken.

use super::error::{CodecError, CodecResult};
use super::ints::gcd;
use super::pfor;
use super::varint::{Reader, put_varint, put_zigzag, unzigzag, zigzag};

const REGULAR: u8 = 0;
const GRID: u8 = 1;
const DELTA: u8 = 2;
const GAP: u8 = 3;
const DOUBLE: u8 = 4;

/// Appends `times`, which must strictly ascend; the first of them is left to the caller.
pub fn encode(times: &[i64], out: &mut Vec<u8>) {
    debug_assert!(times.windows(2).all(|w| w[0] < w[1]));
    // Ascending times differ by less than 2^64, so unsigned steps are exact even across the whole range of i64.
    let mut steps: Vec<u64> = times.windows(2).map(|w| w[1].wrapping_sub(w[0]) as u64).collect();
    let Some(first_step) = steps.first().copied() else {
        return;
    };
    let quantum = steps
        .iter()
        .fold(first_step, |q, s| if s.is_multiple_of(q) { q } else { gcd(q, *s) });
    if quantum > 1 {
        steps.iter_mut().for_each(|s| *s /= quantum);
    }
    put_varint(out, quantum);
    let interval = usual_interval(&steps);
    if steps.iter().all(|s| *s == interval) {
        out.push(REGULAR);
        put_varint(out, interval);
        return;
    }
    let (base, grid) = grid_residuals(&steps, interval);
    let delta: Vec<u64> = steps.iter().map(|s| zigzag(s.wrapping_sub(interval) as i64)).collect();
    let shortest = steps.iter().copied().min().unwrap_or(0);
    let gap: Vec<u64> = steps.iter().map(|s| s - shortest).collect();
    let double: Vec<u64> = std::iter::once(steps[0])
        .chain(steps.iter().copied())
        .zip(&steps)
        .map(|(before, step)| zigzag(step.wrapping_sub(before) as i64))
        .collect();

    let forms = [
        (GRID, interval, &grid),
        (DELTA, interval, &delta),
        (GAP, shortest, &gap),
        (DOUBLE, steps[0], &double),
    ];
    let smallest = forms.iter().min_by_key(|(_, _, numbers)| pfor::cost_bytes(numbers));
    let Some((kind, interval, numbers)) = smallest else {
        return;
    };
    out.push(*kind);
    put_varint(out, *interval);
    if *kind == GRID {
        put_zigzag(out, base);
    }
    pfor::encode(numbers, out);
}

/// The residuals from the grid, and the smallest of them, which is taken out.
fn grid_residuals(steps: &[u64], interval: u64) -> (i64, Vec<u64>) {
    let mut residual = 0i64;
    let mut base = 0i64;
    let mut residuals = Vec::with_capacity(steps.len() + 1);
    residuals.push(0);
    for step in steps {
        residual = residual.wrapping_add(step.wrapping_sub(interval) as i64);
        base = base.min(residual);
        residuals.push(residual as u64);
    }
    residuals.iter_mut().for_each(|r| *r = r.wrapping_sub(base as u64));
    (base, residuals)
}

/// The interval of the schedule: the mean of the steps that are within a quarter of the median step. The median alone is
/// off by a quantum where jitter is lopsided, which the grid would add up row by row; the mean alone is bent by gaps.
fn usual_interval(steps: &[u64]) -> u64 {
    let mut sorted = steps.to_vec();
    let middle = sorted.len() / 2;
    let median = *sorted.select_nth_unstable(middle).1;
    let near = steps.iter().filter(|s| s.abs_diff(median) <= median / 4);
    let (sum, count) = near.fold((0u128, 0u128), |(sum, count), s| (sum + u128::from(*s), count + 1));
    ((sum + count / 2) / count.max(1)) as u64
}

/// The `n` times from `first` on at the front of `reader`; the caller has checked `n` against a limit.
pub fn decode(reader: &mut Reader<'_>, first: i64, n: usize) -> CodecResult<Vec<i64>> {
    if n <= 1 {
        return Ok(vec![first; n]);
    }
    let quantum = reader.varint("time quantum")?;
    let kind = reader.u8("time kind")?;
    let interval = reader.varint("time interval")?;
    let mut times = Vec::with_capacity(n);
    let time = |u: u64| first.wrapping_add(quantum.wrapping_mul(u) as i64);
    let mut u = 0u64;
    match kind {
        REGULAR => times.extend((0..n as u64).map(|i| time(i.wrapping_mul(interval)))),
        GRID => {
            let base = reader.zigzag("time base")? as u64;
            let mut packed = vec![0; n];
            pfor::decode(reader, &mut packed)?;
            // Whoever reads by `first` alone must find the same time.
            if packed.first().is_none_or(|r| base.wrapping_add(*r) != 0) {
                return Err(CodecError::Invalid("time grid"));
            }
            let grid = packed.iter().zip(0u64..);
            times.extend(grid.map(|(r, i)| time(i.wrapping_mul(interval).wrapping_add(base).wrapping_add(*r))));
        }
        DELTA | GAP | DOUBLE => {
            let mut packed = vec![0; n - 1];
            pfor::decode(reader, &mut packed)?;
            times.push(first);
            let mut usual = interval;
            times.extend(packed.iter().map(|r| {
                let step = if kind == GAP { *r } else { unzigzag(*r) as u64 };
                let step = usual.wrapping_add(step);
                if kind == DOUBLE {
                    usual = step;
                }
                u = u.wrapping_add(step);
                time(u)
            }));
        }
        found => {
            return Err(CodecError::UnknownCodec {
                what: "time column",
                found,
            });
        }
    }
    // Merging relies on the order, so bytes that only look like a time column must not get through.
    if times.windows(2).all(|w| w[0] < w[1]) {
        Ok(times)
    } else {
        Err(CodecError::Invalid("order of times"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(times: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(times, &mut out);
        out
    }

    proptest! {
        #[test]
        fn times_come_back(
            first in any::<i64>(),
            quantum in prop_oneof![Just(1u64), Just(1_000_000), Just(1_000_000_000)],
            interval in 50u64..20_000,
            jitter in proptest::collection::vec(0u64..40, 0..400),
            gap_at in 0usize..800,
        ) {
            let grid = jitter.iter().zip(0u64..).map(|(j, i)| {
                let gap = if i as usize >= gap_at { 1_000_003 } else { 0 };
                first.checked_add_unsigned((i * interval + j + gap) * quantum)
            });
            let times: Vec<i64> = grid.map_while(|t| t).collect();
            let first = times.first().copied().unwrap_or(0);
            let bytes = encoded(&times);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(decode(&mut reader, first, times.len()), Ok(times));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_times_come_back(times in proptest::collection::btree_set(any::<i64>(), 0..200)) {
            let times: Vec<i64> = times.into_iter().collect();
            let first = times.first().copied().unwrap_or(0);
            prop_assert_eq!(decode(&mut Reader::new(&encoded(&times)), first, times.len()), Ok(times));
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..300, first: i64) {
            let _ = decode(&mut Reader::new(&bytes), first, n);
        }
    }

    #[test]
    fn sizes_are_those_of_a_shared_column() {
        let second = 1_000_000_000i64;
        let regular: Vec<i64> = (0..480).map(|i| 1_700_000_000 * second + i * 15 * second).collect();
        assert!(encoded(&regular).len() <= 8);
        // 0-3 ms around the schedule: two bits a time, and no more after a gap.
        let jitter = |i: i64| (i * i * 7919 + i * 104_729) / 8 % 4 * 1_000_000;
        let scraped: Vec<i64> = regular.iter().zip(0..).map(|(t, i)| t + jitter(i)).collect();
        assert!(encoded(&scraped).len() <= 480 / 4 + 32);
        let all = [i64::MIN, -1, i64::MAX];
        assert_eq!(decode(&mut Reader::new(&encoded(&all)), i64::MIN, 3), Ok(all.to_vec()));
        // An interval that grows steadily: a difference of differences of one quantum.
        let drifting: Vec<i64> = (0..480).map(|i| (i * 15_000 + i * (i - 1) / 2) * 1_000_000).collect();
        assert!(encoded(&drifting).len() <= 480 / 4 + 16);
        assert_eq!(decode(&mut Reader::new(&encoded(&drifting)), 0, 480), Ok(drifting));
    }
}
