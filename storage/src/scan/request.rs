//! What a scan is asked for, and what it cost.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{LabelMatcher, Signal, TimeRange};

/// Series of one signal that pass all matchers and may have rows in a time range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRequest {
    /// Logs or metrics.
    pub signal: Signal,
    /// All must hold. None means every series.
    pub matchers: Vec<LabelMatcher>,
    /// Nanoseconds, half open.
    pub range: TimeRange,
}

/// Which columns of log rows are needed; a column that is not asked for is neither read nor decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogColumns {
    /// The lines themselves.
    pub lines: bool,
    /// Structured metadata, both as sent and derived.
    pub metadata: bool,
}

/// In which order slabs of a log scan come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrder {
    /// From the oldest slab to the newest.
    Forward,
    /// From the newest slab to the oldest.
    Backward,
    /// Stream by stream in the order of [`crate::model::SeriesKey`], a stream's own slabs from the oldest to the newest.
    /// The cheapest order: no page is read twice, so everything that does not stop early should ask for it.
    Streams,
}

/// Counters of one query's reads, shared by all its scans.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Rows handed out.
    pub rows: AtomicU64,
    /// Bytes of rows handed out: lines and metadata of logs, 16 per sample.
    pub bytes: AtomicU64,
    /// Segments looked at.
    pub segments: AtomicU64,
    /// Pages read.
    pub pages: AtomicU64,
    /// Pages left out by their statistics.
    pub pages_skipped: AtomicU64,
    /// Requests to the object store.
    pub object_requests: AtomicU64,
    /// Bytes read from the object store.
    pub object_bytes: AtomicU64,
    /// Bad pages or segments that were left out of the answer.
    pub pages_corrupt: AtomicU64,
}

impl ScanStats {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
