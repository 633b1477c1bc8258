//! Least squares through the samples of a window: `deriv` and `predict_linear` (prometheus promql/functions.go,
//! `linearRegression`).

use garner_storage::model::Timestamp;

use super::kahan::kahan_add;
use super::seconds::seconds;

/// Slope per second, and the value of the line at `intercept_time`. Needs at least one sample.
pub fn linear_regression(times: &[Timestamp], values: &[f64], intercept_time: Timestamp) -> (f64, f64) {
    let first = values.first().copied().unwrap_or(f64::NAN);
    if values.iter().all(|v| *v == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let n = values.len() as f64;
    let mut sums = [(0.0, 0.0); 4];
    for (time, y) in times.iter().zip(values) {
        let x = seconds(time - intercept_time);
        for (sum, term) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = kahan_add(term, sum.0, sum.1);
        }
    }
    let [x, y, xy, xx] = sums.map(|(sum, compensation)| sum + compensation);
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}
