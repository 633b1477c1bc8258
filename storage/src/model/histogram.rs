//! Native histograms as the store keeps them and queries compute with them.

use std::cmp::Ordering;

use super::is_stale;

/// The schema of histograms whose bucket bounds are listed (Prometheus `model/histogram`, `CustomBucketsSchema`).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of neighbouring buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketSpan {
    /// Buckets left out between the span before and this one; of the first span the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// What a histogram says about the one before it in its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterReset {
    /// Nothing: whoever needs to know compares the two.
    #[default]
    Unknown,
    /// The counter was reset.
    Reset,
    /// The counter was not reset.
    NotReset,
    /// It is a gauge: resets have no meaning.
    Gauge,
}

/// A native histogram (Prometheus `model/histogram/float_histogram.go`, `FloatHistogram`). Histograms of whole numbers are
/// kept as floats, which are exact below 2^53.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Resolution: -4 to 8, bucket `i` ends at `2^(i * 2^-schema)`; or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// What is known of the histogram before.
    pub counter_reset: CounterReset,
    /// Width of the zero bucket: observations in `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<BucketSpan>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<BucketSpan>,
    /// Observations of each positive bucket, not cumulative; as many as the spans' lengths together.
    pub positive_buckets: Vec<f64>,
    /// Observations of each negative bucket.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, strictly ascending, without the last `+Inf`; empty for other schemas.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Whether the bucket bounds are listed.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether this marks the end of its series.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Heap bytes held, and its own size.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.positive_spans.len() + self.negative_spans.len()) * size_of::<BucketSpan>()
            + (self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len()) * size_of::<f64>()
    }

    /// A total order, in which only histograms of the same bits are equal: by what was counted first, so that of two counters
    /// the further one is greater.
    pub fn total_cmp(&self, other: &Self) -> Ordering {
        let numbers = |a: &[f64], b: &[f64]| {
            let different = a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne());
            different.unwrap_or(Ordering::Equal).then(a.len().cmp(&b.len()))
        };
        self.count
            .total_cmp(&other.count)
            .then_with(|| self.sum.total_cmp(&other.sum))
            .then_with(|| self.zero_count.total_cmp(&other.zero_count))
            .then_with(|| self.schema.cmp(&other.schema))
            .then_with(|| self.zero_threshold.total_cmp(&other.zero_threshold))
            .then_with(|| self.positive_spans.cmp(&other.positive_spans))
            .then_with(|| self.negative_spans.cmp(&other.negative_spans))
            .then_with(|| numbers(&self.positive_buckets, &other.positive_buckets))
            .then_with(|| numbers(&self.negative_buckets, &other.negative_buckets))
            .then_with(|| numbers(&self.custom_values, &other.custom_values))
            .then_with(|| self.counter_reset.cmp(&other.counter_reset))
    }
}
