//! What writes bring besides numbers: native histograms, exemplars, metadata, and the endpoints that show them.

use serde_json::{Value, json};

use super::bodies::{field, label, snappy};
use super::harness::{NOW_S, Server};

const NOW_MS: i64 = NOW_S * 1000;

const V2: [(&str, &str); 3] = [
    (
        "Content-Type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    ),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
];

fn int(number: u64, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut rest in [number << 3, value as u64] {
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

fn double(number: u8, value: f64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend_from_slice(&value.to_le_bytes());
    out
}

/// A float histogram of one bucket; `count` is told apart from it.
fn histogram(time_ms: i64, count: f64) -> Vec<u8> {
    let span = [int(1, 2), int(2, 1)].concat();
    let bucket = count.to_le_bytes();
    [
        double(2, count),
        double(3, 0.5),
        field(11, &span),
        field(13, &bucket),
        int(15, time_ms),
    ]
    .concat()
}

fn sample(time_ms: i64, value: f64) -> Vec<u8> {
    [double(1, value), int(2, time_ms)].concat()
}

/// Version 2: one series with these symbols for name and value of its only label, and further fields.
fn request_v2(symbols: &[&str], fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let symbols: Vec<u8> = symbols.iter().flat_map(|s| field(4, s.as_bytes())).collect();
    let series: Vec<u8> = fields
        .iter()
        .flat_map(|(number, bytes)| field(*number, bytes))
        .collect();
    snappy(&[symbols, field(5, &[field(1, &[1, 2]), series].concat())].concat())
}

async fn data(server: &Server, path: &str, params: &[(&str, &str)]) -> Value {
    server.get(path, params).await.expect(200).json()["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn written_counts_tell_numbers_histograms_and_exemplars_apart() {
    let server = Server::new().await;
    let symbols = ["", "__name__", "h", "trace_id", "x"];
    let exemplar = [field(1, &[3, 4]), double(2, 0.25), int(3, NOW_MS)].concat();
    let fields = [
        (2, sample(NOW_MS - 5, 1.0)),
        (3, histogram(NOW_MS - 2, 1.0)),
        (3, histogram(NOW_MS - 1, -1.0)),
        (3, histogram(NOW_MS, 2.0)),
        (4, exemplar),
    ];
    let reply = server
        .post("/api/v1/write", &V2, request_v2(&symbols, &fields))
        .await
        .expect(400);
    assert_eq!(
        reply.text.trim(),
        "observation count is  -1: histogram's observation count is negative for series {__name__=\"h\"}"
    );
    let written = |what: &str| reply.headers[&format!("x-prometheus-remote-write-{what}-written")].clone();
    assert_eq!(
        [written("samples"), written("histograms"), written("exemplars")],
        ["1", "2", "1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_are_found_by_the_selectors_of_a_query() {
    let server = Server::new().await;
    let exemplar = |ms: i64, trace: &str| {
        let labels = label("trace_id", trace);
        field(3, &[labels, double(2, 0.25), int(3, NOW_MS + ms)].concat())
    };
    let series = |le: &str, exemplars: &[Vec<u8>]| {
        let labels = [label("__name__", "x_bucket"), label("le", le)].concat();
        field(
            1,
            &[labels, field(2, &sample(NOW_MS, 1.0)), exemplars.concat()].concat(),
        )
    };
    let request = [
        series("1", &[exemplar(0, "b"), exemplar(-1500, "a")]),
        series("+Inf", &[exemplar(0, "c")]),
    ];
    // Sent twice, with a flush in between: each is there once.
    for _ in 0..2 {
        server.write(snappy(&request.concat())).await.expect(204);
        server.post("/flush", &[], "").await.expect(204);
    }
    let shown = |trace: &str, time: Value| json!({"labels": {"trace_id": trace}, "value": "0.25", "timestamp": time});
    let first = json!({
        "seriesLabels": {"__name__": "x_bucket", "le": "+Inf"},
        "exemplars": [shown("c", json!(NOW_S))],
    });
    let second = json!({
        "seriesLabels": {"__name__": "x_bucket", "le": "1"},
        "exemplars": [shown("a", json!(NOW_S as f64 - 1.5)), shown("b", json!(NOW_S))],
    });
    let query = "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m]))) + on () vector(1)";
    for prefix in ["", "/prometheus"] {
        let path = format!("{prefix}/api/v1/query_exemplars");
        assert_eq!(data(&server, &path, &[("query", query)]).await, json!([first, second]));
    }
    let start = NOW_S.to_string();
    let params = [
        ("query", "x_bucket{le=\"1\"} or x_bucket"),
        ("start", &*start),
        ("end", &*start),
    ];
    let mut cut = second.clone();
    cut["exemplars"] = json!([shown("b", json!(NOW_S))]);
    assert_eq!(
        data(&server, "/api/v1/query_exemplars", &params).await,
        json!([first, cut])
    );
    assert_eq!(
        data(&server, "/api/v1/query_exemplars", &[("query", "y")]).await,
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_both_versions_is_listed() {
    let server = Server::new().await;
    let entry = |metric: &str, kind: i64, help: &str| {
        let texts = [field(2, metric.as_bytes()), field(4, help.as_bytes())].concat();
        field(3, &[int(1, kind), texts].concat())
    };
    let request = [entry("a", 1, "A."), entry("b", 2, "B."), entry("a", 2, "A as well.")].concat();
    server.write(snappy(&request)).await.expect(204);
    let symbols = ["", "__name__", "c_bucket", "C.", "seconds"];
    let fields = [
        (2, sample(NOW_MS, 1.0)),
        (5, [int(1, 3), int(3, 3), int(4, 4)].concat()),
    ];
    server
        .post("/api/v1/write", &V2, request_v2(&symbols, &fields))
        .await
        .expect(204);
    let a = json!([
        {"type": "counter", "unit": "", "help": "A."},
        {"type": "gauge", "unit": "", "help": "A as well."},
    ]);
    let b = json!([{"type": "gauge", "unit": "", "help": "B."}]);
    let c = json!([{"type": "histogram", "unit": "seconds", "help": "C."}]);
    for _ in 0..2 {
        assert_eq!(
            data(&server, "/api/v1/metadata", &[]).await,
            json!({"a": a, "b": b, "c": c})
        );
        assert_eq!(
            data(&server, "/api/v1/metadata", &[("metric", "b")]).await,
            json!({"b": b})
        );
        let limits = [("limit", "1"), ("limit_per_metric", "1")];
        assert_eq!(data(&server, "/api/v1/metadata", &limits).await, json!({"a": [a[0]]}));
        server.post("/flush", &[], "").await.expect(204);
    }
    let of_other = server
        .get_as(Some("other"), "/api/v1/metadata", &[])
        .await
        .expect(200)
        .json();
    assert_eq!(of_other["data"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn type_and_unit_become_labels_where_that_is_set() {
    let server = Server::with("[promql]\ntype_and_unit_labels = true").await;
    let symbols = ["", "__name__", "c_seconds", "seconds"];
    let fields = [(2, sample(NOW_MS, 1.0)), (5, [int(1, 1), int(4, 3)].concat())];
    server
        .post("/api/v1/write", &V2, request_v2(&symbols, &fields))
        .await
        .expect(204);
    let params = [("match[]", "{__type__=\"counter\", __unit__=\"seconds\"}")];
    let found = data(&server, "/api/v1/series", &params).await;
    assert_eq!(
        found,
        json!([{"__name__": "c_seconds", "__type__": "counter", "__unit__": "seconds"}])
    );
}
