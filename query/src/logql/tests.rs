//! Queries end to end over a store in memory.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{Labels, TenantId};
use garner_storage::scan::LogOrder;

use super::output::{LogqlOutput, LogqlValue};
use super::run::LogqlOptions;
use crate::engine::{Engine, EngineLimits};
use crate::error::QueryError;
use crate::output::Value;
use crate::testing::{TestClock, TestStore};

mod empty_labels;

const S: i64 = 1_000_000_000;

/// Two streams of app `a`: JSON lines every 10 s from 10 s on, and logfmt lines every 20 s.
fn engine() -> Engine {
    let mut store = TestStore::new();
    let json = Labels::from_pairs([("app", "a"), ("pod", "j")]);
    let logfmt = Labels::from_pairs([("app", "a"), ("pod", "l")]);
    for i in 1..=6i64 {
        let status = if i % 3 == 0 { 500 } else { 200 };
        let line = format!("{{\"status\":{status},\"took\":\"{i}ms\",\"pod\":\"x\"}}");
        store.push_log(&json, 10 * i * S, &line, &[("trace", &format!("t{i}"))]);
    }
    for i in 1..=3i64 {
        store.push_log(
            &logfmt,
            20 * i * S + 1,
            &format!("status={} took={i}s bad", 100 * i),
            &[],
        );
    }
    Engine::new(
        store.reader(),
        MemoryAccountant::new(1 << 30),
        EngineLimits::default(),
        Arc::new(TestClock(0)),
    )
}

