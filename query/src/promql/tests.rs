//! Whole queries over a small store: text in, answer out. Each case is a property of the language that a plan alone does
//! not show; Prometheus' own scripts cover the rest over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

pub(super) mod asking;
mod corpus;
mod experimental;
mod listed;
mod memory;
mod starts;
mod told;

use std::sync::Arc;

use garner_storage::model::{Histogram, Labels};

use self::asking::{At, ask};
use crate::engine::EngineLimits;
use crate::error::{QueryError, QueryErrorKind};
use crate::functions::native::text::text;
use crate::output::{QueryOutput, SampleValue, Value};
use crate::promql::format_float;
use crate::testing::TestStore;

const MINUTE: i64 = 60_000_000_000;

/// Counters and gauges a minute apart from time 0 to 10 m.
fn store() -> TestStore {
    let ramp = |step: f64| (0..=10).map(|i| Some(f64::from(i) * step)).collect::<Vec<_>>();
    let mut store = TestStore::new();
    store
        .load(
            &[("__name__", "c_total"), ("job", "a"), ("pod", "1")],
            MINUTE,
            &ramp(60.0),
        )
        .load(
            &[("__name__", "c_total"), ("job", "a"), ("pod", "2")],
            MINUTE,
            &ramp(120.0),
        )
        .load(
            &[("__name__", "c_total"), ("job", "b"), ("pod", "3")],
            MINUTE,
            &ramp(180.0),
        )
        .load(
            &[("__name__", "info"), ("job", "a"), ("team", "x")],
            MINUTE,
            &[Some(1.0); 11],
        )
        .load(&[("__name__", "gauge"), ("ünïcode", "ja")], MINUTE, &ramp(1.0))
        .load(&[("__name__", "h_bucket"), ("le", "1")], MINUTE, &[Some(5.0); 11])
        .load(&[("__name__", "h_bucket"), ("le", "2")], MINUTE, &[Some(10.0); 11])
        .load(&[("__name__", "h_bucket"), ("le", "+Inf")], MINUTE, &[Some(10.0); 11]);
    let stale = f64::from_bits(garner_storage::model::STALE_NAN_BITS);
    store.load(&[("__name__", "gone")], MINUTE, &[Some(1.0), Some(2.0), Some(stale)]);
    store
}

fn instant(text: &str, time_ns: i64) -> Result<QueryOutput, QueryError> {
    ask(store(), EngineLimits::default(), text, At::Time(time_ns))
}

fn range(text: &str, start: i64, end: i64, step: i64) -> Result<QueryOutput, QueryError> {
    ask(store(), EngineLimits::default(), text, At::Range { start, end, step })
}

/// Labels as a selector, without spaces.
fn short(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn show_value(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format_float(*value),
        SampleValue::Histogram(histogram) => text(histogram),
    }
}

