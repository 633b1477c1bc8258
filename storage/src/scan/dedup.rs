//! When two rows are one: the rules by which heads, segments and views resolve what was written twice.
//!
//! Samples: one per (series, time); a histogram wins over a number, a number over a staleness marker, then the greater in
//! a total order. Of its start times the latest stays, whichever value it came with. The rules are commutative,
//! associative and idempotent, so it does not matter which source is merged first.
//!
//! Log entries: same stream, nanosecond, line and metadata *as the client sent it* are one entry, as in Loki. What the
//! server derived takes no part, since a later version may derive it otherwise; the entry that came first stays.

use std::cmp::Ordering;

use ahash::AHashSet;

use super::SampleRow;
use crate::model::is_stale;

/// Which of two values of one (series, time) stays.
pub fn resolve_values(a: f64, b: f64) -> f64 {
    match (is_stale(a), is_stale(b)) {
        (false, true) => a,
        (true, false) => b,
        _ if a.total_cmp(&b).is_lt() => b,
        _ => a,
    }
}

/// Which of two samples of one (series, time) stays. A histogram's value is its sum, which takes no part on its own.
pub fn resolve_rows<'a>(a: SampleRow<'a>, b: SampleRow<'a>) -> SampleRow<'a> {
    let first = match (a.histogram, b.histogram) {
        (Some(x), Some(y)) => x.total_cmp(y) != Ordering::Less,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => resolve_values(a.value, b.value).to_bits() == a.value.to_bits(),
    };
    SampleRow {
        start_time: a.start_time.max(b.start_time),
        ..if first { a } else { b }
    }
}

/// Resolves the duplicates of one series in place: times never fall on entry and strictly ascend on return.
pub fn resolve_samples(timestamps: &mut Vec<i64>, values: &mut Vec<f64>) {
    debug_assert_eq!(timestamps.len(), values.len());
    debug_assert!(timestamps.is_sorted());
    let Some(first) = timestamps.windows(2).position(|w| w[0] == w[1]) else {
        return;
    };
    let mut kept = first;
    for row in first + 1..timestamps.len() {
        if timestamps[row] == timestamps[kept] {
            values[kept] = resolve_values(values[kept], values[row]);
        } else {
            kept += 1;
            timestamps[kept] = timestamps[row];
            values[kept] = values[row];
        }
    }
    timestamps.truncate(kept + 1);
    values.truncate(kept + 1);
}

/// Appends the samples of two sources for one series to `out`: both strictly ascending, and so is the result.
pub fn merge_samples(a: (&[i64], &[f64]), b: (&[i64], &[f64]), out: (&mut Vec<i64>, &mut Vec<f64>)) {
    let ((a_times, a_values), (b_times, b_values), (times, values)) = (a, b, out);
    let (mut i, mut j) = (0, 0);
    while i < a_times.len() && j < b_times.len() {
        let (s, t) = (a_times[i], b_times[j]);
        let (time, value) = match s.cmp(&t) {
            Ordering::Less => (s, a_values[i]),
            Ordering::Greater => (t, b_values[j]),
            Ordering::Equal => (s, resolve_values(a_values[i], b_values[j])),
        };
        i += usize::from(s <= t);
        j += usize::from(t <= s);
        times.push(time);
        values.push(value);
    }
    times.extend_from_slice(&a_times[i..]);
    times.extend_from_slice(&b_times[j..]);
    values.extend_from_slice(&a_values[i..]);
    values.extend_from_slice(&b_values[j..]);
}

/// Runs of one nanosecond longer than this are resolved by hash, shorter ones by comparing each with each.
const MAX_PAIRWISE_RUN: usize = 16;

