//! Native histograms, start times, exemplars and metric metadata through the whole store.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    Exemplar, Histogram, LabelMatcher, Labels, MatchOp, MetadataMap, MetricMetadata, MetricType, STALE_NAN_BITS,
    Signal, TenantId, TimeRange,
};
use crate::scan::{SeriesRequest, StoreReader};
use crate::testing::{Sample, StoreFixture, histogram, read_all_of_samples, scan_context};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_735_689_600 * SECOND;

fn tenant() -> TenantId {
    TenantId::new("a").unwrap()
}

fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")])
}

/// What one append brings of a sample.
#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Histogram(Box<Histogram>),
}

async fn write(storage: &Storage, rows: &[(&str, i64, Value, i64)]) {
    let mut append = storage.begin_samples(&tenant()).await.unwrap();
    for (name, time, value, start) in rows {
        let labels = series(name);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        match value {
            Value::Number(value) => append.push(id, *time, *value),
            Value::Histogram(histogram) => append.push_histogram(id, *time, Histogram::clone(histogram)),
        }
        append.set_start_time(*start);
    }
    append.commit().await.unwrap();
}

async fn read(storage: &Storage, range: TimeRange) -> Vec<Sample> {
    read_all_of_samples(storage, &tenant(), &[], range).await.unwrap()
}

async fn exemplars(storage: &Storage, matchers: &[LabelMatcher], range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
    let request = SeriesRequest {
        signal: Signal::Metrics,
        matchers: matchers.to_vec(),
        range,
    };
    let view = storage.view(&tenant()).unwrap();
    view.exemplars(&request, &scan_context()).await.unwrap()
}

async fn metadata(storage: &Storage) -> MetadataMap {
    let view = storage.view(&tenant()).unwrap();
    view.metric_metadata(&scan_context()).await.unwrap()
}

fn exemplar(time: i64, trace: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", trace)]),
        value: 0.25,
        time,
    }
}

/// The rules of duplicates, on one sample a time.
fn resolve(known: Option<Sample>, new: Sample) -> Sample {
    let Some(known) = known else { return new };
    let rank = |s: &Sample| (s.histogram.is_some(), s.value.to_bits() != STALE_NAN_BITS);
    let wins = match rank(&known).cmp(&rank(&new)) {
        std::cmp::Ordering::Equal => match (&known.histogram, &new.histogram) {
            (Some(a), Some(b)) => a.total_cmp(b).is_ge(),
            _ => known.value.total_cmp(&new.value).is_ge(),
        },
        order => order.is_gt(),
    };
    let start_time = known.start_time.max(new.start_time);
    Sample {
        start_time,
        ..if wins { known } else { new }
    }
}

fn sample(name: &str, time: i64, value: &Value, start_time: i64) -> Sample {
    let (value, histogram) = match value {
        Value::Number(value) => (*value, None),
        Value::Histogram(h) if h.is_stale() => (h.sum, None),
        Value::Histogram(h) => (h.sum, Some(Arc::new(Histogram::clone(h)))),
    };
    Sample {
        series: series(name),
        time,
        value,
        histogram,
        start_time,
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4u8).prop_map(|v| Value::Number(f64::from(v))),
        Just(Value::Number(f64::from_bits(STALE_NAN_BITS))),
        (0..60u64).prop_map(|seed| Value::Histogram(Box::new(histogram(seed)))),
        (0..60u64).prop_map(|seed| {
            Value::Histogram(Box::new(Histogram {
                sum: f64::from_bits(STALE_NAN_BITS),
                ..histogram(seed)
            }))
        }),
    ]
}

/// What is done to the store between two appends.
#[derive(Clone, Copy, Debug)]
enum Step {
    Nothing,
    Flush,
    Compact,
    Restart,
    Crash,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![4 => Just(Step::Nothing), 2 => Just(Step::Flush), 1 => Just(Step::Compact), 1 => Just(Step::Restart), 1 => Just(Step::Crash)]
}

type Rows = Vec<(usize, i64, Value, i64)>;

