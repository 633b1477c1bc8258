//! A whole store in memory: simulated disk, in-memory object store, clock to set.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;

use super::{FaultyStore, ManualClock, NeedleFilters, SimDisk};
use crate::deletes::EntryFilterCompiler;
use crate::engine::{Components, Storage, StorageConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::flush::FailPoints;
use crate::memory::MemoryAccountant;
use crate::object::{Bucket, DurableLocalStore, RetryPolicy, Store};

/// What a store in memory stands on; survives the stores that are opened on it.
#[derive(Debug, Clone)]
pub struct StoreFixture {
    /// The disk of the WAL.
    pub disk: SimDisk,
    /// The object store, where `local_objects` is not set.
    pub objects: Arc<InMemory>,
    /// Keeps objects in a folder of the disk instead, as the embedded default does.
    pub local_objects: bool,
    /// The clock, at 2025-01-01 in the beginning.
    pub clock: ManualClock,
    /// Fail points of the stores opened from now on.
    pub fail_points: FailPoints,
    /// Reads the line filters of deletes: [`super::NeedleFilters`].
    pub entry_filters: Arc<dyn EntryFilterCompiler>,
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
            local_objects: false,
            clock: ManualClock::new(1_735_689_600_000_000_000),
            fail_points: FailPoints::default(),
            entry_filters: Arc::new(NeedleFilters),
            // Upkeep runs when a test says so.
            config: StorageConfig {
                background_upkeep: false,
                ..StorageConfig::new("/data")
            },
            memory_limit_bytes: 1 << 30,
            seed,
        }
    }

    /// The objects, as whoever looks past the store sees them.
    pub fn bucket(&self) -> Bucket {
        let handle = tokio::runtime::Handle::current();
        Bucket::new(self.objects.clone(), "", handle, RetryPolicy::default(), self.seed)
    }

    /// Opens a store and waits until it is ready. To be called inside a tokio runtime, on which it then runs.
    pub async fn open(&self) -> Result<Storage> {
        self.open_faulty().await.map(|(storage, _)| storage)
    }

    /// As [`StoreFixture::open`], with the object store, which can be made to fail.
    pub async fn open_faulty(&self) -> Result<(Storage, Arc<FaultyStore>)> {
        let handle = tokio::runtime::Handle::current();
        let files = Arc::new(self.disk.files());
        let store: Arc<dyn Store> = if self.local_objects {
            let opened = DurableLocalStore::open(files.clone(), Path::new("/objects"));
            Arc::new(opened.map_err(|e| Error::with_source(ErrorKind::Unavailable, "cannot open /objects", e))?)
        } else {
            self.objects.clone()
        };
        let store = Arc::new(FaultyStore::new(store, self.seed));
        let policy = RetryPolicy {
            max_attempts: 3,
            backoff_initial: Duration::from_millis(1),
            backoff_max: Duration::from_millis(5),
            ..RetryPolicy::default()
        };
        let bucket = Bucket::new(store.clone(), "", handle.clone(), policy, self.seed);
        let components = Components {
            clock: Arc::new(self.clock.clone()),
            files,
            bucket,
            accountant: MemoryAccountant::new(self.memory_limit_bytes),
            seed: self.seed,
            background: handle,
            entry_filters: self.entry_filters.clone(),
            give_back_memory: || (),
            fail_points: self.fail_points.clone(),
        };
        let storage = Storage::open(self.config.clone(), components).await?;
        storage.wait_ready().await?;
        Ok((storage, store))
    }
}

/// A ready, empty store in memory, for tests of other parts. To be called inside a tokio runtime.
pub async fn memory_storage() -> Result<Storage> {
    StoreFixture::new(1).open().await
}
