//! A whole store in memory: simulated disk, in-memory object store, clock to set.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::{ManualClock, SimDisk};
use crate::engine::{Components, Storage, StorageConfig};
use crate::error::Result;
use crate::flush::FailPoints;
use crate::memory::MemoryAccountant;
use crate::object::{Bucket, RetryPolicy};

/// What a store in memory stands on; survives the stores that are opened on it.
#[derive(Debug, Clone)]
pub struct StoreFixture {
    /// The disk of the WAL.
    pub disk: SimDisk,
    /// The object store.
    pub objects: Arc<InMemory>,
    /// The clock, at 2025-01-01 in the beginning.
    pub clock: ManualClock,
    /// Fail points of the stores opened from now on.
    pub fail_points: FailPoints,
    /// Settings of the stores opened from now on.
    pub config: StorageConfig,
    /// Memory limit of the stores opened from now on.
    pub memory_limit_bytes: u64,
    /// Seed of the stores opened from now on.
    pub seed: u64,
}

impl StoreFixture {
    /// An empty disk and object store.
    pub fn new(seed: u64) -> Self {
        StoreFixture {
            disk: SimDisk::new(seed),
            objects: Arc::new(InMemory::new()),
            clock: ManualClock::new(1_735_689_600_000_000_000),
            fail_points: FailPoints::default(),
            config: StorageConfig::new("/data"),
            memory_limit_bytes: 1 << 30,
            seed,
        }
    }

    /// Opens a store and waits until it is ready. To be called inside a tokio runtime, on which it then runs.
    pub async fn open(&self) -> Result<Storage> {
        let handle = tokio::runtime::Handle::current();
        let store = self.objects.clone();
        let bucket = Bucket::new(store, "", handle.clone(), RetryPolicy::default(), self.seed);
        let components = Components {
            clock: Arc::new(self.clock.clone()),
            files: Arc::new(self.disk.files()),
            bucket,
            accountant: MemoryAccountant::new(self.memory_limit_bytes),
            seed: self.seed,
            background: handle,
            fail_points: self.fail_points.clone(),
        };
        let storage = Storage::open(self.config.clone(), components).await?;
        storage.wait_ready().await?;
        Ok(storage)
    }
}

/// A ready, empty store in memory, for tests of other parts. To be called inside a tokio runtime.
pub async fn memory_storage() -> Result<Storage> {
    StoreFixture::new(1).open().await
}
