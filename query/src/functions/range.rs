//! Range functions: every step of a series in one pass over its samples.

use garner_storage::model::Timestamp;

use super::name::RangeFunction;
use super::number::go_fixed;
use super::over_time;
use super::quantile::quantile;
use super::rate::{RateKind, between_last_two, extrapolated};
use super::regression::linear_regression;
use super::seconds::seconds;
use super::window::Windows;
use crate::error::QueryError;
use crate::vector::{RowBuffer, ScalarColumn};

/// The samples that one step sees, staleness markers left out.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Ascending.
    pub times: &'a [Timestamp],
    /// One a time.
    pub values: &'a [f64],
    /// The window is `(start, end]`.
    pub start: Timestamp,
    /// Last instant inside.
    pub end: Timestamp,
    /// Which step of the grid.
    pub step: usize,
}

/// A range function with its windows and parameters.
#[derive(Debug)]
pub struct RangeKernel {
    pub(super) function: RangeFunction,
    pub(super) windows: Windows,
    params: Vec<ScalarColumn>,
    scratch: Vec<f64>,
}

pub(super) const RATE: RateKind = RateKind {
    counter: true,
    per_second: true,
};
pub(super) const INCREASE: RateKind = RateKind {
    counter: true,
    per_second: false,
};
pub(super) const DELTA: RateKind = RateKind {
    counter: false,
    per_second: false,
};

impl RangeKernel {
    /// A function over windows; `params` are its scalars in the order of the call.
    pub fn new(function: RangeFunction, windows: Windows, params: Vec<ScalarColumn>) -> Self {
        RangeKernel {
            function,
            windows,
            params,
            scratch: Vec::new(),
        }
    }

    fn param(&self, index: usize, step: usize) -> f64 {
        self.params.get(index).map_or(f64::NAN, |p| p.at(step))
    }

    /// Evaluates every step of one series into `out`. `values` holds no staleness marker.
    pub fn eval(&mut self, times: &[Timestamp], values: &[f64], out: &mut RowBuffer) -> Result<(), QueryError> {
        use RangeFunction as F;
        let windows = self.windows;
        let steps = windows.steps;
        match self.function {
            F::Rate | F::Increase | F::Delta => {
                let kind = match self.function {
                    F::Rate => RATE,
                    F::Increase => INCREASE,
                    _ => DELTA,
                };
                let resets = values.windows(2).any(|p| p[1] < p[0]);
                each(windows, times, values, out, |w| extrapolated(w, kind, resets));
            }
            F::Irate => each(windows, times, values, out, |w| between_last_two(w, RATE)),
            F::Idelta => each(windows, times, values, out, |w| between_last_two(w, DELTA)),
            F::Deriv => each(windows, times, values, out, |w| {
                (w.values.len() > 1).then(|| linear_regression(w.times, w.values, w.times[0]).0)
            }),
            F::PredictLinear => each(windows, times, values, out, |w| {
                (w.values.len() > 1).then(|| {
                    let (slope, intercept) = linear_regression(w.times, w.values, steps.time(w.step));
                    slope * self.param(0, w.step) + intercept
                })
            }),
            F::Changes => each(windows, times, values, out, |w| Some(over_time::changes(w.values))),
            F::Resets => each(windows, times, values, out, |w| Some(over_time::resets(w.values))),
            F::AvgOverTime => each(windows, times, values, out, |w| Some(over_time::avg(w.values))),
            F::SumOverTime => each(windows, times, values, out, |w| Some(over_time::sum(w.values))),
            F::CountOverTime => each(windows, times, values, out, |w| Some(w.values.len() as f64)),
            F::PresentOverTime => each(windows, times, values, out, |_| Some(1.0)),
            F::FirstOverTime => each(windows, times, values, out, |w| w.values.first().copied()),
            F::LastOverTime => each(windows, times, values, out, |w| w.values.last().copied()),
            F::MinOverTime => moving_best(windows, times, values, out, |a, b| a < b),
            F::MaxOverTime => moving_best(windows, times, values, out, |a, b| a > b),
            F::StddevOverTime => each(windows, times, values, out, |w| {
                Some(over_time::variance(w.values).sqrt())
            }),
            F::StdvarOverTime => each(windows, times, values, out, |w| Some(over_time::variance(w.values))),
            F::QuantileOverTime => {
                let mut scratch = std::mem::take(&mut self.scratch);
                each(windows, times, values, out, |w| {
                    scratch.clear();
                    scratch.extend_from_slice(w.values);
                    Some(quantile(self.param(0, w.step), &mut scratch))
                });
                self.scratch = scratch;
            }
            F::MadOverTime => each(windows, times, values, out, |w| {
                Some(over_time::median_absolute_deviation(w.values, &mut self.scratch))
            }),
            F::TsOfFirstOverTime => each(windows, times, values, out, |w| w.times.first().map(|t| seconds(*t))),
            F::TsOfLastOverTime => each(windows, times, values, out, |w| w.times.last().map(|t| seconds(*t))),
            F::TsOfMinOverTime => each(windows, times, values, out, |w| {
                Some(seconds(w.times[over_time::best_index(w.values, |a, b| a <= b)]))
            }),
            F::TsOfMaxOverTime => each(windows, times, values, out, |w| {
                Some(seconds(w.times[over_time::best_index(w.values, |a, b| a >= b)]))
            }),
            F::DoubleExponentialSmoothing => return self.smooth(times, values, out),
        }
        Ok(())
    }

