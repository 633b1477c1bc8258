//! Compaction, retention and deletion of a whole store: what is read never changes, whatever fails on the way.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::compaction::Depth;
use crate::error::ErrorKind;
use crate::flush::{FailAction, FailPoints};
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::object::paths;
use crate::retention::{RetentionRules, RetentionSettings, StreamRule};
use crate::scan::{SeriesRequest, StoreReader, dedup};
use crate::testing::{Entry, Faults, StoreFixture, read_entries, read_samples, scan_context};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_735_689_600 * SECOND;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// What was written: what reads must answer.
#[derive(Clone, Default)]
struct Written {
    samples: BTreeMap<(TenantId, String, i64), f64>,
    entries: BTreeSet<(TenantId, Entry)>,
}

impl Written {
    /// Writes random rows of the last `days` days, some of them for a second time.
    async fn write(&mut self, storage: &Storage, rng: &mut StdRng, days: i64) {
        for name in ["a", "b"] {
            let tenant = tenant(name);
            let mut append = storage.begin_samples(&tenant).await.unwrap();
            for _ in 0..rng.random_range(0..60) {
                let series = format!("m{}", rng.random_range(0..8));
                let labels = Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]);
                let id = append.register(labels.fingerprint(), labels).unwrap();
                let time = START - rng.random_range(0..days * 24) * HOUR + rng.random_range(0..5) * SECOND;
                let value = f64::from(rng.random_range(0..9));
                append.push(id, time, value);
                self.samples
                    .entry((tenant.clone(), series, time))
                    .and_modify(|v| *v = dedup::resolve_values(*v, value))
                    .or_insert(value);
            }
            append.commit().await.unwrap();
            let mut append = storage.begin_logs(&tenant).await.unwrap();
            for _ in 0..rng.random_range(0..60) {
                let app = format!("s{}", rng.random_range(0..6));
                let stream = Labels::from_pairs([("app", app.as_str())]);
                let id = append.register(stream.fingerprint(), stream.clone()).unwrap();
                let time = START - rng.random_range(0..days * 24) * HOUR + rng.random_range(0..3);
                let line = format!("line {}", rng.random_range(0..3));
                let trace = rng.random_range(0..2).to_string();
                let metadata = [("trace", trace.as_str())];
                append.push(id, time, line.as_bytes(), &metadata, Some("info"));
                let entry = Entry {
                    stream,
                    time,
                    line: line.into_bytes(),
                    metadata: Labels::from_pairs(metadata),
                    derived: Labels::from_pairs([("detected_level", "info")]),
                };
                self.entries.insert((tenant.clone(), entry));
            }
            append.commit().await.unwrap();
        }
    }

    /// Compares everything that can be read.
    async fn check(&self, reader: &dyn StoreReader, what: &str) {
        self.check_those(reader, what, |_, _| true).await;
    }

    async fn check_those(&self, reader: &dyn StoreReader, what: &str, kept: impl Fn(&Labels, i64) -> bool) {
        for name in ["a", "b"] {
            let tenant = tenant(name);
            let found = read_samples(reader, &tenant, &[], TimeRange::ALL).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(labels, time, value)| (labels.get("__name__").unwrap().to_string(), *time, *value))
                .collect();
            let expected: Vec<_> = self
                .samples
                .iter()
                .filter(|((t, series, time), _)| {
                    *t == tenant
                        && kept(
                            &Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]),
                            *time,
                        )
                })
                .map(|((_, series, time), value)| (series.clone(), *time, *value))
                .collect();
            assert_eq!(found, expected, "{what}: samples of {name}");
            let found = read_entries(reader, &tenant, &[], TimeRange::ALL).await.unwrap();
            let own = self
                .entries
                .iter()
                .filter(|(t, e)| *t == tenant && kept(&e.stream, e.time));
            let expected: Vec<Entry> = own.map(|(_, e)| e.clone()).collect();
            assert_eq!(found, expected, "{what}: entries of {name}");
            for (signal, label) in [(Signal::Metrics, "__name__"), (Signal::Logs, "app")] {
                let request = SeriesRequest {
                    signal,
                    matchers: Vec::new(),
                    range: TimeRange::ALL,
                };
                let view = reader.view(&tenant).unwrap();
                let values = view.label_values(label, &request, &scan_context()).await.unwrap();
                let expected: BTreeSet<String> = match signal {
                    Signal::Metrics => self
                        .samples
                        .keys()
                        .filter(|(t, series, time)| {
                            *t == tenant
                                && kept(
                                    &Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]),
                                    *time,
                                )
                        })
                        .map(|(_, series, _)| series.clone())
                        .collect(),
                    Signal::Logs => self
                        .entries
                        .iter()
                        .filter(|(t, e)| *t == tenant && kept(&e.stream, e.time))
                        .map(|(_, e)| e.stream.get("app").unwrap().to_string())
                        .collect(),
                };
                assert_eq!(
                    values,
                    expected.into_iter().collect::<Vec<_>>(),
                    "{what}: {label} of {name}"
                );
            }
        }
    }

    fn rows(&self) -> u64 {
        (self.samples.len() + self.entries.len()) as u64
    }
}

