//! Prometheus' API: parameters, texts, shapes.

use super::bodies::{remote_write, remote_write_v2};
use super::harness::{NOW_S, Server};

async fn with_data() -> Server {
    let server = Server::new().await;
    let at = NOW_S * 1000;
    let body = remote_write(&[
        (
            &[("__name__", "up"), ("job", "a"), ("instance", "1")],
            &[(at - 15_000, 1.0), (at, 1.0)],
        ),
        (&[("__name__", "up"), ("job", "b")], &[(at, 0.0)]),
        (
            &[("__name__", "odd values"), ("job", "a"), ("été", "x")],
            &[(at - 1, f64::NAN), (at, f64::INFINITY)],
        ),
    ]);
    server.write(body).await.expect(204);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_fail_with_the_texts_of_prometheus() {
    let server = Server::new().await;
    let check = async |path: &str, params: &[(&str, &str)], text: &str| {
        let expected = serde_json::json!({"status": "error", "errorType": "bad_data", "error": text});
        let path = format!("/api/v1/{path}");
        for reply in [
            server.get(&path, params).await,
            server.get(&format!("/prometheus{path}"), params).await,
            server.post_form(&path, params).await,
        ] {
            assert_eq!(
                (reply.status, reply.json()),
                (400, expected.clone()),
                "{path} {params:?}"
            );
            assert_eq!(reply.headers["content-type"], "application/json");
        }
    };
    let range = |start, end, step| [("query", "up"), ("start", start), ("end", end), ("step", step)];
    check(
        "query",
        &[("query", "1"), ("time", "x")],
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
    )
    .await;
    check(
        "query",
        &[("query", "1"), ("timeout", "x")],
        r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
    )
    .await;
    check(
        "query",
        &[("query", "1"), ("limit", "-1")],
        r#"invalid parameter "limit": limit must be non-negative"#,
    )
    .await;
    check(
        "query_range",
        &range("", "2", "1"),
        r#"invalid parameter "start": cannot parse "" to a valid timestamp"#,
    )
    .await;
    check(
        "query_range",
        &range("1", "zwei", "1"),
        r#"invalid parameter "end": cannot parse "zwei" to a valid timestamp"#,
    )
    .await;
    check(
        "query_range",
        &range("2", "1", "1"),
        r#"invalid parameter "end": end timestamp must not be before start time"#,
    )
    .await;
    check(
        "query_range",
        &range("1", "2", "a"),
        r#"invalid parameter "step": cannot parse "a" to a valid duration"#,
    )
    .await;
    for step in ["0", "-1"] {
        let text = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
                    Try a positive integer";
        check("query_range", &range("1", "2", step), text).await;
    }
    let many =
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    check("query_range", &range("0", "11001", "1"), many).await;
    check("series", &[], "no match[] parameter provided").await;
    check(
        "series",
        &[("match[]", "{}")],
        r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
    )
    .await;
    check(
        "labels",
        &[("match[]", "{}")],
        "match[] must contain at least one non-empty matcher",
    )
    .await;
    check(
        "labels",
        &[("match[]", "up{")],
        "1:4: parse error: unexpected end of input inside braces",
    )
    .await;
    let start = r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#;
    check("labels", &[("start", "x")], start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_series_by_selector_time_and_limit() {
    let server = with_data().await;
    let check = async |path: &str, params: &[(&str, &str)], expected: serde_json::Value| {
        for reply in [server.get(path, params).await, server.post_form(path, params).await] {
            if reply.status != 405 {
                assert_eq!(reply.expect(200).json(), expected, "{path} {params:?}");
            }
        }
    };
    let data = |data: serde_json::Value| serde_json::json!({"status": "success", "data": data});
    check(
        "/api/v1/labels",
        &[],
        data(serde_json::json!(["__name__", "instance", "job", "été"])),
    )
    .await;
    check(
        "/api/v1/labels",
        &[("match[]", "up{job=\"b\"}")],
        data(serde_json::json!(["__name__", "job"])),
    )
    .await;
    check("/api/v1/label/job/values", &[], data(serde_json::json!(["a", "b"]))).await;
    check("/api/v1/label/U___e9_t_e9_/values", &[], data(serde_json::json!(["x"]))).await;
    check("/api/v1/label/nosuch/values", &[], data(serde_json::json!([]))).await;
    check(
        "/prometheus/api/v1/label/job/values",
        &[("end", "1000")],
        data(serde_json::json!([])),
    )
    .await;
    let mut cut = data(serde_json::json!(["a"]));
    cut["warnings"] = serde_json::json!(["results truncated due to limit"]);
    check("/api/v1/label/job/values", &[("limit", "1")], cut).await;
    let up_b = serde_json::json!([{"__name__": "up", "job": "b"}]);
    check(
        "/api/v1/series",
        &[("match[]", "up{job=\"b\"}"), ("match[]", "{job=~\"b.*\"}")],
        data(up_b),
    )
    .await;
    check("/api/v1/series", &[("match[]", "nosuch")], data(serde_json::json!([]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there() {
    let server = Server::new().await;
    for prefix in ["", "/prometheus"] {
        let info = server
            .get(&format!("{prefix}/api/v1/status/buildinfo"), &[])
            .await
            .expect(200)
            .json();
        assert_eq!(info["data"]["version"], "3.14.0");
        assert_eq!(
            info["data"]["features"],
            serde_json::Value::Null,
            "features would mean a ruler to Grafana"
        );
        let rules = server
            .get(&format!("{prefix}/api/v1/rules"), &[])
            .await
            .expect(200)
            .json();
        assert_eq!(rules["data"], serde_json::json!({"groups": []}));
        server.get(&format!("{prefix}/api/v1/metadata"), &[]).await.expect(200);
    }
    let metrics = server.get("/metrics", &[]).await.expect(200);
    let counted = r#"garner_http_requests_total{route="/api/v1/status/buildinfo",status="200"} 1"#;
    assert!(metrics.text.contains(counted), "{}", metrics.text);
    assert!(metrics.text.contains(r#"garner_memory_used_bytes{use="head"}"#));
    assert!(metrics.text.contains("garner_storage_wal_bytes "));
}

#[tokio::test(flavor = "multi_thread")]
async fn save_and_test_of_grafana() {
    let server = Server::new().await;
    let params = [("query", "1+1"), ("time", "4")];
    let answer = server.post_form("/api/v1/query", &params).await.expect(200).json();
    assert_eq!(
        answer["data"],
        serde_json::json!({"resultType": "scalar", "result": [4, "2"]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_have_their_shapes() {
    let server = with_data().await;
    let now = NOW_S.to_string();
    let instant = async |query: &str| {
        server
            .get("/api/v1/query", &[("query", query), ("time", &now)])
            .await
            .expect(200)
            .json()["data"]
            .clone()
    };
    assert_eq!(
        instant("sort(up)").await,
        serde_json::json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "b"}, "value": [NOW_S, "0"]},
            {"metric": {"__name__": "up", "instance": "1", "job": "a"}, "value": [NOW_S, "1"]},
        ]})
    );
    assert_eq!(
        instant("{\"odd values\"}[1m]").await,
        serde_json::json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "odd values", "job": "a", "été": "x"},
             "values": [[NOW_S as f64 - 0.001, "NaN"], [NOW_S, "+Inf"]]},
        ]})
    );
    assert_eq!(
        instant("\"text\"").await,
        serde_json::json!({"resultType": "string", "result": [NOW_S, "text"]})
    );
    assert_eq!(
        instant("nosuch").await,
        serde_json::json!({"resultType": "vector", "result": []})
    );
    let start = (NOW_S - 30).to_string();
    let params = [
        ("query", "up{job=\"a\"}"),
        ("start", &*start),
        ("end", &*now),
        ("step", "15s"),
    ];
    assert_eq!(
        server
            .post_form("/api/v1/query_range", &params)
            .await
            .expect(200)
            .json()["data"],
        serde_json::json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up", "instance": "1", "job": "a"},
             "values": [[NOW_S - 15, "1"], [NOW_S, "1"]]},
        ]})
    );
    let params = [("query", "nosuch"), ("start", &*start), ("end", &*now), ("step", "15s")];
    let empty = server.get("/api/v1/query_range", &params).await.expect(200).json();
    assert_eq!(empty["data"], serde_json::json!({"resultType": "matrix", "result": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_tell_what_a_query_cost() {
    let server = with_data().await;
    let now = NOW_S.to_string();
    let ask = async |stats: &str| {
        let params = [("query", "up[1m]"), ("time", &*now), ("stats", stats)];
        server.get("/api/v1/query", &params).await.expect(200).json()
    };
    for wanted in ["all", "true"] {
        let answer = ask(wanted).await;
        assert_eq!(answer["data"]["stats"]["samples"]["totalQueryableSamples"], 3);
        assert!(answer["data"]["stats"]["timings"]["execTotalTime"].is_number());
        assert_eq!(answer["warnings"], serde_json::Value::Null);
    }
    assert_eq!(ask("").await["data"]["stats"], serde_json::Value::Null);
    let odd = ask("yes").await;
    assert!(odd["data"]["stats"].is_object());
    let warning = r#"value "yes" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#;
    assert_eq!(odd["warnings"], serde_json::json!([warning]));
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_2_tells_what_it_wrote() {
    let server = Server::new().await;
    let headers = [
        (
            "Content-Type",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        ),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "2.0.0"),
    ];
    let check = async |symbols: &[&str], status: u16, written: &str| {
        let at = NOW_S * 1000;
        let body = remote_write_v2(symbols, &[1, 2], &[(at - 1, 1.0), (at, 2.0)]);
        let reply = server.post("/api/v1/write", &headers, body).await.expect(status);
        assert_eq!(reply.headers["x-prometheus-remote-write-samples-written"], written);
        assert_eq!(reply.headers["x-prometheus-remote-write-histograms-written"], "0");
        assert_eq!(reply.headers["x-prometheus-remote-write-exemplars-written"], "0");
    };
    check(&["", "__name__", "up"], 204, "2").await;
    check(&["", "__name__"], 400, "0").await;
    check(&["", "not_a_name", "up"], 400, "0").await;
    let reply = server.post("/api/v1/write", &headers, "no snappy").await.expect(400);
    assert_eq!(reply.headers["x-prometheus-remote-write-samples-written"], "0");
    let now = NOW_S.to_string();
    let params = [("query", "up"), ("time", &*now)];
    let answer = server.get("/api/v1/query", &params).await.expect(200).json();
    assert_eq!(answer["data"]["result"][0]["value"], serde_json::json!([NOW_S, "2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_queries_say_where() {
    let server = Server::new().await;
    for (query, text) in [
        (
            "up{",
            r#"invalid parameter "query": 1:4: parse error: unexpected end of input inside braces"#,
        ),
        (
            "",
            r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
        ),
        (
            "rate(up)",
            r#"invalid parameter "query": 1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
        ),
    ] {
        let reply = server
            .get("/api/v1/query", &[("query", query)])
            .await
            .expect(400)
            .json();
        assert_eq!(reply["error"], text);
        assert_eq!(reply["errorType"], "bad_data");
    }
}
