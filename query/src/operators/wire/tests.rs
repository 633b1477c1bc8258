//! Plans sent to another process: planned in one context, run in a fresh one over the same rows; and what is no plan.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use datafusion_execution::TaskContext;
use futures::TryStreamExt;
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{BucketSpan, Histogram, Labels, Signal, TenantId, TimeRange};
use garner_storage::scan::{LogOrder, SeriesRequest};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::PlanCodec;
use crate::context::{PromqlSettings, QueryContext};
use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::functions::native::text::text;
use crate::logql::lines::LogqlLines;
use crate::logql::selector::LineSelector;
use crate::logql::{self, matchers};
use crate::operators::exec::{OperatorExec, Plan};
use crate::operators::gather::Gather;
use crate::operators::log_select::LogSelect;
use crate::plan::physical::plan_any;
use crate::plan::{Steps, VectorPlan};
use crate::promql::{self, LowerRequest};
use crate::testing::{TestClock, TestStore};
use crate::vector::VectorReader;

const SECOND: i64 = 1_000_000_000;
const GRID: Steps = Steps {
    start_ns: 0,
    step_ns: 30 * SECOND,
    count: 20,
};

/// Forty counters with gaps, one series of special floats, and two streams of log lines.
fn store() -> TestStore {
    let mut store = TestStore::new();
    for i in 0..40i64 {
        let (job, le) = (format!("job{}", i % 2), ["0.1", "1", "+Inf"][i as usize % 3]);
        let instance = format!("host-{i}");
        let labels = [
            ("__name__", "requests"),
            ("job", &job),
            ("instance", &instance),
            ("le", le),
        ];
        let value = |t: i64| (t % (i % 7 + 3) != 0).then_some(((t * (i + 1)) % 97) as f64);
        store.load(&labels, 15 * SECOND, &(0..60).map(value).collect::<Vec<_>>());
    }
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324];
    let special: Vec<_> = (0..40).map(|i| Some(special[i % special.len()])).collect();
    store.load(&[("__name__", "special"), ("job", "job1")], 15 * SECOND, &special);
    let info = [
        ("__name__", "host_info"),
        ("job", "job1"),
        ("instance", "host-1"),
        ("os", "x"),
    ];
    store.load(&info, 15 * SECOND, &[Some(1.0); 40]);
    for i in 0..6i64 {
        let labels = Labels::from_pairs([("__name__", "latency"), ("instance", &format!("host-{i}"))]);
        for t in 1..40i64 {
            let count = (t * (i + 2)) as f64;
            let histogram = Histogram {
                schema: (i % 3) as i32,
                zero_threshold: 0.25,
                zero_count: 1.0,
                count: count + 1.0,
                sum: count,
                positive_spans: vec![BucketSpan { offset: 3, length: 1 }],
                positive_buckets: vec![count],
                ..Histogram::default()
            };
            store.push_histogram(&labels, t * 15 * SECOND, histogram);
        }
    }
    for i in 1..40i64 {
        let stream = Labels::from_pairs([("app", "a"), ("pod", ["x", "y"][i as usize % 2])]);
        let line = format!("{{\"status\":{},\"took\":\"{i}ms\"}}", 200 + i % 3 * 150);
        store.push_log(&stream, i * 13 * SECOND, &line, &[("trace", &format!("t{}", i % 4))]);
    }
    store
}

/// A process of its own: another engine over the same rows.
fn engine() -> Engine {
    let limits = EngineLimits {
        target_partitions: 3,
        min_rows_to_split: 0,
        ..EngineLimits::default()
    };
    Engine::new(
        store().reader(),
        MemoryAccountant::new(1 << 30),
        limits,
        Arc::new(TestClock(0)),
    )
}

fn context(tenant: &str) -> (Arc<QueryContext>, Arc<TaskContext>) {
    let engine = engine();
    let query = engine
        .context(&TenantId::new(tenant).unwrap(), QueryOptions::default())
        .unwrap();
    let task = engine.task(&query);
    (query, task)
}

fn codec() -> PlanCodec {
    PlanCodec::new(Arc::new(LogqlLines))
}

async fn physical(plan: &VectorPlan, steps: Steps) -> Plan {
    let (query, _) = context("t");
    plan_any(plan, steps, &query).await.unwrap().exec
}

async fn promql_plan(text: &str) -> Plan {
    let expr = promql::parse_expr(text, &promql::ParseOptions::default()).unwrap();
    let request = LowerRequest::range(GRID.start_ns, GRID.end_ns(), GRID.step_ns, 60 * SECOND);
    physical(&promql::lower(&expr, &request).unwrap(), GRID).await
}

