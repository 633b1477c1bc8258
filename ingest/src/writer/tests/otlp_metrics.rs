//! OTLP metrics: what points become, in both body formats.

use garner_storage::model::{BucketSpan, CounterReset, MetricType, NANOS_PER_MILLI, is_stale};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::collected::*;
use crate::error::IngestError;
use crate::otlp::{OtlpMetricsConfig, OtlpPush, TranslationStrategy};
use crate::validate::MetricLimits;
use crate::wire::{encode, push_bytes, push_varint};
use crate::writer::{PushOutcome, append_otlp_metrics};

fn push_into(
    rows: &mut Collected,
    content_type: &str,
    body: &[u8],
    limits: &MetricLimits,
) -> Result<PushOutcome, IngestError> {
    let push = OtlpPush {
        content_type,
        content_encoding: "",
        body,
    };
    append_otlp_metrics(rows, push, limits, NOW_NS)
}

/// Pushes JSON; a time of `"@<seconds>"` is relative to now.
fn push(body: &Value, limits: &MetricLimits) -> (Collected, PushOutcome) {
    let mut text = body.to_string();
    for seconds in [-600i64, -300, -60, 0, 100_000] {
        let ns = NOW_NS + seconds * 1_000_000_000;
        text = text.replace(&format!("\"@{seconds}\""), &format!("\"{ns}\""));
    }
    let mut rows = Collected::default();
    let outcome = push_into(&mut rows, "application/json", text.as_bytes(), limits).unwrap();
    (rows, outcome)
}

fn with(otlp: OtlpMetricsConfig) -> MetricLimits {
    MetricLimits {
        otlp,
        ..MetricLimits::default()
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}))
        .collect()
}

/// A request of one resource without attributes and one scope.
fn request(metrics: Value) -> Value {
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
}

/// `{labels} value@seconds` of each number, then `{labels} histogram` of each native histogram.
fn shown(rows: &Collected) -> Vec<String> {
    let seconds = |ns: i64| (ns - NOW_NS) as f64 / 1e9;
    let numbers = rows.samples.iter().map(|(series, time, value)| {
        let value = if is_stale(*value) {
            "stale".to_string()
        } else {
            value.to_string()
        };
        format!("{} {value}@{}", rows.series[*series], seconds(*time))
    });
    let histograms = rows.histograms.iter().map(|(series, time, h)| {
        let spans = |spans: &[BucketSpan]| spans.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>();
        format!(
            "{} schema {} zero {} of {} sum {} +{:?}{:?} -{:?}{:?} {:?}@{}",
            rows.series[*series],
            h.schema,
            h.zero_count,
            h.count,
            h.sum,
            spans(&h.positive_spans),
            h.positive_buckets,
            spans(&h.negative_spans),
            h.negative_buckets,
            h.custom_values,
            seconds(*time)
        )
    });
    numbers.chain(histograms).collect()
}

fn gauge(name: &str, points: Value) -> Value {
    json!({"name": name, "gauge": {"dataPoints": points}})
}

#[test]
fn gauges_and_sums_become_series() {
    let body = request(json!([
        {"name": "cpu.utilization", "unit": "1", "description": "how busy", "gauge": {"dataPoints": [
            {"timeUnixNano": "@0", "asDouble": 0.5, "attributes": attributes(&[("cpu.id", "3")])},
            {"timeUnixNano": "@-60", "asInt": "-2", "flags": 0},
            {"timeUnixNano": "@0", "flags": 1},
        ]}},
        {"name": "requests", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            {"startTimeUnixNano": "@-600", "timeUnixNano": "@0", "asInt": 7},
        ]}},
        {"name": "queue", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints": [
            {"timeUnixNano": "@0", "asInt": 1},
        ]}},
    ]));
    let (rows, outcome) = push(&body, &MetricLimits::default());
    assert_eq!(
        shown(&rows),
        [
            r#"{__name__="cpu_utilization_ratio", cpu_id="3"} 0.5@0"#,
            r#"{__name__="cpu_utilization_ratio"} -2@-60"#,
            r#"{__name__="cpu_utilization_ratio"} stale@0"#,
            r#"{__name__="requests_total"} 7@0"#,
            r#"{__name__="queue"} 1@0"#,
        ]
    );
    assert_eq!(rows.starts, [NOW_NS - 600_000_000_000]);
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (5, 0));
    let metadata = |name: &str| {
        let known = rows.metadata.of(name);
        known
            .iter()
            .map(|m| (m.kind, m.help.clone(), m.unit.clone()))
            .collect::<Vec<_>>()
    };
    let text = str::to_string;
    assert_eq!(
        metadata("cpu_utilization_ratio"),
        [(MetricType::Gauge, text("how busy"), text(""))]
    );
    assert_eq!(metadata("requests_total"), [(MetricType::Counter, text(""), text(""))]);
    assert_eq!(metadata("queue")[0].0, MetricType::Gauge);
}

