//! Aggregates of the samples in a window: the `*_over_time` family, `changes` and `resets` (prometheus
//! promql/functions.go). Every function is given at least one sample.

use std::collections::VecDeque;

use super::kahan::{Mean, kahan_add};
use super::quantile::quantile;

/// The sum.
pub fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in values {
        (sum, compensation) = kahan_add(*value, sum, compensation);
    }
    if sum.is_infinite() { sum } else { sum + compensation }
}

/// The mean.
pub fn avg(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    values.iter().for_each(|v| mean.add(*v));
    mean.get()
}

/// Index of the value that `better(candidate, best)` prefers; NaN gives way to anything.
pub fn best_index(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if better(*value, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    best
}

/// The best value of a window that moves forward over a series, in one pass: candidates that a later, better value
/// outlives are dropped at once (a monotonic queue).
#[derive(Debug, Default)]
pub struct MovingBest {
    /// Indices of values, each better than all after it.
    queue: VecDeque<usize>,
    /// Values before this index were looked at.
    seen: usize,
}

impl MovingBest {
    /// The best of `values[low..high]`; both ends only grow from call to call. NaN gives way to anything.
    pub fn best(&mut self, values: &[f64], low: usize, high: usize, better: impl Fn(f64, f64) -> bool) -> f64 {
        for index in self.seen.max(low)..high {
            let value = values[index];
            if value.is_nan() {
                continue;
            }
            while self.queue.back().is_some_and(|b| !better(values[*b], value)) {
                self.queue.pop_back();
            }
            self.queue.push_back(index);
        }
        self.seen = self.seen.max(high);
        while self.queue.front().is_some_and(|f| *f < low) {
            self.queue.pop_front();
        }
        self.queue.front().map_or(f64::NAN, |f| values[*f])
    }
}

/// The variance of the population.
pub fn variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_c, mut squares, mut squares_c) = (0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        (mean, mean_c) = kahan_add(delta / count, mean, mean_c);
        (squares, squares_c) = kahan_add(delta * (value - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / count
}

/// The median absolute deviation; NaN where any value is.
pub fn median_absolute_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = quantile(0.5, scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, scratch)
}

/// How often the value differs from the one before; NaN equals NaN.
pub fn changes(values: &[f64]) -> f64 {
    let changed = |p: &&[f64]| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan());
    values.windows(2).filter(changed).count() as f64
}

/// How often the value is less than the one before.
pub fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|p| p[1] < p[0]).count() as f64
}

/// Double exponential smoothing; nothing of fewer than two samples.
pub fn double_exponential_smoothing(values: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    let (first, second) = (*values.first()?, *values.get(1)?);
    let (mut previous, mut current, mut slope) = (0.0, first, second - first);
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (current - previous) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (current + slope);
        (previous, current) = (current, next);
    }
    Some(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_moving_best_is_the_best_of_each_window(
            values in proptest::collection::vec(proptest::prop_oneof![-3i32..3, proptest::strategy::Just(99)], 1..40),
            width in 1usize..8,
        ) {
            let values: Vec<f64> = values.iter().map(|v| if *v == 99 { f64::NAN } else { f64::from(*v) }).collect();
            let mut moving = MovingBest::default();
            for high in 1..=values.len() {
                let low = high.saturating_sub(width);
                let got = moving.best(&values, low, high, |a, b| a > b);
                let window = &values[low..high];
                let expected = window[best_index(window, |a, b| a > b)];
                proptest::prop_assert!(got == expected || (got.is_nan() && expected.is_nan()));
            }
        }
    }
}
