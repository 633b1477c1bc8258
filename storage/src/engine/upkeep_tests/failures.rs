//! Failures, crashes and damage at every point of upkeep lose nothing.

use super::*;

#[tokio::test]
async fn a_merge_that_fails_at_any_point_loses_nothing_and_is_made_up_for() {
    for point in FailPoints::COMPACT {
        let fixture = StoreFixture::new(3);
        let (storage, written) = filled(&fixture, 3, 4, 4).await;
        fixture.fail_points.arm(point, 0, FailAction::Fail);
        let failed = loop {
            match storage.compact_once(Depth::Full).await {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable, "{point}");
        written.check(&storage, point).await;
        // A job that failed waits its turn.
        fixture.clock.advance(Duration::from_secs(3600));
        storage.compact_all().await.unwrap();
        written.check(&storage, point).await;
        assert_eq!(storage.stats().segment_rows, written.rows(), "{point}: each row once");
        clean_up(&fixture, &storage, point).await;
        written.check(&storage, point).await;
    }
}

/// After all grace periods the bucket holds what is live and nothing else.
async fn clean_up(fixture: &StoreFixture, storage: &Storage, what: &str) {
    fixture
        .clock
        .advance(fixture.config.orphan_age + Duration::from_secs(1));
    while storage.compact_all().await.unwrap() != UpkeepReport::default() {
        fixture.clock.advance(fixture.config.deletion_grace);
    }
    storage.sweep_once().await.unwrap();
    let status = storage.upkeep_status();
    assert_eq!(status.pending_objects, 0, "{what}");
    let found = objects(fixture).await;
    assert_eq!(found.len() as u64, status.live_objects, "{what}: {found:?}");
}

#[tokio::test]
async fn a_crash_at_any_point_of_upkeep_loses_nothing_and_leaves_nothing_behind() {
    for point in FailPoints::COMPACT.iter().chain(&FailPoints::CLEAN).copied() {
        let mut fixture = StoreFixture::new(4);
        fixture.config.retention = Arc::new(RetentionSettings {
            defaults: [days(100), days(100)],
            ..Default::default()
        });
        let (storage, written) = filled(&fixture, 4, 4, 4).await;
        // Rows that expire before the crash, in segments of their own.
        let mut append = storage.begin_samples(&tenant("old")).await.unwrap();
        let labels = Labels::from_pairs([("__name__", "x")]);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        append.push(id, START - 99 * DAY, 1.0);
        append.commit().await.unwrap();
        storage.flush().await.unwrap();
        // An orphan of an earlier crash.
        fixture.fail_points.arm("compact.object_put", 0, FailAction::Fail);
        storage.compact_once(Depth::Full).await.unwrap_err();
        fixture.clock.advance(Duration::from_secs(2 * 24 * 3600));

        fixture.fail_points.arm(point, 0, FailAction::Stall);
        let stalled = {
            let (storage, fixture) = (storage.clone(), fixture.clone());
            tokio::spawn(async move {
                storage.compact_all().await.unwrap();
                fixture.clock.advance(fixture.config.deletion_grace);
                storage.compact_all().await.unwrap();
                storage.sweep_once().await.unwrap();
            })
        };
        fixture.fail_points.reached().await;
        written.check(&storage, point).await;
        stalled.abort();
        // The process is gone: nothing it still does reaches the disk, and it holds no lock.
        fixture.disk.crash();
        fixture.fail_points = FailPoints::default();
        let storage = fixture.open().await.unwrap();
        written.check(&storage, point).await;
        fixture.clock.advance(Duration::from_secs(3600));
        storage.compact_all().await.unwrap();
        written.check(&storage, point).await;
        assert_eq!(storage.stats().segment_rows, written.rows(), "{point}: each row once");
        clean_up(&fixture, &storage, point).await;
        written.check(&storage, point).await;
    }
}

#[tokio::test]
async fn a_failing_object_store_delays_upkeep_and_breaks_nothing() {
    let fixture = StoreFixture::new(5);
    let (storage, faults) = fixture.open_faulty().await.unwrap();
    let (mut written, mut rng) = (Written::default(), StdRng::seed_from_u64(5));
    for _ in 0..4 {
        written.write(&storage, &mut rng, 4).await;
        storage.flush().await.unwrap();
    }
    faults.set_faults(Faults {
        refused: 0.25,
        answer_lost: 0.15,
    });
    let mut failures = 0;
    for _ in 0..60 {
        failures += u64::from(storage.compact_once(Depth::Full).await.is_err());
        failures += u64::from(storage.remove_once().await.is_err());
        failures += u64::from(storage.sweep_once().await.is_err());
        fixture.clock.advance(Duration::from_secs(3600));
    }
    assert!(failures > 3 && faults.injected() > 50, "{failures}");
    faults.set_faults(Faults::default());
    written.check(&storage, "after failures").await;
    storage.compact_all().await.unwrap();
    assert_eq!(storage.stats().segment_rows, written.rows(), "each row once");
    clean_up(&fixture, &storage, "after failures").await;
    written.check(&storage, "in the end").await;
}

/// Damages bytes of a live segment: at `from_end` bytes before its end.
async fn damage(
    fixture: &StoreFixture,
    storage: &Storage,
    at: usize,
    from_end: Option<u64>,
) -> crate::segment::SegmentId {
    let state = storage.0.catalog.state();
    let lane = state.segments(&tenant("a"), Signal::Logs);
    let meta = lane[at].clone();
    let path = object_store::path::Path::from(&*meta.id.object);
    let mut bytes = fixture
        .objects
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    let end = (meta.id.offset + meta.len) as usize;
    let place = match from_end {
        Some(back) => end - back as usize,
        None => meta.id.offset as usize + 3,
    };
    bytes[place] ^= 0x55;
    fixture.objects.put(&path, bytes.into()).await.unwrap();
    meta.id.clone()
}

#[tokio::test]
async fn what_cannot_be_read_is_quarantined_and_the_rest_goes_on() {
    // A page, the footer, the whole object.
    for case in 0..3 {
        let mut fixture = StoreFixture::new(6);
        fixture.config.tail_cache_bytes = 0;
        let (storage, written) = filled(&fixture, 6, 1, 4).await;
        let lanes = ["a", "b"]
            .map(tenant)
            .into_iter()
            .flat_map(|t| [(t.clone(), Signal::Logs), (t, Signal::Metrics)]);
        let lanes: Vec<_> = lanes.collect();
        let bad = match case {
            0 => damage(&fixture, &storage, 3, None).await,
            1 => damage(&fixture, &storage, 3, Some(40)).await,
            _ => {
                let state = storage.0.catalog.state();
                let id = state.segments(&tenant("a"), Signal::Logs)[3].id.clone();
                fixture
                    .objects
                    .delete(&object_store::path::Path::from(&*id.object))
                    .await
                    .unwrap();
                id
            }
        };
        let state = storage.0.catalog.state();
        let in_bad_object = state.all_segments().filter(|m| m.id.object == bad.object).count() as u64;
        let report = storage.compact_all().await.unwrap();
        let expected = if case == 2 { in_bad_object } else { 1 };
        assert_eq!(
            (report.quarantined, report.failures),
            (expected, 0),
            "{case}: {report:?}"
        );
        let status = storage.upkeep_status();
        assert_eq!(status.planned_merges, 0);
        assert!(
            status
                .quarantined
                .iter()
                .any(|(id, reason, _)| *id == bad && !reason.is_empty()),
            "{status:?}"
        );
        // Everything else is merged, and answered.
        let state = storage.0.catalog.state();
        let unmerged = state.all_segments().filter(|m| m.level == 0);
        assert!(unmerged.into_iter().all(|m| state.is_quarantined(&m.id)));
        if case < 2 {
            for (t, signal) in &lanes {
                if (t.as_str(), *signal) != ("a", Signal::Logs) {
                    continue;
                }
                let found = read_entries(&storage, t, &[], TimeRange::ALL).await.unwrap();
                let all = written.entries.iter().filter(|(tenant, _)| tenant == t).count();
                assert!(!found.is_empty() && found.len() <= all);
            }
            let samples = read_samples(&storage, &tenant("a"), &[], TimeRange::ALL).await.unwrap();
            assert_eq!(
                samples.len(),
                written.samples.keys().filter(|(t, ..)| *t == tenant("a")).count()
            );
        }
        assert_eq!(storage.compact_all().await.unwrap(), UpkeepReport::default(), "it ends");
        // A later start knows it too.
        drop(storage);
        fixture.disk.crash();
        let storage = fixture.open().await.unwrap();
        assert_eq!(storage.upkeep_status().quarantined, status.quarantined);
    }
}
