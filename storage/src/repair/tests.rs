//! Repair on stores that were damaged on purpose.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use crate::object::Store;
use object_store::memory::InMemory;
use tokio::runtime::Handle;

use super::*;
use crate::clock::SharedClock;
use crate::engine::{DeleteRequest, Storage};
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::object::paths::{self, CATALOG_PREFIX, SEGMENTS_PREFIX};
use crate::object::{Bucket, RetryPolicy};
use crate::testing::{Entry, FaultyStore, ManualClock, StoreFixture, read_entries, read_samples};

const NOW: i64 = 1_735_689_600_000_000_000;

fn tenants() -> [TenantId; 2] {
    ["a", "b"].map(|name| TenantId::new(name).unwrap())
}

fn bucket(fixture: &StoreFixture) -> Bucket {
    fixture.bucket()
}

fn options() -> FsckOptions {
    FsckOptions {
        quick: false,
        memory_limit_bytes: 1 << 30,
    }
}

async fn check(fixture: &StoreFixture) -> FsckReport {
    fsck(&bucket(fixture), &options(), &NoProgress).await.unwrap()
}

async fn mend(fixture: &StoreFixture) -> RebuildReport {
    rebuild(&bucket(fixture), &options(), NOW, &NoProgress).await.unwrap()
}

async fn write(storage: &Storage, round: i64) {
    for tenant in tenants() {
        let mut append = storage.begin_samples(&tenant).await.unwrap();
        for series in 0..40 {
            let labels = Labels::from_pairs([("__name__", "m"), ("id", &*series.to_string())]);
            let id = append.register(labels.fingerprint(), labels).unwrap();
            for i in 0..20 {
                let time = NOW + (round * 100 + i) * 1_000_000_000;
                append.push(id, time, (series * i) as f64 + 0.5);
            }
        }
        append.commit().await.unwrap();
        let mut append = storage.begin_logs(&tenant).await.unwrap();
        let labels = Labels::from_pairs([("app", "web")]);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        for i in 0..50 {
            let line = format!("round {round} line {i} of tenant {tenant}");
            append.push(id, NOW + round * 1000 + i, line.as_bytes(), &[("n", "1")], Some("info"));
        }
        append.commit().await.unwrap();
    }
}

type Rows = Vec<(Vec<(Labels, i64, f64)>, Vec<Entry>)>;

async fn rows(fixture: &mut StoreFixture) -> Rows {
    fixture.seed += 1;
    let storage = fixture.open().await.unwrap();
    let mut out = Vec::new();
    for tenant in tenants() {
        out.push((
            read_samples(&storage, &tenant, &[], TimeRange::ALL).await.unwrap(),
            read_entries(&storage, &tenant, &[], TimeRange::ALL).await.unwrap(),
        ));
    }
    storage.close(Duration::from_secs(10)).await.unwrap();
    out
}

/// Three flushes and a delete; nothing is in the WAL.
async fn store() -> StoreFixture {
    let mut fixture = StoreFixture::new(1);
    fixture.config.catalog.checkpoint_every = 3;
    let storage = fixture.open().await.unwrap();
    for round in 0..3 {
        write(&storage, round).await;
        storage.flush().await.unwrap();
        fixture.clock.advance(Duration::from_secs(60));
    }
    let delete = DeleteRequest {
        signal: Signal::Metrics,
        matchers: vec![LabelMatcher::new("id", MatchOp::Equal, "7").unwrap()],
        filter: None,
        range: TimeRange::ALL,
        query: "".into(),
        cancel_period: Duration::ZERO,
    };
    storage.create_deletes(&tenants()[0], vec![delete]).await.unwrap();
    storage.close(Duration::from_secs(10)).await.unwrap();
    fixture
}

async fn paths_of(fixture: &StoreFixture, prefix: &str) -> Vec<String> {
    let listed = bucket(fixture).list(prefix, None).await.unwrap();
    listed.into_iter().map(|o| o.path).collect()
}

