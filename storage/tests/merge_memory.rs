//! What a merge takes of the heap, by an allocator that counts: a fixed amount, and little for each series. Alone in its
//! binary, since it counts everything.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, unsafe_code)]

mod counted;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use garner_storage::catalog::CatalogSettings;
use garner_storage::compaction::Depth;
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
/// Segments that are merged.
const SEGMENTS: i64 = 3;
/// Scrapes of each: few, since rows are not what is looked at here.
const SCRAPES: i64 = 4;

async fn scrape(storage: &Storage, targets: usize, scrape: i64) {
    let tenant = TenantId::new("a").unwrap();
    for target in 0..targets {
        let mut append = storage.begin_samples(&tenant).await.unwrap();
        let time = START + scrape * 15 * SECOND + target as i64 * 40_000_000;
        for series in 0..SERIES_PER_TARGET {
            let alias = (target * SERIES_PER_TARGET + series) as u128;
            let id = match append.lookup(alias) {
                Some(id) => id,
                None => append.register(alias, labels(target, series)).unwrap(),
            };
            append.push(id, time, ((target * 31 + series * 7) as i64 + scrape) as f64);
        }
        append.commit().await.unwrap();
    }
}

/// Bytes of the heap that merging segments of so many targets takes at most.
async fn merged(targets: usize) -> usize {
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
    for segment in 0..SEGMENTS {
        for at in 0..SCRAPES {
            scrape(&storage, targets, segment * SCRAPES + at).await;
        }
        storage.flush().await.unwrap();
    }
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let report = storage.compact_once(Depth::Full).await.unwrap().unwrap();
    let (most, after) = (MOST.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
    assert_eq!((report.segments_in, report.segments_out), (SEGMENTS as u64, 1));
    let series = targets * SERIES_PER_TARGET;
    assert_eq!(report.rows_out, series as u64 * (SEGMENTS * SCRAPES) as u64);
    println!(
        "{series} series in {SEGMENTS} segments: {} KB before, +{} KB at most, {} KB after",
        before >> 10,
        (most - before) >> 10,
        after >> 10
    );
    most - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_holds_little_of_each_series() {
    const FEW: usize = 40;
    const MANY: usize = 120;
    let (few, many) = (merged(FEW).await, merged(MANY).await);
    let each = many.saturating_sub(few) as f64 / ((MANY - FEW) * SERIES_PER_TARGET) as f64;
    println!("{each:.0} bytes for each series more");
    // The packed label sets and chunk lists of the new segment, and its index; a label set alone has 150 bytes.
    assert!(each < 60.0, "{each} bytes a series");
    // Windows, opened parts, a batch of rows, a part of the object.
    assert!(many < 8 << 20, "{many} bytes");
}
