//! What the parts of a store share.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::config::{Components, StorageConfig};
use super::lane::Lane;
use super::round::RoundState;
use super::stats::{Readiness, ReplaySummary};
use super::upkeep::{UpkeepState, UpkeepTotals};
use crate::catalog::{Catalog, WalPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::file::DataFolder;
use crate::model::{Signal, TenantId};
use crate::object::paths::{WriterId, segment_object};
use crate::pieces::PieceCache;
use crate::segment::{SegmentId, TailCache};
use crate::wal::{LaneKey, Wal};

/// Tenants a process serves per signal. Names come from a request header: without a bound, a client could fill the memory
/// with names alone.
const MAX_TENANTS: usize = 100_000;

/// See the module docs.
pub(crate) struct Shared {
    pub config: StorageConfig,
    pub components: Components,
    pub writer: WriterId,
    /// Held until the store is closed or dropped.
    pub folder: Mutex<Option<DataFolder>>,
    pub catalog: Arc<Catalog>,
    pub tails: Arc<TailCache>,
    /// There once replay is done.
    pub wal: OnceLock<Wal>,
    /// While there is no `wal`: behind the last record that was replayed.
    pub replayed_to: Mutex<WalPosition>,
    pub readiness: watch::Sender<Readiness>,
    /// One flush round at a time.
    pub round: tokio::sync::Mutex<RoundState>,
    /// Segments of a flush round that is not swapped yet: they may be live in the catalog, while views still have the sealed
    /// heads of their rows.
    pub arriving: Mutex<HashSet<SegmentId, ahash::RandomState>>,
    /// The catalog version that all views were last brought to.
    pub views_at: AtomicU64,
    /// One step of compaction, retention or removal at a time.
    pub upkeep: tokio::sync::Mutex<UpkeepState>,
    /// How often upkeep was asked for since it last began for that; see [`super::Storage::clean_deletes`].
    pub asked_for_upkeep: AtomicU64,
    /// What they did so far.
    pub upkept: Mutex<UpkeepTotals>,
    /// Makes names unique: random at the start of a run, then counting.
    next_number: AtomicU64,
    /// Asks the background task to look now.
    pub wake: Arc<Notify>,
    pub counters: Counters,
    lanes: [RwLock<LaneMap>; 2],
}

type LaneMap = HashMap<TenantId, Arc<Lane>, ahash::RandomState>;

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub rows_appended: [AtomicU64; 2],
    pub appends_failed: AtomicU64,
    pub flushes: AtomicU64,
    pub flush_errors: AtomicU64,
    pub rows_flushed: AtomicU64,
    pub flush_nanos: AtomicU64,
    pub replay: Mutex<ReplaySummary>,
}

impl Shared {
    pub fn new(
        config: StorageConfig,
        components: Components,
        folder: DataFolder,
        catalog: Arc<Catalog>,
        first_number: u64,
        pieces: Option<Arc<PieceCache>>,
    ) -> Arc<Shared> {
        let tails = TailCache::new(components.accountant.clone(), config.tail_cache_bytes).with_pieces(pieces);
        Arc::new(Shared {
            config,
            components,
            writer: folder.writer().clone(),
            folder: Mutex::new(Some(folder)),
            catalog,
            tails: Arc::new(tails),
            wal: OnceLock::new(),
            replayed_to: Mutex::default(),
            readiness: watch::Sender::new(Readiness::Replaying),
            round: tokio::sync::Mutex::default(),
            arriving: Mutex::default(),
            views_at: AtomicU64::default(),
            upkeep: tokio::sync::Mutex::default(),
            asked_for_upkeep: AtomicU64::default(),
            upkept: Mutex::default(),
            next_number: AtomicU64::new(first_number),
            wake: Arc::default(),
            counters: Counters::default(),
            lanes: Default::default(),
        })
    }

    /// Whether appends are taken.
    pub fn check_writable(&self) -> Result<()> {
        match &*self.readiness.borrow() {
            Readiness::Ready => Ok(()),
            Readiness::Replaying => Err(Error::new(
                ErrorKind::Unavailable,
                "the WAL is being replayed; try again later",
            )),
            Readiness::Failed(reason) => Err(Error::new(ErrorKind::Unavailable, reason.clone())),
            Readiness::Closed => Err(Error::new(ErrorKind::Closed, "the server is shutting down")),
        }
    }

    /// Whether reads are served: everything acknowledged is there, also while the store closes.
    pub fn check_readable(&self) -> Result<()> {
        match &*self.readiness.borrow() {
            Readiness::Closed => Ok(()),
            _ => self.check_writable(),
        }
    }

    /// The log, to append to.
    pub fn open_wal(&self) -> Result<&Wal> {
        self.wal
            .get()
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "the WAL is being replayed; try again later"))
    }

    /// Every record from now on is at or behind this, every record whose rows are in heads before it.
    pub fn wal_position(&self) -> WalPosition {
        match self.wal.get() {
            Some(wal) => wal.position(),
            None => *self.replayed_to.lock(),
        }
    }

    /// Up to where the catalog has a lane's rows.
    pub fn committed(&self, (tenant, signal): &LaneKey) -> Option<WalPosition> {
        self.catalog.state().wal_position(&self.writer, tenant, *signal)
    }

    /// The lane, where it exists.
    pub fn lane(&self, tenant: &TenantId, signal: Signal) -> Option<Arc<Lane>> {
        self.lanes[signal.code() as usize].read().get(tenant).cloned()
    }

    /// All lanes.
    pub fn all_lanes(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes.iter().map(|lanes| lanes.read().values().cloned().collect());
        lanes.collect::<Vec<Vec<_>>>().concat()
    }

    /// The lane, made where it is missing.
    pub fn lane_or_new(&self, tenant: &TenantId, signal: Signal) -> Result<Arc<Lane>> {
        if let Some(lane) = self.lane(tenant, signal) {
            return Ok(lane);
        }
        let mut lanes = self.lanes[signal.code() as usize].write();
        if let Some(lane) = lanes.get(tenant) {
            return Ok(lane.clone());
        }
        if lanes.len() >= MAX_TENANTS {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("more than {MAX_TENANTS} tenants; this store takes no further ones"),
            ));
        }
        let now = self.components.clock.now();
        let lane = Arc::new(Lane::new(tenant.clone(), signal, &self.components.accountant, now));
        lanes.insert(tenant.clone(), lane.clone());
        Ok(lane)
    }

    /// A number that this run has not had before.
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The path of an object that nobody has written or will write. No commit names an object that is older than the
    /// catalog's orphan horizon, so its name is not, whatever this machine's clock says.
    pub fn new_object_path(&self) -> Arc<str> {
        let now = self.components.clock.now();
        let created = now.max(self.catalog.state().orphans_before());
        segment_object(&self.writer, created, self.next_number()).into()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.config.data_dir.display())
    }
}
