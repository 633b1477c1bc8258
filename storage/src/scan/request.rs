//! What a scan is asked for, and what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::LineFilter;
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

/// What a log scan reads: which columns, of which rows.
#[derive(Clone, Debug)]
pub struct LogRead {
    /// The columns.
    pub columns: LogColumns,
    /// The length of each line, which counting does not need.
    pub lengths: bool,
    /// Only rows whose line passes come out; lines are read for it even where they are not asked for.
    pub filter: Option<Arc<dyn LineFilter>>,
}

impl LogRead {
    /// Whether lines have to be read, be it for the filter only.
    pub fn looks_at_lines(&self) -> bool {
        self.columns.lines || self.filter.is_some()
    }

    /// The same rows with all their columns.
    pub fn whole_rows(&self) -> LogRead {
        LogRead {
            filter: self.filter.clone(),
            ..LogRead::from(ALL_COLUMNS)
        }
    }
}

const ALL_COLUMNS: LogColumns = LogColumns {
    lines: true,
    metadata: true,
};

impl From<LogColumns> for LogRead {
    /// These columns and the lengths of all rows.
    fn from(columns: LogColumns) -> Self {
        LogRead {
            columns,
            lengths: true,
            filter: None,
        }
    }
}

/// In which order slabs of a log scan come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrder {
    /// From the oldest pages on. Slabs overlap in time; each tells what can follow ([`super::LogSlab::rest`]).
    Forward,
    /// The same from the newest pages on.
    Backward,
    /// Stream by stream in the order of [`crate::model::SeriesKey`], a stream's own slabs from the oldest to the newest.
    Streams,
    /// As rows lie in the store, page by page, which is the cheapest: no page is read twice and few rows are copied.
    /// Partitions are shares of the pages here and not of the streams, so a stream can be in several.
    Any,
}

/// Counters of one query's reads, shared by all its scans.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Rows looked at: handed out, or refused by a line filter.
    pub rows: AtomicU64,
    /// Bytes of them that were read: lines and metadata of logs, 16 per sample.
    pub bytes: AtomicU64,
    /// Rows handed out.
    pub rows_passed: AtomicU64,
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
    /// Pieces of segments found in memory, those that another query was reading included.
    pub cache_memory_hits: AtomicU64,
    /// Pieces of segments found in the disk cache.
    pub cache_disk_hits: AtomicU64,
    /// Pieces of segments that no cache had.
    pub cache_misses: AtomicU64,
    /// Bytes of the pieces found.
    pub cache_bytes: AtomicU64,
    /// Bad pages or segments that were left out of the answer.
    pub pages_corrupt: AtomicU64,
}

impl ScanStats {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