#[test]
fn histograms_become_buckets_and_summaries_quantiles() {
    let exemplar =
        |value: f64, trace: &str| json!({"timeUnixNano": "@-60", "asDouble": value, "traceId": trace.repeat(16)});
    let body = request(json!([
        {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "@0", "count": "6", "sum": 4.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.5, 10],
             "exemplars": [exemplar(0.1, "0a"), exemplar(0.7, "0b"), exemplar(99.0, "0c")]},
            {"timeUnixNano": "@0", "count": 2, "attributes": attributes(&[("le", "x"), ("a", "1")])},
        ]}},
        {"name": "sizes", "summary": {"dataPoints": [
            {"timeUnixNano": "@0", "count": 2, "sum": 3.5, "quantileValues": [{"quantile": 0.99, "value": 3}, {"quantile": 1}]},
        ]}},
    ]));
    let (rows, outcome) = push(&body, &MetricLimits::default());
    assert_eq!(
        shown(&rows),
        [
            r#"{__name__="latency_seconds_sum"} 4.5@0"#,
            r#"{__name__="latency_seconds_count"} 6@0"#,
            r#"{__name__="latency_seconds_bucket", le="0.5"} 1@0"#,
            r#"{__name__="latency_seconds_bucket", le="10"} 3@0"#,
            r#"{__name__="latency_seconds_bucket", le="+Inf"} 6@0"#,
            r#"{__name__="latency_seconds_count", a="1", le="x"} 2@0"#,
            r#"{__name__="latency_seconds_bucket", a="1", le="+Inf"} 2@0"#,
            r#"{__name__="sizes_sum"} 3.5@0"#,
            r#"{__name__="sizes_count"} 2@0"#,
            r#"{__name__="sizes", quantile="0.99"} 3@0"#,
            r#"{__name__="sizes", quantile="1"} 0@0"#,
        ]
    );
    assert_eq!((outcome.written_exemplars, outcome.refused.rows()), (3, 0));
    let exemplars: Vec<_> = rows
        .exemplars
        .iter()
        .map(|(series, e)| format!("{} {} {}", rows.series[*series], e.labels, e.value))
        .collect();
    let expected = [("0.5", "0a", "0.1"), ("10", "0b", "0.7"), ("+Inf", "0c", "99")].map(|(le, trace, value)| {
        let trace = trace.repeat(16);
        format!(r#"{{__name__="latency_seconds_bucket", le="{le}"}} {{trace_id="{trace}"}} {value}"#)
    });
    assert_eq!(exemplars, expected);
    assert_eq!(rows.exemplars[0].1.time, NOW_NS - 60_000_000_000);
}

#[test]
fn exponential_histograms_become_native_ones() {
    let body = request(
        json!([{"name": "latency", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "@0", "startTimeUnixNano": "@-600", "count": "9", "sum": 4.5, "scale": 3, "zeroCount": "2",
             "positive": {"offset": -2, "bucketCounts": [1, 0, 2]}, "negative": {"offset": 4, "bucketCounts": ["4"]}},
            {"timeUnixNano": "@0", "flags": 1, "attributes": attributes(&[("a", "1")])},
            {"timeUnixNano": "@0", "count": 3, "scale": 3, "positive": {"bucketCounts": [1]}},
            {"timeUnixNano": "@0", "count": 3, "scale": -10},
        ]}}]),
    );
    let (rows, outcome) = push(&body, &MetricLimits::default());
    assert_eq!(
        shown(&rows),
        [
            r#"{__name__="latency", a="1"} stale@0"#,
            r#"{__name__="latency"} schema 3 zero 2 of 9 sum 4.5 +[(-1, 3)][1.0, 0.0, 2.0] -[(5, 1)][4.0] []@0"#,
        ]
    );
    assert_eq!(rows.histograms[0].2.zero_threshold, 1e-128);
    assert_eq!(rows.histograms[0].2.counter_reset, CounterReset::Unknown);
    assert_eq!(outcome.refused.rows(), 2);
    let error = outcome.error().unwrap();
    assert!(
        error
            .message()
            .contains("1 observations found in buckets, but the Count field is 3"),
        "{error}"
    );
    assert!(error.message().contains("Scale must be >= -4, was -10"), "{error}");
}

