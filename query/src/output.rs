//! The answer of a query, in the shape that the HTTP APIs encode.

use std::sync::Arc;

use garner_storage::model::{Histogram, Labels, Timestamp};

/// What a query gives.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    /// The result itself.
    pub value: Value,
    /// Texts that say the answer may be wrong.
    pub warnings: Vec<String>,
    /// Texts that say the query may not be what was meant.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
}

/// The result of a query, by its type.
#[derive(Clone, Debug)]
pub enum Value {
    /// `resultType: vector`: one sample a series, in the order to show.
    Vector(Vec<InstantSample>),
    /// `resultType: matrix`: series sorted by labels.
    Matrix(Vec<RangeSeries>),
    /// `resultType: scalar`
    Scalar(Timestamp, f64),
    /// `resultType: string`
    String(Timestamp, Arc<str>),
}

impl Value {
    /// Heap bytes, about.
    pub fn size_bytes(&self) -> usize {
        match self {
            Value::Vector(samples) => {
                let of_sample = |s: &InstantSample| match &s.value {
                    SampleValue::Float(_) => 0,
                    SampleValue::Histogram(histogram) => histogram.size_bytes(),
                };
                let bytes = samples.iter().map(|s| s.labels.size_bytes() + of_sample(s));
                samples.len() * size_of::<InstantSample>() + bytes.sum::<usize>()
            }
            Value::Matrix(series) => {
                let of_series = |s: &RangeSeries| {
                    let histograms = s.histograms.iter().map(|(_, h)| h.size_bytes() + 16);
                    s.labels.size_bytes() + s.samples.len() * 16 + histograms.sum::<usize>()
                };
                series.len() * size_of::<RangeSeries>() + series.iter().map(of_series).sum::<usize>()
            }
            Value::Scalar(..) => 0,
            Value::String(_, text) => text.len(),
        }
    }
}

/// An element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSample {
    /// Its labels.
    pub labels: Labels,
    /// Time of the evaluation, nanoseconds.
    pub time_ns: Timestamp,
    /// Its value.
    pub value: SampleValue,
}

/// What stands at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl SampleValue {
    /// The number; of a histogram its sum.
    pub fn number(&self) -> f64 {
        match self {
            SampleValue::Float(value) => *value,
            SampleValue::Histogram(histogram) => histogram.sum,
        }
    }
}

/// A series of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Times (nanoseconds, ascending) and values.
    pub samples: Vec<(Timestamp, f64)>,
    /// Times (nanoseconds, ascending) and native histograms.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples or log entries looked at.
    pub rows: u64,
    /// Bytes of them that were read.
    pub bytes: u64,
    /// Log entries that line filters at the head of the pipeline let through.
    pub rows_passed: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Pages read.
    pub pages: u64,
    /// Pages left out by their statistics.
    pub pages_skipped: u64,
    /// Requests to the object store.
    pub object_requests: u64,
    /// Bytes read from the object store.
    pub object_bytes: u64,
    /// Pieces of segments found in memory.
    pub cache_memory_hits: u64,
    /// Pieces of segments found in the disk cache.
    pub cache_disk_hits: u64,
    /// Pieces of segments that no cache had.
    pub cache_misses: u64,
    /// Bytes of the pieces found.
    pub cache_bytes: u64,
    /// Whether this is the result of an earlier query, which is exact still. Rows, their bytes and memory are those of that
    /// query then.
    pub result_cache_hits: u64,
    /// Bad pages or segments that were left out.
    pub pages_corrupt: u64,
    /// Most bytes of memory held at one time.
    pub peak_memory_bytes: u64,
    /// Time in the queue before it ran, nanoseconds.
    pub queued_ns: u64,
    /// Wall time from then on, nanoseconds.
    pub elapsed_ns: u64,
}

impl QueryStats {
    /// The warning of an answer that damaged pages or segments are missing from.
    pub fn damage_warning(&self) -> Option<String> {
        damage_warning(self.pages_corrupt)
    }
}

/// The warning of an answer that so many damaged pages or segments are missing from.
pub fn damage_warning(pages_corrupt: u64) -> Option<String> {
    (pages_corrupt > 0).then(|| {
        format!(
            "this answer is incomplete: {pages_corrupt} damaged pages or segments of the store were left out; the server's \
             log names them, garner fsck checks all"
        )
    })
}
