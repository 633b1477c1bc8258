//! Plans as they are printed, and what they declare of themselves: order, rows expected, rows and time counted.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion_physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion_physical_plan::{ExecutionPlanProperties, displayable};
use futures::TryStreamExt;
use garner_storage::clock::Clock;
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{Signal, TenantId, TimeRange, Timestamp};
use garner_storage::scan::{LogOrder, SeriesRequest};

use super::Steps;
use super::physical::plan_any;
use crate::context::QueryContext;
use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::logql;
use crate::operators::exec::{OperatorExec, Plan};
use crate::operators::gather::Gather;
use crate::operators::log_select::LogSelect;
use crate::promql::{self, LowerRequest};
use crate::testing::TestStore;

const SECOND: i64 = 1_000_000_000;
const GRID: Steps = Steps {
    start_ns: 0,
    step_ns: 30 * SECOND,
    count: 20,
};

/// A clock on which each look takes a microsecond.
#[derive(Debug, Default)]
struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

/// Twelve series of two jobs, and three entries.
fn engine(target_partitions: usize) -> Engine {
    let mut store = TestStore::new();
    for i in 0..12 {
        let (job, instance) = (format!("job{}", i % 2), format!("host-{i}"));
        let labels = [("__name__", "requests"), ("job", &job), ("instance", &instance)];
        store.load(&labels, 15 * SECOND, &[Some(1.0); 40]);
    }
    for (at, pod) in [(3, "x"), (1, "y"), (2, "x")] {
        let stream = garner_storage::model::Labels::from_pairs([("app", "a"), ("pod", pod)]);
        store.push_log(&stream, at * SECOND, "status=200", &[]);
    }
    let limits = EngineLimits {
        target_partitions,
        min_rows_to_split: 0,
        ..EngineLimits::default()
    };
    let accountant = MemoryAccountant::new(1 << 30);
    Engine::new(store.reader(), accountant, limits, Arc::new(TickingClock::default()))
}

fn context(engine: &Engine) -> Arc<QueryContext> {
    let tenant = TenantId::new("t").unwrap();
    engine.context(&tenant, QueryOptions::default()).unwrap()
}

async fn promql_plan(text: &str, query: &Arc<QueryContext>) -> Plan {
    let expr = promql::parse_expr(text, &promql::ParseOptions::default()).unwrap();
    let request = LowerRequest::range(GRID.start_ns, GRID.end_ns(), GRID.step_ns, 60 * SECOND);
    let plan = promql::lower(&expr, &request).unwrap();
    plan_any(&plan, GRID, query).await.unwrap().exec
}

async fn logql_plan(text: &str, query: &Arc<QueryContext>) -> Plan {
    let logql::ast::Expr::Metric(expr) = logql::parser::parse(text).unwrap() else {
        panic!("{text} is no metric query");
    };
    let plan = logql::lower::lower(&expr).unwrap();
    plan_any(&plan, GRID, query).await.unwrap().exec
}

fn printed(plan: &Plan) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn plans_are_printed_with_all_that_matters() {
    let query = context(&engine(3));
    let promql = async |text: &str, expected: &str| {
        let plan = promql_plan(text, &query).await;
        assert_eq!(printed(&plan), expected, "{text}");
    };
    promql(
        "requests{job=~\"a|b\"}",
        "SamplesExec: newest [job=~\"a|b\", __name__=\"requests\"] window=300000000000ns\n",
    )
    .await;
    promql("sum by (job) (rate(requests[5m] offset 1m)) > 2",
        concat!(
            "BinaryScalarExec: input > 2\n",
            "  AggregateExec: Sum Final KeyLabels { without: false, names: [\"job\"] }\n",
            "    GatherExec: inputs=3\n",
            "      AggregateExec: Sum Partial KeyLabels { without: false, names: [\"job\"] } partitions=3\n",
            "        SamplesExec: rate [__name__=\"requests\"] window=300000000000ns offset=60000000000ns partitions=3\n",
        )).await;
    promql("topk(3, requests) / on (job) group_left avg(requests)",
        concat!(
            "BinaryVectorExec: / Matching { cardinality: ManyToOne, on: true, labels: [\"job\"], include: [], one_side_alone: false, fill_left: None, fill_right: None }\n",
            "  TopKExec: Top k=3 KeyLabels { without: false, names: [] }\n",
            "    GatherExec: inputs=3\n",
            "      TopKExec: Top k=3 KeyLabels { without: false, names: [] } partitions=3\n",
            "        SamplesExec: newest [__name__=\"requests\"] window=300000000000ns partitions=3\n",
            "  AggregateExec: Avg Final KeyLabels { without: false, names: [] }\n",
            "    GatherExec: inputs=3\n",
            "      AggregateExec: Avg Partial KeyLabels { without: false, names: [] } partitions=3\n",
            "        SamplesExec: newest [__name__=\"requests\"] window=300000000000ns partitions=3\n",
        )).await;
    promql(
        "max_over_time(abs({job=\"job1\"})[5m:1m]) or vector(time())",
        concat!(
            "UniqueExec: strict=false\n",
            "  SetOpExec: or KeyLabels { without: true, names: [\"__name__\"] }\n",
            "    SubqueryExec: max_over_time window=300000000000ns step=60000000000ns points=14\n",
            "      UniqueExec: strict=false\n",
            "        GatherExec: inputs=3\n",
            "          FunctionExec: abs partitions=3\n",
            "            SamplesExec: newest [job=\"job1\"] window=300000000000ns partitions=3\n",
            "    ScalarExec: time\n",
        ),
    )
    .await;
    let plan = logql_plan(
        "sum by (pod) (rate({app=\"a\"} | logfmt | status=200 [1m])) * 60",
        &query,
    )
    .await;
    assert_eq!(
        printed(&plan),
        concat!(
            "BinaryScalarExec: input * 60\n",
            "  AggregateExec: Sum Single KeyLabels { without: false, names: [\"pod\"] }\n",
            "    LogRangeExec: CountRate of sum by (pod)(rate({app=\"a\"} | logfmt | status==200[1m])) window=60000000000ns\n",
        )
    );
}