fn show(output: Result<LogqlOutput, QueryError>) -> String {
    let output = match output {
        Ok(output) => output,
        Err(error) => return format!("error: {error}"),
    };
    let pairs = |list: &[(String, String)]| {
        list.iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let labels = |l: &Labels| l.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
    let mut rows = match output.value {
        LogqlValue::Streams(streams) => streams
            .iter()
            .map(|s| {
                let lines: Vec<String> = s
                    .entries
                    .iter()
                    .map(|e| format!("{}:{}", e.time_ns / S, e.line))
                    .collect();
                format!("{{{}}} {}", pairs(&s.labels), lines.join(" "))
            })
            .collect(),
        LogqlValue::Metric(Value::Vector(samples)) => samples
            .iter()
            .map(|s| format!("{{{}}} {}", labels(&s.labels), s.value.number()))
            .collect(),
        LogqlValue::Metric(Value::Matrix(series)) => series
            .iter()
            .map(|s| {
                let points: Vec<String> = s.samples.iter().map(|(t, v)| format!("{}:{v}", t / S)).collect();
                format!("{{{}}} {}", labels(&s.labels), points.join(" "))
            })
            .collect(),
        LogqlValue::Metric(Value::Scalar(time, value)) => vec![format!("{value} at {}", time / S)],
        LogqlValue::Metric(other) => vec![format!("{other:?}")],
    };
    rows.sort();
    rows.join("; ")
}

fn tenant() -> TenantId {
    TenantId::new("fake").unwrap()
}

async fn instant(text: &str) -> String {
    show(
        engine()
            .logql_instant(&tenant(), text, 60 * S, LogqlOptions::default())
            .await,
    )
}

async fn lines(text: &str, limit: usize, order: LogOrder) -> String {
    let options = LogqlOptions {
        limit,
        order,
        ..LogqlOptions::default()
    };
    show(engine().logql_range(&tenant(), text, 0, 1_000 * S, S, options).await)
}

#[tokio::test]
async fn log_queries_give_streams_with_all_their_labels() {
    for (query, limit, order, expected) in [
        (
            "{app=\"a\"} | logfmt | status > 150 | pod=\"l\"",
            10,
            LogOrder::Forward,
            "{app=a,pod=l,status=200,took=2s} 40:status=200 took=2s bad; {app=a,pod=l,status=300,took=3s} 60:status=300 took=3s bad",
        ),
        (
            "{app=\"a\"} | json | status=500 | line_format \"{{.took}} {{.pod_extracted}}\"",
            1,
            LogOrder::Backward,
            "{app=a,pod=j,pod_extracted=x,status=500,took=6ms,trace=t6} 60:6ms x",
        ),
        (
            "{app=\"a\"} |= \"took\" != \"bad\" | trace=\"t1\"",
            10,
            LogOrder::Backward,
            "{app=a,pod=j,trace=t1} 10:{\"status\":200,\"took\":\"1ms\",\"pod\":\"x\"}",
        ),
        ("{app=\"b\"}", 10, LogOrder::Backward, ""),
        (
            "{pod=\"l\"} | json",
            1,
            LogOrder::Forward,
            "{__error__=JSONParserErr,__error_details__=Value looks like object, but can't find closing '}' symbol,app=a,pod=l} 20:status=100 took=1s bad",
        ),
    ] {
        assert_eq!(lines(query, limit, order).await, expected, "{query}");
    }
}

#[tokio::test]
async fn metric_queries_fold_lines_into_windows() {
    for (query, expected) in [
        ("sum(count_over_time({app=\"a\"}[1m]))", "{} 8"),
        (
            "sum by (pod) (count_over_time({app=\"a\"}[30s]))",
            "{pod=j} 3; {pod=l} 1",
        ),
        (
            "sum by (status) (count_over_time({pod=\"j\"} | json [1m]))",
            "{status=200} 4; {status=500} 2",
        ),
        (
            "count_over_time({pod=\"j\"} | trace=\"t3\" [1m])",
            "{app=a,pod=j,trace=t3} 1",
        ),
        ("sum(rate({pod=\"j\"}[1m])) * 60", "{} 6"),
        ("sum(bytes_over_time({pod=\"l\"}[1m]))", "{} 44"),
        (
            "max_over_time({pod=\"j\"} | json | unwrap duration(took) [1m]) by (app)",
            "{app=a} 0.006",
        ),
        (
            "avg_over_time({pod=\"l\"} | logfmt | unwrap status [2m] offset 10s) by (pod)",
            "{pod=l} 150",
        ),
        ("absent_over_time({app=\"zzz\", pod=~\".+\"}[1m])", "{app=zzz} 1"),
        ("absent_over_time({app=\"a\"}[1m])", ""),
        ("vector(1)+vector(1)", "{} 2"),
        ("1 / 0", "NaN at 60"),
        ("sum(count_over_time({app=\"a\"}[1m])) / 0", "{} NaN"),
        ("topk(1, sum by (pod) (count_over_time({app=\"a\"}[1m])))", "{pod=j} 6"),
        (
            "label_replace(sum by (pod) (count_over_time({app=\"a\"}[1m])), \"p\", \"x$1\", \"pod\", \"(j|l)\")",
            "{p=xj,pod=j} 6; {p=xl,pod=l} 2",
        ),
        (
            "{app=\"a\"}",
            "error: log queries are not supported as an instant query type, please change your query to a range query type",
        ),
    ] {
        assert_eq!(instant(query).await, expected, "{query}");
    }
    let error = instant("count_over_time({pod=\"l\"} | json [1m])").await;
    assert!(
        error.starts_with("error: pipeline error: 'JSONParserErr' for series: '{__error__="),
        "{error}"
    );
}

/// A template of lines that nobody reads is not looked at, so what it names is not parsed either.
#[tokio::test]
async fn lines_are_formatted_only_for_what_reads_them() {
    for (query, expected) in [
        (
            "sum(count_over_time({pod=\"l\"} | json | line_format `{{.x}}` [1m]))",
            "{} 2",
        ),
        (
            "sum(count_over_time({pod=\"l\"} | line_format `{{ nosuch }}` | decolorize [1m]))",
            "{} 2",
        ),
        ("sum(bytes_over_time({pod=\"l\"} | line_format `ab` [1m]))", "{} 4"),
        (
            "sum(count_over_time({pod=\"l\"} | line_format `ab` |= `b` [1m]))",
            "{} 2",
        ),
    ] {
        let answer = instant(query).await;
        assert_eq!(answer, expected, "{query}");
    }
    for query in [
        "sum(count_over_time({pod=\"l\"} | json | line_format `{{.x}}` | logfmt [1m]))",
        "sum(bytes_over_time({pod=\"l\"} | line_format `{{ nosuch }}` [1m]))",
    ] {
        let answer = instant(query).await;
        assert!(answer.starts_with("error"), "{query}: {answer}");
    }
}

/// Of lines of one time and stream, the last written is the newest.
#[tokio::test]
async fn lines_of_one_time_come_in_the_order_of_their_writing() {
    let mut store = TestStore::new();
    let stream = Labels::from_pairs([("app", "a")]);
    for line in ["c", "a", "b"] {
        store.push_log(&stream, 10 * S, line, &[]);
    }
    let engine = Engine::new(
        store.reader(),
        MemoryAccountant::new(1 << 30),
        EngineLimits::default(),
        Arc::new(TestClock(0)),
    );
    for (order, limit, expected) in [
        (LogOrder::Forward, 2, ["c", "a"].as_slice()),
        (LogOrder::Backward, 2, &["b", "a"]),
        (LogOrder::Backward, 9, &["b", "a", "c"]),
    ] {
        let options = LogqlOptions {
            order,
            limit,
            ..LogqlOptions::default()
        };
        let output = engine
            .logql_range(&tenant(), "{app=\"a\"}", 0, 60 * S, S, options)
            .await;
        let LogqlValue::Streams(streams) = output.unwrap().value else {
            panic!("no streams");
        };
        let lines: Vec<&str> = streams[0].entries.iter().map(|e| e.line.as_str()).collect();
        assert_eq!(lines, expected, "{order:?}");
    }
}

#[tokio::test]
async fn range_queries_stand_on_multiples_of_the_step() {
    let query = "sum(count_over_time({app=\"a\"}[20s]))";
    let got = engine()
        .logql_range(&tenant(), query, 25 * S, 61 * S, 20 * S, LogqlOptions::default())
        .await;
    assert_eq!(show(got), "{} 20:2 40:3 60:3 80:1");
}

#[tokio::test]
async fn too_many_series_are_refused_or_cut() {
    let query = "count_over_time({app=\"a\"}[1m])";
    let options = LogqlOptions {
        max_series: 2,
        ..LogqlOptions::default()
    };
    let refused = show(engine().logql_instant(&tenant(), query, 60 * S, options).await);
    assert!(
        refused.starts_with("error: maximum number of series (2) reached for a single query"),
        "{refused}"
    );
    let partial = LogqlOptions {
        partial_series: true,
        ..options
    };
    let cut = engine().logql_instant(&tenant(), query, 60 * S, partial).await.unwrap();
    assert_eq!(cut.warnings.len(), 1);
}

#[tokio::test]
async fn save_and_test_of_grafana_passes_at_four_seconds() {
    let got = engine()
        .logql_instant(&tenant(), "vector(1)+vector(1)", 4 * S, LogqlOptions::default())
        .await;
    assert_eq!(show(got), "{} 2");
}
