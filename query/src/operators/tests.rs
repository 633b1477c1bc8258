//! Operators together, as plans of whole queries over the test store: one partition against several, limits, plans.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram, Labels, TenantId};

use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::error::{QueryError, QueryErrorKind};
use crate::functions::native::text::text;
use crate::output::{QueryOutput, RangeSeries, Value};
use crate::plan::Steps;
use crate::promql::{self, LowerRequest};
use crate::run::explain;
use crate::testing::{TestClock, TestStore};

const SECOND: i64 = 1_000_000_000;

/// Forty counters of two jobs with gaps, resets and a bucket label; thirteen histograms and two series that change between
/// floats and histograms.
fn store() -> TestStore {
    let mut store = TestStore::new();
    for i in 0..15i64 {
        let (name, job) = (if i < 13 { "latency" } else { "mixed" }, format!("job{}", i % 2));
        let labels = Labels::from_pairs([("__name__", name), ("job", &job), ("instance", &format!("host-{i}"))]);
        for t in (0..60i64).filter(|t| t % (i % 7 + 3) != 0) {
            if i >= 13 && t % 16 < 8 {
                store.push(&labels, t * 15 * SECOND, t as f64);
            } else {
                store.push_histogram(&labels, t * 15 * SECOND, histogram(i, (t * (i + 1)) % 97));
            }
        }
    }
    for i in 0..40i64 {
        let (job, le) = (format!("job{}", i % 2), ["0.1", "1", "+Inf"][i as usize % 3]);
        let instance = format!("host-{i}");
        let labels = [
            ("__name__", "requests_total"),
            ("job", &job),
            ("instance", &instance),
            ("le", le),
        ];
        let value = |t: i64| (t % (i % 7 + 3) != 0).then_some(((t * (i + 1)) % 97) as f64);
        store.load(&labels, 15 * SECOND, &(0..60).map(value).collect::<Vec<_>>());
    }
    store
}

/// Whole numbers and zero buckets that cut no other, which add up to the same in any order; the layout changes with `i`, some of `i` have custom buckets.
fn histogram(i: i64, count: i64) -> Histogram {
    let count = count as f64;
    let spans = vec![BucketSpan {
        offset: (i % 3) as i32,
        length: 2,
    }];
    let plain = Histogram {
        schema: (i % 4 - 1) as i32,
        zero_threshold: if i % 5 == 0 { 0.002 } else { 0.001 },
        zero_count: count,
        count: 4.0 * count,
        sum: 2.0 * count,
        positive_spans: spans,
        positive_buckets: vec![2.0 * count, count],
        ..Histogram::default()
    };
    if i < 11 {
        return plain;
    }
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 3.0 * count,
        custom_values: vec![1.0, 2.0, (i + 3) as f64, 100.0],
        ..plain
    }
}

fn engine(limits: EngineLimits) -> Engine {
    let accountant = MemoryAccountant::new(1 << 30);
    Engine::new(store().reader(), accountant, limits, Arc::new(TestClock(0)))
}