#[test]
fn listed_bounds_become_custom_buckets_where_wanted() {
    let body = request(
        json!([{"name": "latency", "unit": "ms", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "@0", "count": 6, "sum": 4.5, "bucketCounts": [0, 2, 4], "explicitBounds": [0.5, 10]},
        ]}}]),
    );
    let limits = with(OtlpMetricsConfig {
        convert_histograms_to_nhcb: true,
        ..OtlpMetricsConfig::default()
    });
    let expected =
        r#"{__name__="latency_milliseconds"} schema -53 zero 0 of 6 sum 4.5 +[(1, 2)][2.0, 4.0] -[][] [0.5, 10.0]@0"#;
    assert_eq!(shown(&push(&body, &limits).0), [expected]);
}

#[test]
fn differences_are_refused_unless_wanted() {
    let sum = |temporality: u8| {
        json!({"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [
            {"timeUnixNano": "@0", "asInt": 1}, {"timeUnixNano": "@-60", "asInt": 2},
        ]})
    };
    let body = request(json!([
        {"name": "delta", "sum": sum(1)},
        {"name": "unspecified", "sum": sum(0)},
        {"name": "fine", "sum": sum(2)},
        {"name": "nothing"},
    ]));
    let (rows, outcome) = push(&body, &MetricLimits::default());
    assert_eq!((rows.samples.len(), outcome.refused.rows()), (2, 4));
    assert_eq!(
        outcome.error().unwrap().message(),
        "2 errors like: invalid temporality and type combination for metric \"delta\"; 2 errors like: invalid temporality \
         and type combination for metric \"unspecified\"; 1 errors like: could not get aggregation temporality for nothing \
         as it has unsupported metric type Empty"
    );
    let limits = with(OtlpMetricsConfig {
        native_delta_ingestion: true,
        ..OtlpMetricsConfig::default()
    });
    let (rows, outcome) = push(&body, &limits);
    assert_eq!((rows.samples.len(), outcome.refused.rows()), (4, 2));
    assert_eq!(rows.metadata.of("delta_total")[0].kind, MetricType::Unknown);
}

fn told_by_a_resource() -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(&[
            ("service.name", "shop"), ("service.namespace", "eu"), ("service.instance.id", "i-1"),
            ("host.name", "h1"), ("k8s.pod.name", "p"),
        ])},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "2", "attributes": attributes(&[("x.y", "z")])},
            "schemaUrl": "https://s",
            "metrics": [gauge("a.b", json!([
                {"timeUnixNano": "@-300", "asInt": 1, "attributes": attributes(&[("host.name", "own"), ("job", "mine")])},
                {"timeUnixNano": "@0", "asInt": 2},
            ]))],
        }],
    }]})
}

#[test]
fn resources_become_job_instance_and_target_info() {
    let (rows, outcome) = push(&told_by_a_resource(), &MetricLimits::default());
    let info = r#"{__name__="target_info", host_name="h1", instance="i-1", job="eu/shop", k8s_pod_name="p"}"#;
    assert_eq!(
        shown(&rows),
        [
            r#"{__name__="a_b", host_name="own", instance="i-1", job="eu/shop"} 1@-300"#.to_string(),
            r#"{__name__="a_b", instance="i-1", job="eu/shop"} 2@0"#.to_string(),
            // One each half of the time that queries look back.
            format!("{info} 1@-300"),
            format!("{info} 1@-150"),
            format!("{info} 1@0"),
        ]
    );
    assert_eq!(outcome.refused.rows(), 0);
    assert_eq!(rows.metadata.of("target_info")[0].help, "Target metadata");
    // Nothing but who it is, or no one: nothing is told.
    for (name, value) in [("service.name", "shop"), ("host.name", "h1")] {
        let mut body = request(json!([gauge("a", json!([{"timeUnixNano": "@0"}]))]));
        body["resourceMetrics"][0]["resource"] = json!({"attributes": attributes(&[(name, value)])});
        assert_eq!(push(&body, &MetricLimits::default()).0.series.len(), 1, "{name}");
    }
}