    fn smooth(&self, times: &[Timestamp], values: &[f64], out: &mut RowBuffer) -> Result<(), QueryError> {
        let mut wrong = None;
        each(self.windows, times, values, out, |w| {
            if wrong.is_none() {
                wrong = self.check_factors(w.step).err();
            }
            over_time::double_exponential_smoothing(w.values, self.param(0, w.step), self.param(1, w.step))
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Refuses factors of smoothing out of range, wherever a window has any sample.
    pub(super) fn check_factors(&self, step: usize) -> Result<(), QueryError> {
        for (name, short, index) in [("smoothing", "sf", 0), ("trend", "tf", 1)] {
            let factor = self.param(index, step);
            if factor <= 0.0 || factor >= 1.0 {
                let got = if factor.is_finite() {
                    format!("{factor:.6}")
                } else {
                    go_fixed(factor)
                };
                let text = format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {got}");
                return Err(QueryError::execution(text));
            }
        }
        Ok(())
    }
}

fn moving_best(
    windows: Windows,
    times: &[Timestamp],
    values: &[f64],
    out: &mut RowBuffer,
    better: impl Fn(f64, f64) -> bool + Copy,
) {
    let mut moving = over_time::MovingBest::default();
    windows.for_each(times, |step, low, high| {
        if low < high {
            out.set(step, moving.best(values, low, high, better));
        }
    });
}

/// Calls `f` for every window that has a sample and keeps what it gives.
#[inline]
fn each(
    windows: Windows,
    times: &[Timestamp],
    values: &[f64],
    out: &mut RowBuffer,
    mut f: impl FnMut(&Window<'_>) -> Option<f64>,
) {
    windows.for_each(times, |step, low, high| {
        if low == high {
            return;
        }
        let window = Window {
            times: &times[low..high],
            values: &values[low..high],
            start: windows.start(step),
            end: windows.end(step),
            step,
        };
        if let Some(value) = f(&window) {
            out.set(step, value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Steps;

    const SECOND: i64 = 1_000_000_000;

    /// Evaluates `function` over samples 10 s apart from time 0, at `at` seconds with a window of `width` seconds.
    fn check(function: RangeFunction, values: &[f64], at: i64, width: i64, params: &[f64], expected: Option<f64>) {
        let times: Vec<i64> = (0..values.len() as i64).map(|i| i * 10 * SECOND).collect();
        let windows = Windows {
            steps: Steps::instant(at * SECOND),
            width_ns: width * SECOND,
            offset_ns: 0,
            at_ns: None,
        };
        let params = params.iter().map(|p| ScalarColumn::Constant(*p)).collect();
        let mut out = RowBuffer::new(1);
        let mut kernel = RangeKernel::new(function, windows, params);
        kernel.eval(&times, values, &mut out).expect("evaluates");
        let got = out.is_present(0).then(|| out.values()[0]);
        let same = match (got, expected) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9 || a == b || (a.is_nan() && b.is_nan()),
            (a, b) => a == b,
        };
        assert!(
            same,
            "{}({values:?}[{width}s] @ {at}): {got:?}, not {expected:?}",
            function.as_str()
        );
    }

    #[test]
    fn functions_of_one_window() {
        use RangeFunction as F;
        // Window (0 s, 50 s] sees 10, 20, 30, 40, 50: extrapolated by one spacing to the left.
        check(
            F::Increase,
            &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0],
            50,
            50,
            &[],
            Some(50.0),
        );
        check(F::Rate, &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0], 50, 50, &[], Some(1.0));
        check(
            F::Increase,
            &[0.0, 10.0, 20.0, 0.0, 10.0, 20.0],
            50,
            50,
            &[],
            Some(37.5),
        );
        check(F::Delta, &[0.0, 10.0, 20.0, 0.0, 10.0, 20.0], 50, 50, &[], Some(12.5));
        check(F::Rate, &[1.0], 0, 50, &[], None);
        check(F::Irate, &[0.0, 10.0, 40.0], 20, 50, &[], Some(3.0));
        check(F::Irate, &[0.0, 40.0, 10.0], 20, 50, &[], Some(1.0));
        check(F::Idelta, &[0.0, 40.0, 10.0], 20, 50, &[], Some(-30.0));
        check(F::Deriv, &[0.0, 10.0, 20.0], 20, 50, &[], Some(1.0));
        check(F::PredictLinear, &[0.0, 10.0, 20.0], 20, 50, &[60.0], Some(80.0));
        check(F::Changes, &[1.0, 1.0, f64::NAN, f64::NAN, 2.0], 40, 50, &[], Some(2.0));
        check(F::Resets, &[1.0, 0.0, 2.0, 1.0], 30, 50, &[], Some(2.0));
        check(F::MinOverTime, &[f64::NAN, 3.0, 1.0], 20, 50, &[], Some(1.0));
        check(F::MaxOverTime, &[f64::NAN, 3.0, 1.0], 20, 50, &[], Some(3.0));
        check(F::QuantileOverTime, &[1.0, 2.0, 3.0], 20, 50, &[0.75], Some(2.5));
        check(F::StdvarOverTime, &[1.0, 3.0], 10, 50, &[], Some(1.0));
        check(F::MadOverTime, &[4.0, 6.0, 2.0, 1.0, 999.0], 40, 50, &[], Some(2.0));
        check(F::SumOverTime, &[1e100, 1.0, -1e100], 20, 50, &[], Some(1.0));
        check(F::CountOverTime, &[1.0, 2.0, 3.0], 20, 20, &[], Some(2.0));
        check(F::TsOfMaxOverTime, &[1.0, 3.0, 3.0], 20, 50, &[], Some(20.0));
        check(
            F::DoubleExponentialSmoothing,
            &[1.0, 2.0, 3.0],
            20,
            50,
            &[0.5, 0.5],
            Some(3.0),
        );
    }
}