async fn change(fixture: &StoreFixture, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let bucket = bucket(fixture);
    let mut bytes = bucket.get(path).await.unwrap().to_vec();
    change(&mut bytes);
    bucket.put(path, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn a_whole_store_is_clean_and_needs_no_rebuild() {
    let fixture = store().await;
    let report = check(&fixture).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.objects, report.segments, report.deletes), (3, 12, 1));
    assert_eq!(report.rows, 2 * 3 * (40 * 20 + 50));
    assert_eq!(report.orphans.len(), 0);
    let before = paths_of(&fixture, "v1").await;
    let rebuilt = mend(&fixture).await;
    assert_eq!(rebuilt.version, None);
    assert_eq!(paths_of(&fixture, "v1").await, before, "nothing was changed");
}

#[tokio::test]
async fn every_flipped_byte_is_found() {
    let fixture = store().await;
    let bucket = bucket(&fixture);
    let mut tried = 0;
    for path in paths_of(&fixture, "v1").await {
        if path == paths::PROBE {
            continue;
        }
        let whole = bucket.get(&path).await.unwrap();
        // Steps that meet every part: pages, sections, footers, headers.
        let step = (whole.len() / 60).max(1);
        for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            change(&fixture, &path, |bytes| bytes[at] ^= 0x40).await;
            let quick = FsckOptions {
                quick: at % 2 == 0,
                ..options()
            };
            let report = fsck(&bucket, &quick, &NoProgress).await;
            // A version that this garner does not know is an error of its own.
            if let Ok(report) = report {
                assert!(!report.is_clean(), "byte {at} of {path}");
            }
            bucket.put(&path, whole.clone()).await.unwrap();
            tried += 1;
        }
    }
    assert!(tried > 400);
    assert!(check(&fixture).await.is_clean());
}

#[tokio::test]
async fn missing_cut_and_foreign_objects_are_told_apart() {
    let fixture = store().await;
    let segments = paths_of(&fixture, SEGMENTS_PREFIX).await;
    let bucket = bucket(&fixture);
    bucket
        .put("v1/segments/2025-01-01/stray.seg", "x".into())
        .await
        .unwrap();
    let report = check(&fixture).await;
    assert!(report.is_clean());
    assert_eq!(report.orphans.len(), 1);
    change(&fixture, &segments[0], |bytes| bytes.truncate(bytes.len() - 1)).await;
    bucket.delete(&segments[1]).await.unwrap();
    let faults = check(&fixture).await.faults;
    assert_eq!(faults.len(), 1 + 4, "{faults:?}");
    assert!(faults.iter().any(|f| f.what.contains("the segment ends at")));
    let missing = faults.iter().filter(|f| f.what == "the object is missing");
    assert_eq!(missing.count(), 4);
}

