//! Endpoints about queries, labels and the server itself.

use std::io::Read;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::bodies::remote_write;
use super::harness::{NOW_S, Server};

async fn data(server: &Server, path: &str, params: &[(&str, &str)]) -> Value {
    let answer = server.get(path, params).await.expect(200).json();
    assert_eq!(answer["status"], "success", "{path}");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_printed_and_taken_apart() {
    let server = Server::new().await;
    let query = "sum by(a)(rate(x{b!=\"c\"}[5m] offset 1m))/2";
    let params = [("query", query)];
    assert_eq!(
        data(&server, "/api/v1/format_query", &params).await,
        r#"sum by (a) (rate(x{b!="c"}[5m] offset 1m)) / 2"#
    );
    let tree = server
        .post_form("/prometheus/api/v1/parse_query", &params)
        .await
        .expect(200)
        .json();
    assert_eq!(
        tree["data"],
        json!({
            "type": "binaryExpr", "op": "/", "bool": false, "matching": null,
            "lhs": {
                "type": "aggregation", "op": "sum", "param": null, "grouping": ["a"], "without": false,
                "expr": {
                    "type": "call",
                    "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                    "args": [{
                        "type": "matrixSelector", "name": "x", "range": 300_000, "rangeExpr": null,
                        "offset": 60_000, "offsetExpr": null, "timestamp": null, "startOrEnd": null,
                        "anchored": false, "smoothed": false,
                        "matchers": [
                            {"name": "b", "value": "c", "type": "!="},
                            {"name": "__name__", "value": "x", "type": "="},
                        ],
                    }],
                },
            },
            "rhs": {"type": "numberLiteral", "val": "2"},
        })
    );
    let check = async |query: &str, pointer: &str, expected: Value| {
        let tree = data(&server, "/api/v1/parse_query", &[("query", query)]).await;
        assert_eq!(tree.pointer(pointer), Some(&expected), "{query}: {tree}");
    };
    check(
        "a * on (b) group_left (c) d",
        "/matching",
        json!({
            "card": "many-to-one", "labels": ["b"], "on": true, "include": ["c"],
            "fillValues": {"lhs": null, "rhs": null},
        }),
    )
    .await;
    check("a and b", "/matching/card", json!("many-to-many")).await;
    check("a @ 1.5", "/timestamp", json!(1500)).await;
    check("a[1h:] @ end()", "/startOrEnd", json!("end")).await;
    check("a[1h:]", "/step", json!(0)).await;
    check(
        "a[5m + step()]",
        "/rangeExpr",
        json!({
            "type": "durationExpr", "op": "+", "wrapped": false,
            "lhs": {"type": "numberLiteral", "val": "300", "duration": true},
            "rhs": {"type": "durationExpr", "op": "step", "lhs": null, "rhs": null, "wrapped": false},
        }),
    )
    .await;
    for path in ["/api/v1/format_query", "/api/v1/parse_query"] {
        let error = server.get(path, &[("query", "sum(")]).await.expect(400).json();
        assert_eq!(error["errorType"], "bad_data");
        assert_eq!(
            error["error"],
            r#"invalid parameter "query": 1:5: parse error: unclosed left parenthesis"#
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_garner_has_nothing_for_is_well_formed() {
    let server = Server::new().await;
    for (path, expected) in [
        ("metadata", json!({})),
        (
            "targets",
            json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
        ),
        ("targets/metadata", json!([])),
        ("scrape_pools", json!({"scrapePools": []})),
        (
            "alertmanagers",
            json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
        ),
        ("rules", json!({"groups": []})),
        ("alerts", json!({"alerts": []})),
        ("notifications", json!([])),
        ("query_exemplars?query=up", json!([])),
    ] {
        for prefix in ["/api/v1/", "/prometheus/api/v1/"] {
            assert_eq!(data(&server, &format!("{prefix}{path}"), &[]).await, expected, "{path}");
        }
    }
    server
        .get("/api/v1/query_exemplars", &[("query", "1")])
        .await
        .expect(204);
    for (path, params, text) in [
        ("metadata", ("limit", "x"), "limit must be a number"),
        (
            "metadata",
            ("limit_per_metric", "x"),
            "limit_per_metric must be a number",
        ),
        ("targets/metadata", ("limit", "x"), "limit must be a number"),
        (
            "rules",
            ("type", "X"),
            r#"invalid parameter "type": not supported value "x""#,
        ),
        (
            "rules",
            ("group_limit", "0"),
            r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
        ),
        (
            "rules",
            ("group_limit", "3000000000"),
            r#"invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: parsing "3000000000": value out of range"#,
        ),
        (
            "rules",
            ("exclude_alerts", "Maybe"),
            r#"invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "maybe": invalid syntax"#,
        ),
        (
            "rules?group_limit=1",
            ("group_next_token", "x"),
            r#"invalid parameter "group_next_token": invalid group_next_token 'x'. were rule groups changed?"#,
        ),
        (
            "query_exemplars",
            ("query", ""),
            "unknown position: parse error: no expression found in input",
        ),
        ("status/tsdb", ("limit", "0"), "limit must be a positive number"),
        ("status/tsdb", ("limit", "10001"), "limit must not exceed 10000"),
    ] {
        let (path, more) = path.split_once('?').unwrap_or((path, ""));
        let more = more.split_once('=');
        let params: Vec<_> = more.into_iter().chain([params]).collect();
        let error = server.get(&format!("/api/v1/{path}"), &params).await.expect(400).json();
        assert_eq!(
            (&error["errorType"], &error["error"]),
            (&json!("bad_data"), &json!(text))
        );
    }
    let backwards = [("query", "up"), ("start", "2"), ("end", "1")];
    let error = server
        .get("/api/v1/query_exemplars", &backwards)
        .await
        .expect(400)
        .json();
    assert_eq!(error["error"], "end timestamp must not be before start timestamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_about_itself() {
    let server = Server::new().await;
    let info = data(&server, "/api/v1/status/runtimeinfo", &[]).await;
    assert_eq!(info["startTime"], "2025-01-01T00:00:00Z");
    assert_eq!(info["reloadConfigSuccess"], true);
    assert_eq!(
        data(&server, "/api/v1/status/flags", &[]).await["query.lookback-delta"],
        "5m"
    );
    let yaml = data(&server, "/api/v1/status/config", &[]).await;
    assert_eq!(yaml, json!({"yaml": "global:\n  evaluation_interval: 1m\n"}));
    let features = data(&server, "/api/v1/features", &[]).await;
    assert_eq!(features["rules"], Value::Null, "there is no ruler");
    assert_eq!(features["api"]["remote_write_receiver"], true);
    assert_eq!(features["promql"]["negative_offset"], true);
    assert_eq!(features["promql_functions"]["rate"], true);
    assert_eq!(features["promql"]["subqueries"], true);
    assert_eq!(features["promql"]["duration_expr"], true);
    assert_eq!(features["promql_operators"]["topk"], true);
    assert_eq!(features["promql_operators"]["atan2"], true);
    assert_eq!(features["promql_functions"]["info"], true);
    assert_eq!(features["promql_operators"]["limit_ratio"], true);
    assert_eq!(features["promql"]["smoothed"], true);
    assert_eq!(features["promql"]["delayed_name_removal"], false);
    let server = Server::with("[promql]\ndelayed_name_removal = true\n").await;
    let features = data(&server, "/api/v1/features", &[]).await;
    assert_eq!(features["promql"]["delayed_name_removal"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_read_answers() {
    let server = Server::with("[server]\ncors_origin = \"https://.*[.]example\"\n").await;
    let ask = async |method: &str, path: &str, origin: &str| {
        let request = Request::builder().method(method).uri(path).header("Origin", origin);
        server.send(request.body(Body::empty()).unwrap()).await
    };
    for path in ["/api/v1/query", "/prometheus/api/v1/series", "/api/v1/whatever"] {
        let reply = ask("OPTIONS", path, "https://a.example").await.expect(204);
        assert_eq!(reply.headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(reply.headers["access-control-allow-methods"], "GET, POST, OPTIONS");
    }
    let reply = ask("GET", "/api/v1/labels", "https://a.example").await.expect(200);
    assert_eq!(reply.headers["access-control-allow-origin"], "https://a.example");
    assert!(reply.headers.get_all("vary").iter().any(|value| value == "Origin"));
    let reply = ask("GET", "/api/v1/query", "https://a.evil").await.expect(400);
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
    let reply = server.get("/api/v1/labels", &[]).await.expect(200);
    assert!(!reply.headers.contains_key("access-control-expose-headers"));
    let reply = ask("GET", "/ready", "https://a.example").await;
    assert!(!reply.headers.contains_key("vary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let server = with_series().await;
    let ask = async |path: &str, accepted: &str| {
        let request = Request::get(path).header("Accept-Encoding", accepted);
        server.send(request.body(Body::empty()).unwrap()).await.expect(200)
    };
    let plain = server.get("/api/v1/features", &[]).await.expect(200);
    for (accepted, expected) in [("br, gzip", "gzip"), ("deflate,gzip", "deflate")] {
        let reply = ask("/prometheus/api/v1/features", accepted).await;
        assert_eq!(reply.headers["content-encoding"], expected);
        assert!(reply.bytes.len() < plain.bytes.len() / 2, "{}", reply.bytes.len());
        let mut text = String::new();
        match expected {
            "gzip" => flate2::read::GzDecoder::new(&reply.bytes[..]).read_to_string(&mut text),
            _ => flate2::read::ZlibDecoder::new(&reply.bytes[..]).read_to_string(&mut text),
        }
        .unwrap();
        assert_eq!(text, plain.text);
    }
    for (path, accepted) in [
        ("/api/v1/labels", "gzip"),
        ("/api/v1/features", "br"),
        ("/metrics", "gzip"),
    ] {
        assert!(
            !ask(path, accepted).await.headers.contains_key("content-encoding"),
            "{path}"
        );
    }
}

async fn with_series() -> Server {
    let server = Server::new().await;
    let at = NOW_S * 1000;
    let body = remote_write(&[
        (&[("__name__", "up"), ("job", "a")], &[(at, 1.0)]),
        (&[("__name__", "up"), ("job", "b")], &[(at, 1.0)]),
        (&[("__name__", "down"), ("job", "a")], &[(at, 1.0)]),
    ]);
    server.write(body).await.expect(204);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_counted_by_label() {
    let server = with_series().await;
    let check = async |path: &str, params: &[(&str, &str)], expected: Value| {
        let path = format!("/api/v1/cardinality/{path}");
        for reply in [server.get(&path, params).await, server.post_form(&path, params).await] {
            assert_eq!(reply.expect(200).json(), expected, "{path} {params:?}");
        }
    };
    check(
        "label_names",
        &[("limit", "1")],
        json!({
            "label_values_count_total": 4, "label_names_count": 2,
            "cardinality": [{"label_name": "__name__", "label_values_count": 2}],
        }),
    )
    .await;
    check(
        "label_values",
        &[("label_names[]", "job"), ("label_names[]", "nosuch")],
        json!({
            "series_count_total": 3,
            "labels": [{"label_name": "job", "label_values_count": 2, "series_count": 3, "cardinality": [
                {"label_value": "a", "series_count": 2}, {"label_value": "b", "series_count": 1},
            ]}],
        }),
    )
    .await;
    check(
        "label_values",
        &[
            ("label_names[]", "job"),
            ("selector", "up{job=\"b\"}"),
            ("count_method", "active"),
        ],
        json!({
            "series_count_total": 1,
            "labels": [{"label_name": "job", "label_values_count": 1, "series_count": 1, "cardinality": [
                {"label_value": "b", "series_count": 1},
            ]}],
        }),
    )
    .await;
    check(
        "active_series",
        &[("selector", "down")],
        json!({"data": [{"__name__": "down", "job": "a"}]}),
    )
    .await;
    check("active_series", &[("selector", "nosuch")], json!({"data": []})).await;
    for (path, params, text) in [
        ("label_values", &[][..], "'label_names[]' param is required"),
        (
            "label_names",
            &[("limit", "501")],
            "'limit' param cannot be greater than '500'",
        ),
        (
            "label_names",
            &[("limit", "-1")],
            "'limit' param cannot be less than '0'",
        ),
        (
            "label_names",
            &[("selector", "a"), ("selector", "b")],
            "multiple 'selector' params are not allowed",
        ),
        (
            "label_names",
            &[("count_method", "x")],
            "invalid 'count_method' param 'x'. valid options are: [active,inmemory]",
        ),
        ("active_series", &[], "missing 'selector' parameter"),
    ] {
        server
            .get(&format!("/api/v1/cardinality/{path}"), params)
            .await
            .expect_text(400, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_has_statistics() {
    let server = with_series().await;
    let stats = data(&server, "/api/v1/status/tsdb", &[("limit", "1")]).await;
    assert_eq!(
        (&stats["headStats"]["numSeries"], &stats["headStats"]["numLabelPairs"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(stats["seriesCountByMetricName"], json!([{"name": "up", "value": 2}]));
    assert_eq!(
        stats["labelValueCountByLabelName"],
        json!([{"name": "__name__", "value": 2}])
    );
    assert_eq!(
        stats["seriesCountByLabelValuePair"],
        json!([{"name": "__name__=up", "value": 2}])
    );
    // "__name__" beside "up", "up" and "down".
    assert_eq!(
        stats["memoryInBytesByLabelName"],
        json!([{"name": "__name__", "value": 32}])
    );
}
