//! What series and a flush of theirs take of the heap, by an allocator that counts. Alone in its binary, since it counts
//! everything.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, unsafe_code)]

mod counted;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use garner_storage::catalog::CatalogSettings;
use garner_storage::deletes::NoEntryFilters;
use garner_storage::engine::{Components, Storage, StorageConfig};
use garner_storage::file::{OsFiles, SharedFiles};
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::TenantId;
use garner_storage::object::{Bucket, DurableLocalStore, RetryPolicy};
use garner_storage::testing::ManualClock;

use counted::{MOST, NOW, SERIES_PER_TARGET, labels};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_735_689_600 * SECOND + 600 * SECOND;
/// Scrape targets.
const TARGETS: usize = 12;
/// Half an hour of scrapes every 15 s: what a head holds when it is flushed.
const SCRAPES: i64 = 120;

/// A third stand still, a third count, a third move freely.
fn value(target: usize, series: usize, scrape: i64) -> f64 {
    let seed = (target * 31 + series * 7) as i64;
    match series % 3 {
        0 => seed as f64,
        1 => (seed + scrape * (seed % 40)) as f64,
        _ => ((seed * 7919 + scrape * 104_729) % 100_003) as f64 / 1000.0,
    }
}

async fn scrape(storage: &Storage, scrape: i64) {
    let tenant = TenantId::new("a").unwrap();
    for target in 0..TARGETS {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_and_its_flush_stay_small() {
    let folder = tempfile::tempdir().unwrap();
    let files: SharedFiles = Arc::new(OsFiles);
    let handle = tokio::runtime::Handle::current();
    let store = DurableLocalStore::open(files.clone(), &folder.path().join("objects")).unwrap();
    let bucket = Bucket::new(Arc::new(store), "", handle.clone(), RetryPolicy::default(), 1);
    let clock = ManualClock::new(START);
    let components = Components {
        clock: Arc::new(clock.clone()),
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
    let empty = NOW.load(Ordering::Relaxed);
    let series = (TARGETS * SERIES_PER_TARGET) as f64;
    let per_series = |bytes: usize| bytes.saturating_sub(empty) as f64 / series;
    // The second half hour is the steady state.
    for half_hour in 0..2 {
        let mut sum = 0.0;
        for at in 0..SCRAPES {
            scrape(&storage, half_hour * SCRAPES + at).await;
            sum += per_series(NOW.load(Ordering::Relaxed));
        }
        let (mean, before) = (sum / SCRAPES as f64, NOW.load(Ordering::Relaxed));
        MOST.store(before, Ordering::Relaxed);
        storage.flush().await.unwrap();
        let (most, after) = (MOST.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
        println!(
            "half hour {half_hour}: {mean:.0} B a series on average, {:.0} before the flush, {:.0} at most during it (+{} \
             KB), {:.0} after",
            per_series(before),
            per_series(most),
            (most - before) >> 10,
            per_series(after)
        );
        assert!(mean < 600.0, "{mean} bytes a series");
        assert!(most - before < 3 << 20, "{} bytes more during the flush", most - before);
    }
}
