//! What answers tell beside values, and which operations have none: elements of both kinds in one query, as the engine of
//! Prometheus 3.14 answers them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram, Labels, TenantId};

use super::show;
use crate::context::PromqlSettings;
use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::error::QueryError;
use crate::output::QueryOutput;
use crate::testing::{TestClock, TestStore};

fn exponential(counts: &[f64]) -> Histogram {
    Histogram {
        count: counts.iter().sum(),
        sum: counts.iter().sum(),
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: counts.len() as u32,
        }],
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }
}

fn custom(counts: &[f64]) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: vec![1.0, 2.0],
        ..exponential(counts)
    }
}

/// Samples at time 0: `f` floats, `h` histograms, `mix` and `xim` both in either order; classic buckets with falling counts
/// (`falls`), with bounds that are no numbers (`odd`); `both` is a float a second before.
fn store() -> TestStore {
    let mut store = TestStore::new();
    let series = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    for (x, value) in [("1", 1.0), ("2", 2.0)] {
        store.push(&series(&[("__name__", "f"), ("x", x)]), 0, value);
        store.push_histogram(&series(&[("__name__", "h"), ("x", x)]), 0, exponential(&[value]));
    }
    store.push_histogram(&series(&[("__name__", "mix"), ("x", "1")]), 0, exponential(&[1.0]));
    store.push(&series(&[("__name__", "mix"), ("x", "2")]), 0, 5.0);
    store.push_histogram(&series(&[("__name__", "mix"), ("x", "3")]), 0, custom(&[1.0]));
    store.push(&series(&[("__name__", "xim"), ("x", "1")]), 0, 5.0);
    store.push_histogram(&series(&[("__name__", "xim"), ("x", "2")]), 0, exponential(&[1.0]));
    store.push_histogram(&series(&[("__name__", "xim"), ("x", "3")]), 0, custom(&[1.0]));
    store.push_histogram(&series(&[("__name__", "late"), ("x", "1")]), 0, exponential(&[1.0]));
    store.push_histogram(&series(&[("__name__", "late"), ("x", "2")]), 0, custom(&[1.0]));
    store.push(&series(&[("__name__", "late"), ("x", "3")]), 0, 5.0);
    store.push(&series(&[("__name__", "both")]), -1_000_000_000, 5.0);
    store.push_histogram(&series(&[("__name__", "both")]), 0, exponential(&[1.0]));
    for (le, count) in [("1", 4.0), ("2", 3.0), ("1e9", 3.0), ("+Inf", 5.0)] {
        store.push(&series(&[("__name__", "falls"), ("le", le)]), 0, count);
    }
    for (le, count) in [("1", 1.0), ("1_0", 2.0), ("+Inf", 4.0), ("1e999", 9.0)] {
        store.push(&series(&[("__name__", "odd"), ("le", le)]), 0, count);
    }
    store
}

fn ask(query: &str, delayed_name_removal: bool) -> Result<QueryOutput, QueryError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let limits = EngineLimits {
        promql: PromqlSettings {
            delayed_name_removal,
            ..PromqlSettings::default()
        },
        ..EngineLimits::default()
    };
    let memory = MemoryAccountant::new(1 << 30);
    let engine = Engine::new(store().reader(), memory, limits, Arc::new(TestClock(0)));
    let tenant = TenantId::new("t").unwrap();
    runtime.block_on(engine.promql_instant(&tenant, query, 0, QueryOptions::default()))
}

/// The value, and all that is told.
fn check(query: &str, expected: &str, told: &[&str]) {
    let output = ask(query, false).unwrap();
    assert_eq!(show(&output.value), expected, "{query}");
    let texts: Vec<_> = output.warnings.iter().chain(&output.infos).collect();
    assert_eq!(texts, told, "{query}");
}

fn check_error(query: &str, expected: &str) {
    let error = ask(query, false).unwrap_err().to_string();
    assert!(error.contains(expected), "{query}: {error}");
}

#[test]
fn a_side_that_nothing_can_come_of_is_evaluated_all_the_same() {
    let ignored = "PromQL info: ignored histogram in max aggregation (1:14)";
    check(
        "none and (max(h))",
        "",
        &["PromQL info: ignored histogram in max aggregation (1:15)"],
    );
    check(
        "none + on() (max(h))",
        "",
        &["PromQL info: ignored histogram in max aggregation (1:18)"],
    );
    check("topk(-1, max(h))", "", &[ignored]);
    check_error("none unless (f + on() group_left f)", "found duplicate series");
}

#[test]
fn an_operation_without_a_result_matches_nothing() {
    let types = |at: &str| format!("PromQL info: incompatible sample types encountered for binary operator {at}");
    // Two on the left, but there is no result of either.
    check("h > on() (f{x=\"1\"})", "", &[&types("\">\": histogram > float (1:1)")]);
    check_error("f > on() (f{x=\"1\"})", "many-to-one matching must be explicit");
    // The fill value takes the place of what had no result.
    check(
        "h{x=\"1\"} + on(x) fill_left(7) (f{x=\"1\"})",
        "{x=1} 8",
        &[&types("\"+\": histogram + float (1:1)")],
    );
}