#[test]
fn what_becomes_a_label_is_set() {
    let first = |otlp: OtlpMetricsConfig, type_and_unit: bool| {
        let limits = MetricLimits {
            enable_type_and_unit_labels: type_and_unit,
            ..with(otlp)
        };
        let rows = push(&told_by_a_resource(), &limits).0;
        let shown = shown(&rows);
        let end = |text: &str| text.rsplit_once(' ').unwrap().0.to_string();
        (end(&shown[1]), end(shown.last().unwrap()))
    };
    let config = OtlpMetricsConfig::default;
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    let promoting = OtlpMetricsConfig {
        promote_resource_attributes: names(&["host.name", "absent"]),
        promote_scope_metadata: true,
        ..config()
    };
    assert_eq!(
        first(promoting, true).0,
        r#"{__name__="a_b", __type__="gauge", host_name="h1", instance="i-1", job="eu/shop", otel_scope_name="lib", otel_scope_schema_url="https://s", otel_scope_version="2", otel_scope_x_y="z"}"#
    );
    let all = OtlpMetricsConfig {
        promote_all_resource_attributes: true,
        ignore_resource_attributes: names(&["k8s.pod.name", "service.name"]),
        keep_identifying_resource_attributes: true,
        translation_strategy: TranslationStrategy::NoTranslation,
        ..config()
    };
    assert_eq!(
        first(all, false),
        (
            r#"{__name__="a.b", host.name="h1", instance="i-1", job="eu/shop", service.instance.id="i-1", service.namespace="eu"}"#
                .to_string(),
            r#"{__name__="target_info", host.name="h1", instance="i-1", job="eu/shop", k8s.pod.name="p", service.instance.id="i-1", service.name="shop", service.namespace="eu"}"#
                .to_string()
        )
    );
}

#[test]
fn labels_that_become_one_are_joined() {
    let point = |names: &[(&str, &str)]| json!([{"timeUnixNano": "@0", "asInt": 1, "attributes": attributes(names)}]);
    let body = request(json!([
        gauge(
            "a",
            point(&[("x_y", "2"), ("x.y", "1"), ("__name__", "no"), ("empty", "")])
        ),
        gauge("b", point(&[("", "1")])),
        gauge("..", point(&[])),
    ]));
    let (rows, outcome) = push(&body, &MetricLimits::default());
    assert_eq!(shown(&rows), [r#"{__name__="a", x_y="1;2"} 1@0"#]);
    assert_eq!(outcome.refused.rows(), 2);
    assert_eq!(
        outcome.error().unwrap().message(),
        "1 errors like: label name is empty; 1 errors like: normalization for metric \"..\" resulted in empty name"
    );
}

#[test]
fn limits_refuse_points_one_by_one() {
    let limits = MetricLimits {
        max_global_series_per_user: 3,
        ..MetricLimits::default()
    };
    let body = request(json!([
        {"name": "latency", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "@0", "count": 6, "bucketCounts": [1, 2, 3], "explicitBounds": [0.5, 10]},
        ]}},
        gauge("late", json!([{"timeUnixNano": "@100000", "asInt": 1}])),
    ]));
    let (rows, outcome) = push(&body, &limits);
    // The histogram needs four series; it is one point.
    assert_eq!((rows.series.len(), outcome.refused.rows()), (3, 2));
    let error = outcome.error().unwrap();
    assert!(
        error.message().contains("per-user series limit of 3 exceeded"),
        "{error}"
    );
    assert!(error.message().contains("too far in the future"), "{error}");
}

