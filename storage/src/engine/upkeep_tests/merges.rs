//! What is read stays the same while segments are merged, and while queries hold what was replaced.

use super::*;

#[tokio::test]
async fn reads_answer_the_same_before_between_and_after_merges() {
    for seed in 0..6 {
        let fixture = StoreFixture::new(seed);
        let (storage, mut written) = filled(&fixture, seed, [1, 4, 70][seed as usize % 3], 5).await;
        written.check(&storage, "flushed").await;
        let mut rng = StdRng::seed_from_u64(seed + 100);
        for depth in [Depth::Economical, Depth::Full] {
            let mut rounds = 0;
            while let Some(report) = storage.compact_once(depth).await.unwrap() {
                assert_eq!(
                    (report.failures, report.quarantined, report.conflicts),
                    (0, 0, 0),
                    "{report:?}"
                );
                written.check(&storage, "between").await;
                if rounds < 3 {
                    written.write(&storage, &mut rng, 70).await;
                    written.check(&storage, "head over merged").await;
                }
                rounds += 1;
                assert!(rounds < 50, "merging ends");
            }
            storage.flush().await.unwrap();
        }
        let report = storage.compact_all().await.unwrap();
        assert_eq!(report.failures, 0);
        written.check(&storage, "merged").await;
        let stats = storage.stats();
        assert_eq!(stats.segment_rows, written.rows(), "each row once");
        let status = storage.upkeep_status();
        assert_eq!((status.planned_merges, status.segments_by_level[0]), (0, 0));
        assert_eq!(
            storage.compact_all().await.unwrap(),
            UpkeepReport::default(),
            "nothing is left"
        );
        storage.close(Duration::from_secs(60)).await.unwrap();
        let storage = fixture.open().await.unwrap();
        written.check(&storage, "opened again").await;
        // Old windows are one segment each, wide ones are few.
        fixture.clock.advance(Duration::from_secs(100 * 24 * 3600));
        storage.compact_all().await.unwrap();
        written.check(&storage, "a hundred days later").await;
        assert!(storage.stats().segments <= 4 * 4, "{:?}", storage.stats());
    }
}

#[tokio::test]
async fn many_small_tenants_share_the_objects_of_merges_too() {
    let fixture = StoreFixture::new(1);
    let storage = fixture.open().await.unwrap();
    for round in 0..3 {
        for t in 0..100 {
            let mut append = storage.begin_samples(&tenant(&format!("t{t}"))).await.unwrap();
            let labels = Labels::from_pairs([("__name__", "x")]);
            let id = append.register(labels.fingerprint(), labels).unwrap();
            append.push(id, START - 5 * HOUR + round, 1.0);
            append.commit().await.unwrap();
        }
        storage.flush().await.unwrap();
    }
    assert_eq!((storage.stats().segments, objects(&fixture).await.len()), (300, 3));
    let report = storage.compact_once(Depth::Economical).await.unwrap().unwrap();
    assert_eq!(
        (report.merges, report.segments_in, report.segments_out),
        (100, 300, 100)
    );
    assert_eq!(storage.compact_once(Depth::Economical).await.unwrap(), None);
    let status = storage.upkeep_status();
    assert_eq!((status.live_objects, status.pending_objects), (1, 3));
    assert_eq!(storage.remove_once().await.unwrap(), None, "the grace period runs");
    fixture.clock.advance(fixture.config.deletion_grace);
    assert_eq!(storage.remove_once().await.unwrap().unwrap().objects_deleted, 3);
    assert_eq!(objects(&fixture).await.len(), 1);
    assert_eq!(storage.upkeep_status().pending_objects, 0);
    for t in 0..100 {
        let rows = read_samples(&storage, &tenant(&format!("t{t}")), &[], TimeRange::ALL).await;
        assert_eq!(rows.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_query_keeps_its_view_until_the_grace_period_is_over() {
    struct Held(Arc<dyn crate::scan::StoreView>);
    impl std::fmt::Debug for Held {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a view held")
        }
    }
    impl StoreReader for Held {
        fn view(&self, _: &TenantId) -> crate::Result<Arc<dyn crate::scan::StoreView>> {
            Ok(self.0.clone())
        }
    }
    let mut fixture = StoreFixture::new(2);
    // Nothing is remembered: the old view reads from the bucket.
    fixture.config.tail_cache_bytes = 0;
    let (storage, written) = filled(&fixture, 2, 4, 4).await;
    let a = tenant("a");
    let held = Held(storage.view(&a).unwrap());
    let expected = read_entries(&held, &a, &[], TimeRange::ALL).await.unwrap();
    assert!(!expected.is_empty());
    storage.compact_all().await.unwrap();
    fixture
        .clock
        .advance(fixture.config.deletion_grace - Duration::from_secs(1));
    storage.compact_all().await.unwrap();
    let found = read_entries(&held, &a, &[], TimeRange::ALL).await.unwrap();
    assert_eq!(found, expected, "replaced segments are still there");
    fixture.clock.advance(Duration::from_secs(1));
    assert!(storage.remove_once().await.unwrap().unwrap().objects_deleted > 0);
    let gone = read_entries(&held, &a, &[], TimeRange::ALL).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    written.check(&storage, "a view of now").await;
}