#[test]
fn of_each_step_the_last_message_is_told() {
    let types = |at: &str| format!("PromQL info: incompatible sample types encountered for binary operator {at}");
    check(
        "xim > on(x) group_left h",
        "",
        &[&types("\">\": histogram > histogram (1:1)")],
    );
    check(
        "mix > on(x) group_left h",
        "",
        &[&types("\">\": float > histogram (1:1)")],
    );
    check("2 </ xim{x!=\"3\"}", "", &[&types("\"</\": float </ histogram (1:1)")]);
    check("2 </ mix{x!=\"3\"}", "", &[&types("\"</\": float </ float (1:1)")]);
}

#[test]
fn a_sum_takes_no_histogram_after_a_float() {
    let floats = "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)";
    let buckets = |name: &str| {
        format!(
            "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric \
             name \"{name}\" (1:5)"
        )
    };
    check("sum(mix)", "", &[floats, &buckets("mix")]);
    check("sum(xim)", "", &[floats]);
    check("avg(xim)", "", &[floats]);
    check("sum(late)", "", &[&buckets("late")]);
}

#[test]
fn classic_histograms_are_told_of_by_name_where_names_stay() {
    let infos = |query: &str, delayed| {
        let output = ask(query, delayed).unwrap();
        output.infos.into_iter().chain(output.warnings).collect::<Vec<_>>()
    };
    let text = |name: &str, at: &str| {
        format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){name}, from buckets 2 to \
             1e+09, with a max diff of 1, over 1 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z (1:{at})"
        )
    };
    let query = "histogram_quantile(0.5, falls)";
    assert_eq!(infos(query, false), [text("", "25")]);
    assert_eq!(infos(query, true), [text(" for metric name \"falls\"", "25")]);
    // Raised once for all φ.
    let query = "histogram_quantiles(falls, \"q\", 0.1, 0.5)";
    assert_eq!(infos(query, false), [text("", "21")]);
    let bad = |name: &str| {
        format!("PromQL warning: bucket label \"le\" is missing or has a malformed value of \"1e999\"{name} (1:25)")
    };
    assert_eq!(infos("histogram_quantile(0.5, odd)", false), [bad("")]);
    assert_eq!(
        infos("histogram_quantile(0.5, odd)", true),
        [bad(" for metric name \"odd\"")]
    );
}

#[test]
fn numbers_in_messages_are_as_in_go() {
    check_error("topk(Inf, f)", "Scalar value +Inf overflows int64");
    check_error("bottomk(1e300, f)", "Scalar value 1e+300 overflows int64");
    check_error(
        "double_exponential_smoothing(h[5m], 0.5, 2)",
        "invalid trend factor. Expected: 0 < tf < 1, got: 2.000000",
    );
    check_error(
        "double_exponential_smoothing(f[5m], Inf, 0.5)",
        "invalid smoothing factor. Expected: 0 < sf < 1, got: +Inf",
    );
    check(
        "histogram_quantiles(falls, \"q\", 1e9)",
        "{q=1e+09} +Inf",
        &["PromQL warning: quantile value should be between 0 and 1, got 1e+09 (1:33)"],
    );
}

#[test]
fn label_sets_in_messages_are_as_in_go() {
    check_error(
        "f + on() label_join(f, \"a.b\", \"\", \"x\")",
        r#"[{__name__="f", "a.b"="1", x="1"}, {__name__="f", "a.b"="2", x="2"}]"#,
    );
}

#[test]
fn places_of_range_functions() {
    let ignored = "ignored histograms in a range containing both floats and histograms for metric name \"both\"";
    check(
        "quantile_over_time(0.5, both[5m])",
        "{} 5",
        &[&format!("PromQL info: {ignored} (1:20)")],
    );
    check(
        "min_over_time(both[5m])",
        "{} 5",
        &[&format!("PromQL info: {ignored} (1:15)")],
    );
    let query = "  min_over_time(both[5m:1s])";
    check(query, "{} 5", &[&format!("PromQL info: {ignored} (1:1)")]);
}

#[test]
fn a_subquery_without_steps_evaluates_nothing() {
    check("count_over_time((topk(NaN, max(h)))[1ms:1h] offset 1s)", "", &[]);
    check("absent_over_time((sort(f))[1ms:1h] offset 1s)", "{} 1", &[]);
}

#[test]
fn labels_that_are_missing_stay_where_they_stand() {
    let pairs = "label_replace(f, \"y\", \"$1\", \"x\", \"(2)\")";
    check(
        &format!("sort_by_label({pairs}, \"y\")"),
        "{__name__=f,x=1} 1; {__name__=f,x=2,y=2} 2",
        &[],
    );
    check(
        &format!("sort_by_label_desc({pairs}, \"y\")"),
        "{__name__=f,x=2,y=2} 2; {__name__=f,x=1} 1",
        &[],
    );
    let pairs = "label_replace(f, \"y\", \"$1\", \"x\", \"(1)\")";
    check(
        &format!("sort_by_label({pairs}, \"y\")"),
        "{__name__=f,x=1,y=1} 1; {__name__=f,x=2} 2",
        &[],
    );
    check(
        &format!("sort_by_label_desc({pairs}, \"y\")"),
        "{__name__=f,x=2} 2; {__name__=f,x=1,y=1} 1",
        &[],
    );
}

#[test]
fn no_start_is_known_where_starts_are_not_looked_at() {
    check("start_timestamp(f)", "", &[]);
}