fn partitioned(target_partitions: usize) -> EngineLimits {
    EngineLimits {
        target_partitions,
        min_rows_to_split: 0,
        ..EngineLimits::default()
    }
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

async fn range(engine: &Engine, text: &str) -> Result<QueryOutput, QueryError> {
    let options = QueryOptions::default();
    engine
        .promql_range(&tenant(), text, 0, 900 * SECOND, 30 * SECOND, options)
        .await
}

const QUERIES: [&str; 35] = [
    "requests_total",
    "rate(requests_total[2m])",
    "sum(rate(requests_total[2m])) by (job)",
    "avg without (instance) (requests_total)",
    "stddev(requests_total)",
    "stdvar by (job) (requests_total)",
    "min(requests_total) by (le)",
    "max(requests_total) by (le)",
    "count(requests_total) by (job, le)",
    "topk(3, requests_total)",
    "bottomk by (job) (2, requests_total)",
    "quantile(0.9, requests_total)",
    "count_values(\"v\", requests_total % 5)",
    "histogram_quantile(0.9, sum by (le) (requests_total))",
    "requests_total and on (instance) (requests_total > 50)",
    "requests_total / on (job) group_left sum(requests_total) by (job)",
    "max_over_time(sum by (job) (requests_total)[3m:30s])",
    "label_replace(requests_total, \"job\", \"x$1\", \"job\", \"job(.)\") > 10",
    "latency",
    "rate(latency[2m])",
    "sum by (job) (latency{instance!~\"host-1[12]\"})",
    "avg by (job) (rate(latency{instance!~\"host-1[12]\"}[2m]))",
    "sum(latency{instance=~\"host-1[12]\"})",
    "count by (job) (latency) + group by (job) (mixed)",
    "limitk(3, {__name__=~\"latency|mixed\"})",
    "topk(30, {__name__=~\"mixed|requests_total\"})",
    "count_values(\"v\", latency)",
    "histogram_quantile(0.9, sum by (job) (latency{instance!~\"host-1[12]\"}))",
    "histogram_fraction(0, 1.5, latency) + histogram_stddev(latency)",
    "histogram_count(sum(rate(latency{instance!~\"host-1[12]\"}[2m])))",
    "latency * 2 - on (instance) latency and on (instance) latency == latency",
    "mixed or on (instance) latency </ 1.5",
    "sum_over_time(latency[1m]) unless on (instance) mixed",
    "label_replace(mixed, \"job\", \"x$1\", \"job\", \"job(.)\")",
    "last_over_time(sum by (job) (latency{instance!~\"host-1[12]\"})[3m:30s])",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_depend_on_partitions() {
    let one = engine(partitioned(1));
    let several = engine(partitioned(3));
    for text in QUERIES {
        let (Value::Matrix(expected), Value::Matrix(got)) = (
            range(&one, text).await.unwrap().value,
            range(&several, text).await.unwrap().value,
        ) else {
            panic!("{text} is no matrix");
        };
        assert!(!expected.is_empty(), "{text} answers nothing");
        assert_eq!(expected.len(), got.len(), "{text}");
        for (e, g) in expected.iter().zip(&got) {
            assert_eq!((&e.labels, e.samples.len()), (&g.labels, g.samples.len()), "{text}");
            let shown = |s: &RangeSeries| s.histograms.iter().map(|(t, h)| (*t, rounded(h))).collect::<Vec<_>>();
            assert_eq!(shown(e), shown(g), "{text}");
            for ((time, value), (other_time, other)) in e.samples.iter().zip(&g.samples) {
                let same = value == other || (value.is_nan() && other.is_nan());
                let close = same || (value - other).abs() <= 1e-9 * value.abs().max(1.0);
                assert!(
                    time == other_time && close,
                    "{text} {} at {time}: {value} {other}",
                    e.labels
                );
            }
        }
    }
}

/// Means of parts differ in the last bits.
fn rounded(histogram: &Histogram) -> String {
    let mut out = histogram.clone();
    let round = |v: &mut f64| *v = (*v * 1e6).round() / 1e6;
    round(&mut out.sum);
    round(&mut out.count);
    round(&mut out.zero_count);
    out.positive_buckets.iter_mut().for_each(round);
    text(&out)
}

#[tokio::test]
async fn annotations_do_not_depend_on_partitions() {
    let (one, several) = (engine(partitioned(1)), engine(partitioned(3)));
    for query in [
        "sum(latency)",
        "avg by (job) (latency)",
        "min(latency) or topk(1, latency) or stddev(latency) or quantile(0.5, latency)",
        "sum(latency{instance=~\"host-1[12]\"})",
        "rate(mixed[2m])",
        "latency + 1",
    ] {
        let (expected, got) = (range(&one, query).await.unwrap(), range(&several, query).await.unwrap());
        assert!(!expected.warnings.is_empty() || !expected.infos.is_empty(), "{query}");
        assert_eq!(
            (expected.warnings, expected.infos),
            (got.warnings, got.infos),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_query_over_its_memory_is_refused_and_gives_everything_back() {
    let accountant = MemoryAccountant::new(1 << 30);
    let limits = EngineLimits {
        max_query_memory_bytes: 4 << 10,
        ..partitioned(3)
    };
    let engine = Engine::new(store().reader(), accountant.clone(), limits, Arc::new(TestClock(0)));
    for text in QUERIES {
        if let Err(error) = range(&engine, text).await {
            assert_eq!(error.kind(), QueryErrorKind::Limit, "{text}: {error}");
        }
        // Tasks of partitions are aborted, not joined; they let go as soon as they are scheduled again.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(accountant.total_bytes(), 0, "{text}");
    }
    assert!(range(&engine, "requests_total").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_client_left_stops_and_gives_everything_back() {
    let accountant = MemoryAccountant::new(1 << 30);
    let limits = partitioned(3);
    let engine = Engine::new(store().reader(), accountant.clone(), limits, Arc::new(TestClock(0)));
    for polls in 0..20 {
        let mut query = Box::pin(range(
            &engine,
            "requests_total / on (job) group_left sum(requests_total) by (job)",
        ));
        // So many looks at the query, then the client is gone.
        for _ in 0..polls {
            if futures::poll!(&mut query).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(query);
        while accountant.total_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn limits_on_samples_points_and_time_are_told_apart() {
    let limits = EngineLimits {
        max_samples: 10,
        ..EngineLimits::default()
    };
    let too_many = range(&engine(limits), "requests_total").await.unwrap_err();
    assert_eq!(too_many.kind(), QueryErrorKind::Limit);
    let points = engine(EngineLimits::default())
        .promql_range(&tenant(), "1", 0, 11_001 * SECOND, SECOND, QueryOptions::default())
        .await
        .unwrap_err();
    assert_eq!(points.kind(), QueryErrorKind::BadData);
    assert!(points.message().contains("11,000 points"), "{points}");
    let options = QueryOptions {
        timeout: Some(Duration::ZERO),
        ..QueryOptions::default()
    };
    let late = engine(EngineLimits::default())
        .promql_instant(&tenant(), "requests_total", 0, options)
        .await
        .unwrap_err();
    assert_eq!(late.kind(), QueryErrorKind::Timeout);
}

#[tokio::test]
async fn matches_that_are_not_unique_are_refused_in_the_words_of_prometheus() {
    let engine = engine(EngineLimits::default());
    let check = async |text: &str, expected: &str| {
        let error = range(&engine, text).await.unwrap_err();
        assert_eq!(error.kind(), QueryErrorKind::Execution, "{text}");
        assert!(error.message().contains(expected), "{text}: {error}");
    };
    check(
        "sum by (job) (requests_total) + on (job) requests_total",
        "found duplicate series for the match group {job=\"job0\"} on the right hand-side of the operation: [",
    )
    .await;
    check(
        "requests_total + on (job) sum by (job) (requests_total)",
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    )
    .await;
    check(
        "label_replace(requests_total, \"instance\", \"\", \"instance\", \".*\")",
        "vector cannot contain metrics with the same labelset",
    )
    .await;
}

#[tokio::test]
async fn plans_split_the_scan_and_merge_partial_aggregates() {
    let check = async |partitions: usize, text: &str, expected: &[&str]| {
        let query = engine(partitioned(partitions))
            .context(&tenant(), QueryOptions::default())
            .unwrap();
        let expr = promql::parse_expr(text, &promql::ParseOptions::default()).unwrap();
        let plan = promql::lower(&expr, &LowerRequest::instant(600 * SECOND, 60 * SECOND)).unwrap();
        let printed = explain(&plan, Steps::instant(600 * SECOND), &query).await.unwrap();
        let names: Vec<&str> = printed.lines().filter_map(|l| l.trim().split(':').next()).collect();
        assert_eq!(names, expected, "{text}\n{printed}");
    };
    let sum = "sum(rate(requests_total[5m]))";
    check(1, sum, &["AggregateExec", "SamplesExec"]).await;
    check(2, sum, &["AggregateExec", "GatherExec", "AggregateExec", "SamplesExec"]).await;
    check(
        2,
        "topk(1, requests_total)",
        &["TopKExec", "GatherExec", "TopKExec", "SamplesExec"],
    )
    .await;
    // Only where names differ can dropping them make label sets equal.
    check(1, "abs(requests_total)", &["FunctionExec", "SamplesExec"]).await;
    check(1, "abs({job=\"job1\"})", &["UniqueExec", "FunctionExec", "SamplesExec"]).await;
    check(
        1,
        "requests_total * 2 > 3",
        &["BinaryScalarExec", "BinaryScalarExec", "SamplesExec"],
    )
    .await;
}
