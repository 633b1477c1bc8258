//! What a store is opened with: settings are data, components are handed in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::CatalogSettings;
use crate::clock::SharedClock;
use crate::deletes::EntryFilterCompiler;
use crate::file::SharedFiles;
use crate::flush::FailPoints;
use crate::memory::MemoryAccountant;
use crate::object::Bucket;
use crate::pieces::PieceCacheSettings;
use crate::retention::RetentionSettings;
use crate::wal::WalThread;

/// When an append is durable, `wal.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// Before it is acknowledged: appends that wait at one time share one fdatasync.
    Always,
    /// At the latest after this time: an acknowledged append can be lost when the machine loses power (not when the
    /// process dies). Saves disk flushes, and waiting for them.
    Interval(Duration),
}

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// Folder of lock, writer id and WAL.
    pub data_dir: PathBuf,
    /// When an append is durable.
    pub wal_sync: WalSync,
    /// Who writes the WAL: a thread of its own in a server.
    pub wal_thread: WalThread,
    /// Size at which a WAL file is closed and the next begun. Disk space comes back in whole files; each file repeats the
    /// labels of the series it uses, so smaller files write more.
    pub wal_file_bytes: u64,
    /// WAL size at which heads that hold back its oldest file are flushed early. Bounds disk use and replay time; smaller
    /// makes more and smaller segments, thus more object store requests.
    pub wal_max_bytes: u64,
    /// Age of a metric head at which it is flushed. Longer keeps more in memory and makes larger, denser segments.
    pub metrics_flush_age: Duration,
    /// Bytes of memory that the samples of a metric head may take before it is flushed. Bounds the memory of a fast
    /// backfill; smaller makes more and smaller segments.
    pub metrics_flush_bytes: u64,
    /// Age of a log head at which it is flushed.
    pub logs_flush_age: Duration,
    /// Bytes of lines in a log head at which it is flushed.
    pub logs_flush_bytes: u64,
    /// Share of the memory limit that heads may hold before the largest are flushed early.
    pub head_memory_share: f64,
    /// Bytes of opened segments' tails (directories, series tables, label indexes) kept for later queries.
    pub tail_cache_bytes: u64,
    /// What is kept of the bytes that queries read, for later queries: nothing by default.
    pub piece_cache: PieceCacheSettings,
    /// Deletes of one tenant that may wait to be carried out; more are refused. Each costs every read of the segments it
    /// covers until compaction has left its rows out.
    pub max_pending_deletes: usize,
    /// How the catalog is kept.
    pub catalog: CatalogSettings,
    /// Whether compaction, retention and deletion run in the background. Without it they do what they are called for.
    pub background_upkeep: bool,
    /// Bytes of rows (before encoding) that background compaction works on in a second; 0 is no limit. Less leaves more of
    /// the machine to ingest and queries; less than a few times what is ingested lets small segments pile up.
    pub compaction_bytes_per_second: u64,
    /// How long an object stays after its last segment was replaced or expired: longer than the longest query, and than
    /// clocks of several writers are apart.
    pub deletion_grace: Duration,
    /// Age of an object's name at which it counts as an orphan where no segment lies in it: longer than any flush or merge
    /// takes from its first byte to its commit, which is refused after.
    pub orphan_age: Duration,
    /// How long rows are kept.
    pub retention: Arc<RetentionSettings>,
}

impl StorageConfig {
    /// The defaults, in this data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        StorageConfig {
            data_dir: data_dir.into(),
            wal_sync: WalSync::Always,
            wal_thread: WalThread::Own,
            wal_file_bytes: 64 << 20,
            wal_max_bytes: 2 << 30,
            metrics_flush_age: Duration::from_secs(30 * 60),
            metrics_flush_bytes: 64 << 20,
            logs_flush_age: Duration::from_secs(5 * 60),
            logs_flush_bytes: 64 << 20,
            head_memory_share: 0.4,
            tail_cache_bytes: 128 << 20,
            piece_cache: PieceCacheSettings::default(),
            max_pending_deletes: 1000,
            catalog: CatalogSettings::default(),
            background_upkeep: true,
            compaction_bytes_per_second: 64 << 20,
            deletion_grace: Duration::from_secs(3600),
            orphan_age: Duration::from_secs(24 * 3600),
            retention: Arc::default(),
        }
    }
}

/// What the store works with.
#[derive(Clone, Debug)]
pub struct Components {
    /// Ages of heads.
    pub clock: SharedClock,
    /// The disk of the WAL.
    pub files: SharedFiles,
    /// Where segments and catalog are kept.
    pub bucket: Bucket,
    /// The process's memory account.
    pub accountant: MemoryAccountant,
    /// Seeds the writer id of a new data folder and object names; from the system's entropy in a server.
    pub seed: u64,
    /// Runtime of replay and flush: apart from the one that answers requests.
    pub background: tokio::runtime::Handle,
    /// Reads the line filters of deletes; [`crate::deletes::NoEntryFilters`] where there is no query language.
    pub entry_filters: Arc<dyn EntryFilterCompiler>,
    /// Gives memory that was freed back to the system, which allocators do late or never: called after a flush and now and
    /// then during a merge. May take some milliseconds.
    pub give_back_memory: fn(),
    /// Places at which tests stop or kill the store; none are armed by default.
    pub fail_points: FailPoints,
}
