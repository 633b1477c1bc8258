//! Tombstones through commits, checkpoints and compactions.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::object::Store;
use object_store::memory::InMemory;

use super::tests::{open, open_with, request, segment, tenant};
use super::*;
use crate::deletes::{Tombstone, TombstoneId};
use crate::error::ErrorKind;
use crate::model::{LabelMatcher, MatchOp, Signal, TimeRange};
use crate::segment::SegmentMeta;

pub(super) fn tombstone(id: u64, start: i64, end: i64) -> Tombstone {
    Tombstone {
        id: TombstoneId(id),
        tenant: tenant("t"),
        signal: Signal::Metrics,
        matchers: vec![
            LabelMatcher::with_pattern("a", MatchOp::Regex, "x|y", "(?:x|y)").unwrap(),
            LabelMatcher::new("b", MatchOp::NotEqual, "z").unwrap(),
        ],
        filter: None,
        range: TimeRange::new(start, end),
        query: "{a=~\"x|y\"}".into(),
        created_ns: 5,
        cancel_until_ns: 50,
    }
}

fn at(object: &str, start: i64, end: i64) -> SegmentMeta {
    SegmentMeta {
        range: TimeRange::new(start, end),
        ..segment(object, 0)
    }
}

fn covering(catalog: &Catalog, meta: &SegmentMeta) -> Vec<u64> {
    let deletes = catalog.state().deletes(&meta.tenant, meta.signal);
    deletes.covering(&meta.id).iter().map(|t| t.id.0).collect()
}

fn deleting(tombstones: &[Tombstone]) -> CommitRequest {
    CommitRequest {
        delete: tombstones.to_vec(),
        ..request(&[], &[])
    }
}

#[tokio::test]
async fn a_tombstone_covers_what_is_live_and_is_inherited_until_it_is_applied() {
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    for checkpoint_every in [1, 1000] {
        let store = match checkpoint_every {
            1 => store.clone(),
            _ => Arc::new(InMemory::new()),
        };
        let settings = CatalogSettings {
            checkpoint_every,
            ..CatalogSettings::default()
        };
        let catalog = open_with(&store, settings, 1).await;
        let (a, b, far) = (at("a", 0, 10), at("b", 5, 20), at("far", 100, 110));
        catalog
            .commit(&request(&[a.clone(), b.clone(), far.clone()], &[]))
            .await
            .unwrap();
        catalog
            .commit(&deleting(&[tombstone(1, 0, 50), tombstone(2, 15, 16)]))
            .await
            .unwrap();
        let late = at("late", 0, 10);
        catalog
            .commit(&request(std::slice::from_ref(&late), &[]))
            .await
            .unwrap();
        let check = async |expected: &[(&SegmentMeta, &[u64])]| {
            for (meta, ids) in expected {
                assert_eq!(covering(&catalog, meta), *ids, "{}", meta.id.object);
            }
            let again = open(&store, 2).await;
            assert_eq!(*again.state(), *catalog.state(), "read again, {checkpoint_every}");
        };
        check(&[(&a, &[1]), (&b, &[1, 2]), (&far, &[]), (&late, &[])]).await;

        // `far` and `a` may go together: nothing of `far` is in the tombstone's range.
        let (near, beyond) = (at("near", 0, 10), at("beyond", 100, 110));
        let merge = request(&[near.clone(), beyond.clone()], &[&a, &far]);
        catalog.commit(&merge).await.unwrap();
        check(&[(&near, &[1]), (&beyond, &[]), (&a, &[])]).await;

        let mut merge = request(&[at("ab", 0, 20)], &[&near, &b]);
        merge.applied = vec![TombstoneId(2)];
        catalog.commit(&merge).await.unwrap();
        check(&[(&at("ab", 0, 20), &[1]), (&b, &[])]).await;
        let status: Vec<(u64, u64)> = catalog
            .state()
            .deletes(&tenant("t"), Signal::Metrics)
            .all()
            .map(|d| (d.covered_at_first, d.covered))
            .collect();
        assert_eq!(status, [(2, 1), (1, 0)]);

        let mut clear = request(&[], &[]);
        clear.clear = vec![(TombstoneId(1), at("ab", 0, 20).id)];
        catalog.commit(&clear).await.unwrap();
        check(&[(&at("ab", 0, 20), &[])]).await;
        let mut forget = request(&[], &[]);
        forget.forget = [1, 2]
            .map(|id| ((tenant("t"), Signal::Metrics), TombstoneId(id)))
            .to_vec();
        let version = catalog.commit(&forget).await.unwrap().version();
        check(&[]).await;
        assert!(catalog.state().deletes(&tenant("t"), Signal::Metrics).is_empty());
        // Given again, each of them is known to be there.
        for again in [clear, forget, merge] {
            assert_eq!(catalog.commit(&again).await.unwrap().version(), version);
        }
    }
}

#[tokio::test]
async fn a_merge_never_mixes_covered_rows_with_later_ones() {
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    let catalog = open(&store, 1).await;
    let (old, new) = (at("old", 0, 10), at("new", 0, 10));
    catalog.commit(&request(std::slice::from_ref(&old), &[])).await.unwrap();
    catalog.commit(&deleting(&[tombstone(1, 0, 50)])).await.unwrap();
    catalog.commit(&request(std::slice::from_ref(&new), &[])).await.unwrap();
    let refused = async |merge: &CommitRequest| {
        let error = catalog.commit(merge).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let name = "tombstones_reach_what_replaces_their_segments";
        assert!(error.to_string().contains(name), "{error}");
    };
    let mut merge = request(&[at("both", 0, 10)], &[&old, &new]);
    refused(&merge).await;
    // A merge that left out rows of a delete that was cancelled meanwhile is refused, too.
    merge.applied = vec![TombstoneId(2)];
    refused(&merge).await;
    merge.applied = vec![TombstoneId(1)];
    catalog.commit(&merge).await.unwrap();
    assert_eq!(covering(&catalog, &at("both", 0, 10)), [0u64; 0]);
}

#[tokio::test]
async fn objects_with_tombstones_have_a_version_that_older_readers_refuse() {
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    let catalog = open(&store, 1).await;
    catalog.commit(&request(&[segment("a", 0)], &[])).await.unwrap();
    catalog.commit(&deleting(&[tombstone(1, 0, 50)])).await.unwrap();
    for (version, expected) in [(1, 1), (2, 2)] {
        let path = crate::object::paths::catalog_delta(version);
        let bytes = tests::bucket(&store, 1).get(&path).await.unwrap();
        assert_eq!(bytes[8], expected);
    }
}
