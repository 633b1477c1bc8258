//! The handle to the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::append::{LogAppend, SampleAppend};
use super::config::{Components, StorageConfig};
use super::follow::LogFollower;
use super::open::open;
use super::round::{Selection, flush_round};
use super::shared::Shared;
use super::stats::{FlushSummary, Readiness, StorageStats};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryUse, Reservation};
use crate::model::{LabelMatcher, Signal, TenantId};
use crate::object::Verb;

/// The store. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Storage(pub(super) Arc<Shared>);

impl Storage {
    /// Locks the data folder, reads the catalog and starts the replay of the WAL in the background; [`Storage::readiness`]
    /// tells when it is done.
    ///
    /// Refused with one clear line where another server holds the folder, or a newer garner wrote it.
    pub async fn open(config: StorageConfig, components: Components) -> Result<Storage> {
        open(config, components).await.map(Storage)
    }

    /// Whether reads and writes are served.
    pub fn readiness(&self) -> Readiness {
        self.0.readiness.borrow().clone()
    }

    /// Returns when the replay is done, with its error where it failed.
    pub async fn wait_ready(&self) -> Result<()> {
        let mut readiness = self.0.readiness.subscribe();
        let done = readiness.wait_for(|r| *r != Readiness::Replaying).await;
        match done.as_deref() {
            Ok(Readiness::Failed(reason)) => Err(Error::new(ErrorKind::Corrupt, reason.clone())),
            _ => Ok(()),
        }
    }

    /// Accounts for `bytes` of a request that are held until it is stored; [`ErrorKind::Unavailable`] where the memory
    /// budget does not have them.
    pub fn hold(&self, bytes: u64) -> Result<Reservation> {
        let mut held = self.0.components.accountant.reservation(MemoryUse::Wal);
        held.try_grow(bytes)?;
        Ok(held)
    }

    /// Begins an append of samples. Waits while the tenant's head is being sealed.
    pub async fn begin_samples(&self, tenant: &TenantId) -> Result<SampleAppend> {
        self.0.check_writable()?;
        let lane = self.0.lane_or_new(tenant, Signal::Metrics)?;
        SampleAppend::begin(self.0.clone(), lane).await
    }

    /// Begins an append of log entries. Waits while the tenant's head is being sealed.
    pub async fn begin_logs(&self, tenant: &TenantId) -> Result<LogAppend> {
        self.0.check_writable()?;
        let lane = self.0.lane_or_new(tenant, Signal::Logs)?;
        LogAppend::begin(self.0.clone(), lane).await
    }

    /// Brings every row that was acknowledged before the call to segments in the object store. On an error they stay in
    /// memory and WAL, and a later flush tries again.
    pub async fn flush(&self) -> Result<FlushSummary> {
        self.0.check_writable()?;
        flush_round(&self.0, Selection::All).await
    }

    /// Stops taking appends, flushes for at most `deadline`, and gives the data folder back. What could not be flushed in
    /// time is an error that says so; it stays in the WAL and the next start replays it.
    pub async fn close(&self, deadline: Duration) -> Result<FlushSummary> {
        let shared = &self.0;
        // A replay cannot be stopped half way, and the folder is not given back under it.
        let replay = tokio::time::timeout(deadline, self.wait_ready()).await;
        if replay.is_err() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the WAL could not be replayed within {deadline:?}; the next start replays it"),
            ));
        }
        let mut was_ready = false;
        shared.readiness.send_modify(|readiness| {
            was_ready = *readiness == Readiness::Ready;
            *readiness = Readiness::Closed;
        });
        shared.wake.notify_one();
        let flushed = if was_ready {
            match tokio::time::timeout(deadline, flush_round(shared, Selection::All)).await {
                Ok(flushed) => flushed,
                Err(_) => Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "not everything could be flushed within {deadline:?}; the rest is in the WAL and is replayed at the next start"
                    ),
                )),
            }
        } else {
            Ok(FlushSummary::default())
        };
        if let Some(pieces) = shared.tails.pieces() {
            pieces.close(deadline).await;
        }
        let closing = shared.clone();
        let closed = shared.components.background.spawn_blocking(move || {
            if let Some(wal) = closing.wal.get() {
                wal.close();
                if let Err(error) = wal.truncate(&|lane| closing.committed(lane)) {
                    tracing::warn!(%error, "cannot remove WAL files that are not needed any more");
                }
            }
            drop(closing.folder.lock().take());
        });
        if closed.await.is_err() {
            tracing::error!("closing the WAL failed");
        }
        flushed
    }

    /// Hands out the tenant's log entries that are appended from now on. What was visible before this returns is not
    /// among them; a view taken afterwards may already hold some that are.
    pub fn follow_logs(&self, tenant: &TenantId, matchers: Vec<LabelMatcher>) -> Result<LogFollower> {
        self.0.check_writable()?;
        Ok(self.0.lane_or_new(tenant, Signal::Logs)?.followers.follow(matchers))
    }

    /// The counters now.
    pub fn stats(&self) -> StorageStats {
        let shared = &self.0;
        let mut stats = StorageStats {
            replay: shared.counters.replay.lock().clone(),
            ..StorageStats::default()
        };
        for lane in shared.all_lanes() {
            let view = lane.view();
            let signal = lane.signal.code() as usize;
            stats.lanes[signal] += 1;
            stats.head_series[signal] += view.open.index().len() as u64;
            stats.head_bytes[signal] += view.open.index().size_bytes();
            for head in view.sealed.iter().map(|s| &s.head).chain([&view.open]) {
                let head = head.stats();
                stats.head_rows[signal] += head.rows;
                stats.head_bytes[signal] += head.memory_bytes;
            }
            stats.sealed_heads += view.sealed.len() as u64;
            let segments = &view.segments.readers;
            stats.segments += segments.len() as u64;
            stats.segment_rows += segments.iter().map(|s| s.meta().rows).sum::<u64>();
            stats.segment_bytes += segments.iter().map(|s| s.meta().len).sum::<u64>();
        }
        if let Some(wal) = shared.wal.get() {
            (stats.wal_files, stats.wal_bytes) = wal.size();
            let counters = wal.counters();
            stats.wal_records = counters.records;
            stats.wal_record_bytes = counters.bytes;
            stats.wal_groups = counters.groups;
            stats.wal_errors = counters.errors;
        }
        let catalog = shared.catalog.state();
        for delete in catalog.all_deletes().flat_map(|deletes| deletes.all()) {
            stats.deletes += 1;
            stats.delete_covers += delete.covered;
        }
        let reads = shared.tails.reads();
        stats.segment_requests = reads.requests.load(Ordering::Relaxed);
        stats.segment_read_bytes = reads.bytes.load(Ordering::Relaxed);
        stats.pieces = shared.tails.pieces().map(|pieces| pieces.counts()).unwrap_or_default();
        stats.pages_corrupt = reads.corrupt.load(Ordering::Relaxed);
        stats.object_store = Verb::ALL.map(|verb| shared.components.bucket.counts(verb));
        let counters = &shared.counters;
        stats.rows_appended = [0, 1].map(|signal| counters.rows_appended[signal].load(Ordering::Relaxed));
        stats.appends_failed = counters.appends_failed.load(Ordering::Relaxed);
        stats.flushes = counters.flushes.load(Ordering::Relaxed);
        stats.flush_errors = counters.flush_errors.load(Ordering::Relaxed);
        stats.rows_flushed = counters.rows_flushed.load(Ordering::Relaxed);
        stats.flush_time = Duration::from_nanos(counters.flush_nanos.load(Ordering::Relaxed));
        stats
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.0.config.data_dir.display())
    }
}
