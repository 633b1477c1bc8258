//! What start timestamps tell of counters: resets that no falling value shows, and zero at the start of a series (prometheus
//! promql/functions.go, `extrapolatedRate`, `instantValue`, `isStartTimestampReset` and `checkStartTimeOverlap`).
//!
//! A start of 0 is unknown.

use garner_storage::model::Timestamp;

use super::RangeFunction;
use super::annotate::Notes;
use super::range::{INCREASE, RATE, RangeKernel};
use super::rate::{RateKind, extrapolation};
use super::reach::ReachKernel;
use super::seconds::seconds;
use crate::vector::RowBuffer;

/// Whether a function looks at start times, in plain windows.
pub fn looks_at_starts(function: RangeFunction) -> bool {
    use RangeFunction::{Increase, Irate, Rate, Resets};
    matches!(function, Increase | Irate | Rate | Resets)
}

/// Whether a counter was reset before sample `index`, as far as starts tell; they tell nothing where there are none.
pub fn restarted(times: &[Timestamp], starts: &[Timestamp], index: usize) -> bool {
    let (Some(before), Some(&start)) = (index.checked_sub(1), starts.get(index)) else {
        return false;
    };
    let (time_before, start_before) = (times[before], starts[before]);
    if start == 0 || start >= times[index] || start < time_before {
        // Unknown, impossible, or the counting went on.
        return false;
    }
    // A start at the sample before is a delta where that sample's own start is known, and an unknown start where it is not.
    start > time_before || (start_before != 0 && start_before < time_before)
}

/// Whether the counting of a sample claims time that the sample before it has claimed otherwise.
pub fn any_overlaps(times: &[Timestamp], starts: &[Timestamp]) -> bool {
    (1..starts.len()).any(|i| starts[i] != 0 && starts[i] < times[i - 1] && starts[i] != starts[i - 1])
}

/// When the series began, at zero, where that was inside of a window that starts (exclusively) at `start`.
pub fn begun_inside(times: &[Timestamp], starts: &[Timestamp], start: Timestamp) -> Option<Timestamp> {
    let begun = *starts.first()?;
    (begun != 0 && begun > start && begun < times[0]).then_some(begun)
}

/// Samples with their start times, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// Times.
    pub times: &'a [Timestamp],
    /// Values, without staleness markers.
    pub values: &'a [f64],
    /// When the counting of each began.
    pub starts: &'a [Timestamp],
}

impl<'a> Started<'a> {
    fn part(self, low: usize, high: usize) -> Started<'a> {
        Started {
            times: &self.times[low..high],
            values: &self.values[low..high],
            starts: &self.starts[low..high],
        }
    }

    /// Whether the counter was reset before sample `index`.
    fn reset(self, index: usize) -> bool {
        self.values[index] < self.values[index - 1] || restarted(self.times, self.starts, index)
    }

    /// How often the counter was reset.
    fn resets(self) -> f64 {
        (1..self.values.len()).filter(|i| self.reset(*i)).count() as f64
    }

    /// The increase over `(start, end]`, extrapolated to its edges.
    fn increase(self, start: Timestamp, end: Timestamp, kind: RateKind) -> Option<f64> {
        let last = self.values.len().checked_sub(1)?;
        let begun = begun_inside(self.times, self.starts, start);
        if last == 0 && begun.is_none() {
            return None;
        }
        let first = self.values[0];
        let mut change = self.values[last] - first;
        for index in (1..=last).filter(|i| self.reset(*i)) {
            change += self.values[index - 1];
        }
        if begun.is_some() {
            change += first;
        }
        Some(change * extrapolation(self.times, start, end, kind, first, change, begun))
    }

    /// The rate between the last two samples.
    fn instant_rate(self) -> Option<f64> {
        let last = self.values.len().checked_sub(1)?;
        let before = last.checked_sub(1)?;
        let interval = self.times[last] - self.times[before];
        if interval == 0 {
            return None;
        }
        let change = match self.reset(last) {
            true => self.values[last],
            false => self.values[last] - self.values[before],
        };
        Some(change / seconds(interval))
    }
}

