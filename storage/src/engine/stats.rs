//! What the store tells about itself.

use std::time::Duration;

use crate::object::{BucketCounts, Verb};
use crate::pieces::PieceCounts;

/// Whether reads and writes are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The WAL is being replayed; appends and views answer [`crate::ErrorKind::Unavailable`].
    Replaying,
    /// Everything is served.
    Ready,
    /// Replay failed; the text says why. The process should stop.
    Failed(String),
    /// [`super::Storage::close`] was called.
    Closed,
}

/// What a start found in the WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// WAL files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records whose rows came back to heads.
    pub records: u64,
    /// Rows that came back to heads.
    pub rows: u64,
    /// Records left out because their rows lie in committed segments.
    pub records_flushed_before: u64,
    /// Bytes of a torn tail that were cut off: appends that were never acknowledged.
    pub torn_bytes: u64,
}

/// What a flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushSummary {
    /// Heads that went to segments.
    pub heads: u64,
    /// Segments written.
    pub segments: u64,
    /// Objects written.
    pub objects: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of the objects.
    pub bytes: u64,
    /// WAL files removed.
    pub wal_files_removed: u64,
}

/// A snapshot of the store's counters, for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageStats {
    /// Tenants with rows in heads or segments, per signal (logs, metrics).
    pub lanes: [u64; 2],
    /// Series known to heads, per signal.
    pub head_series: [u64; 2],
    /// Rows in open and sealed heads, per signal.
    pub head_rows: [u64; 2],
    /// Bytes of memory that heads and their series take, per signal.
    pub head_bytes: [u64; 2],
    /// Heads sealed and not yet in segments.
    pub sealed_heads: u64,
    /// Rows acknowledged since the start, per signal.
    pub rows_appended: [u64; 2],
    /// Appends refused since the start (disk full, memory limit).
    pub appends_failed: u64,
    /// WAL files on disk.
    pub wal_files: u64,
    /// Bytes of WAL on disk.
    pub wal_bytes: u64,
    /// Records written to the WAL since the start.
    pub wal_records: u64,
    /// Bytes of their bodies.
    pub wal_record_bytes: u64,
    /// Groups of records written since the start; with `wal.sync = always` each is one sync.
    pub wal_groups: u64,
    /// Failed writes and syncs of the WAL since the start.
    pub wal_errors: u64,
    /// Flush rounds that succeeded since the start.
    pub flushes: u64,
    /// Flush rounds that failed since the start; their heads stay until a later round succeeds.
    pub flush_errors: u64,
    /// Segments live.
    pub segments: u64,
    /// Rows in live segments.
    pub segment_rows: u64,
    /// Bytes of live segments.
    pub segment_bytes: u64,
    /// Deletes that are listed, done ones included.
    pub deletes: u64,
    /// Pairs of a delete and a live segment that it covers: what compaction has still to carry out.
    pub delete_covers: u64,
    /// Requests for segments to the object store since the start, by reads.
    pub segment_requests: u64,
    /// Bytes of their answers.
    pub segment_read_bytes: u64,
    /// What was found of them in the cache of pieces instead.
    pub pieces: PieceCounts,
    /// Damaged pages and segments that were left out of answers since the start.
    pub pages_corrupt: u64,
    /// All requests to the object store since the start, in the order of [`Verb::ALL`].
    pub object_store: [BucketCounts; Verb::ALL.len()],
    /// Rows flushed since the start.
    pub rows_flushed: u64,
    /// Time of flush rounds since the start.
    pub flush_time: Duration,
    /// What the start replayed.
    pub replay: ReplaySummary,
}
