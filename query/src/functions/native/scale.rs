//! Native histograms times and divided by numbers (prometheus model/histogram/float_histogram.go, `Mul`, `Div`).

use garner_storage::model::{CounterReset, Histogram};

use super::add::Lost;

/// Multiplies every number of `histogram`; a negative factor makes it a gauge.
pub fn mul(histogram: &mut Histogram, factor: f64) {
    each(histogram, |number| *number *= factor);
    if factor < 0.0 {
        histogram.counter_reset = CounterReset::Gauge;
    }
}

/// Divides every number of `histogram`; zero removes all buckets, a negative divisor makes it a gauge.
pub fn div(histogram: &mut Histogram, divisor: f64) {
    each(histogram, |number| *number /= divisor);
    if divisor == 0.0 {
        histogram.positive_spans.clear();
        histogram.positive_buckets.clear();
        histogram.negative_spans.clear();
        histogram.negative_buckets.clear();
    } else if divisor < 0.0 {
        histogram.counter_reset = CounterReset::Gauge;
    }
}

/// Whether any number is infinite.
pub fn has_overflow(histogram: &Histogram) -> bool {
    let single = [histogram.zero_count, histogram.count, histogram.sum];
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    single
        .iter()
        .chain(buckets)
        .chain(&histogram.custom_values)
        .any(|v| v.is_infinite())
}

/// Whether all numbers are so small that no sum of as many histograms as fit into memory overflows.
pub fn is_far_from_overflow(histogram: &Histogram) -> bool {
    const FAR: f64 = 1e290;
    let single = [histogram.zero_count, histogram.count, histogram.sum];
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    single
        .iter()
        .chain(buckets)
        .chain(&histogram.custom_values)
        .all(|v| v.abs() < FAR)
}

impl Lost {
    /// Multiplies every number.
    pub fn mul(&mut self, factor: f64) {
        self.each(|number| *number *= factor);
    }

    /// Divides every number.
    pub fn div(&mut self, divisor: f64) {
        self.each(|number| *number /= divisor);
    }

    fn each(&mut self, f: impl Fn(&mut f64)) {
        f(&mut self.zero_count);
        f(&mut self.count);
        f(&mut self.sum);
        self.positive.iter_mut().for_each(&f);
        self.negative.iter_mut().for_each(&f);
    }
}

fn each(histogram: &mut Histogram, f: impl Fn(&mut f64)) {
    f(&mut histogram.zero_count);
    f(&mut histogram.count);
    f(&mut histogram.sum);
    histogram.positive_buckets.iter_mut().for_each(&f);
    histogram.negative_buckets.iter_mut().for_each(&f);
}