/// A whole query whose metric names go last.
async fn delayed_plan(text: &str) -> Plan {
    let promql = PromqlSettings {
        delayed_name_removal: true,
        ..PromqlSettings::default()
    };
    let options = QueryOptions {
        promql,
        ..QueryOptions::default()
    };
    let query = engine().context(&TenantId::new("t").unwrap(), options).unwrap();
    let expr = promql::parse_expr(text, &promql::ParseOptions::default()).unwrap();
    let request = LowerRequest::range(GRID.start_ns, GRID.end_ns(), GRID.step_ns, 60 * SECOND);
    let plan = promql::lower(&expr, &request).unwrap();
    plan_any(&plan, GRID, &query).await.unwrap().finished(GRID, &query)
}

async fn logql_plan(text: &str) -> Plan {
    match logql::parser::parse(text).unwrap() {
        logql::ast::Expr::Metric(expr) => physical(&logql::lower::lower(&expr).unwrap(), GRID).await,
        logql::ast::Expr::Log(log) => OperatorExec::plan(LogSelect {
            tenant: TenantId::new("t").unwrap(),
            request: SeriesRequest {
                signal: Signal::Logs,
                matchers: matchers::compile_all(&log.matchers).unwrap(),
                range: TimeRange::new(0, GRID.end_ns()),
            },
            filter: Arc::new(LineSelector::compile(&log).unwrap()),
            order: LogOrder::Backward,
            limit: 7,
            partitions: 2,
            rows: 39,
        }),
    }
}

/// The rows of a plan: of the vector layout labels, steps and the bits of values; of lines the batches as text.
async fn answer(plan: &Plan, task: &Arc<TaskContext>) -> Vec<String> {
    let stream = Gather::one_partition(Arc::clone(plan))
        .execute(0, Arc::clone(task))
        .unwrap();
    let batches: Vec<_> = stream.try_collect().await.unwrap();
    let mut out = Vec::new();
    for batch in &batches {
        match VectorReader::new(batch) {
            Ok(reader) => out.extend(reader.rows().map(|row| {
                let values: Vec<_> = row.iter().map(|(step, value)| (step, value.to_bits())).collect();
                let histograms: Vec<_> = row.histogram_points().map(|(step, h)| (step, text(&h))).collect();
                format!("{:?} {values:?} {histograms:?}", row.labels)
            })),
            Err(_) => out.push(format!("{batch:?}")),
        }
    }
    out
}

const PROMQL: [&str; 33] = [
    "requests",
    "special",
    "rate(requests{instance=~\"host-[12].\",le!=\"1\"}[2m] offset 30s)",
    "sum(rate(requests[2m])) by (job)",
    "avg without (instance) (requests)",
    "stddev(requests)",
    "topk(scalar(vector(3)), requests)",
    "bottomk by (job) (2, requests)",
    "quantile(0.9, requests)",
    "count_values(\"v\", requests % 5)",
    "histogram_quantile(0.9, sum by (le) (requests))",
    "histogram_fraction(-Inf, time(), requests)",
    "requests and on (instance) (requests > 50)",
    "requests unless requests > bool 3 or special",
    "requests / on (job) group_left sum(requests) by (job)",
    "max_over_time(sum by (job) (requests)[3m:30s])",
    "quantile_over_time(scalar(special), requests[3m])",
    "label_replace(requests, \"job\", \"x$1\", \"job\", \"job(.)\") > 10",
    "label_join(special, \"job\", \"-\", \"job\", \"le\")",
    "absent(requests{job=\"nobody\"})",
    "special * NaN + -Inf",
    "clamp(requests @ 300, -(time() % 7), 1 / 0)",
    "-abs(special) ^ 2",
    "time() - scalar(special @ 120) + timestamp(requests)",
    "requests smoothed",
    "increase(requests[2m] anchored)",
    "limit_ratio(0.5, requests)",
    "info(requests, {__name__=~\"host_.+\"})",
    "avg(rate(latency[2m])) >/ 1.5",
    "histogram_quantiles(sum(latency), \"q\", 0.5, 0.9, time() / 1000)",
    "histogram_count(sum(latency)) + on () group_right histogram_stdvar(latency @ 300)",
    "limitk(2, latency) or latency + latency",
    "histogram_avg(latency) * on (instance) latency != latency / 2",
];

