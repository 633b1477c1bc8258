//! What start timestamps tell of counters: resets that no falling value shows, and zero at the start of a series (prometheus
//! promql/functions.go, `extrapolatedRate`, `instantValue`, `isStartTimestampReset` and `checkStartTimeOverlap`).
//!
//! A start of 0 is unknown.

use garner_storage::model::Timestamp;

use super::RangeFunction;
use super::seconds::seconds;
use super::window::Windows;
use crate::vector::RowBuffer;

/// Samples further from the edge than this many times their spacing are not the next ones of a regular series.
const EXTRAPOLATION_THRESHOLD: f64 = 1.1;

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

    /// Whether the counter was reset before sample `index`, as far as starts tell.
    pub fn restarted(self, index: usize) -> bool {
        let (start, before) = (self.starts[index], self.times[index - 1]);
        if start == 0 || start >= self.times[index] || start < before {
            // Unknown, impossible, or the counting went on.
            return false;
        }
        // A start at the sample before is a delta where that sample's own start is known, and an unknown start where it is not.
        let start_before = self.starts[index - 1];
        start > before || (start_before != 0 && start_before < before)
    }

    /// Whether the counter was reset before sample `index`.
    fn reset(self, index: usize) -> bool {
        self.values[index] < self.values[index - 1] || self.restarted(index)
    }

    /// Whether the counting of sample `index` claims time that the sample before has claimed otherwise.
    fn overlaps(self, index: usize) -> bool {
        let start = self.starts[index];
        start != 0 && start < self.times[index - 1] && start != self.starts[index - 1]
    }

    /// How often the counter was reset.
    pub fn resets(self) -> f64 {
        (1..self.values.len()).filter(|i| self.reset(*i)).count() as f64
    }

    /// The increase over `(start, end]`, extrapolated to its edges.
    fn increase(self, start: Timestamp, end: Timestamp) -> Option<f64> {
        let last = self.values.len().checked_sub(1)?;
        let (first_time, last_time) = (self.times[0], self.times[last]);
        let mut change = self.values[last] - self.values[0];
        for index in (1..=last).filter(|i| self.reset(*i)) {
            change += self.values[index - 1];
        }
        let mut sampled = (last_time - first_time) as f64;
        let spacing = if last == 0 { 0.0 } else { sampled / last as f64 };
        let threshold = spacing * EXTRAPOLATION_THRESHOLD;
        let begun = self.starts[0];
        let mut to_start = 0.0;
        if begun != 0 && begun > start && begun < first_time {
            // The series began inside of the window, at zero.
            change += self.values[0];
            sampled = (last_time - begun) as f64;
        } else if last == 0 {
            return None;
        } else {
            to_start = first_time.saturating_sub(start) as f64;
            if to_start >= threshold {
                to_start = spacing / 2.0;
            }
            if change > 0.0 && self.values[0] >= 0.0 {
                to_start = to_start.min(sampled * (self.values[0] / change));
            }
        }
        let mut to_end = end.saturating_sub(last_time) as f64;
        if to_end >= threshold {
            to_end = spacing / 2.0;
        }
        Some(match sampled == 0.0 {
            true => change,
            false => change * ((sampled + to_start + to_end) / sampled),
        })
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

/// A function that looks at start times.
#[derive(Clone, Copy, Debug)]
pub struct StartKernel {
    function: RangeFunction,
    windows: Windows,
}

impl StartKernel {
    /// The function over windows, where it is one that looks at start times.
    pub fn new(function: RangeFunction, windows: Windows) -> Option<Self> {
        use RangeFunction::{Increase, Irate, Rate, Resets};
        matches!(function, Increase | Irate | Rate | Resets).then_some(StartKernel { function, windows })
    }

    /// Evaluates every step of one series into `out`. Returns at how many steps samples overlap.
    pub fn eval(&self, samples: Started<'_>, out: &mut RowBuffer) -> u64 {
        let mut overlapping = 0;
        self.windows.for_each(samples.times, |step, low, high| {
            if low == high {
                return;
            }
            let seen = samples.part(low, high);
            let increase = || seen.increase(self.windows.start(step), self.windows.end(step));
            let value = match self.function {
                RangeFunction::Rate => increase().map(|change| change / seconds(self.windows.width_ns)),
                RangeFunction::Increase => increase(),
                RangeFunction::Irate => seen.instant_rate(),
                _ => Some(seen.resets()),
            };
            if let Some(value) = value {
                out.set(step, value);
            }
            if matches!(self.function, RangeFunction::Rate | RangeFunction::Increase) {
                overlapping += u64::from((1..seen.values.len()).any(|i| seen.overlaps(i)));
            }
        });
        overlapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Steps;

    const MINUTE: i64 = 60_000_000_000;

    /// At 6 m over 5 m; samples a minute apart from 2 m on, whose counting began so long before them.
    fn check(function: RangeFunction, values: &[f64], ages: &[i64], expected: Option<f64>, overlapping: u64) {
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
        let overlaps = StartKernel::new(function, windows)
            .expect("looks at starts")
            .eval(samples, &mut out);
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
        assert_eq!(overlaps, overlapping, "{ages:?}");
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
