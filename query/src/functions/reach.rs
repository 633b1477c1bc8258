//! Functions of windows that reach beyond their bounds: `anchored` and `smoothed` (prometheus promql/functions.go,
//! `extendedRate` and `pickFirstSampleIndices`, and promql/engine.go, `smoothSeries` and `extendFloats`).
//!
//! ```text
//!            start                      end
//!   ·    ·  ·  |   ·    ·    ·    ·   ·  |  ·   ·
//!           ^anchor                      ^ interpolated, as at the start, where smoothed
//! ```

use garner_storage::model::{NANOS_PER_MILLI, Timestamp};

use super::RangeFunction;
use super::over_time;
use super::seconds::seconds;
use super::window::{Reach, Windows};
use crate::vector::RowBuffer;

/// The samples that one step sees, staleness markers left out; never none.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    /// The window itself is `(start, end]`.
    start: Timestamp,
    end: Timestamp,
    smoothed: bool,
}

/// A range function over windows that reach beyond their bounds.
#[derive(Clone, Copy, Debug)]
pub struct ReachKernel {
    /// The function; one of those that allow it.
    pub function: RangeFunction,
    /// How far.
    pub reach: Reach,
    /// Of all samples that count.
    pub windows: Windows,
    /// Of the selector itself.
    pub bounds: Windows,
}

impl ReachKernel {
    /// Evaluates every step of one series into `out`. `values` holds no staleness marker.
    pub fn eval(&self, times: &[Timestamp], values: &[f64], out: &mut RowBuffer) {
        self.windows.for_each(times, |step, low, high| {
            if low == high {
                return;
            }
            let seen = Seen {
                times: &times[low..high],
                values: &values[low..high],
                start: self.bounds.start(step),
                end: self.bounds.end(step),
                smoothed: self.reach == Reach::Smoothed,
            };
            let value = match self.function {
                RangeFunction::Changes => seen.since_anchor().map(over_time::changes),
                RangeFunction::Resets => seen.since_anchor().map(over_time::resets),
                RangeFunction::Increase => seen.change(true),
                RangeFunction::Rate => seen.change(true).map(|change| change / seconds(self.bounds.width_ns)),
                _ => seen.change(false),
            };
            if let Some(value) = value {
                out.set(step, value);
            }
        });
    }
}

/// The value of a smoothed instant selector at each step. `values` holds no staleness marker.
pub fn interpolated(times: &[Timestamp], values: &[f64], windows: &Windows, bounds: &Windows, out: &mut RowBuffer) {
    windows.for_each(times, |step, low, high| {
        let at = bounds.end(step);
        let next = low + times[low..high].partition_point(|t| *t < at);
        let value = match () {
            () if next < high && times[next] == at => values[next],
            () if next == low => return,
            () if next < high => between(times, values, next, at, false),
            // No next sample yet: the newest stands.
            () => values[next - 1],
        };
        out.set(step, value);
    });
}

/// The samples of a range selector that is a whole query: those inside of `(start, end]` and one at each bound. `None` where
/// no sample counts.
pub fn extended(
    times: &[Timestamp],
    values: &[f64],
    start: Timestamp,
    end: Timestamp,
    reach: Reach,
) -> Option<Vec<(Timestamp, f64)>> {
    let seen = Seen {
        times,
        values,
        start,
        end,
        smoothed: reach == Reach::Smoothed,
    };
    let (first, last) = seen.ends()?;
    let inner = seen.inner(first, last);
    let mut out = vec![(start, seen.left(first, false))];
    out.extend(times[inner.clone()].iter().copied().zip(values[inner].iter().copied()));
    out.push((end, seen.right(last, false)));
    Some(out)
}

/// The samples that stand for the bounds; `None` where nothing lies in the window.
pub(super) fn ends(times: &[Timestamp], start: Timestamp, end: Timestamp, smoothed: bool) -> Option<(usize, usize)> {
    let newest = times.len().checked_sub(1)?;
    let before_newest = &times[..newest];
    let first = before_newest.partition_point(|t| *t <= start).saturating_sub(1);
    let last = if smoothed {
        before_newest.partition_point(|t| *t < end)
    } else {
        newest
    };
    let nothing = times[last] <= start || (smoothed && times[first] > end);
    (!nothing).then_some((first, last))
}

impl<'a> Seen<'a> {
    fn ends(&self) -> Option<(usize, usize)> {
        ends(self.times, self.start, self.end, self.smoothed)
    }

    /// The samples strictly between the bounds.
    fn inner(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        let from = first + usize::from(self.times[first] <= self.start);
        let to = last + usize::from(self.times[last] < self.end);
        from..to.max(from)
    }

    fn left(&self, first: usize, counter: bool) -> f64 {
        if self.smoothed && self.times[first] < self.start {
            between(self.times, self.values, first + 1, self.start, counter)
        } else {
            self.values[first]
        }
    }

    fn right(&self, last: usize, counter: bool) -> f64 {
        if self.smoothed && last > 0 && self.times[last] > self.end {
            between(self.times, self.values, last, self.end, counter)
        } else {
            self.values[last]
        }
    }