/// Finds the duplicates among the entries of one stream: `timestamps` never fall, and the entry of row `row` is the pair
/// (line, canonical bytes of the metadata as sent) that `entry` returns, asked only for rows that share a nanosecond.
/// Returns the rows to leave out, ascending; of equal entries the first row stays.
pub fn duplicate_entries<'a>(timestamps: &[i64], entry: impl Fn(usize) -> (&'a [u8], &'a [u8])) -> Vec<u32> {
    let mut duplicates = Vec::new();
    let mut start = 0;
    while start + 1 < timestamps.len() {
        let time = timestamps[start];
        let end = start + 1 + timestamps[start + 1..].iter().take_while(|t| **t == time).count();
        let run = start..end;
        if run.len() > MAX_PAIRWISE_RUN {
            duplicates_by_hash(run, &entry, &mut duplicates);
        } else if run.len() > 1 {
            for row in run.start + 1..run.end {
                let this = entry(row);
                if (run.start..row).any(|earlier| entry(earlier) == this) {
                    duplicates.push(row as u32);
                }
            }
        }
        start = end;
    }
    duplicates
}

fn duplicates_by_hash<'a>(
    run: std::ops::Range<usize>,
    entry: &impl Fn(usize) -> (&'a [u8], &'a [u8]),
    duplicates: &mut Vec<u32>,
) {
    let mut seen = AHashSet::with_capacity(run.len());
    for row in run {
        if !seen.insert(entry(row)) {
            duplicates.push(row as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_NAN_BITS;

    #[test]
    fn a_value_beats_a_staleness_marker_then_the_greater_wins() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        let check = |a: f64, b: f64, expected: f64| {
            assert_eq!(resolve_values(a, b).to_bits(), expected.to_bits(), "{a} {b}");
            assert_eq!(resolve_values(b, a).to_bits(), expected.to_bits(), "{b} {a}");
        };
        check(1.0, 2.0, 2.0);
        check(stale, f64::NEG_INFINITY, f64::NEG_INFINITY);
        check(stale, stale, stale);
        check(-0.0, 0.0, 0.0);
        check(f64::NAN, f64::INFINITY, f64::NAN);
        check(stale, -f64::NAN, -f64::NAN);
    }

    #[test]
    fn samples_of_one_time_become_one() {
        let check = |times: &[i64], values: &[f64], expected: &[(i64, f64)]| {
            let (mut times, mut values) = (times.to_vec(), values.to_vec());
            resolve_samples(&mut times, &mut values);
            let rows: Vec<_> = times.into_iter().zip(values).collect();
            assert_eq!(rows, expected);
        };
        check(&[], &[], &[]);
        check(&[1, 2], &[1.0, 2.0], &[(1, 1.0), (2, 2.0)]);
        check(
            &[1, 1, 1, 2, 3, 3],
            &[1.0, 3.0, 2.0, 5.0, 0.0, -1.0],
            &[(1, 3.0), (2, 5.0), (3, 0.0)],
        );
    }

    #[test]
    fn two_sources_merge_in_time_order() {
        let mut times = vec![0];
        let mut values = vec![0.0];
        merge_samples(
            (&[1, 3, 5], &[1.0, 3.0, 5.0]),
            (&[2, 3], &[2.0, 9.0]),
            (&mut times, &mut values),
        );
        assert_eq!((times, values), (vec![0, 1, 2, 3, 5], vec![0.0, 1.0, 2.0, 9.0, 5.0]));
    }

    #[test]
    fn equal_entries_of_one_nanosecond_stand_once() {
        let check = |rows: &[(i64, &'static str, &'static str)], expected: &[u32]| {
            let times: Vec<i64> = rows.iter().map(|r| r.0).collect();
            let found = duplicate_entries(&times, |row| (rows[row].1.as_bytes(), rows[row].2.as_bytes()));
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&[(1, "a", ""), (2, "a", "")], &[]);
        check(
            &[
                (1, "a", ""),
                (1, "b", ""),
                (1, "a", ""),
                (1, "a", "m"),
                (2, "b", ""),
                (2, "b", ""),
            ],
            &[2, 5],
        );
        let long: Vec<_> = (0..40).map(|i| (7, ["x", "y", "z"][i % 3], "")).collect();
        check(&long, &(3..40).collect::<Vec<_>>());
    }
}
