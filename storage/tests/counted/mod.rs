//! What tests of memory share: an allocator that counts, and a store with a fleet like the benchmark's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use garner_storage::catalog::CatalogSettings;
use garner_storage::deletes::NoEntryFilters;
use garner_storage::engine::{Components, Storage, StorageConfig};
use garner_storage::file::{OsFiles, SharedFiles};
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{Labels, TenantId};
use garner_storage::object::{Bucket, DurableLocalStore, RetryPolicy};
use garner_storage::testing::ManualClock;
use tempfile::TempDir;

struct Counting;

/// Bytes of the heap in use.
pub static NOW: AtomicUsize = AtomicUsize::new(0);
/// The most so far.
pub static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: each call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_735_689_600 * SECOND + 600 * SECOND;
/// Series of each target, as in the benchmark's fleet.
pub const SERIES_PER_TARGET: usize = 270;

pub fn labels(target: usize, series: usize) -> Labels {
    let (metric, cpu) = (
        format!("node_metric_{:03}_total", series % 90),
        (series / 90).to_string(),
    );
    let (instance, mode) = (
        format!("10.0.{}.{}:9100", target / 250, target % 250),
        ["idle", "user"][series % 2],
    );
    Labels::from_pairs([
        ("__name__", metric.as_str()),
        ("cluster", "eu-1"),
        ("cpu", cpu.as_str()),
        ("instance", instance.as_str()),
        ("job", "node"),
        ("mode", mode),
        ("namespace", "monitoring"),
    ])
}

/// Writes scrape number `scrape` of so many targets.
pub async fn scrape(storage: &Storage, targets: usize, scrape: i64, value: fn(usize, usize, i64) -> f64) {
    let tenant = TenantId::new("a").unwrap();
    for target in 0..targets {
        let mut append = storage.begin_samples(&tenant).await.unwrap();
        let time =
            START + scrape * 15 * SECOND + target as i64 * 40_000_000 + (scrape * 7 + target as i64) % 3 * 1_000_000;
        for series in 0..SERIES_PER_TARGET {
            let alias = (target * SERIES_PER_TARGET + series) as u128;
            let id = match append.lookup(alias) {
                Some(id) => id,
                None => append.register(alias, labels(target, series)).unwrap(),
            };
            append.push(id, time, value(target, series, scrape));
        }
        append.commit().await.unwrap();
    }
}

/// A store in a folder, which does nothing by itself.
pub async fn open() -> (Storage, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let files: SharedFiles = Arc::new(OsFiles);
    let handle = tokio::runtime::Handle::current();
    let store = DurableLocalStore::open(files.clone(), &folder.path().join("objects")).unwrap();
    let bucket = Bucket::new(Arc::new(store), "", handle.clone(), RetryPolicy::default(), 1);
    let components = Components {
        clock: Arc::new(ManualClock::new(START)),
        files,
        bucket,
        accountant: MemoryAccountant::new(1 << 30),
        seed: 1,
        background: handle,
        entry_filters: Arc::new(NoEntryFilters),
        give_back_memory: || (),
        fail_points: Default::default(),
    };
    let config = StorageConfig {
        background_upkeep: false,
        catalog: CatalogSettings::default(),
        ..StorageConfig::new(folder.path().join("data"))
    };
    let storage = Storage::open(config, components).await.unwrap();
    storage.wait_ready().await.unwrap();
    (storage, folder)
}