const LOGQL: [&str; 10] = [
    "{app=\"a\"}",
    "{app=~\"a|b\"} |= \"20\" != \"x\\\"y`z\" | json | status >= 300 | line_format \"{{.took}} `q`\"",
    "count_over_time({app=\"a\"}[1m])",
    "sum by (status) (rate({app=\"a\"} | json [2m]))",
    "sum(bytes_over_time({app=\"a\"} |~ \"(?i)STATUS\" [2m]))",
    "sum without (trace) (count_over_time({app=\"a\"}[2m] offset 30s))",
    "quantile_over_time(0.3, {app=\"a\"} | json | unwrap duration(took) | __error__=\"\" [3m]) by (pod)",
    "max_over_time({app=\"a\"} | json | unwrap status [3m]) without (took, trace)",
    "absent_over_time({app=\"a\", pod=\"z\"}[1m])",
    "topk(2, sum by (pod) (rate({app=\"a\"}[1m])) / 3) or vector(1)",
];

async fn plans() -> Vec<(&'static str, Plan)> {
    let mut out = Vec::new();
    for text in PROMQL {
        out.push((text, promql_plan(text).await));
    }
    for text in LOGQL {
        out.push((text, logql_plan(text).await));
    }
    let by_name = "sum by (__name__) (abs(requests))";
    out.push((by_name, delayed_plan(by_name).await));
    // Sorting is for one step alone.
    let sorted = promql::parse_expr("sort_desc(requests)", &promql::ParseOptions::default()).unwrap();
    let at = 300 * SECOND;
    let sorted = promql::lower(&sorted, &LowerRequest::instant(at, SECOND)).unwrap();
    out.push(("sort_desc", physical(&sorted, Steps::instant(at)).await));
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_gives_the_same_answer_elsewhere() {
    let codec = codec();
    let mut answered = 0;
    for (text, plan) in plans().await {
        let bytes = codec.encode_plan(&plan).unwrap();
        let (_, here) = context("t");
        let (_, elsewhere) = context("t");
        let decoded = codec
            .decode_plan(&bytes, &elsewhere)
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        let print = |plan: &Plan| {
            datafusion_physical_plan::displayable(plan.as_ref())
                .indent(true)
                .to_string()
        };
        assert_eq!(print(&plan), print(&decoded), "{text}");
        assert_eq!(bytes, codec.encode_plan(&decoded).unwrap(), "{text}");
        let expected = answer(&plan, &here).await;
        assert_eq!(expected, answer(&decoded, &elsewhere).await, "{text}");
        answered += usize::from(!expected.is_empty());
    }
    assert_eq!(answered, PROMQL.len() + LOGQL.len() + 2);
}

#[tokio::test]
async fn every_operator_is_among_the_plans() {
    let mut names = std::collections::BTreeSet::new();
    for (_, plan) in plans().await {
        let mut waiting = vec![plan];
        while let Some(node) = waiting.pop() {
            names.insert(node.name().to_string());
            waiting.extend(node.children().into_iter().cloned());
        }
    }
    let known: std::collections::BTreeSet<_> = super::codec::names().map(str::to_string).collect();
    assert_eq!(names, known);
}

#[tokio::test]
async fn a_leaf_of_another_tenant_is_refused() {
    let plan = promql_plan("sum(requests)").await;
    let bytes = codec().encode_plan(&plan).unwrap();
    let (_, other) = context("other");
    let refused = codec().decode_plan(&bytes, &other).unwrap_err().to_string();
    assert!(
        refused.contains("a plan of tenant \"t\" was given to a query of tenant \"other\""),
        "{refused}"
    );
    // Also a plan that came past the codec does not read.
    let run = Gather::one_partition(plan)
        .execute(0, other)
        .unwrap()
        .try_collect::<Vec<_>>()
        .await;
    assert!(run.unwrap_err().to_string().contains("tenant"));
}

#[tokio::test]
async fn bytes_that_were_changed_are_refused() {
    let bytes = codec()
        .encode_plan(&promql_plan("topk(2, rate(requests[1m]))").await)
        .unwrap();
    let (_, task) = context("t");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        assert!(codec().decode_plan(&changed, &task).is_err(), "byte {at}");
        assert!(codec().decode_plan(&bytes[..at], &task).is_err(), "cut at {at}");
    }
    let mut newer = bytes.clone();
    newer[0] += 1;
    let refused = codec().decode_plan(&newer, &task).unwrap_err().to_string();
    let known = super::codec::VERSION;
    let expected = format!("version {}, this process reads {known}", known + 1);
    assert!(refused.contains(&expected), "{refused}");
}