impl RangeKernel {
    /// As [`RangeKernel::eval`], of a function that [`looks_at_starts`].
    pub fn eval_started(&self, samples: Started<'_>, out: &mut RowBuffer) -> Notes {
        let mut notes = Notes::default();
        self.windows.for_each(samples.times, |step, low, high| {
            if low == high {
                return;
            }
            let seen = samples.part(low, high);
            let (start, end) = (self.windows.start(step), self.windows.end(step));
            let value = match self.function {
                RangeFunction::Rate => seen.increase(start, end, RATE),
                RangeFunction::Increase => seen.increase(start, end, INCREASE),
                RangeFunction::Irate => seen.instant_rate(),
                _ => Some(seen.resets()),
            };
            if let Some(value) = value {
                out.set(step, value);
            }
            let counts_overlaps = matches!(self.function, RangeFunction::Rate | RangeFunction::Increase);
            if counts_overlaps && any_overlaps(seen.times, seen.starts) {
                notes.add(Notes::START_OVERLAP);
            }
        });
        notes
    }
}

impl ReachKernel {
    /// As [`ReachKernel::eval`], of `resets`.
    pub fn eval_started(&self, samples: Started<'_>, out: &mut RowBuffer) {
        self.windows.for_each(samples.times, |step, low, high| {
            let start = self.bounds.start(step);
            let inside = low + samples.times[low..high].partition_point(|t| *t <= start);
            if inside < high {
                let anchor = inside.saturating_sub(1).max(low);
                out.set(step, samples.part(anchor, high).resets());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::window::Windows;
    use crate::plan::Steps;

    const MINUTE: i64 = 60_000_000_000;

    /// At 6 m over 5 m; samples a minute apart from 2 m on, whose counting began so long before them.
    fn check(function: RangeFunction, values: &[f64], ages: &[i64], expected: Option<f64>, overlapping: usize) {
        let times: Vec<i64> = (0..values.len() as i64).map(|i| (2 + i) * MINUTE).collect();
        let starts: Vec<i64> = times
            .iter()
            .zip(ages)
            .map(|(time, age)| if *age == i64::MAX { 0 } else { time - age * MINUTE / 60 })
            .collect();
        let windows = Windows {
            steps: Steps::instant(6 * MINUTE),
            width_ns: 5 * MINUTE,
            offset_ns: 0,
            at_ns: None,
        };
        let mut out = RowBuffer::new(1);
        let samples = Started {
            times: &times,
            values,
            starts: &starts,
        };
        let notes = RangeKernel::new(function, windows, Vec::new()).eval_started(samples, &mut out);
        let got = out.is_present(0).then(|| out.values()[0]);
        let same = match (got, expected) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        assert!(
            same,
            "{}({values:?}, {ages:?}): {got:?}, not {expected:?}",
            function.as_str()
        );
        let mut expected = Notes::default();
        (0..overlapping).for_each(|_| expected.add(Notes::START_OVERLAP));
        assert_eq!(notes, expected, "{ages:?}");
    }

    const UNKNOWN: i64 = i64::MAX;

    #[test]
    fn starts_tell_of_resets_and_of_zero() {
        use RangeFunction as F;
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0];
        check(F::Increase, &rising, &[UNKNOWN; 5], Some(5.0), 0);
        check(F::Increase, &rising, &[30, 90, 150, 210, 270], Some(5.0), 0);
        check(F::Increase, &rising, &[60, 120, 180, 240, 300], Some(5.0), 0);
        check(F::Increase, &[3.0], &[30], Some(3.0), 0);
        check(F::Increase, &[3.0], &[UNKNOWN], None, 0);
        // Deltas: each begins where the one before ended.
        check(F::Increase, &[60.0; 5], &[60; 5], Some(300.0), 0);
        check(F::Rate, &[60.0; 5], &[60; 5], Some(1.0), 0);
        check(F::Irate, &[60.0; 5], &[60; 5], Some(1.0), 0);
        check(F::Resets, &[60.0; 5], &[60; 5], Some(4.0), 0);
        check(F::Resets, &rising, &[0; 5], Some(0.0), 0);
        // A cumulative series whose start is unknown, told by the first sample.
        check(F::Resets, &[1.0, 1.0], &[UNKNOWN, 60], Some(0.0), 0);
        check(F::Resets, &[1.0, 1.0], &[0, 60], Some(0.0), 0);
        check(F::Increase, &rising, &[120; 5], Some(5.0), 1);
    }
}