#[test]
fn a_wide_gap_in_time_makes_no_flood_of_target_info() {
    let mut body = told_by_a_resource();
    body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"][0]["timeUnixNano"] = json!("1");
    let (rows, _) = push(&body, &MetricLimits::default());
    assert_eq!(rows.samples.len(), 2 + 8193);
    assert_eq!(rows.samples.last().map(|(_, time, _)| *time), Some(NOW_NS));
}

fn fixed64(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields
        .iter()
        .for_each(|(number, value)| push_bytes(&mut out, *number, value));
    out
}

fn int(number: u32, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::int(&mut out, number, value);
    out
}

fn text_attribute(name: &str, value: &str) -> Vec<u8> {
    message(&[(1, name.as_bytes()), (2, &message(&[(1, value.as_bytes())]))])
}

/// All kinds of points; scope and resource stand behind what they are of.
fn protobuf_request() -> Vec<u8> {
    let times = [fixed64(2, (NOW_NS - 600_000_000_000) as u64), fixed64(3, NOW_NS as u64)].concat();
    let own = text_attribute("a.b", "1");
    let exemplar = [
        fixed64(2, NOW_NS as u64),
        fixed64(3, 0.25f64.to_bits()),
        message(&[(4, &[1; 8]), (5, &[2; 16]), (7, &text_attribute("k", "v"))]),
    ]
    .concat();
    let number = [
        message(&[(7, &own), (5, &exemplar)]),
        times.clone(),
        fixed64(6, -3i64 as u64),
    ]
    .concat();
    let packed = |values: &[u64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let histogram = [
        times.clone(),
        fixed64(4, 3),
        fixed64(5, 1.5f64.to_bits()),
        message(&[(6, &packed(&[1, 2])), (7, &packed(&[0.5f64.to_bits()])), (9, &own)]),
    ]
    .concat();
    let buckets = [int(1, 3), message(&[(2, &[1, 0, 2])])].concat();
    let exponential = [
        times.clone(),
        fixed64(4, 4),
        // As zigzag has it: 2.
        int(6, 4),
        fixed64(7, 1),
        message(&[(1, &own), (8, &buckets)]),
    ]
    .concat();
    let quantile = [fixed64(1, 0.5f64.to_bits()), fixed64(2, 7f64.to_bits())].concat();
    let summary = [
        times,
        fixed64(4, 1),
        fixed64(5, 7f64.to_bits()),
        message(&[(6, &quantile), (7, &own)]),
    ]
    .concat();
    let data = |points: &[u8], more: &[Vec<u8>]| [message(&[(1, points)]), more.concat()].concat();
    let cumulative = int(2, 2);
    let metrics: Vec<u8> = [
        message(&[(1, b"g"), (5, &data(&number, &[]))]),
        message(&[
            (7, &data(&number, &[cumulative.clone(), int(3, 1)])),
            (1, b"s"),
            (3, b"By"),
            (2, b"help"),
        ]),
        message(&[(1, b"h"), (9, &data(&histogram, std::slice::from_ref(&cumulative)))]),
        message(&[(1, b"e"), (10, &data(&exponential, &[cumulative]))]),
        message(&[(1, b"q"), (11, &data(&summary, &[]))]),
    ]
    .iter()
    .flat_map(|metric| message(&[(2, metric)]))
    .collect();
    let scope = message(&[(1, &message(&[(1, b"lib")]))]);
    let resource = message(&[
        (1, &text_attribute("service.name", "shop")),
        (1, &text_attribute("h", "1")),
    ]);
    message(&[(1, &message(&[(2, &[metrics, scope].concat()), (1, &resource)]))])
}

#[test]
fn protobuf_points_of_all_kinds() {
    let mut rows = Collected::default();
    let limits = MetricLimits::default();
    let body = protobuf_request();
    let outcome = push_into(&mut rows, "application/x-protobuf", &body, &limits).unwrap();
    assert_eq!(
        shown(&rows),
        [
            r#"{__name__="g", a_b="1", job="shop"} -3@0"#,
            r#"{__name__="s_bytes_total", a_b="1", job="shop"} -3@0"#,
            r#"{__name__="h_sum", a_b="1", job="shop"} 1.5@0"#,
            r#"{__name__="h_count", a_b="1", job="shop"} 3@0"#,
            r#"{__name__="h_bucket", a_b="1", job="shop", le="0.5"} 1@0"#,
            r#"{__name__="h_bucket", a_b="1", job="shop", le="+Inf"} 3@0"#,
            r#"{__name__="q_sum", a_b="1", job="shop"} 7@0"#,
            r#"{__name__="q_count", a_b="1", job="shop"} 1@0"#,
            r#"{__name__="q", a_b="1", job="shop", quantile="0.5"} 7@0"#,
            r#"{__name__="target_info", h="1", job="shop"} 1@0"#,
            r#"{__name__="e", a_b="1", job="shop"} schema 2 zero 1 of 4 sum 0 +[(-1, 3)][1.0, 0.0, 2.0] -[][] []@0"#,
        ]
    );
    assert_eq!(outcome.refused.rows(), 0);
    // Gauges have no exemplars in Prometheus.
    let labels = rows
        .exemplars
        .iter()
        .map(|(_, e)| e.labels.to_string())
        .collect::<Vec<_>>();
    let expected = format!(
        r#"{{k="v", span_id="{}", trace_id="{}"}}"#,
        "01".repeat(8),
        "02".repeat(16)
    );
    assert_eq!(labels, [expected]);
    let metadata = rows.metadata.of("s_bytes_total");
    assert_eq!((&*metadata[0].help, &*metadata[0].unit), ("help", "bytes"));

    // Sent again, all series are known by the bytes of the request.
    let aliases = rows.aliases.len();
    push_into(&mut rows, "application/x-protobuf", &body, &limits).unwrap();
    assert_eq!((rows.aliases.len(), rows.series.len()), (aliases, 11));
}

#[test]
fn long_exemplars_keep_trace_and_span() {
    let exemplar = json!({"timeUnixNano": "0", "asInt": 3, "spanId": "0102030405060708",
        "filteredAttributes": attributes(&[("k", &"x".repeat(128))])});
    let bad = json!({"timeUnixNano": "@0"});
    let sum = |exemplar: Value| json!({"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": "@0", "exemplars": [exemplar]}]});
    let body = request(json!([{"name": "a", "sum": sum(exemplar)}, {"name": "b", "sum": sum(bad)}]));
    let (rows, outcome) = push(&body, &MetricLimits::default());
    let (_, exemplar) = &rows.exemplars[0];
    assert_eq!(exemplar.labels.to_string(), r#"{span_id="0102030405060708"}"#);
    // Without a time of its own it has that of its point.
    assert_eq!(exemplar.time / NANOS_PER_MILLI, NOW_MS);
    assert_eq!(
        outcome.error().unwrap().message(),
        "unsupported exemplar value type: Empty"
    );
}

