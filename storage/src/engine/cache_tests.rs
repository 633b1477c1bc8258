//! The cache of pieces under a whole store: what was read once is not asked for again, also by the next process.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::compaction::Depth;
use crate::model::{LabelMatcher, Labels, MatchOp, TenantId, TimeRange};
use crate::pieces::{DiskCacheSettings, PieceCacheSettings};
use crate::testing::{Faults, StoreFixture, read_entries, read_samples};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_735_689_600 * SECOND;

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// Nothing opened is kept in memory, so that all comes from where pieces are.
fn fixture(memory_bytes: u64, disk: Option<&Path>) -> StoreFixture {
    let mut fixture = StoreFixture::new(1);
    fixture.config.tail_cache_bytes = 0;
    fixture.config.piece_cache = PieceCacheSettings {
        memory_bytes,
        disk: disk.map(|path| DiskCacheSettings {
            path: path.to_path_buf(),
            max_bytes: 64 << 20,
        }),
    };
    fixture
}

/// Three segments of samples, and one of logs.
async fn fill(storage: &Storage) {
    for round in 0..3 {
        let mut append = storage.begin_samples(&tenant()).await.unwrap();
        for series in 0..200 {
            let labels = Labels::from_pairs([("__name__", "m"), ("pod", &format!("pod-{series}"))]);
            let id = append.register(labels.fingerprint(), labels).unwrap();
            for at in 0..20 {
                let time = NOW + (round * 100 + at) * SECOND;
                append.push(id, time, (series * at) as f64 * 0.37);
            }
        }
        append.commit().await.unwrap();
        storage.flush().await.unwrap();
    }
    let mut append = storage.begin_logs(&tenant()).await.unwrap();
    let labels = Labels::from_pairs([("app", "a")]);
    let id = append.register(labels.fingerprint(), labels).unwrap();
    for at in 0..100 {
        append.push(id, NOW + at, format!("line {at}").as_bytes(), &[("k", "v")], None);
    }
    append.commit().await.unwrap();
    storage.flush().await.unwrap();
}

async fn read_all(storage: &Storage) -> (usize, usize) {
    let m = LabelMatcher::new("__name__", MatchOp::Equal, "m").unwrap();
    let samples = read_samples(storage, &tenant(), &[m], TimeRange::ALL).await.unwrap();
    let entries = read_entries(storage, &tenant(), &[], TimeRange::ALL).await.unwrap();
    (samples.len(), entries.len())
}

const ALL: (usize, usize) = (3 * 200 * 20, 100);

#[tokio::test]
async fn the_second_read_asks_nothing_of_the_object_store() {
    let storage = fixture(8 << 20, None).open().await.unwrap();
    fill(&storage).await;
    assert_eq!(read_all(&storage).await, ALL);
    let first = storage.stats();
    assert!(first.segment_requests > 0 && first.pieces.misses > 0);
    assert_eq!(read_all(&storage).await, ALL);
    let second = storage.stats();
    assert_eq!(second.segment_requests, first.segment_requests);
    assert_eq!(second.pieces.misses, first.pieces.misses);
    assert!(second.pieces.memory_hits > first.pieces.memory_hits);
    // Without the cache every read asks again.
    let storage = fixture(0, None).open().await.unwrap();
    fill(&storage).await;
    read_all(&storage).await;
    let first = storage.stats().segment_requests;
    read_all(&storage).await;
    assert_eq!(storage.stats().segment_requests, 2 * first);
}

#[tokio::test]
async fn the_next_process_finds_on_disk_what_this_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(0, Some(folder.path()));
    let storage = fixture.open().await.unwrap();
    fill(&storage).await;
    assert_eq!(read_all(&storage).await, ALL);
    storage.close(Duration::from_secs(60)).await.unwrap();
    drop(storage);

    let (storage, faulty) = fixture.open_faulty().await.unwrap();
    faulty.set_faults(Faults {
        refused: 1.0,
        ..Faults::default()
    });
    assert_eq!(read_all(&storage).await, ALL);
    let stats = storage.stats();
    assert_eq!((stats.segment_requests, stats.pieces.misses), (0, 0));
    assert!(stats.pieces.disk_hits > 0);
}

#[tokio::test]
async fn compaction_neither_fills_nor_needs_the_cache() {
    let storage = fixture(8 << 20, None).open().await.unwrap();
    fill(&storage).await;
    let before = storage.stats().pieces;
    while storage.compact_once(Depth::Full).await.unwrap().is_some() {}
    assert_eq!(storage.stats().pieces, before);
    assert_eq!(read_all(&storage).await, ALL);
}
