//! Loki's API: parameters, texts, shapes.

use super::bodies::{Entry, promtail_push};
use super::harness::{NOW_S, Server};

const RANGE: &str = "/loki/api/v1/query_range";
const QUERY: &str = "/loki/api/v1/query";
const NOW_NS: i64 = NOW_S * 1_000_000_000;

async fn with_data() -> Server {
    let server = Server::new().await;
    let entries: [Entry<'_>; 3] = [
        (NOW_NS - 2_000_000_000, "first level=warn", &[]),
        (
            NOW_NS - 1_000_000_000,
            "second \"quoted\" \u{1F600}",
            &[("trace_id", "abc")],
        ),
        (NOW_NS - 1, "third\n", &[]),
    ];
    let body = promtail_push(r#"{app="shop", env="test"}"#, &entries);
    let headers = [("Content-Type", "application/x-protobuf")];
    server.post("/loki/api/v1/push", &headers, body).await.expect(204);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_answered_204_and_nothing_else() {
    let server = Server::new().await;
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{NOW_NS}","x"]]}}]}}"#);
    let reply = server.push_json(body.clone()).await.expect(204);
    assert_eq!(reply.text, "");
    let zipped = super::bodies::gzip(body.as_bytes());
    let headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Encoding", "gzip"),
    ];
    server.post("/loki/api/v1/push", &headers, zipped).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_fail_with_the_texts_of_loki() {
    let server = Server::new().await;
    let check = async |params: &[(&str, &str)], text: &str| {
        let mut all = vec![("query", r#"{app="a"}"#)];
        all.extend_from_slice(params);
        let reply = server.get(RANGE, &all).await;
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
        reply.expect_text(400, text);
        server.post_form(RANGE, &all).await.expect_text(400, text);
    };
    check(&[("limit", "0")], "limit must be a positive value").await;
    check(&[("limit", "abc")], r#"strconv.Atoi: parsing "abc": invalid syntax"#).await;
    check(&[("direction", "sideways")], "invalid direction 'sideways'").await;
    check(&[("interval", "abc")], r#"cannot parse "abc" to a valid duration"#).await;
    check(
        &[("start", "abc")],
        r#"could not parse 'start' parameter: strconv.ParseInt: parsing "abc": invalid syntax"#,
    )
    .await;
    check(
        &[("start", "9"), ("end", "6")],
        "end timestamp must not be before or equal to start time",
    )
    .await;
    let step = "zero or negative query resolution step widths are not accepted. Try a positive integer";
    check(&[("step", "0")], step).await;
    let time = [("query", "vector(1)"), ("time", "abc")];
    server
        .get(QUERY, &time)
        .await
        .expect_text(400, r#"strconv.ParseInt: parsing "abc": invalid syntax"#);
    let selector = [("query", "{")];
    let text = "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }";
    server
        .get("/loki/api/v1/labels", &selector)
        .await
        .expect_text(400, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_series() {
    let server = with_data().await;
    let check = async |path: &str, params: &[(&str, &str)], expected: serde_json::Value| {
        for reply in [server.get(path, params).await, server.post_form(path, params).await] {
            assert_eq!(reply.headers["content-type"], "application/json; charset=utf-8");
            assert_eq!(reply.expect(200).json(), expected, "{path} {params:?}");
        }
    };
    let data = |data: serde_json::Value| serde_json::json!({"status": "success", "data": data});
    let names = serde_json::json!(["app", "env", "service_name"]);
    check("/loki/api/v1/labels", &[], data(names.clone())).await;
    check("/loki/api/v1/label", &[("since", "1h")], data(names)).await;
    check(
        "/loki/api/v1/label/app/values",
        &[("query", r#"{env="test"}"#)],
        data(serde_json::json!(["shop"])),
    )
    .await;
    check(
        "/loki/api/v1/label/nosuch/values",
        &[],
        serde_json::json!({"status": "success"}),
    )
    .await;
    let shop = serde_json::json!([{"app": "shop", "env": "test", "service_name": "shop"}]);
    check("/loki/api/v1/series", &[("match[]", "{}")], data(shop.clone())).await;
    check("/loki/api/v1/series", &[("match", r#"{app="shop"}"#)], data(shop)).await;
    check(
        "/loki/api/v1/series",
        &[("match[]", r#"{app="nosuch"}"#)],
        data(serde_json::json!([])),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buildinfo_is_flat() {
    let info = Server::new()
        .await
        .get("/loki/api/v1/status/buildinfo", &[])
        .await
        .expect(200)
        .json();
    for key in ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"] {
        assert!(info[key].is_string(), "{key}: {info}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn save_and_test_of_grafana() {
    let server = Server::new().await;
    let params = [
        ("query", "vector(1)+vector(1)"),
        ("direction", "backward"),
        ("time", "4000000000"),
    ];
    let data = server.get(QUERY, &params).await.expect(200).json()["data"].clone();
    assert_eq!(data["resultType"], "vector");
    assert_eq!(data["result"].as_array().map(Vec::len), Some(1), "{data}");
    assert_eq!(data["result"][0]["value"][1], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_queries_have_their_shape() {
    let server = with_data().await;
    let params = [("query", r#"{app="shop"}"#), ("limit", "2")];
    let reply = server.get(RANGE, &params).await.expect(200);
    assert!(
        reply.headers.contains_key("x-loki-bytes-read-total"),
        "{:?}",
        reply.headers
    );
    let answer = reply.json();
    assert_eq!(answer["data"]["resultType"], "streams");
    assert!(
        answer["data"]["stats"]["summary"]["totalLinesProcessed"].is_u64(),
        "{answer}"
    );
    let streams = answer["data"]["result"].as_array().unwrap();
    let values: Vec<_> = streams.iter().flat_map(|s| s["values"].as_array().unwrap()).collect();
    assert_eq!(values.len(), 2);
    assert!(
        values.contains(&&serde_json::json!([(NOW_NS - 1).to_string(), "third\n"])),
        "{answer}"
    );

    let query = r#"{app="shop"} |= "second""#;
    let uri = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", query)
        .finish();
    let request = http::Request::get(format!("{RANGE}?{uri}"))
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = server.send(request).await.expect(200).json();
    assert_eq!(
        answer["data"]["encodingFlags"],
        serde_json::json!(["categorize-labels"])
    );
    let second = serde_json::json!([
        (NOW_NS - 1_000_000_000).to_string(),
        "second \"quoted\" \u{1F600}",
        {"structuredMetadata": {"detected_level": "unknown", "trace_id": "abc"}}
    ]);
    assert_eq!(answer["data"]["result"][0]["values"], serde_json::json!([second]));
    assert_eq!(
        answer["data"]["result"][0]["stream"],
        serde_json::json!({"app": "shop", "env": "test", "service_name": "shop"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_queries_have_their_shape() {
    let server = with_data().await;
    let query = r#"sum(count_over_time({app="shop"}[1m]))"#;
    let now = NOW_NS.to_string();
    let data = server
        .get(QUERY, &[("query", query), ("time", &now)])
        .await
        .expect(200)
        .json()["data"]
        .clone();
    assert_eq!(
        data["result"],
        serde_json::json!([{"metric": {}, "value": [NOW_S, "3"]}]),
        "{data}"
    );
    let start = (NOW_S - 120).to_string();
    let params = [("query", query), ("start", &*start), ("end", &*now), ("step", "60")];
    let data = server.get(RANGE, &params).await.expect(200).json()["data"].clone();
    assert_eq!(
        data["result"],
        serde_json::json!([{"metric": {}, "values": [[NOW_S, "3"]]}]),
        "{data}"
    );
    // A range of no length is a range.
    let params = [("query", query), ("start", &*now), ("end", &*now)];
    let data = server.get(RANGE, &params).await.expect(200).json()["data"].clone();
    assert_eq!(
        data["result"],
        serde_json::json!([{"metric": {}, "values": [[NOW_S, "3"]]}]),
        "{data}"
    );
    let params = [("query", r#"{app="shop"}"#), ("start", &*now), ("end", &*now)];
    let data = server.get(RANGE, &params).await.expect(200).json()["data"].clone();
    assert_eq!(data["result"], serde_json::json!([]));
    // Only ranges have an interval.
    let params = [("query", query), ("time", &*now), ("interval", "-1")];
    server.get(QUERY, &params).await.expect(200);
    let nothing = server
        .get(RANGE, &[("query", r#"{app="nosuch"}"#)])
        .await
        .expect(200)
        .json();
    assert_eq!(nothing["data"]["result"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_queries_say_where() {
    let server = Server::new().await;
    for (query, text) in [
        ("", "parse error : syntax error: unexpected $end"),
        (
            "{",
            "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }",
        ),
        (
            r#"rate({app="x"})"#,
            "parse error at line 1, col 15: syntax error: unexpected )",
        ),
    ] {
        server.get(RANGE, &[("query", query)]).await.expect_text(400, text);
        server.get(QUERY, &[("query", query)]).await.expect_text(400, text);
    }
    let printed = async |query: &str| server.get("/loki/api/v1/format_query", &[("query", query)]).await;
    printed(r#"{a="b"} | c > 1"#)
        .await
        .expect_text(200, "{\"status\":\"success\",\"data\":\"{a=\\\"b\\\"} | c\\u003e1\"}");
    printed(r#"{é="b"}"#).await.expect(200);
    let text = "{\"status\":\"invalid-query\",\"error\":\"parse error at line 1, col 6: syntax error: unexpected \\u003e, expecting STRING\"}";
    printed("{app=>}").await.expect_text(400, text);
    let params = [("query", r#"{app="a"}"#), ("limit", "5001")];
    let text = "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)";
    server.get(RANGE, &params).await.expect_text(400, text);
}
