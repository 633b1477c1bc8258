//! Windows: which samples of a series each step sees, found in one pass.

use garner_storage::model::{Timestamp, is_stale};
use serde::{Deserialize, Serialize};

use crate::plan::Steps;

/// Left-open windows `(t - width, t]` at `t = (at or step) - offset`, one a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// The grid.
    pub steps: Steps,
    /// Width of the window, nanoseconds.
    pub width_ns: i64,
    /// How far back the window lies from its step.
    pub offset_ns: i64,
    /// The time that stands for every step.
    pub at_ns: Option<Timestamp>,
}

/// Which samples outside of a window a function may look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reach {
    /// None.
    #[default]
    Inside,
    /// `anchored`: those up to the lookback before the window, of which the newest stands for the window's start.
    Anchored,
    /// `smoothed`: those up to the lookback on both sides; values at the bounds are interpolated.
    Smoothed,
}

impl Windows {
    /// The windows of all samples that count where `reach` goes `lookback_ns` beyond these.
    pub fn reaching(self, reach: Reach, lookback_ns: i64) -> Windows {
        match reach {
            Reach::Inside => self,
            Reach::Anchored => Windows {
                width_ns: self.width_ns.saturating_add(lookback_ns),
                ..self
            },
            Reach::Smoothed => Windows {
                width_ns: self.width_ns.saturating_add(lookback_ns.saturating_mul(2)),
                offset_ns: self.offset_ns.saturating_sub(lookback_ns),
                ..self
            },
        }
    }

    /// Last instant of the window of `step`.
    #[inline]
    pub fn end(&self, step: usize) -> Timestamp {
        self.at_ns
            .unwrap_or_else(|| self.steps.time(step))
            .saturating_sub(self.offset_ns)
    }

    /// First instant before the window of `step`.
    #[inline]
    pub fn start(&self, step: usize) -> Timestamp {
        self.end(step).saturating_sub(self.width_ns)
    }

    /// First and last instant inside any window; steps ascend, so it spans the first to the last.
    pub fn bounds(&self) -> (Timestamp, Timestamp) {
        let last = self.steps.len().saturating_sub(1);
        (self.start(0).saturating_add(1), self.end(last))
    }

    /// Calls `f(step, low, high)` for every step with the index range of `times` (ascending) inside its window.
    #[inline]
    pub fn for_each(&self, times: &[Timestamp], mut f: impl FnMut(usize, usize, usize)) {
        if times.is_empty() {
            return;
        }
        if self.at_ns.is_some() || self.steps.count == 1 {
            let (start, end) = (self.start(0), self.end(0));
            let low = times.partition_point(|t| *t <= start);
            let high = times.partition_point(|t| *t <= end);
            for step in 0..self.steps.len() {
                f(step, low, high);
            }
            return;
        }
        let (mut low, mut high) = (0, 0);
        let (mut start, mut end) = (self.start(0), self.end(0));
        for step in 0..self.steps.len() {
            while high < times.len() && times[high] <= end {
                high += 1;
            }
            while low < high && times[low] <= start {
                low += 1;
            }
            f(step, low, high);
            if low == times.len() {
                return;
            }
            start = start.saturating_add(self.steps.step_ns);
            end = end.saturating_add(self.steps.step_ns);
        }
    }
}

/// Copies what is not a staleness marker to `times_out` and `values_out` and says so, or leaves them and says that there
/// is no marker to leave out.
pub fn without_stale(
    times: &[Timestamp],
    values: &[f64],
    times_out: &mut Vec<Timestamp>,
    values_out: &mut Vec<f64>,
) -> bool {
    if !values.iter().any(|v| is_stale(*v)) {
        return false;
    }
    times_out.clear();
    values_out.clear();
    for (time, value) in times.iter().zip(values) {
        if !is_stale(*value) {
            times_out.push(*time);
            values_out.push(*value);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_left_open_and_move_with_the_steps() {
        let check = |steps: Steps, width, offset, at, expected: &[(usize, usize)]| {
            let windows = Windows {
                steps,
                width_ns: width,
                offset_ns: offset,
                at_ns: at,
            };
            let mut got = vec![(9, 9); steps.len()];
            windows.for_each(&[10, 20, 30], |step, low, high| got[step] = (low, high));
            assert_eq!(got, expected);
        };
        check(Steps::range(10, 40, 10), 10, 0, None, &[(0, 1), (1, 2), (2, 3), (3, 3)]);
        check(Steps::range(10, 40, 10), 20, 0, None, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        check(Steps::range(10, 30, 10), 10, 10, None, &[(0, 0), (0, 1), (1, 2)]);
        check(Steps::range(0, 20, 10), 100, 0, Some(25), &[(0, 2), (0, 2), (0, 2)]);
        check(Steps::instant(30), 15, 0, None, &[(1, 3)]);
    }
}
