//! Appends: rows of one tenant and signal that become durable and visible together, or not at all.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedRwLockReadGuard;

use super::lane::Lane;
use super::shared::Shared;
use crate::error::Result;
use crate::head::{Head, LogRows, MetadataTable, Rows, SampleRows};
use crate::memory::{MemoryUse, Reservation};
use crate::model::{Exemplar, Histogram, Labels, MetadataRef, TimeRange, Timestamp};
use crate::wal::{LaneKey, PendingRows, RowsBody, encode_rows};

/// A series inside one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesRef(u32);

/// What both kinds of append share. It holds the lane's gate: while it lives, the head is not sealed.
#[derive(Debug)]
struct Append {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    head: Arc<Head>,
    gate: OwnedRwLockReadGuard<()>,
    /// The series behind the one found last: senders list series in one order.
    guess: Cell<u32>,
}

impl Append {
    async fn begin(shared: Arc<Shared>, lane: Arc<Lane>) -> Result<Append> {
        let gate = lane.gate.clone().read_owned().await;
        shared.check_writable()?;
        let head = lane.view().open.clone();
        Ok(Append {
            shared,
            lane,
            head,
            gate,
            guess: Cell::new(0),
        })
    }

    fn lookup(&self, alias: u128) -> Option<SeriesRef> {
        let found = self.head.index().lookup(alias, self.guess.get())?;
        self.guess.set(found.wrapping_add(1));
        Some(SeriesRef(found))
    }

    async fn commit(self, rows: Rows) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let (signal, count) = (self.lane.signal.code() as usize, rows.len() as u64);
        let outcome = self.write(rows).await;
        match &outcome {
            Ok(()) => shared.counters.rows_appended[signal].fetch_add(count, Ordering::Relaxed),
            Err(_) => {
                // Where memory is short, the background task finds what to flush.
                shared.wake.notify_one();
                shared.counters.appends_failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        outcome
    }

    async fn write(self, rows: Rows) -> Result<()> {
        let accountant = &self.shared.components.accountant;
        let mut head_memory = accountant.reservation(MemoryUse::Head);
        head_memory.try_grow(rows.head_bytes())?;
        let body = encode_rows(&self.lane.tenant, &rows)?;
        let mut wal_memory = accountant.reservation(MemoryUse::Wal);
        wal_memory.try_grow(body.size_bytes() as u64)?;
        let pending = Pending {
            lane: self.lane.clone(),
            head: self.head,
            time_range: rows.time_range(),
            rows,
            body,
            now: self.shared.components.clock.now(),
            _held: (self.gate, head_memory, wal_memory),
        };
        self.shared.open_wal()?.append(Box::new(pending)).await
    }
}

/// Rows on their way through the WAL. They hold the lane's gate until they are visible or dropped.
#[derive(Debug)]
struct Pending {
    lane: Arc<Lane>,
    head: Arc<Head>,
    time_range: TimeRange,
    rows: Rows,
    body: RowsBody,
    now: Timestamp,
    _held: (OwnedRwLockReadGuard<()>, Reservation, Reservation),
}

impl PendingRows for Pending {
    fn lane(&self) -> &LaneKey {
        &self.lane.key
    }

    fn time_range(&self) -> TimeRange {
        self.time_range
    }

    fn series(&self) -> [&[u32]; 2] {
        [self.rows.series(), self.rows.exemplar_series()]
    }

    fn index_generation(&self) -> u64 {
        self.head.index().generation()
    }

    fn labels(&self, id: u32) -> Labels {
        // Ids come from this index, see `SeriesRef`.
        self.head.index().labels(id).unwrap_or_default()
    }

    fn body(&self) -> &RowsBody {
        &self.body
    }

    fn make_visible(&mut self) {
        self.head.append(&self.rows, self.now);
        if let Rows::Logs(rows) = &self.rows {
            self.lane.followers.publish(&self.head, rows);
        }
    }
}

/// Samples of one tenant on their way in. Dropping it without [`SampleAppend::commit`] leaves nothing behind.
///
/// While it lives, no other append of the same tenant and signal may be begun by the same task.
#[derive(Debug)]
pub struct SampleAppend {
    append: Append,
    rows: SampleRows,
}

impl SampleAppend {
    pub(super) async fn begin(shared: Arc<Shared>, lane: Arc<Lane>) -> Result<Self> {
        Ok(SampleAppend {
            append: Append::begin(shared, lane).await?,
            rows: SampleRows::default(),
        })
    }

    /// The series that was registered under `alias`: XXH3-128 of its raw label bytes in a request.
    pub fn lookup(&self, alias: u128) -> Option<SeriesRef> {
        self.append.lookup(alias)
    }

    /// Series of the tenant that are in memory now, for limits on active series.
    pub fn active_series(&self) -> usize {
        self.append.head.index().len()
    }

    /// The series of `labels`, new where they were never seen, known under `alias` from now on. The same labels under two
    /// aliases are one series. [`crate::ErrorKind::Unavailable`] where a new series does not fit the memory budget.
    pub fn register(&mut self, alias: u128, labels: Labels) -> Result<SeriesRef> {
        self.append.head.index().register(alias, labels).map(SeriesRef)
    }

    /// Makes room for about this many samples more.
    pub fn reserve(&mut self, samples: usize) {
        self.rows.reserve(samples);
    }

