//! Whole queries over native histograms: values as text, and what is told of them. Prometheus' own scripts cover the rest
//! over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram, Labels};

use super::tests::asking::{self, At};
use crate::engine::EngineLimits;
use crate::functions::native::text::text;
use crate::output::{QueryOutput, SampleValue, Value};
use crate::promql::format_float;
use crate::testing::TestStore;

const MINUTE: i64 = 60_000_000_000;

fn exponential(counts: &[f64]) -> Histogram {
    Histogram {
        count: counts.iter().sum(),
        sum: counts.iter().sum(),
        positive_spans: vec![BucketSpan {
            offset: 1,
            length: counts.len() as u32,
        }],
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: counts.len() as u32,
        }],
        ..exponential(counts)
    }
}

/// Samples a minute apart from time 0 to 10 m: `h` counts up, `g` is a gauge, `c` and `d` have custom buckets, `f` is a
/// float, `m` one or the other, `s` ends at 5 m, `n` has a NaN observation, `le` has classic and native buckets.
fn store() -> TestStore {
    let mut store = TestStore::new();
    for i in 0..=10 {
        let (time, v) = (i * MINUTE, i as f64);
        let series = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        for pod in ["1", "2"] {
            let scale = if pod == "1" { 1.0 } else { 2.0 };
            store.push_histogram(
                &series(&[("__name__", "h"), ("pod", pod)]),
                time,
                exponential(&[6.0 * v * scale]),
            );
        }
        let gauge = Histogram {
            counter_reset: CounterReset::Gauge,
            ..exponential(&[v])
        };
        store.push_histogram(&series(&[("__name__", "g")]), time, gauge);
        store.push_histogram(&series(&[("__name__", "c")]), time, custom(&[1.0, 2.0], &[v, v, v]));
        store.push_histogram(&series(&[("__name__", "d")]), time, custom(&[2.0, 3.0], &[v, v, v]));
        store.push(&series(&[("__name__", "f")]), time, v);
        if i % 4 < 2 {
            store.push(&series(&[("__name__", "m")]), time, v);
        } else {
            store.push_histogram(&series(&[("__name__", "m")]), time, exponential(&[v]));
        }
        if i < 5 {
            store.push_histogram(&series(&[("__name__", "s")]), time, exponential(&[v]));
        } else if i == 5 {
            store.push(
                &series(&[("__name__", "s")]),
                time,
                f64::from_bits(garner_storage::model::STALE_NAN_BITS),
            );
        }
        let nan = Histogram {
            sum: f64::NAN,
            count: 8.0,
            ..exponential(&[4.0])
        };
        store.push_histogram(&series(&[("__name__", "n")]), time, nan);
        for le in ["1", "+Inf"] {
            store.push(&series(&[("__name__", "x"), ("le", le)]), time, v);
        }
        store.push_histogram(&series(&[("__name__", "x")]), time, exponential(&[v]));
    }
    store
}

fn ask(query: &str, range: bool) -> QueryOutput {
    let (start, end) = (8 * MINUTE, 10 * MINUTE);
    let at = match range {
        true => At::Range {
            start,
            end,
            step: MINUTE,
        },
        false => At::Time(end),
    };
    asking::ask(store(), EngineLimits::default(), query, at).unwrap()
}

fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn show(value: &Value) -> String {
    let shown: Vec<String> = match value {
        Value::Vector(elements) => elements
            .iter()
            .map(|e| match &e.value {
                SampleValue::Float(value) => format!("{} {}", labels(&e.labels), format_float(*value)),
                SampleValue::Histogram(histogram) => format!("{} {}", labels(&e.labels), text(histogram)),
            })
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let floats = s.samples.iter().map(|(t, v)| (*t, format_float(*v)));
                let mut points: Vec<_> = floats.chain(s.histograms.iter().map(|(t, h)| (*t, text(h)))).collect();
                points.sort_by_key(|(t, _)| *t);
                let points: Vec<_> = points.iter().map(|(t, v)| format!("{v}@{}", t / MINUTE)).collect();
                format!("{} {}", labels(&s.labels), points.join(" "))
            })
            .collect(),
        other => vec![format!("{other:?}")],
    };
    shown.join("; ")
}