/// Every object of segments in the bucket.
async fn objects(fixture: &StoreFixture) -> Vec<String> {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    let prefix = object_store::path::Path::from(paths::SEGMENTS_PREFIX);
    let metas: Vec<_> = fixture.objects.list(Some(&prefix)).try_collect().await.unwrap();
    metas.into_iter().map(|meta| meta.location.to_string()).collect()
}

/// A store of several flushes over the last `days` days.
async fn filled(fixture: &StoreFixture, seed: u64, days: i64, flushes: usize) -> (Storage, Written) {
    let storage = fixture.open().await.unwrap();
    let (mut written, mut rng) = (Written::default(), StdRng::seed_from_u64(seed));
    for _ in 0..flushes {
        written.write(&storage, &mut rng, days).await;
        storage.flush().await.unwrap();
    }
    (storage, written)
}

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

fn days(days: u64) -> RetentionRules {
    RetentionRules {
        period: Duration::from_secs(days * 24 * 3600),
        streams: Vec::new(),
    }
}

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

#[tokio::test]
async fn writers_that_share_a_bucket_drop_the_merge_that_lost() {
    let first = StoreFixture::new(10);
    let (one, written) = filled(&first, 10, 4, 3).await;
    let second = StoreFixture {
        disk: crate::testing::SimDisk::new(11),
        seed: 11,
        fail_points: FailPoints::default(),
        ..first.clone()
    };
    let two = second.open().await.unwrap();
    written.check(&two, "the other sees it").await;
    // The second one merges while the first has stored its object and not committed yet.
    first.fail_points.arm("compact.object_put", 0, FailAction::Stall);
    let stalled = tokio::spawn({
        let one = one.clone();
        async move { one.compact_once(Depth::Full).await }
    });
    first.fail_points.reached().await;
    two.compact_all().await.unwrap();
    stalled.abort();
    written.check(&two, "merged by the other").await;
    written.check(&one, "with its old view").await;
    // A process that wakes up late finds its inputs gone; here the same commit by a writer that planned before.
    let third = StoreFixture {
        disk: crate::testing::SimDisk::new(12),
        seed: 12,
        ..second.clone()
    };
    let three = third.open().await.unwrap();
    let mut more = written.clone();
    let mut rng = StdRng::seed_from_u64(12);
    more.write(&three, &mut rng, 4).await;
    three.flush().await.unwrap();
    more.write(&two, &mut rng, 4).await;
    two.flush().await.unwrap();
    let (a, b) = tokio::join!(two.compact_all(), three.compact_all());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.failures, b.failures), (0, 0), "{a:?} {b:?}");
    for storage in [&two, &three] {
        storage.refresh().await.unwrap();
        more.check(storage, "both merged").await;
    }
    two.compact_all().await.unwrap();
    three.refresh().await.unwrap();
    more.check(&three, "in the end").await;
    assert_eq!(three.stats().segment_rows, more.rows(), "each row once");
}

#[tokio::test]
async fn an_orphan_is_deleted_and_a_late_commit_of_it_is_refused_and_flushed_again() {
    let fixture = StoreFixture::new(13);
    let storage = fixture.open().await.unwrap();
    let mut written = Written::default();
    written.write(&storage, &mut StdRng::seed_from_u64(13), 2).await;
    // A flush whose commit is cut off: the object is there, whether it is committed is not known.
    let (other, faults) = StoreFixture {
        disk: crate::testing::SimDisk::new(14),
        seed: 14,
        ..fixture.clone()
    }
    .open_faulty()
    .await
    .unwrap();
    written.write(&other, &mut StdRng::seed_from_u64(14), 2).await;
    fixture.fail_points.arm("flush.object_put", 0, FailAction::Fail);
    other.flush().await.unwrap_err();
    storage.flush().await.unwrap();
    assert_eq!(objects(&fixture).await.len(), 2);
    assert_eq!(storage.sweep_once().await.unwrap(), None, "it may still be committed");
    fixture
        .clock
        .advance(fixture.config.orphan_age + Duration::from_secs(1));
    assert_eq!(storage.sweep_once().await.unwrap().unwrap().orphans_deleted, 1);
    assert_eq!(objects(&fixture).await.len(), 1, "live objects of that age stay");
    faults.set_faults(Faults::default());
    // The rows are still in the other's memory and WAL, and go into an object of a name that may be committed.
    other.flush().await.unwrap();
    storage.refresh().await.unwrap();
    written.check(&storage, "flushed again").await;
}

