//! Native histograms of every kind, out of a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram};

/// A histogram that is valid in its layout: exponential or custom, of whole numbers or not, now and then with floats that
/// have no business in one (-0, NaN, subnormals). Neighbouring seeds often share a layout, as the samples of a series do.
pub fn histogram(seed: u64) -> Histogram {
    let mut layout = StdRng::seed_from_u64(seed / 4);
    let mut rng = StdRng::seed_from_u64(seed);
    let custom = layout.random_ratio(1, 3);
    let mut histogram = Histogram {
        schema: if custom {
            CUSTOM_BUCKETS_SCHEMA
        } else {
            layout.random_range(-4..=8)
        },
        zero_threshold: if custom {
            0.0
        } else {
            2f64.powi(layout.random_range(-128..2))
        },
        positive_spans: spans(&mut layout, custom),
        ..Histogram::default()
    };
    if custom {
        let bounds = histogram
            .positive_spans
            .iter()
            .map(|s| s.offset as usize + s.length as usize)
            .sum();
        histogram.custom_values = (0..bounds).map(|i| i as f64 * 0.25 - 1.0).collect();
    } else if layout.random_bool(0.5) {
        histogram.negative_spans = spans(&mut layout, false);
    }
    histogram.counter_reset = match rng.random_range(0..8) {
        0 => CounterReset::Reset,
        1 => CounterReset::NotReset,
        2 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    };
    let whole = !layout.random_ratio(1, 4);
    let buckets = |spans: &[BucketSpan], rng: &mut StdRng| {
        let count = spans.iter().map(|s| s.length as usize).sum();
        (0..count).map(|_| number(rng, whole)).collect::<Vec<f64>>()
    };
    histogram.positive_buckets = buckets(&histogram.positive_spans, &mut rng);
    histogram.negative_buckets = buckets(&histogram.negative_spans, &mut rng);
    histogram.zero_count = if custom { 0.0 } else { number(&mut rng, whole) };
    let counted = histogram
        .positive_buckets
        .iter()
        .chain(&histogram.negative_buckets)
        .sum::<f64>();
    histogram.count = counted + histogram.zero_count;
    histogram.sum = if rng.random_ratio(1, 16) {
        f64::NAN
    } else {
        rng.random_range(-1e6..1e6)
    };
    histogram
}

fn spans(rng: &mut StdRng, custom: bool) -> Vec<BucketSpan> {
    let span = |at: usize, rng: &mut StdRng| BucketSpan {
        offset: if custom || at > 0 {
            rng.random_range(0..4)
        } else {
            rng.random_range(-300..300)
        },
        length: rng.random_range(0..6),
    };
    let count = rng.random_range(0..5);
    (0..count).map(|at| span(at, rng)).collect()
}

fn number(rng: &mut StdRng, whole: bool) -> f64 {
    match (whole, rng.random_range(0..40)) {
        (true, 0) => (1u64 << 53) as f64,
        (true, _) => f64::from(rng.random_range(0..2000)),
        (false, 0) => f64::from_bits(1),
        (false, 1) => -0.0,
        (false, 2) => f64::INFINITY,
        (false, _) => rng.random_range(0.0..1e5),
    }
}