async fn run(appends: Vec<(Rows, Step)>) {
    let names = ["a", "b", "c"];
    let mut fixture = StoreFixture::new(7);
    let mut storage = fixture.open().await.unwrap();
    let mut expected: BTreeMap<(usize, i64), Sample> = BTreeMap::new();
    for (rows, step) in appends {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, time, value, start)| (name, NOW + time * SECOND, value, start))
            .collect();
        let named: Vec<_> = rows.iter().map(|(n, t, v, s)| (names[*n], *t, v.clone(), *s)).collect();
        write(&storage, &named).await;
        for (name, time, value, start) in &rows {
            let key = (*name, *time);
            let known = expected.remove(&key);
            expected.insert(key, resolve(known, sample(names[*name], *time, value, *start)));
        }
        fixture.seed += 1;
        match step {
            Step::Nothing => {}
            Step::Flush => drop(storage.flush().await.unwrap()),
            Step::Compact => {
                storage.flush().await.unwrap();
                assert_eq!(storage.compact_all().await.unwrap().failures, 0);
            }
            Step::Restart => {
                storage.close(Duration::from_secs(10)).await.unwrap();
                storage = fixture.open().await.unwrap();
            }
            Step::Crash => {
                drop(storage);
                fixture.disk.power_loss();
                storage = fixture.open().await.unwrap();
            }
        }
        let all: Vec<Sample> = expected.values().cloned().collect();
        assert_eq!(read(&storage, TimeRange::ALL).await, all);
        let range = TimeRange::new(NOW + 2 * SECOND, NOW + 4 * SECOND);
        let inside: Vec<Sample> = all.into_iter().filter(|s| range.contains(s.time)).collect();
        assert_eq!(read(&storage, range).await, inside);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn samples_of_all_kinds_are_the_same_wherever_they_lie(
        appends in prop::collection::vec((prop::collection::vec((0..3usize, 0..6i64, values(), 0..3i64), 1..8), steps()), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(appends));
    }
}

#[tokio::test]
async fn exemplars_and_metadata_outlive_flushes_and_restarts() {
    let mut fixture = StoreFixture::new(3);
    let storage = fixture.open().await.unwrap();
    let counter = MetricMetadata {
        kind: MetricType::Counter,
        help: "Requests.".into(),
        unit: "requests".into(),
    };
    let gauge = MetricMetadata {
        kind: MetricType::Gauge,
        ..MetricMetadata::default()
    };
    for round in 0..3i64 {
        let mut append = storage.begin_samples(&tenant()).await.unwrap();
        let a = append.register(1, series("a")).unwrap();
        append.push(a, NOW + round * SECOND, 1.0);
        append.push_exemplar(a, exemplar(NOW + round, &format!("t{round}")));
        // Sent again with each round, and of a series without samples.
        append.push_exemplar(a, exemplar(NOW - 9000 * SECOND, "old"));
        let b = append.register(2, series("b")).unwrap();
        append.push_exemplar(b, exemplar(NOW, "b"));
        append.push_metadata("a", counter.borrow());
        append.push_metadata("a", if round == 1 { &gauge } else { &counter }.borrow());
        append.commit().await.unwrap();
        if round < 2 {
            storage.flush().await.unwrap();
        }
    }
    let check = async |storage: &Storage| {
        let all = exemplars(storage, &[], TimeRange::ALL).await;
        let traces: Vec<Vec<&str>> = all
            .iter()
            .map(|(_, e)| e.iter().map(|e| e.labels.get("trace_id").unwrap()).collect())
            .collect();
        assert_eq!(traces, [vec!["old", "t0", "t1", "t2"], vec!["b"]]);
        let b = LabelMatcher::new("__name__", MatchOp::Equal, "b").unwrap();
        assert_eq!(exemplars(storage, &[b], TimeRange::ALL).await[0].0, series("b"));
        let late = exemplars(storage, &[], TimeRange::new(NOW + 1, NOW + 2)).await;
        assert_eq!(late, [(series("a"), vec![exemplar(NOW + 1, "t1")])]);
        let found = metadata(storage).await;
        assert_eq!(found.len(), 1);
        assert!(found.has("a", counter.borrow()) && found.has("a", gauge.borrow()));
    };
    check(&storage).await;
    drop(storage);
    fixture.disk.power_loss();
    fixture.seed += 1;
    let storage = fixture.open().await.unwrap();
    check(&storage).await;
    storage.close(Duration::from_secs(10)).await.unwrap();
    // Another run draws other object names.
    fixture.seed += 1;
    let storage = fixture.open().await.unwrap();
    check(&storage).await;
    let report = storage.compact_all().await.unwrap();
    assert!(report.segments_in > 1 && report.segments_out == 1, "{report:?}");
    check(&storage).await;
}