#[tokio::test]
async fn upkeep_waits_while_memory_is_short() {
    let mut fixture = StoreFixture::new(15);
    let (storage, written) = filled(&fixture, 15, 2, 3).await;
    drop(storage);
    fixture.disk.crash();
    fixture.memory_limit_bytes = 1 << 20;
    fixture.config.tail_cache_bytes = 0;
    let storage = fixture.open().await.unwrap();
    let mut held = storage
        .0
        .components
        .accountant
        .reservation(crate::memory::MemoryUse::Query);
    held.try_grow(950_000).unwrap();
    let error = storage.compact_once(Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(storage.upkeep_status().totals.paused, 1);
    drop(held);
    // 256 KB are too little for a merge: the job fails alone, waits, and nothing is lost.
    let report = storage.compact_once(Depth::Full).await;
    assert!(report.is_err() || report.unwrap().unwrap().failures == 1);
    written.check(&storage, "not merged").await;
}

#[tokio::test]
async fn deletes_outlive_merges_while_they_can_be_taken_back_and_are_carried_out_after() {
    let fixture = StoreFixture::new(16);
    let (storage, written) = filled(&fixture, 16, 4, 3).await;
    let a = tenant("a");
    let delete = |app: &str, filter: Option<&str>, hours: u64| DeleteRequest {
        signal: Signal::Logs,
        matchers: vec![LabelMatcher::new("app", MatchOp::Equal, app).unwrap()],
        filter: filter.map(Arc::from),
        range: TimeRange::new(START - 3 * DAY, START),
        query: app.into(),
        cancel_period: Duration::from_secs(hours * 3600),
    };
    let requests = vec![
        delete("s0", None, 24),
        delete("s1", Some("line 1"), 24),
        delete("none", None, 24),
    ];
    let made = storage.create_deletes(&a, requests).await.unwrap();
    let taken_back = storage.create_deletes(&a, vec![delete("s2", None, 48)]).await.unwrap();
    // Accepted after the deletes: new data, in segments that they do not cover.
    let mut later = written.clone();
    later.write(&storage, &mut StdRng::seed_from_u64(17), 4).await;
    storage.flush().await.unwrap();
    let later: BTreeSet<_> = later.entries.difference(&written.entries).cloned().collect();
    let hidden = |(t, e): &(TenantId, Entry), s2: bool| {
        let app = e.stream.get("app").unwrap();
        let named = app == "s0" || (app == "s1" && e.line == b"line 1") || (s2 && app == "s2");
        *t == a && named && e.time >= START - 3 * DAY && e.time < START
    };
    let check = async |storage: &Storage, what: &str, s2: bool| {
        for name in ["a", "b"] {
            let t = tenant(name);
            let mut found = read_entries(storage, &t, &[], TimeRange::ALL).await.unwrap();
            found.dedup();
            let kept = written.entries.iter().filter(|entry| !hidden(entry, s2));
            let expected: BTreeSet<&Entry> = kept
                .chain(&later)
                .filter(|(own, _)| *own == t)
                .map(|(_, e)| e)
                .collect();
            // What was written again after its delete is there again; random rows are the same now and then.
            let again = found.iter().filter(|e| !expected.contains(e)).count();
            let written_again = |e: &&Entry| hidden(&(t.clone(), (*e).clone()), s2);
            assert_eq!(again, 0, "{what}: {:?}", found.iter().find(|e| !expected.contains(e)));
            let missing: Vec<_> = expected.iter().filter(|e| !found.contains(e)).collect();
            assert!(
                missing.is_empty(),
                "{what}: {missing:?} {}",
                found.iter().filter(written_again).count()
            );
        }
    };
    check(&storage, "hidden", true).await;
    storage.compact_all().await.unwrap();
    check(&storage, "merged", true).await;
    let covered = |storage: &Storage| -> u64 { storage.deletes(&a, Signal::Logs).iter().map(|d| d.covered).sum() };
    assert!(covered(&storage) > 0, "they are inherited");
    storage
        .cancel_delete(&a, Signal::Logs, taken_back[0].id, false)
        .await
        .unwrap();
    check(&storage, "one taken back", false).await;
    let rows = storage.stats().segment_rows;
    fixture.clock.advance(Duration::from_secs(25 * 3600));
    storage.compact_all().await.unwrap();
    check(&storage, "carried out", false).await;
    assert_eq!(covered(&storage), 0, "nothing is left to hide");
    assert_eq!(storage.deletes(&a, Signal::Logs).len(), made.len());
    assert!(storage.stats().segment_rows < rows, "the rows are gone from the store");
    drop(storage);
    fixture.disk.crash();
    let storage = fixture.open().await.unwrap();
    check(&storage, "opened again", false).await;
}