/// At 10 m, without anything to tell.
fn check(query: &str, expected: &str) {
    let output = ask(query, false);
    assert_eq!(show(&output.value), expected, "{query}");
    assert_eq!((output.warnings, output.infos), (Vec::new(), Vec::new()), "{query}");
}

/// From 8 m to 10 m, every minute.
fn check_range(query: &str, expected: &str) {
    assert_eq!(show(&ask(query, true).value), expected, "{query}");
}

/// At 10 m, with one text of either kind.
fn check_told(query: &str, expected: &str, told: &str) {
    let output = ask(query, false);
    assert_eq!(show(&output.value), expected, "{query}");
    let texts: Vec<_> = output.warnings.iter().chain(&output.infos).collect();
    assert_eq!(texts, [told], "{query}");
}

#[test]
fn selectors_give_histograms() {
    check("g", "{__name__=g} {count:10, sum:10, (1,2]:10}");
    check(
        "h{pod=\"1\"} offset 5m",
        "{__name__=h,pod=1} {count:30, sum:30, (1,2]:30}",
    );
    check("s", "");
    check("s offset 6m", "{__name__=s} {count:4, sum:4, (1,2]:4}");
    check("timestamp(g)", "{} 600");
    check("timestamp(g + g)", "{} 600");
    check("vector(scalar(g))", "{} NaN");
    check("f + scalar(g)", "{} NaN");
    check_range("m", "{__name__=m} 8@8 9@9 {count:10, sum:10, (1,2]:10}@10");
    check_range(
        "g @ 60",
        "{__name__=g} {count:1, sum:1, (1,2]:1}@8 {count:1, sum:1, (1,2]:1}@9 {count:1, sum:1, (1,2]:1}@10",
    );
    check("m[2m]", "{__name__=m} 9@9 {count:10, sum:10, (1,2]:10}@10");
    check("absent(g)", "");
    check("absent_over_time(s[1m])", "{} 1");
    check("sort(g)", "");
    check_range("sort_desc({__name__=~\"f|g\"})", "{__name__=f} 8@8 9@9 10@10");
    check(
        "sort_by_label({__name__=~\"f|g\"}, \"__name__\")",
        "{__name__=f} 10; {__name__=g} {count:10, sum:10, (1,2]:10}",
    );
}

#[test]
fn range_functions_take_histograms() {
    check("rate(h{pod=\"1\"}[5m])", "{pod=1} {count:0.1, sum:0.1, (1,2]:0.1}");
    check(
        "increase(h[5m:1m])",
        "{pod=1} {count:30, sum:30, (1,2]:30}; {pod=2} {count:60, sum:60, (1,2]:60}",
    );
    check("delta(g[5m])", "{} {count:5, sum:5, (1,2]:5}");
    check("avg_over_time(g[3m])", "{} {count:9, sum:9, (1,2]:9}");
    check("last_over_time(m[3m])", "{__name__=m} {count:10, sum:10, (1,2]:10}");
    check("changes(m[10m])", "{} 9");
    check_told(
        "rate(g[5m])",
        "{} {count:0.016666666666666666, sum:0.016666666666666666, (1,2]:0.016666666666666666}",
        "PromQL warning: this native histogram metric is not a counter: \"g\" (1:6)",
    );
    check_told(
        "rate(m[5m])",
        "",
        "PromQL warning: encountered a mix of histograms and floats for metric name \"m\" (1:6)",
    );
    check_told(
        "max_over_time(m[5m])",
        "{} 9",
        "PromQL info: ignored histograms in a range containing both floats and histograms for metric name \"m\" (1:15)",
    );
}

