//! OTLP metrics over HTTP: stored as Prometheus stores them, and answered as OTLP wants it.

use serde_json::{Value, json};

use super::bodies::{field, gzip};
use super::harness::{NOW_S, Server};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn gauge(name: &str, value: f64) -> Value {
    let time = format!("{NOW_S}000000000");
    json!({"name": name, "unit": "By", "description": "d", "gauge": {"dataPoints": [{"timeUnixNano": time, "asDouble": value}]}})
}

fn delta(name: &str) -> Value {
    json!({"name": name, "sum": {"aggregationTemporality": 1, "dataPoints": [{"timeUnixNano": "1"}]}})
}

fn request(metrics: &[Value]) -> String {
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "host.name", "value": {"stringValue": "h1"}},
        ]},
        "scopeMetrics": [{"metrics": metrics}],
    }]})
    .to_string()
}

async fn answer(server: &Server, query: &str) -> Value {
    let reply = server
        .get("/api/v1/query", &[("query", query), ("time", &NOW_S.to_string())])
        .await
        .expect(200);
    reply.json()["data"]["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_queried_with_what_their_resource_tells() {
    let server = Server::new().await;
    for (at, path) in [
        "/api/v1/otlp/v1/metrics",
        "/prometheus/api/v1/otlp/v1/metrics",
        "/otlp/v1/metrics",
    ]
    .into_iter()
    .enumerate()
    {
        let body = request(&[gauge(&format!("memory.{at}"), 5.0)]);
        let headers = [JSON[0], ("Content-Encoding", "gzip")];
        let reply = server.post(path, &headers, gzip(body.as_bytes())).await.expect(200);
        assert_eq!(
            (reply.text.as_str(), reply.headers["content-type"].to_str().ok()),
            ("{}", Some("application/json"))
        );
    }
    let found = answer(&server, "memory_2_bytes * on (job) group_left (host_name) target_info").await;
    assert_eq!(found[0]["metric"], json!({"job": "shop", "host_name": "h1"}));
    assert_eq!(found[0]["value"], json!([NOW_S, "5"]));
    let metadata = server
        .get("/api/v1/metadata", &[("metric", "memory_0_bytes")])
        .await
        .expect(200);
    assert_eq!(
        metadata.json()["data"]["memory_0_bytes"],
        json!([{"type": "gauge", "help": "d", "unit": "bytes"}])
    );
    let features = server.get("/api/v1/features", &[]).await.expect(200);
    assert_eq!(features.json()["data"]["api"]["otlp_write_receiver"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_points_are_counted() {
    let server = Server::new().await;
    let path = "/api/v1/otlp/v1/metrics";
    let reply = server
        .post(path, &JSON, request(&[gauge("a", 1.0), delta("b"), delta("b")]))
        .await
        .expect(200);
    let message = "invalid temporality and type combination for metric \"b\"";
    assert_eq!(
        reply.json(),
        json!({"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": format!("2 errors like: {message}")}})
    );
    assert_eq!(answer(&server, "count(a_bytes)").await[0]["value"][1], json!("1"));

    // Nothing could be stored: the resource is not told of alone.
    let alone = request(&[delta("b")]);
    let reply = server.post(path, &JSON, alone).await.expect(400);
    assert_eq!(reply.json(), json!({"message": message}));

    let protobuf = [("Content-Type", "application/x-protobuf")];
    let reply = server.post(path, &protobuf, "garbage").await.expect(400);
    assert_eq!(reply.headers["content-type"], "application/x-protobuf");
    // A gauge's point and a sum without temporality.
    let number = |time_ns: i64| [&[3 << 3 | 1][..], &time_ns.to_le_bytes()].concat();
    let point = field(1, &number(NOW_S * 1_000_000_000));
    let metrics = [
        field(2, &[field(1, b"c"), field(5, &point)].concat()),
        field(2, &[field(1, b"d"), field(7, &point)].concat()),
    ]
    .concat();
    let body = field(1, &field(2, &metrics));
    let reply = server.post(path, &protobuf, body).await.expect(200);
    let expected = b"\x0a\x3b\x08\x01\x12\x37invalid temporality and type combination for metric \"d\"";
    assert_eq!(reply.text.as_bytes(), expected);
    assert_eq!(answer(&server, "count(c)").await[0]["value"][1], json!("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_the_translation() {
    let server = Server::with(
        "[limits.metrics.otlp]\ntranslation_strategy = \"NoUTF8EscapingWithSuffixes\"\npromote_resource_attributes = [\"host.name\"]\n",
    )
    .await;
    let body = request(&[gauge("memory.used", 5.0)]);
    server.post("/otlp/v1/metrics", &JSON, body).await.expect(200);
    let found = answer(&server, r#"{"memory.used_bytes"}"#).await;
    assert_eq!(
        found[0]["metric"],
        json!({"__name__": "memory.used_bytes", "host.name": "h1", "job": "shop"})
    );
}