    /// Adds a sample.
    pub fn push(&mut self, series: SeriesRef, time_ns: i64, value: f64) {
        self.rows.push(series.0, time_ns, value);
    }

    /// Adds a native histogram, whose buckets must be as many as its spans say. One that marks the end of its series is
    /// kept as a plain staleness marker.
    pub fn push_histogram(&mut self, series: SeriesRef, time_ns: i64, histogram: Histogram) {
        if histogram.is_stale() {
            self.push(series, time_ns, histogram.sum);
        } else {
            self.rows.push_histogram(series.0, time_ns, Arc::new(histogram));
        }
    }

    /// Tells when the counting of the sample or histogram pushed last began; 0 is unknown.
    pub fn set_start_time(&mut self, start_ns: i64) {
        self.rows.set_start_time(start_ns);
    }

    /// Adds an exemplar of a series.
    pub fn push_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        self.rows.exemplars.push(series.0, exemplar);
    }

    /// Exemplars of the tenant in the open head and this append, for limits.
    pub fn exemplars(&self) -> usize {
        self.append.head.exemplar_count() + self.rows.exemplars.series.len()
    }

    /// Adds metadata of a metric. What the open head knows already is passed over: senders repeat it all the time.
    pub fn push_metadata(&mut self, metric: &str, metadata: MetadataRef<'_>) {
        if !self.append.head.knows_metadata(metric, metadata) {
            self.rows.metadata.add(metric, metadata);
        }
    }

    /// Whether this metadata of `metric` is in the open head or this append.
    pub fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        self.append.head.knows_metadata(metric, metadata) || self.rows.metadata.has(metric, metadata)
    }

    /// How many metrics have metadata, and how many different ones `metric` has, in the open head and this append; for
    /// limits.
    pub fn metadata_counts(&self, metric: &str) -> (usize, usize) {
        let (metrics, of_metric) = self.append.head.metadata_counts(metric);
        (
            metrics + self.rows.metadata.len(),
            of_metric + self.rows.metadata.of(metric).len(),
        )
    }

    /// Number of samples and histograms pushed.
    pub fn len(&self) -> usize {
        self.rows.times.len()
    }

    /// Whether neither a sample nor a histogram was pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `Ok` once all that was pushed is durable in the WAL (as `wal.sync` says) and visible to reads.
    ///
    /// On an error nothing of the append is visible: [`crate::ErrorKind::Unavailable`] where the disk or the memory
    /// budget is full, to be tried again later. Dropping the future does not undo rows that are already on their way.
    pub async fn commit(mut self) -> Result<()> {
        self.rows.finish();
        self.append.commit(Rows::Samples(self.rows)).await
    }
}

/// Log entries of one tenant on their way in; as [`SampleAppend`].
#[derive(Debug)]
pub struct LogAppend {
    append: Append,
    rows: LogRows,
    metadata: MetadataTable,
}

impl LogAppend {
    pub(super) async fn begin(shared: Arc<Shared>, lane: Arc<Lane>) -> Result<Self> {
        Ok(LogAppend {
            append: Append::begin(shared, lane).await?,
            rows: LogRows::default(),
            metadata: MetadataTable::default(),
        })
    }

    /// As [`SampleAppend::lookup`].
    pub fn lookup(&self, alias: u128) -> Option<SeriesRef> {
        self.append.lookup(alias)
    }

    /// As [`SampleAppend::active_series`].
    pub fn active_series(&self) -> usize {
        self.append.head.index().len()
    }

    /// As [`SampleAppend::register`].
    pub fn register(&mut self, alias: u128, labels: Labels) -> Result<SeriesRef> {
        self.append.head.index().register(alias, labels).map(SeriesRef)
    }

    /// The labels of a stream of this append.
    pub fn labels(&self, series: SeriesRef) -> Labels {
        // Refs come from this index.
        self.append.head.index().labels(series.0).unwrap_or_default()
    }

    /// Adds an entry. `metadata` is what the client sent and part of the entry's identity; `derived_level` is the
    /// `detected_level` that the server made and is not.
    pub fn push(
        &mut self,
        series: SeriesRef,
        time_ns: i64,
        line: &[u8],
        metadata: &[(&str, &str)],
        derived_level: Option<&str>,
    ) {
        let metadata = self.metadata.intern_pairs(metadata);
        let derived = derived_level.map_or(0, |level| self.metadata.intern_pairs(&[(DETECTED_LEVEL, level)]));
        self.rows.series.push(series.0);
        self.rows.times.push(time_ns);
        self.rows.bytes.extend_from_slice(line);
        self.rows.line_ends.push(self.rows.bytes.len() as u32);
        self.rows.metadata.push(metadata);
        self.rows.derived.push(derived);
    }

    /// Number of entries pushed.
    pub fn len(&self) -> usize {
        self.rows.times.len()
    }

    /// Whether no entry was pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`SampleAppend::commit`].
    pub async fn commit(mut self) -> Result<()> {
        if !self.is_empty() {
            self.rows.metadata_sets = self.metadata.into_sets();
        }
        self.append.commit(Rows::Logs(self.rows)).await
    }
}

/// The metadata name of levels found by the server (loki `pkg/util/constants/levels.go`, `LevelLabel`).
const DETECTED_LEVEL: &str = "detected_level";