/// An answer in one line; times in minutes.
fn show(value: &Value) -> String {
    let minutes = |ns: i64| ns as f64 / MINUTE as f64;
    match value {
        Value::Scalar(_, value) => format_float(*value),
        Value::String(_, text) => format!("{text:?}"),
        Value::Vector(elements) => {
            let show = |e: &crate::output::InstantSample| format!("{} {}", short(&e.labels), show_value(&e.value));
            elements.iter().map(show).collect::<Vec<_>>().join("; ")
        }
        Value::Matrix(series) => {
            let points = |s: &crate::output::RangeSeries| {
                let point = |(t, v): &(i64, f64)| format!("{}@{}", format_float(*v), minutes(*t));
                let floats = s.samples.iter().map(point);
                let histogram = |(t, h): &(i64, Arc<Histogram>)| format!("{}@{}", text(h), minutes(*t));
                floats
                    .chain(s.histograms.iter().map(histogram))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let show = |s: &crate::output::RangeSeries| format!("{} {}", short(&s.labels), points(s));
            series.iter().map(show).collect::<Vec<_>>().join("; ")
        }
    }
}

/// At 10 m.
fn check(query: &str, expected: &str) {
    let output = instant(query, 10 * MINUTE);
    assert_eq!(output.map(|o| show(&o.value)), Ok(expected.to_string()), "{query}");
}

/// From 8 m to 10 m, every minute.
fn check_range(query: &str, expected: &str) {
    let output = range(query, 8 * MINUTE, 10 * MINUTE, MINUTE);
    assert_eq!(output.map(|o| show(&o.value)), Ok(expected.to_string()), "{query}");
}

#[test]
fn values_by_type() {
    check("1 + 2 * 3", "7");
    check("'text'", "\"text\"");
    check("time()", "600");
    check("vector(1)", "{} 1");
    check("no_such_series", "");
    check_range("1", "{} 1@8 1@9 1@10");
    check_range("time() / 60", "{} 8@8 9@9 10@10");
    check("gauge[2m]", "{__name__=gauge,ünïcode=ja} 9@9 10@10");
    check("gauge[4m:2m]", "{__name__=gauge,ünïcode=ja} 8@8 10@10");
}

#[test]
fn selectors_offsets_and_at() {
    check("{'gauge', 'ünïcode'='ja'}", "{__name__=gauge,ünïcode=ja} 10");
    check("gauge offset 3m", "{__name__=gauge,ünïcode=ja} 7");
    check("gauge @ 120 offset -1m", "{__name__=gauge,ünïcode=ja} 3");
    check_range("gauge @ start()", "{__name__=gauge,ünïcode=ja} 8@8 8@9 8@10");
    check_range("gauge - on() (gauge @ end())", "{} -2@8 -1@9 0@10");
    check("gone offset 9m", "{__name__=gone} 2");
    check("gone offset 8m", "");
    check("timestamp(gauge offset 90s)", "{ünïcode=ja} 480");
}

#[test]
fn windows_are_open_on_the_left() {
    check("count_over_time(gauge[1m])", "{ünïcode=ja} 1");
    check("count_over_time(gauge[61s])", "{ünïcode=ja} 2");
    check("sum_over_time(gauge[3m:1m])", "{ünïcode=ja} 27");
    check("rate(c_total{pod='1'}[5m])", "{job=a,pod=1} 1");
    check_range(
        "max_over_time(rate(c_total{job='b'}[2m])[3m:1m])",
        "{job=b,pod=3} 3@8 3@9 3@10",
    );
}

#[test]
fn matching_and_aggregation() {
    check("sum by (job) (rate(c_total[5m]))", "{job=a} 3; {job=b} 3");
    check("topk(1, c_total)", "{__name__=c_total,job=b,pod=3} 1800");
    check("count_values('v', c_total > 600)", "{v=1200} 1; {v=1800} 1");
    check(
        "c_total * on (job) group_left (team) info > 600",
        "{job=a,pod=2,team=x} 1200",
    );
    check(
        "c_total{pod='1'} and on (job) info",
        "{__name__=c_total,job=a,pod=1} 600",
    );
    check("c_total{pod='1'} > bool 5", "{job=a,pod=1} 1");
    check("5 < c_total{pod='1'}", "{__name__=c_total,job=a,pod=1} 600");
    check("absent(nope{a='1', b=~'2'})", "{a=1} 1");
    check("histogram_quantile(0.75, h_bucket)", "{} 1.5");
    check(
        "label_replace(info, 'x', '${1}y', 'team', '(.*)')",
        "{__name__=info,job=a,team=x,x=xy} 1",
    );
    check("histogram_count(gauge)", "");
    check(
        "count(c_total{pod=~\"[[:digit:]]\", job=~\"a{0,1}|\\\\Qb\\\\E\"})",
        "{} 3",
    );
}

#[test]
fn mistakes_by_kind() {
    let check = |output: Result<QueryOutput, QueryError>, kind: QueryErrorKind, message: &str| {
        let error = output.unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message));
    };
    let bad = QueryErrorKind::BadData;
    check(instant("sum(", 0), bad, "1:5: parse error: unclosed left parenthesis");
    check(
        range("gauge[1m]", 0, MINUTE, MINUTE),
        bad,
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    );
    check(
        instant("c_total + on (job) c_total", MINUTE),
        QueryErrorKind::Execution,
        "found duplicate series for the match group {job=\"a\"} on the right hand-side of the operation: \
         [{__name__=\"c_total\", job=\"a\", pod=\"1\"}, {__name__=\"c_total\", job=\"a\", pod=\"2\"}];many-to-many \
         matching not allowed: matching labels must be unique on one side",
    );
}

#[test]
fn queries_as_deep_as_allowed_run() {
    // The depths are just below the parser's limits; the stack is that of a test thread, two megabytes.
    let nested = |open: &str, close: &str, depth: usize| format!("{}gauge{}", open.repeat(depth), close.repeat(depth));
    check(&vec!["gauge"; 128].join(" + "), "{ünïcode=ja} 1280");
    check(&vec!["gauge"; 128].join(" or "), "{__name__=gauge,ünïcode=ja} 10");
    check(&nested("abs(", ")", 120), "{ünïcode=ja} 10");
    check(&nested("sum(", ")", 120), "{} 10");
    check(&nested("topk(1, ", ")", 120), "{__name__=gauge,ünïcode=ja} 10");
    check(
        &nested("last_over_time(", "[1m:1m])", 60),
        "{__name__=gauge,ünïcode=ja} 10",
    );
    check(&nested("sum(vector(scalar(", ")))", 40), "{} 10");
    check(&nested("gauge - (", ")", 60), "{ünïcode=ja} 10");
    check(&nested("absent(absent(", "))", 60), "{} 1");
    check(
        &nested("label_replace(", ", 'a', 'b', '', '')", 120),
        "{__name__=gauge,a=b,ünïcode=ja} 10",
    );
}