#[tokio::test]
async fn metadata_without_samples_does_not_hold_the_log_back_and_is_not_lost() {
    let mut fixture = StoreFixture::new(4);
    // Every record begins a new file, and any log is too long.
    fixture.config.wal_file_bytes = 1;
    fixture.config.wal_max_bytes = 1;
    let storage = fixture.open().await.unwrap();
    let known = MetricMetadata {
        kind: MetricType::Gauge,
        ..MetricMetadata::default()
    };
    let mut append = storage.begin_samples(&tenant()).await.unwrap();
    let a = append.register(1, series("a")).unwrap();
    append.push_exemplar(a, exemplar(NOW, "t"));
    append.push_metadata("a", known.borrow());
    append.commit().await.unwrap();
    for round in 0..8i64 {
        let mut append = storage.begin_samples(&TenantId::new("other").unwrap()).await.unwrap();
        let id = append.register(1, series("x")).unwrap();
        append.push(id, NOW + round, 1.0);
        append.commit().await.unwrap();
    }
    // The background task is woken by hand, so that nothing waits for it.
    let lanes = storage.0.all_lanes();
    round::flush_round(&storage.0, round::Selection::Lanes(lanes))
        .await
        .unwrap();
    assert!(storage.stats().wal_files <= 2, "{:?}", storage.stats());
    let check = async |storage: &Storage| {
        assert!(metadata(storage).await.has("a", known.borrow()));
        assert_eq!(
            exemplars(storage, &[], TimeRange::ALL).await,
            [(series("a"), vec![exemplar(NOW, "t")])]
        );
    };
    check(&storage).await;
    drop(storage);
    fixture.disk.power_loss();
    fixture.seed += 1;
    check(&fixture.open().await.unwrap()).await;
}

#[tokio::test]
async fn a_delete_hides_exemplars_that_came_without_samples() {
    let mut fixture = StoreFixture::new(7);
    let storage = fixture.open().await.unwrap();
    let mut append = storage.begin_samples(&tenant()).await.unwrap();
    for (alias, name) in [(1, "a"), (2, "b")] {
        let id = append.register(alias, series(name)).unwrap();
        (0..4).for_each(|i| append.push_exemplar(id, exemplar(NOW + i, "t")));
    }
    append.commit().await.unwrap();
    let delete = |name: &str, range: TimeRange| DeleteRequest {
        signal: Signal::Metrics,
        matchers: vec![LabelMatcher::new("__name__", MatchOp::Equal, name).unwrap()],
        filter: None,
        range,
        query: "".into(),
        cancel_period: Duration::ZERO,
    };
    let some = delete("a", TimeRange::new(NOW + 1, NOW + 3));
    storage.create_deletes(&tenant(), vec![some]).await.unwrap();
    let times = async |storage: &Storage| {
        let found = exemplars(storage, &[], TimeRange::ALL).await;
        found
            .into_iter()
            .map(|(labels, exemplars)| {
                let times: Vec<i64> = exemplars.iter().map(|e| e.time - NOW).collect();
                (labels.get("__name__").unwrap().to_string(), times)
            })
            .collect::<Vec<_>>()
    };
    let left = [("a".to_string(), vec![0, 3]), ("b".to_string(), vec![0, 1, 2, 3])];
    assert_eq!(times(&storage).await, left);
    // What comes later is new.
    let mut append = storage.begin_samples(&tenant()).await.unwrap();
    let a = append.register(1, series("a")).unwrap();
    append.push_exemplar(a, exemplar(NOW + 2, "t"));
    append.commit().await.unwrap();
    let left = [("a".to_string(), vec![0, 2, 3]), ("b".to_string(), vec![0, 1, 2, 3])];
    assert_eq!(times(&storage).await, left);
    drop(storage);
    fixture.disk.power_loss();
    fixture.seed += 1;
    let storage = fixture.open().await.unwrap();
    assert_eq!(times(&storage).await, left, "after a power loss");
    let all = [delete("a", TimeRange::ALL), delete("b", TimeRange::ALL)];
    storage.create_deletes(&tenant(), all.to_vec()).await.unwrap();
    assert_eq!(times(&storage).await, []);
    drop(storage);
    fixture.disk.power_loss();
    fixture.seed += 1;
    assert_eq!(times(&fixture.open().await.unwrap()).await, [], "nor do they come back");
}
