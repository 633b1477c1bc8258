//! The commit protocol over good and bad stores, and every invariant broken once.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tokio::runtime::Handle;

use super::deletes_tests::tombstone;
use super::state::WalPosition;
use super::*;
use crate::clock::SharedClock;
use crate::deletes::{Tombstone, TombstoneId};
use crate::error::ErrorKind;
use crate::file::OsFiles;
use crate::model::{Signal, TenantId, TimeRange};
use crate::object::paths::{self, WriterId};
use crate::object::{Bucket, DurableLocalStore, RetryPolicy, Store};
use crate::segment::{SegmentId, SegmentMeta};
use crate::testing::{Faults, FaultyStore, ManualClock};

pub(super) fn bucket(store: &Arc<dyn Store>, seed: u64) -> Bucket {
    let policy = RetryPolicy {
        backoff_initial: Duration::from_micros(50),
        backoff_max: Duration::from_micros(500),
        ..Default::default()
    };
    Bucket::new(Arc::clone(store), "p", Handle::current(), policy, seed)
}

fn writer(name: &str) -> WriterId {
    WriterId::new(name).unwrap()
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(super) fn segment(object: &str, offset: u64) -> SegmentMeta {
    SegmentMeta {
        tenant: tenant("t"),
        signal: Signal::Metrics,
        id: SegmentId {
            object: object.into(),
            offset,
        },
        len: 100,
        tail_len: 40,
        range: TimeRange::new(0, 10),
        rows: 5,
        series: 2,
        raw_bytes: 80,
        level: 0,
    }
}

/// The path of an object that was made at `created`.
fn old_object(created: i64) -> String {
    paths::segment_object(&writer("w"), created, 1)
}

pub(super) fn request(add: &[SegmentMeta], remove: &[&SegmentMeta]) -> CommitRequest {
    CommitRequest {
        add: add.to_vec(),
        remove: remove.iter().map(|m| m.id.clone()).collect(),
        ..CommitRequest::new(writer("w"))
    }
}

fn position(file: u64, offset: u64) -> Vec<(TenantId, Signal, WalPosition)> {
    vec![(tenant("t"), Signal::Logs, WalPosition { file, offset })]
}

pub(super) async fn open_with(store: &Arc<dyn Store>, settings: CatalogSettings, instance: u128) -> Arc<Catalog> {
    let clock: SharedClock = Arc::new(ManualClock::new(1_000));
    Catalog::open(bucket(store, instance as u64), clock, settings, instance)
        .await
        .unwrap()
}

pub(super) async fn open(store: &Arc<dyn Store>, instance: u128) -> Arc<Catalog> {
    open_with(store, CatalogSettings::default(), instance).await
}

fn memory() -> Arc<dyn Store> {
    Arc::new(InMemory::new())
}

#[tokio::test]
async fn commits_are_found_again() {
    let store = memory();
    let catalog = open(&store, 1).await;
    assert_eq!(catalog.state().version(), CatalogVersion(0));
    let (a, b, mut c) = (segment("o", 0), segment("o", 100), segment("o2", 0));
    c.level = 1;
    let mut first = request(&[a.clone(), b.clone()], &[]);
    first.wal_positions = position(3, 7);
    catalog.commit(&first).await.unwrap();
    catalog.commit(&request(&[c.clone()], &[&a])).await.unwrap();
    let again = open(&store, 2).await;
    assert_eq!(*again.state(), *catalog.state());
    let state = again.state();
    assert_eq!(state.version(), CatalogVersion(2));
    let ids: Vec<SegmentId> = state
        .segments(&tenant("t"), Signal::Metrics)
        .iter()
        .map(|m| m.id.clone())
        .collect();
    assert_eq!(ids, [b.id.clone(), c.id]);
    assert!(state.segments(&tenant("u"), Signal::Metrics).is_empty());
    assert!(state.segments(&tenant("t"), Signal::Logs).is_empty());
    assert_eq!(
        state.wal_position(&writer("w"), &tenant("t"), Signal::Logs),
        Some(WalPosition { file: 3, offset: 7 })
    );
    assert_eq!(state.wal_position(&writer("v"), &tenant("t"), Signal::Logs), None);
    assert!(state.is_object_live("o") && !state.is_object_live("o3"));
    // What is committed already is committed at once, whoever asks.
    assert_eq!(
        again.commit(&request(&[b], &[])).await.unwrap().version(),
        CatalogVersion(2)
    );
}

#[tokio::test]
async fn every_invariant_is_wired() {
    let store = memory();
    let catalog = open(&store, 1).await;
    let live = segment("o", 100);
    let mut base = request(std::slice::from_ref(&live), &[]);
    base.wal_positions = position(3, 7);
    base.orphans_before = Some(1000);
    base.add.push(segment("pending", 0));
    catalog.commit(&base).await.unwrap();
    catalog.commit(&request(&[], &[&segment("pending", 0)])).await.unwrap();
    let mut broken = BTreeSet::new();
    let mut cases = Vec::new();
    let with = |change: fn(&mut SegmentMeta)| {
        let mut meta = segment("new", 0);
        change(&mut meta);
        request(&[meta], &[])
    };
    for change in [
        (|m| m.rows = 0) as fn(&mut SegmentMeta),
        |m| m.len = 0,
        |m| m.series = 0,
        |m| m.range = TimeRange::new(5, 5),
        |m| m.tail_len = 101,
        |m| m.tail_len = 0,
        |m| m.series = 6,
        |m| m.id.offset = u64::MAX,
        |m| m.id.object = "".into(),
    ] {
        cases.push(("added_segments_are_sane", with(change)));
    }
    cases.push(("live_bytes_do_not_overlap", request(&[segment("o", 1)], &[])));
    cases.push(("live_bytes_do_not_overlap", request(&[segment("o", 199)], &[])));
    cases.push((
        "live_bytes_do_not_overlap",
        request(&[segment("n", 0), segment("n", 99)], &[]),
    ));
    cases.push((
        "removed_segments_are_live",
        request(&[segment("n", 0)], &[&segment("o", 0)]),
    ));
    cases.push((
        "removed_segments_are_live",
        request(&[segment("n", 0)], &[&live, &live]),
    ));
    let mut foreign = segment("n", 0);
    foreign.tenant = tenant("u");
    cases.push(("replaced_and_live_are_disjoint", request(&[foreign], &[&live])));
    let mut cases_of_replacing = |change: fn(&mut SegmentMeta)| {
        let mut meta = segment("new", 0);
        change(&mut meta);
        cases.push(("replacements_invent_no_rows", request(&[meta], &[&live])));
    };
    cases_of_replacing(|m| m.rows = 6);
    cases_of_replacing(|m| m.range = TimeRange::new(0, 11));
    cases_of_replacing(|m| m.range = TimeRange::new(-1, 10));
    let halves = [segment("n", 0), segment("n", 100)];
    cases.push(("replacements_invent_no_rows", request(&halves, &[&live])));
    let on_its_way_out = "objects_on_their_way_out_hold_nothing_new";
    cases.push((on_its_way_out, request(&[segment("pending", 200)], &[])));
    cases.push((on_its_way_out, request(&[segment(&old_object(999), 0)], &[])));
    let with_housekeeping = |change: &dyn Fn(&mut CommitRequest)| {
        let mut request = request(&[], &[]);
        change(&mut request);
        request
    };
    cases.push((
        "deleted_objects_were_pending",
        with_housekeeping(&|r| r.deleted = vec!["o".into()]),
    ));
    cases.push((
        "deleted_objects_were_pending",
        with_housekeeping(&|r| {
            r.add = vec![segment("n", 0)];
            r.orphans_before = Some(999);
        }),
    ));
    let bad = |meta: &SegmentMeta| (meta.id.clone(), "bad".to_string());
    cases.push((
        "quarantined_segments_are_live",
        with_housekeeping(&|r| r.quarantine = vec![bad(&segment("o", 0))]),
    ));
    let mut both = request(&[], &[&live]);
    both.quarantine = vec![bad(&live)];
    cases.push(("quarantined_segments_are_live", both));
    cases.push((
        "quarantined_segments_are_live",
        with_housekeeping(&|r| {
            r.add = vec![segment("n", 0)];
            r.release = vec![live.id.clone()];
        }),
    ));
    let mut back = request(&[segment("n", 0)], &[]);
    back.wal_positions = position(3, 6);
    cases.push(("wal_positions_never_go_back", back));
    let mut twice = request(&[segment("n", 0)], &[]);
    twice.wal_positions = [position(4, 0), position(5, 0)].concat();
    cases.push(("wal_positions_never_go_back", twice));
    let deleting = |change: fn(&mut Tombstone)| {
        let mut tombstone = tombstone(1, 0, 50);
        change(&mut tombstone);
        CommitRequest {
            delete: vec![tombstone],
            ..request(&[], &[])
        }
    };
    cases.push(("tombstones_are_sane", deleting(|t| t.range = TimeRange::new(5, 5))));
    cases.push(("tombstones_are_sane", deleting(|t| t.filter = Some("x".into()))));
    let mut same = deleting(|_| {});
    same.delete.push(tombstone(1, 0, 60));
    cases.push(("tombstones_are_sane", same));
    let mut unknown = request(&[segment("n", 0)], &[&live]);
    unknown.applied = vec![TombstoneId(1)];
    cases.push(("tombstones_reach_what_replaces_their_segments", unknown));
    for (name, request) in cases {
        let error = catalog.commit(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(name), "{name}: {error}");
        broken.insert(name);
    }
    assert_eq!(broken, INVARIANTS.iter().map(|i| i.name).collect());
    assert_eq!(open(&store, 2).await.state().version(), CatalogVersion(2));
    // Neighbours are no overlap.
    catalog
        .commit(&request(&[segment("o", 0), segment("o", 200)], &[]))
        .await
        .unwrap();
}

/// `tasks` catalogs over one store, each with its own writer, commit at once; every commit is there once.
async fn commit_concurrently(store: Arc<dyn Store>, tasks: u64, commits: u64) {
    let settings = CatalogSettings {
        checkpoint_every: 16,
        ..Default::default()
    };
    let mut handles = Vec::new();
    for task in 0..tasks {
        let (store, settings) = (Arc::clone(&store), settings.clone());
        handles.push(tokio::spawn(async move {
            let catalog = open_with(&store, settings, u128::from(task) + 10).await;
            for n in 0..commits {
                let mut request = CommitRequest::new(writer(&format!("w{task}")));
                request.add.push(segment(&format!("{task}-{n}"), 0));
                request.wal_positions = position(n, task);
                // An unknown outcome is asked again until it is known.
                loop {
                    match catalog.commit(&request).await {
                        Ok(state) => break assert!(state.find(&request.add[0].id).is_some()),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                    }
                }
            }
        }));
    }
    for handle in handles {
        handle.await.unwrap();
    }
    let state = loop {
        let clock: SharedClock = Arc::new(ManualClock::new(1_000));
        match Catalog::open(bucket(&store, 99), clock, settings.clone(), 99).await {
            Ok(catalog) => break catalog.state(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    };
    assert_eq!(state.segment_count() as u64, tasks * commits);
    assert_eq!(state.version(), CatalogVersion(tasks * commits));
    for task in 0..tasks {
        let expected = WalPosition {
            file: commits - 1,
            offset: task,
        };
        let writer = writer(&format!("w{task}"));
        assert_eq!(state.wal_position(&writer, &tenant("t"), Signal::Logs), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_all_succeed_in_memory() {
    commit_concurrently(memory(), 8, 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_all_succeed_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocalStore::open(Arc::new(OsFiles), folder.path()).unwrap();
    commit_concurrently(Arc::new(store), 8, 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_all_succeed_on_a_store_that_loses_answers() {
    let store = Arc::new(FaultyStore::new(memory(), 5));
    store.set_faults(Faults {
        refused: 0.05,
        answer_lost: 0.15,
    });
    commit_concurrently(store.clone(), 4, 25).await;
    // How many requests there were depends on how the writers met: at least one a commit.
    assert!(store.injected() > 5);
}

#[tokio::test]
async fn a_listing_that_lacks_a_delta_is_repeated() {
    let store = Arc::new(FaultyStore::new(memory(), 5));
    let shared: Arc<dyn Store> = store.clone();
    let (catalog, reader) = (open(&shared, 1).await, open(&shared, 2).await);
    for n in 0..4 {
        let commit = request(&[segment(&format!("o{n}"), 0)], &[]);
        catalog.commit(&commit).await.unwrap();
        if n == 0 {
            reader.refresh().await.unwrap();
        }
    }
    // As a folder may be listed while two deltas are made.
    store.hide_from_next_listing(&format!("p/{}", paths::catalog_delta(3)));
    assert_eq!(reader.refresh().await.unwrap().version(), CatalogVersion(4));
    store.hide_from_next_listing(&format!("p/{}", paths::catalog_delta(2)));
    assert_eq!(open(&shared, 3).await.state().segment_count(), 4);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_can_be_given_again() {
    let store = Arc::new(FaultyStore::new(memory(), 5));
    let shared: Arc<dyn Store> = store.clone();
    let catalog = open(&shared, 1).await;
    store.set_faults(Faults {
        answer_lost: 1.0,
        ..Default::default()
    });
    let commit = request(&[segment("o", 0)], &[]);
    assert_eq!(
        catalog.commit(&commit).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    store.set_faults(Faults::default());
    assert_eq!(catalog.commit(&commit).await.unwrap().version(), CatalogVersion(1));
    assert_eq!(open(&shared, 2).await.state().segment_count(), 1);
}

#[tokio::test]
async fn checkpoints_replace_old_deltas_after_the_grace() {
    let store = memory();
    let clock = Arc::new(ManualClock::new(0));
    let settings = CatalogSettings {
        checkpoint_every: 4,
        delta_grace: Duration::from_secs(100),
        ..Default::default()
    };
    let behind = open_with(&store, settings.clone(), 5).await;
    behind.commit(&request(&[segment("first", 0)], &[])).await.unwrap();
    let shared: SharedClock = clock.clone();
    let catalog = Catalog::open(bucket(&store, 1), shared, settings.clone(), 1)
        .await
        .unwrap();
    for n in 0..30 {
        clock.advance(Duration::from_secs(30));
        catalog
            .commit(&request(&[segment(&format!("o{n}"), 0)], &[]))
            .await
            .unwrap();
    }
    let bucket = bucket(&store, 1);
    let left = bucket.list(paths::CATALOG_PREFIX, None).await.unwrap();
    assert!(left.len() < 15, "{left:?}");
    assert!(!left.iter().any(|o| o.path == paths::catalog_delta(2)));
    let fresh = open_with(&store, settings, 2).await;
    assert_eq!(*fresh.state(), *catalog.state());
    // A damaged checkpoint is passed over while the older one and the deltas since are there.
    let newest = left.iter().rfind(|o| o.path.ends_with(".checkpoint")).unwrap();
    bucket.put(&newest.path, "garbage".into()).await.unwrap();
    assert_eq!(*open(&store, 3).await.state(), *catalog.state());
    // Whoever is far behind finds the way by a checkpoint, in reading and in committing.
    assert_eq!(*behind.refresh().await.unwrap(), *catalog.state());
    assert_eq!(catalog.state().segment_count(), 31);
}

#[tokio::test]
async fn a_missing_delta_is_named() {
    let store = memory();
    let catalog = open(&store, 1).await;
    for n in 0..3 {
        catalog
            .commit(&request(&[segment(&format!("o{n}"), 0)], &[]))
            .await
            .unwrap();
    }
    bucket(&store, 1).delete(&paths::catalog_delta(2)).await.unwrap();
    let clock: SharedClock = Arc::new(ManualClock::new(0));
    let error = Catalog::open(bucket(&store, 2), clock, CatalogSettings::default(), 2)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("00000000000000000002.delta"), "{error}");
}

#[tokio::test]
async fn single_writer_mode_notices_a_second_writer() {
    let store = memory();
    let settings = CatalogSettings {
        single_writer: true,
        ..Default::default()
    };
    let first = open_with(&store, settings.clone(), 1).await;
    first.commit(&request(&[segment("a", 0)], &[])).await.unwrap();
    first.commit(&request(&[segment("b", 0)], &[])).await.unwrap();
    assert_eq!(first.second_writers_seen(), 0);
    let second = open_with(&store, settings, 2).await;
    second.commit(&request(&[segment("c", 0)], &[])).await.unwrap();
    assert_eq!(second.second_writers_seen(), 0);
    first.commit(&request(&[segment("d", 0)], &[])).await.unwrap();
    assert_eq!(first.second_writers_seen(), 1);
    // One at a time they do not even lose anything.
    assert_eq!(open(&store, 3).await.state().segment_count(), 4);
}

#[tokio::test]
async fn objects_are_pending_from_their_last_segment_to_their_deletion() {
    let store = memory();
    let clock = Arc::new(ManualClock::new(50));
    let settings = CatalogSettings {
        checkpoint_every: 3,
        ..Default::default()
    };
    let shared: SharedClock = clock.clone();
    let catalog = Catalog::open(bucket(&store, 1), shared, settings.clone(), 1)
        .await
        .unwrap();
    let (a, b, c) = (segment("o", 0), segment("o", 100), segment("p", 0));
    catalog
        .commit(&request(&[a.clone(), b.clone(), c.clone()], &[]))
        .await
        .unwrap();
    let mut quarantine = request(&[], &[]);
    quarantine.quarantine = vec![(c.id.clone(), "page 3".into()), (b.id.clone(), "page 4".into())];
    catalog.commit(&quarantine).await.unwrap();
    clock.set(60);
    catalog.commit(&request(&[], &[&a])).await.unwrap();
    assert_eq!(catalog.state().pending_deletions().count(), 0, "b still lies in it");
    clock.set(70);
    catalog.commit(&request(&[], &[&b])).await.unwrap();
    let mut horizon = request(&[], &[]);
    horizon.orphans_before = Some(65);
    catalog.commit(&horizon).await.unwrap();
    let check = |state: &CatalogState| {
        let pending: Vec<_> = state.pending_deletions().collect();
        assert_eq!(pending, [(&Arc::from("o"), 70)]);
        let quarantined: Vec<_> = state
            .quarantined()
            .map(|(id, q)| (id.clone(), q.reason.clone()))
            .collect();
        assert_eq!(quarantined, [(c.id.clone(), "page 3".to_string())], "b is gone");
        assert_eq!(state.orphans_before(), 65);
    };
    check(&catalog.state());
    // From a checkpoint and deltas, and from a checkpoint alone.
    check(&open(&store, 2).await.state());
    let mut rest = request(&[segment(&old_object(65), 0)], &[]);
    rest.release = vec![c.id.clone()];
    rest.deleted = vec!["o".into()];
    catalog.commit(&rest).await.unwrap();
    let again = open(&store, 3).await.state();
    assert_eq!(*again, *catalog.state());
    assert_eq!(again.pending_deletions().count() + again.quarantined().count(), 0);
    // What is done already is done at once, whoever asks.
    let version = again.version();
    for done in [&rest, &horizon] {
        assert_eq!(catalog.commit(done).await.unwrap().version(), version);
    }
}