/// An operator around these parameters, with the right checksum.
fn framed(name: &str, parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![name.len() as u8];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(parameters);
    let mut out = vec![super::codec::VERSION];
    out.extend_from_slice(&xxh3_64(&body).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

#[test]
fn limits_hold_for_what_arrives() {
    let (_, task) = context("t");
    let refuse = |name: &str, parameters: &str, expected: &str| {
        let error = codec()
            .try_decode(&framed(name, parameters.as_bytes()), &[], &task)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{parameters}: {error}");
    };
    let steps = "{\"start_ns\":0,\"step_ns\":1,\"count\":1}";
    let deep = "\"Negate\",".repeat(1000);
    refuse(
        "ScalarExec",
        &format!("[[{{\"Constant\":0}},{deep}\"Negate\"],{steps}]"),
        "a scalar that is none",
    );
    refuse(
        "ScalarExec",
        &format!("[[\"Negate\"],{steps}]"),
        "a scalar that is none",
    );
    refuse(
        "ScalarExec",
        &format!("[[\"Time\",\"Time\"],{steps}]"),
        "a scalar that is none",
    );
    refuse("ScalarExec", &format!("[[\"Input\"],{steps}]"), "lacks an input");
    refuse("GatherExec", "null", "lacks an input");
    refuse("NoExec", "null", "unknown operator");
    let leaf = |partitions: usize, matcher: &str| {
        format!(
            "[\"t\",{{\"matchers\":[{matcher}],\"range\":{{\"start\":0,\"end\":9}}}},{{\"steps\":{steps},\"width_ns\":1,\
             \"offset_ns\":0,\"at_ns\":null}},\"Newest\",{partitions},1,{{\"start\":0,\"end\":0}},false]"
        )
    };
    let good = leaf(1, "[\"a\",\"=~\",\"b\",null]");
    codec()
        .try_decode(&framed("SamplesExec", good.as_bytes()), &[], &task)
        .unwrap();
    refuse("SamplesExec", &leaf(0, ""), "0 partitions");
    refuse("SamplesExec", &leaf(1 << 40, ""), "partitions, 1 to 65536 are possible");
    refuse(
        "SamplesExec",
        &leaf(1, "[\"a\",\"=~\",\"b(\",null]"),
        "does not compile",
    );
    refuse("SamplesExec", &leaf(1, "[\"a\",\"~\",\"b\",null]"), "unknown matcher");
}

/// Parameters of every operator of the plans, as they travel.
fn samples_of_parameters() -> &'static [(String, Vec<u8>, usize)] {
    static ALL: std::sync::OnceLock<Vec<(String, Vec<u8>, usize)>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut out = Vec::new();
        for (_, plan) in runtime.block_on(plans()) {
            let mut waiting = vec![plan];
            while let Some(node) = waiting.pop() {
                let mut bytes = Vec::new();
                codec().try_encode(&node, &mut bytes).unwrap();
                let parameters = bytes[10 + node.name().len()..].to_vec();
                out.push((node.name().to_string(), parameters, node.children().len()));
                waiting.extend(node.children().into_iter().cloned());
            }
        }
        out
    })
}

proptest! {
    #[test]
    fn random_bytes_are_no_plan(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, task) = context("t");
        prop_assert!(codec().decode_plan(&bytes, &task).is_err());
        prop_assert!(codec().try_decode(&bytes, &[], &task).is_err());
        let mut versioned = bytes;
        versioned.insert(0, super::codec::VERSION);
        prop_assert!(codec().decode_plan(&versioned, &task).is_err());
    }

    /// Behind a right checksum everything may stand; most of it is refused, nothing panics.
    #[test]
    fn changed_parameters_do_not_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>(),
            prop::sample::select(&b"0123456789-\"[]{},:"[..]),
        ]), 1..6),
        cut in any::<prop::sample::Index>(),
        inputs in 0usize..4,
    ) {
        let (name, parameters, children) = which.get(samples_of_parameters());
        let (_, task) = context("t");
        let leaf = codec().try_decode(&framed("ScalarExec", SCALAR.as_bytes()), &[], &task).unwrap();
        let mut changed = parameters.clone();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        let inputs: Vec<Plan> = vec![leaf; if inputs == 3 { *children } else { inputs }];
        if let Ok(plan) = codec().try_decode(&framed(name, &changed), &inputs, &task) {
            prop_assert_eq!(plan.children().len(), inputs.len());
        }
        changed.truncate(cut.index(changed.len()));
        prop_assert!(codec().try_decode(&framed(name, &changed), &inputs, &task).is_err());
    }
}

/// `vector(1)`, as it travels.
const SCALAR: &str = "[[{\"Constant\":4607182418800017408}],{\"start_ns\":0,\"step_ns\":1,\"count\":1}]";