#[tokio::test]
async fn a_lost_catalog_comes_back_from_footers() {
    let mut fixture = store().await;
    let mut expected = rows(&mut fixture).await;
    let bucket = bucket(&fixture);
    for path in paths_of(&fixture, CATALOG_PREFIX).await {
        bucket.delete(&path).await.unwrap();
    }
    assert!(!check(&fixture).await.is_clean());
    let report = mend(&fixture).await;
    assert_eq!((report.version, report.kept, report.adopted), (Some(1), 0, 12));
    assert!(report.quarantined.is_empty() && report.orphans.is_empty());
    assert!(check(&fixture).await.is_clean());
    // The delete is lost with the catalog.
    let found = rows(&mut fixture).await;
    assert_eq!(found[0].0.len(), expected[0].0.len() + 60);
    expected[0].0 = found[0].0.clone();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_left_of_a_damaged_catalog_is_kept() {
    let mut fixture = store().await;
    let expected = rows(&mut fixture).await;
    let catalog = paths_of(&fixture, CATALOG_PREFIX).await;
    for lost in &catalog {
        let whole = bucket(&fixture).get(lost).await.unwrap();
        for damage in 0..3 {
            let copies = snapshot(&fixture).await;
            match damage {
                0 => bucket(&fixture).delete(lost).await.unwrap(),
                1 => change(&fixture, lost, |bytes| bytes[30] ^= 1).await,
                _ => change(&fixture, lost, |bytes| bytes.truncate(10)).await,
            }
            let report = check(&fixture).await;
            let mended = mend(&fixture).await;
            if report.catalog_faults.is_empty() {
                // A checkpoint that the deltas make up for, or the last delta of all: nothing tells that it was there.
                assert_eq!(mended.version, None);
            } else {
                assert!(check(&fixture).await.is_clean(), "{lost} {damage} {mended:?}");
                let found = rows(&mut fixture).await;
                // The delete itself may be what was lost.
                let is_delete = mended.version.is_some() && found[0].0.len() > expected[0].0.len();
                if !is_delete {
                    assert_eq!(found, expected, "{lost} {damage} {mended:?}");
                } else {
                    assert_eq!(found[1], expected[1]);
                }
            }
            restore(&fixture, copies).await;
            assert_eq!(bucket(&fixture).get(lost).await.unwrap(), whole);
        }
    }
}

async fn snapshot(fixture: &StoreFixture) -> Vec<(String, bytes::Bytes)> {
    let mut copies = Vec::new();
    for path in paths_of(fixture, "v1").await {
        let bytes = bucket(fixture).get(&path).await.unwrap();
        copies.push((path, bytes));
    }
    copies
}

async fn restore(fixture: &StoreFixture, copies: Vec<(String, bytes::Bytes)>) {
    for path in paths_of(fixture, "v1").await {
        bucket(fixture).delete(&path).await.unwrap();
    }
    for (path, bytes) in copies {
        bucket(fixture).put(&path, bytes).await.unwrap();
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_opened_is_left_out_and_the_rest_comes_back() {
    let mut fixture = store().await;
    let expected = rows(&mut fixture).await;
    let segments = paths_of(&fixture, SEGMENTS_PREFIX).await;
    let state = crate::catalog::salvage(&bucket(&fixture)).await.unwrap().state;
    // The second of the four segments of an object: those before it are found behind it.
    let mut of_object: Vec<_> = state
        .all_segments()
        .filter(|meta| *meta.id.object == *segments[0])
        .cloned()
        .collect();
    of_object.sort_by_key(|meta| meta.id.offset);
    let bad = of_object[1].clone();
    let last_byte = (bad.id.offset + bad.len - 1) as usize;
    change(&fixture, &segments[0], |bytes| bytes[last_byte] ^= 1).await;
    for path in paths_of(&fixture, CATALOG_PREFIX).await {
        bucket(&fixture).delete(&path).await.unwrap();
    }
    let report = mend(&fixture).await;
    assert_eq!((report.adopted, report.quarantined.len()), (11, 1), "{report:?}");
    let range = format!("bytes {}..{}", bad.id.offset, bad.id.offset + bad.len);
    assert!(report.quarantined[0].what.starts_with(&range), "{report:?}");
    let found = rows(&mut fixture).await;
    let lost = |rows: &Rows| rows.iter().map(|(s, e)| s.len() + e.len()).sum::<usize>() as u64;
    // 60 deleted samples are back with the lost catalog.
    assert_eq!(lost(&found) - 60, lost(&expected) - bad.rows);
}

#[tokio::test]
async fn a_bucket_is_tried_and_cleaned_up() {
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), 1));
    let shared: Arc<dyn Store> = store.clone();
    let bucket = Bucket::new(shared, "p", Handle::current(), RetryPolicy::default(), 1);
    let clock: SharedClock = Arc::new(ManualClock::new(NOW));
    let check = check_bucket(&bucket, &clock, 7, &NoProgress).await;
    assert_eq!(check.faults().count(), 0, "{check:?}");
    assert_eq!(check.conditional_create, ConditionalCreate::Works);
    assert!(bucket.list("v1", None).await.unwrap().is_empty());
    store.ignore_conditions();
    let check = check_bucket(&bucket, &clock, 8, &NoProgress).await;
    assert_eq!(check.conditional_create, ConditionalCreate::Ignored);
    assert_eq!(check.faults().count(), 1, "{check:?}");
    assert!(bucket.list("v1", None).await.unwrap().is_empty());
    store.lose_parts();
    let check = check_bucket(&bucket, &clock, 9, &NoProgress).await;
    let faults: Vec<&str> = check.faults().map(|step| step.name).collect();
    assert_eq!(faults.len(), 2, "{check:?}");
    assert!(faults[0].starts_with("write in parts"), "{check:?}");
}