    /// The change from bound to bound, of a counter with what its resets took away.
    fn change(&self, counter: bool) -> Option<f64> {
        let (first, last) = self.ends()?;
        let (left, right) = (self.left(first, counter), self.right(last, counter));
        let mut change = right - left;
        if counter {
            let mut before = left;
            for value in self.values[self.inner(first, last)].iter().chain([&right]) {
                if *value < before {
                    change += before;
                }
                before = *value;
            }
        }
        Some(change)
    }

    /// The newest sample at or before the start and all after it; `None` where none is after it.
    fn since_anchor(&self) -> Option<&'a [f64]> {
        let inside = self.times.partition_point(|t| *t <= self.start);
        (inside < self.times.len()).then(|| &self.values[inside.saturating_sub(1)..])
    }
}

/// The value at `at` on the line from the sample before `next` to the one at `next`. A counter that fell started at zero.
fn between(times: &[Timestamp], values: &[f64], next: usize, at: Timestamp, counter: bool) -> f64 {
    let (mut from, to) = (values[next - 1], values[next]);
    if counter && to < from {
        from = 0.0;
    }
    let millis = |ns: i64| (ns / NANOS_PER_MILLI) as f64;
    from + (to - from) * millis(at - times[next - 1]) / millis(times[next] - times[next - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Steps;

    const SECOND: i64 = 1_000_000_000;

    fn windows(at: i64, width: i64) -> Windows {
        Windows {
            steps: Steps::instant(at * SECOND),
            width_ns: width * SECOND,
            offset_ns: 0,
            at_ns: None,
        }
    }

    fn times(values: &[f64]) -> Vec<i64> {
        (0..values.len() as i64).map(|i| i * 10 * SECOND).collect()
    }

    fn same(got: Option<f64>, expected: Option<f64>) -> bool {
        match (got, expected) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        }
    }

    /// Over samples 10 s apart from time 0, at `at` seconds with a window of `width` seconds and a lookback of a minute.
    fn check(function: RangeFunction, reach: Reach, values: &[f64], at: i64, width: i64, expected: Option<f64>) {
        let bounds = windows(at, width);
        let kernel = ReachKernel {
            function,
            reach,
            windows: bounds.reaching(reach, 60 * SECOND),
            bounds,
        };
        let mut out = RowBuffer::new(1);
        let times = times(values);
        kernel.eval(&times, values, &mut out);
        let got = out.is_present(0).then(|| out.values()[0]);
        assert!(
            same(got, expected),
            "{}({values:?}[{width}s] {reach:?} @ {at}): {got:?}, not {expected:?}",
            function.as_str()
        );
    }

    #[test]
    fn bounds_are_samples_or_interpolated() {
        use RangeFunction as F;
        let counter = [0.0, 10.0, 20.0, 5.0, 15.0];
        check(F::Increase, Reach::Anchored, &counter, 25, 10, Some(10.0));
        check(F::Increase, Reach::Anchored, &counter, 35, 20, Some(15.0));
        check(F::Increase, Reach::Smoothed, &counter, 15, 10, Some(10.0));
        check(F::Increase, Reach::Smoothed, &counter, 35, 20, Some(15.0));
        check(F::Rate, Reach::Smoothed, &counter, 25, 5, Some(0.5));
        check(F::Delta, Reach::Smoothed, &counter, 25, 10, Some(-2.5));
        check(F::Delta, Reach::Anchored, &counter, 30, 10, Some(-15.0));
        check(F::Increase, Reach::Anchored, &counter, 100, 50, None);
        check(F::Increase, Reach::Smoothed, &counter, 100, 50, None);
        check(F::Changes, Reach::Anchored, &[1.0, 1.0, 2.0, 2.0], 30, 20, Some(1.0));
        check(F::Resets, Reach::Anchored, &counter, 30, 10, Some(1.0));
        check(F::Resets, Reach::Anchored, &counter, 60, 10, None);
    }

    #[test]
    fn a_smoothed_selector_interpolates_between_samples() {
        let check = |at: i64, expected: Option<f64>| {
            let values = [1.0, 2.0, 8.0];
            let bounds = windows(at, 0);
            let mut out = RowBuffer::new(1);
            interpolated(
                &times(&values),
                &values,
                &bounds.reaching(Reach::Smoothed, 30 * SECOND),
                &bounds,
                &mut out,
            );
            let got = out.is_present(0).then(|| out.values()[0]);
            assert!(same(got, expected), "at {at}: {got:?}");
        };
        check(-5, None);
        check(0, Some(1.0));
        check(5, Some(1.5));
        check(15, Some(5.0));
        check(40, Some(8.0));
        check(60, None);
    }

    #[test]
    fn raw_samples_get_one_at_each_bound() {
        let values = [1.0, 2.0, 8.0, 4.0];
        let got = extended(&times(&values), &values, 5 * SECOND, 25 * SECOND, Reach::Smoothed);
        let expected = vec![(5, 1.5), (10, 2.0), (20, 8.0), (25, 6.0)];
        assert_eq!(got, Some(expected.into_iter().map(|(t, v)| (t * SECOND, v)).collect()));
        let got = extended(
            &times(&values[..3]),
            &values[..3],
            10 * SECOND,
            25 * SECOND,
            Reach::Anchored,
        );
        let expected = vec![(10, 2.0), (20, 8.0), (25, 8.0)];
        assert_eq!(got, Some(expected.into_iter().map(|(t, v)| (t * SECOND, v)).collect()));
        assert_eq!(extended(&[], &[], 0, 1, Reach::Anchored), None);
    }
}