#[test]
fn what_cannot_be_read_refuses_the_request() {
    let limits = MetricLimits::default();
    let message = |content_type: &str, body: &[u8]| {
        let result = push_into(&mut Collected::default(), content_type, body, &limits);
        result.err().map(|e| e.message().to_string())
    };
    assert_eq!(message("application/x-protobuf", b""), None);
    assert_eq!(message("application/json", b"{}"), None);
    assert_eq!(
        message("text/plain", b"x").as_deref(),
        Some("content type: text/plain is not supported")
    );
    let body = protobuf_request();
    let mut cut = body.clone();
    cut.truncate(body.len() - 3);
    assert_eq!(
        message("application/x-protobuf", &cut).as_deref(),
        Some("unexpected EOF")
    );
    let many = vec![0u64; 70_000];
    let body = request(
        json!([{"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"bucketCounts": many}]}}]),
    );
    assert_eq!(
        message("application/json", body.to_string().as_bytes()).as_deref(),
        Some("a data point has more than 65536 buckets")
    );
}

proptest! {
    #[test]
    fn changed_requests_never_panic(at in 0usize..2000, byte in any::<u8>(), cut in 0usize..2000) {
        let mut body = protobuf_request();
        let at = at % body.len();
        body[at] = byte;
        body.truncate(cut.max(1));
        let _ = push_into(&mut Collected::default(), "application/x-protobuf", &body, &MetricLimits::default());
        let mut text = told_by_a_resource().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = push_into(&mut Collected::default(), "application/json", &text, &MetricLimits::default());
    }
}
