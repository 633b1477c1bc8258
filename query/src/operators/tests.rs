//! Operators together, as plans of whole queries over the test store: one partition against several, limits, plans.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::TenantId;

use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::error::{QueryError, QueryErrorKind};
use crate::output::{QueryOutput, Value};
use crate::plan::Steps;
use crate::promql::{self, LowerRequest};
use crate::run::explain;
use crate::testing::{TestClock, TestStore};

const SECOND: i64 = 1_000_000_000;

/// Forty counters of two jobs with gaps, resets and a bucket label.
fn store() -> TestStore {
    let mut store = TestStore::new();
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

const QUERIES: [&str; 18] = [
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
            for ((time, value), (other_time, other)) in e.samples.iter().zip(&g.samples) {
                let close = (value - other).abs() <= 1e-9 * value.abs().max(1.0) || (value.is_nan() && other.is_nan());
                assert!(
                    time == other_time && close,
                    "{text} {} at {time}: {value} {other}",
                    e.labels
                );
            }
        }
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
