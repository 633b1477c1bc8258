//! What has expired is not answered, and goes.

use super::*;

#[tokio::test]
async fn expired_rows_are_not_answered_and_then_go() {
    let mut fixture = StoreFixture::new(7);
    fixture.config.retention = Arc::new(RetentionSettings {
        defaults: [days(10), days(20)],
        ..Default::default()
    });
    let (storage, written) = filled(&fixture, 7, 40, 3).await;
    let now = START;
    let kept = |labels: &Labels, time: i64| {
        let days = if labels.get("app").is_some() { 10 } else { 20 };
        time >= now - days * DAY
    };
    written.check_those(&storage, "at once", kept).await;
    let before = storage.stats();
    let report = storage.retain_once().await.unwrap().unwrap();
    assert!(report.segments_dropped > 0 && report.rows_dropped > 0);
    assert_eq!(storage.stats().segments, before.segments - report.segments_dropped);
    assert_eq!(storage.retain_once().await.unwrap(), None);
    written.check_those(&storage, "dropped", kept).await;
    storage.compact_all().await.unwrap();
    written.check_those(&storage, "merged", kept).await;
    fixture.clock.advance(Duration::from_secs(30 * 24 * 3600));
    storage.compact_all().await.unwrap();
    assert_eq!(storage.stats().segments, 0, "everything has expired");
    fixture.clock.advance(fixture.config.deletion_grace);
    storage.compact_all().await.unwrap();
    assert_eq!(objects(&fixture).await, [] as [&str; 0]);
}

#[tokio::test]
async fn series_of_a_shorter_period_are_left_out_when_a_segment_is_written_again() {
    let mut fixture = StoreFixture::new(8);
    let mut rules = days(100);
    rules.streams.push(StreamRule {
        matchers: vec![LabelMatcher::new("app", MatchOp::Regex, "s[0-2]").unwrap()],
        priority: 1,
        period: Duration::from_secs(10 * 24 * 3600),
    });
    fixture.config.retention = Arc::new(RetentionSettings {
        defaults: [rules, days(0)],
        ..Default::default()
    });
    let (storage, written) = filled(&fixture, 8, 2, 3).await;
    storage.compact_all().await.unwrap();
    written.check(&storage, "nothing has expired").await;
    let rows = storage.stats().segment_rows;
    fixture.clock.advance(Duration::from_secs(13 * 24 * 3600));
    storage.compact_all().await.unwrap();
    let short = |labels: &Labels| matches!(labels.get("app"), Some("s0" | "s1" | "s2"));
    let expired = written.entries.iter().filter(|(_, e)| short(&e.stream)).count() as u64;
    assert!(expired > 0);
    assert_eq!(
        storage.stats().segment_rows,
        rows - expired,
        "they are gone from the store"
    );
    written
        .check_those(&storage, "left out", |labels, _| !short(labels))
        .await;
    let report = storage.compact_all().await.unwrap();
    assert_eq!(
        (report.segments_in, report.segments_dropped),
        (0, 0),
        "nothing is written twice"
    );
}

/// The rows that reads of a store must answer where `app` (of logs) and `__name__` (of metrics) decide the period.
fn is_kept(now: i64) -> impl Fn(&Labels, i64) -> bool {
    move |labels, time| {
        let short = matches!(
            labels.get("app").or(labels.get("__name__")),
            Some("s0" | "s1" | "s2" | "m0" | "m1")
        );
        time >= now - if short { 10 * DAY } else { 40 * DAY }
    }
}

#[tokio::test]
async fn reads_hide_rows_past_the_period_of_their_own_series_at_once() {
    let mut fixture = StoreFixture::new(18);
    let mut rules = days(40);
    for (label, value) in [("app", "s[0-2]"), ("__name__", "m[01]")] {
        rules.streams.push(StreamRule {
            matchers: vec![LabelMatcher::new(label, MatchOp::Regex, value).unwrap()],
            priority: 1,
            period: Duration::from_secs(10 * 24 * 3600),
        });
    }
    fixture.config.retention = Arc::new(RetentionSettings {
        defaults: [rules.clone(), rules],
        ..Default::default()
    });
    let (storage, mut written) = filled(&fixture, 18, 60, 4).await;
    let mut rng = StdRng::seed_from_u64(19);
    // Some of it in a head.
    written.write(&storage, &mut rng, 60).await;
    let now = || crate::clock::Clock::now(&fixture.clock);
    for _ in 0..4 {
        written.check_those(&storage, "flushed and head", is_kept(now())).await;
        fixture.clock.advance(Duration::from_secs(24 * 3600 + 1800));
    }
    storage.flush().await.unwrap();
    storage.compact_all().await.unwrap();
    written.check_those(&storage, "compacted", is_kept(now())).await;
    // Merged segments hold each entry once, so that volumes are exact, and nothing of them has been left out since.
    fixture.clock.advance(Duration::from_secs(24 * 3600 + 1800));
    let mut expected: BTreeMap<(TenantId, String), u64> = BTreeMap::new();
    let kept = is_kept(now());
    for (tenant, entry) in written.entries.iter().filter(|(_, e)| kept(&e.stream, e.time)) {
        *expected.entry((tenant.clone(), entry.stream.to_string())).or_default() += 1;
    }
    let mut counted = BTreeMap::new();
    for name in ["a", "b"] {
        let request = SeriesRequest {
            signal: Signal::Logs,
            matchers: Vec::new(),
            range: TimeRange::ALL,
        };
        let view = storage.view(&tenant(name)).unwrap();
        let selection = view.select_logs(&request, &scan_context()).await.unwrap();
        for volume in selection.volumes(DAY).await.unwrap() {
            let key = (tenant(name), volume.labels.to_string());
            *counted.entry(key).or_default() += volume.total().rows;
        }
    }
    assert!(expected.len() > 6 && expected.values().sum::<u64>() < written.entries.len() as u64);
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn the_oldest_segments_go_where_the_store_is_over_its_limit() {
    let mut fixture = StoreFixture::new(9);
    let (storage, _) = filled(&fixture, 9, 60, 3).await;
    storage.compact_all().await.unwrap();
    let (bytes, segments) = (storage.stats().segment_bytes, storage.stats().segments);
    drop(storage);
    fixture.disk.crash();
    fixture.config.retention = Arc::new(RetentionSettings {
        max_store_bytes: bytes / 2,
        ..Default::default()
    });
    let storage = fixture.open().await.unwrap();
    let oldest = |storage: &Storage| {
        storage
            .0
            .catalog
            .state()
            .all_segments()
            .map(|m| m.range.end)
            .min()
            .unwrap()
    };
    let before = oldest(&storage);
    let report = storage.retain_once().await.unwrap().unwrap();
    assert!(storage.stats().segment_bytes <= bytes / 2);
    assert!(report.segments_dropped > 0 && report.segments_dropped < segments);
    assert!(oldest(&storage) > before);
    assert_eq!(storage.retain_once().await.unwrap(), None);
}
