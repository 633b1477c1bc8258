//! The other ways in which Loki takes logs, and the patterns that are counted of each.

use serde_json::{Value, json};

use super::bodies::{gzip, promtail_push};
use super::harness::{NOW_S, Server};

const NOW_NS: i64 = NOW_S * 1_000_000_000;

async fn lines(server: &Server, query: &str) -> Value {
    let start = (NOW_NS - 60_000_000_000).to_string();
    let params = [("query", query), ("start", start.as_str())];
    let reply = server.get("/loki/api/v1/query_range", &params).await;
    reply.expect(200).json()["data"]["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_logs_are_taken() {
    let server = Server::new().await;
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{}","severityNumber":13,"body":{{"stringValue":"sold"}}}}]}}]}}]}}"#,
        NOW_NS - 1
    );
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let reply = server.post("/otlp/v1/logs", &headers, gzip(body.as_bytes())).await;
    assert_eq!(reply.expect(204).text, "");
    let result = lines(&server, r#"{service_name="shop"}"#).await;
    assert_eq!(
        result[0]["stream"],
        json!({"service_name": "shop", "detected_level": "warn", "severity_number": "13"})
    );
    assert_eq!(result[0]["values"][0][1], "sold");
    let bad = server
        .post("/otlp/v1/logs", &[("Content-Type", "text/plain")], "x")
        .await
        .expect(400);
    assert_eq!(bad.headers["content-type"], "application/x-protobuf");
    assert_eq!(bad.bytes[0], 2 << 3 | 2);
    assert!(
        bad.text.contains("content type: text/plain is not supported"),
        "{}",
        bad.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_push_takes_its_own_json_and_protobuf() {
    let server = Server::new().await;
    let body =
        r#"{"streams":[{"labels":"{app=\"old\"}","entries":[{"ts":"2024-12-31T23:59:59.5+00:00","line":"one"}]}]}"#;
    let json = [("Content-Type", "application/json")];
    server.post("/api/prom/push", &json, body).await.expect(204);
    let proto = promtail_push(r#"{app="old"}"#, &[(NOW_NS - 1, "two", &[])]);
    let headers = [("Content-Type", "application/x-protobuf")];
    server.post("/api/prom/push", &headers, proto).await.expect(204);
    let result = lines(&server, r#"{app="old"}"#).await;
    assert_eq!(
        result[0]["values"],
        json!([
            [(NOW_NS - 1).to_string(), "two"],
            [(NOW_NS - 500_000_000).to_string(), "one"]
        ])
    );
    // The newer path has another JSON; an unknown member is passed over there.
    server.post("/loki/api/v1/push", &json, body).await.expect(204);
    assert_eq!(
        lines(&server, r#"{app="old"}"#).await[0]["values"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_are_counted_of_every_push() {
    let server = Server::new().await;
    let values: Vec<String> = (0..40)
        .map(|i| {
            format!(
                r#"["{}","level=warn user {i} was refused by rule {}"]"#,
                NOW_NS - 1_000_000_000 * (i + 1),
                i * 7
            )
        })
        .collect();
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"shop"}},"values":[{}]}}]}}"#,
        values.join(",")
    );
    server.push_json(body).await.expect(204);
    let ask = |query: &'static str| [("query", query), ("start", "2024-12-31T23:30:00Z"), ("step", "60s")];
    let found = server
        .get("/loki/api/v1/patterns", &ask(r#"{app="shop"}"#))
        .await
        .expect(200)
        .json();
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        found["data"][0]["pattern"],
        "level=warn user <_> was refused by rule <_>"
    );
    assert_eq!(found["data"][0]["level"], "warn");
    let samples = found["data"][0]["samples"].as_array().cloned().unwrap_or_default();
    assert_eq!(samples.iter().filter_map(|s| s[1].as_u64()).sum::<u64>(), 40);
    let none = server
        .post_form("/loki/api/v1/patterns", &ask(r#"{app="other"}"#))
        .await
        .expect(200);
    assert_eq!(none.json(), json!({"status": "success", "data": []}));
    server
        .get("/loki/api/v1/patterns", &[("query", "")])
        .await
        .expect_text(400, "parse error : syntax error: unexpected $end");
    let limits = server
        .get("/loki/api/v1/drilldown-limits", &[])
        .await
        .expect(200)
        .json();
    assert_eq!(limits["pattern_ingester_enabled"], true);
}