fn expected_rows(plan: &Plan, partition: Option<usize>) -> Option<usize> {
    let args = StatisticsArgs::new().with_partition(partition);
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &args).unwrap();
    statistics.num_rows.get_value().copied()
}

#[tokio::test]
async fn plans_tell_how_many_rows_to_expect() {
    let query = context(&engine(3));
    let check = async |text: &str, expected: Option<usize>| {
        let plan = promql_plan(text, &query).await;
        assert_eq!(expected_rows(&plan, None), expected, "{text}");
    };
    check("requests", Some(12)).await;
    check("rate(requests{job=\"job1\"}[5m]) * 2", Some(6)).await;
    check("sum(requests)", Some(1)).await;
    check("sum by (job) (requests)", Some(12)).await;
    check("requests or requests{job=\"job0\"}", Some(18)).await;
    check("requests / ignoring (x) requests{job=\"job0\"}", Some(6)).await;
    check("absent(requests)", Some(1)).await;
    check("count_values(\"v\", requests)", None).await;
    let leaf = promql_plan("requests", &query).await;
    assert_eq!(leaf.output_partitioning().partition_count(), 3);
    assert_eq!(expected_rows(&leaf, Some(2)), Some(4));
    let logs = logql_plan("count_over_time({app=\"a\"}[1m])", &query).await;
    assert_eq!(expected_rows(&logs, None), Some(2));
    let parsed = logql_plan("count_over_time({app=\"a\"} | logfmt [1m])", &query).await;
    assert_eq!(expected_rows(&parsed, None), None);
}

#[tokio::test]
async fn log_lines_come_in_the_order_declared() {
    let engine = engine(1);
    let query = context(&engine);
    let log = logql::parser::parse_log_selector("{app=\"a\"}").unwrap();
    for (order, descending, expected) in [
        (LogOrder::Forward, Some(false), [1, 2, 3]),
        (LogOrder::Backward, Some(true), [3, 2, 1]),
        (LogOrder::Streams, None, [1, 2, 3]),
    ] {
        let plan = OperatorExec::plan(LogSelect {
            tenant: query.tenant().clone(),
            request: SeriesRequest {
                signal: Signal::Logs,
                matchers: logql::matchers::compile_all(&log.matchers).unwrap(),
                range: TimeRange::ALL,
            },
            filter: Arc::new(logql::selector::LineSelector::compile(&log).unwrap()),
            order,
            limit: 10,
            partitions: 1,
            rows: 3,
        });
        let declared = plan
            .output_ordering()
            .map(|o| (o.to_string(), o.first().options.descending));
        let wanted = descending.map(|d| (format!("time@0 {} NULLS LAST", if d { "DESC" } else { "ASC" }), d));
        assert_eq!(declared, wanted);
        if descending.is_some() {
            let batches: Vec<_> = plan
                .execute(0, engine.task(&query))
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let times: Vec<i64> = batches
                .iter()
                .flat_map(|b| {
                    arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(b.column(0))
                        .values()
                        .to_vec()
                })
                .collect();
            assert_eq!(times, expected.map(|t| t * SECOND));
        }
    }
}

fn walk(plan: &Plan, out: &mut Vec<(String, usize, usize)>) {
    let metrics = plan.metrics().unwrap();
    let rows = metrics.output_rows().unwrap_or(0);
    out.push((plan.name().to_string(), rows, metrics.elapsed_compute().unwrap_or(0)));
    plan.children().into_iter().for_each(|child| walk(child, out));
}

#[tokio::test]
async fn operators_count_their_rows_and_their_own_time() {
    for partitions in [1, 3] {
        let engine = engine(partitions);
        let query = context(&engine);
        let plan = promql_plan("sum by (job) (abs(rate(requests[5m]))) >= 0", &query).await;
        let stream = Gather::one_partition(Arc::clone(&plan))
            .execute(0, engine.task(&query))
            .unwrap();
        let _: Vec<_> = stream.try_collect().await.unwrap();
        let mut seen = Vec::new();
        walk(&plan, &mut seen);
        let rows: Vec<(&str, usize)> = seen.iter().map(|(name, rows, _)| (name.as_str(), *rows)).collect();
        let one = [
            ("BinaryScalarExec", 2),
            ("AggregateExec", 2),
            ("FunctionExec", 12),
            ("SamplesExec", 12),
        ];
        if partitions == 1 {
            assert_eq!(rows, one);
        } else {
            // Each partition has both jobs.
            let split = [&one[..2], &[("GatherExec", 6), ("AggregateExec", 6)], &one[2..]].concat();
            assert_eq!(rows, split);
        }
        assert!(seen.iter().all(|(_, _, ns)| *ns > 0), "{seen:?}");
        let total: usize = seen.iter().map(|(_, _, ns)| ns).sum();
        let passed = usize::try_from(query.now_ns()).unwrap();
        assert!(total <= passed, "{total} ns counted, {passed} ns passed: {seen:?}");
    }
}