#[test]
fn aggregations_take_or_leave_histograms() {
    check("sum(h)", "{} {count:180, sum:180, (1,2]:180}");
    check(
        "avg by (pod) (h)",
        "{pod=1} {count:60, sum:60, (1,2]:60}; {pod=2} {count:120, sum:120, (1,2]:120}",
    );
    check("count({__name__=~\"f|g|h\"})", "{} 4");
    check("group(h)", "{} 1");
    check("count_values(\"v\", g)", "{v={count:10, sum:10, (1,2]:10}} 1");
    check("limitk(1, h)", "{__name__=h,pod=1} {count:60, sum:60, (1,2]:60}");
    check_told(
        "sum({__name__=~\"f|g\"})",
        "",
        "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)",
    );
    check_told(
        "sum({__name__=~\"c|g\"})",
        "",
        "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"g\" (1:5)",
    );
    check_told(
        "sum({__name__=~\"c|d\"})",
        "{} {count:60, sum:60, [-Inf,2]:30, (2,+Inf]:30}",
        "PromQL info: mismatched custom buckets were reconciled during aggregation (1:5)",
    );
    for aggregation in ["min", "max", "stddev", "stdvar"] {
        let told = format!(
            "PromQL info: ignored histogram in {aggregation} aggregation (1:{})",
            aggregation.len() + 2
        );
        let expected = if aggregation.starts_with("std") {
            "{} 0"
        } else {
            "{} 10"
        };
        check_told(&format!("{aggregation}({{__name__=~\"f|g\"}})"), expected, &told);
    }
    check_told(
        "1 + topk(1, g)",
        "",
        "PromQL info: ignored histogram in topk aggregation (1:5)",
    );
    check_told(
        "quantile(0.5, g)",
        "",
        "PromQL info: ignored histogram in quantile aggregation (1:15)",
    );
}

#[test]
fn operators_take_histograms() {
    check("g + on () g", "{} {count:20, sum:20, (1,2]:20}");
    check("h - h", "{pod=1} {count:0, sum:0}; {pod=2} {count:0, sum:0}");
    check("-g", "{} {count:-10, sum:-10, (1,2]:-10}");
    check("0.5 * g", "{} {count:5, sum:5, (1,2]:5}");
    check("g / f", "{} {count:1, sum:1, (1,2]:1}");
    check("g / 0", "{} {count:+Inf, sum:+Inf, [-0,0]:NaN}");
    check("g == g", "{__name__=g} {count:10, sum:10, (1,2]:10}");
    check("g != bool g", "{} 0");
    check("g and f or on () h", "{__name__=g} {count:10, sum:10, (1,2]:10}");
    check("histogram_count(g </ 4) + histogram_sum(c >/ 2)", "{} 30");
    // A trimmed histogram is still of its metric.
    check("g </ Inf", "{__name__=g} {count:10, sum:10, (1,2]:10}");
    check_told(
        "g + f",
        "",
        "PromQL info: incompatible sample types encountered for binary operator \"+\": histogram + float (1:1)",
    );
    check_told(
        "2 / g",
        "",
        "PromQL info: incompatible sample types encountered for binary operator \"/\": float / histogram (1:1)",
    );
    check_told(
        "g > bool 1",
        "",
        "PromQL info: incompatible sample types encountered for binary operator \">\": histogram > float (1:1)",
    );
    check_told(
        "f </ 1",
        "",
        "PromQL info: incompatible sample types encountered for binary operator \"</\": float </ float (1:1)",
    );
    check_told(
        "g - c",
        "",
        "PromQL warning: incompatible bucket layout encountered for binary operator - (1:1)",
    );
    check_told(
        "c + d",
        "{} {count:60, sum:60, [-Inf,2]:30, (2,+Inf]:30}",
        "PromQL info: mismatched custom buckets were reconciled during addition (1:1)",
    );
}

#[test]
fn histogram_functions() {
    check("histogram_count(rate(h{pod=\"1\"}[5m]))", "{pod=1} 0.1");
    check("histogram_sum(c) + histogram_avg(g)", "{} 31");
    check("histogram_count(f)", "");
    check("histogram_quantile(0.5, g)", "{} 1.4142135623730951");
    check("histogram_quantile(0.5, c)", "{} 1.5");
    check("histogram_fraction(1, 2, c)", "{} 0.3333333333333333");
    check("histogram_quantiles(c, \"q\", 0.5, 1)", "{q=0.5} 1.5; {q=1.0} 2");
    check_told(
        "histogram_quantile(0.5, x)",
        "",
        "PromQL warning: vector contains a mix of classic and native histograms (1:25)",
    );
    check_told(
        "histogram_quantile(0.25, n)",
        "{} 1.4142135623730951",
        "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher (1:26)",
    );
    check_told(
        "histogram_fraction(0, 2, n)",
        "{} 0.5",
        "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all fractions \
         (1:26)",
    );
}
