//! Loki's reads beside queries: sizes, detected labels and fields, several tenants, older paths.

use serde_json::{Value, json};

use super::harness::{NOW_S, Server};

const NOW_NS: i64 = NOW_S * 1_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

async fn push(server: &Server, tenant: &str, stream: Value, lines: &[(i64, &str)]) {
    let values: Vec<Value> = lines
        .iter()
        .map(|(before, line)| json!([(NOW_NS - before).to_string(), line]))
        .collect();
    let body = json!({"streams": [{"stream": stream, "values": values}]}).to_string();
    let headers = [("X-Scope-OrgID", tenant), ("Content-Type", "application/json")];
    server.post("/loki/api/v1/push", &headers, body).await.expect(204);
}

async fn with_data() -> Server {
    let server = Server::new().await;
    let shop = json!({"app": "shop", "env": "test"});
    push(&server, "a", shop, &[(3 * HOUR_NS, "12345"), (2 * HOUR_NS, "123")]).await;
    push(&server, "a", json!({"app": "web"}), &[(2 * HOUR_NS + 1, "1234567")]).await;
    push(&server, "b", json!({"app": "shop"}), &[(HOUR_NS, "x")]).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_exact_before_and_after_a_flush() {
    let server = with_data().await;
    for flushed in [false, true] {
        if flushed {
            server.app.storage.flush().await.unwrap();
        }
        let stats = async |query: &str, start: i64, end: i64| {
            let (start, end) = ((NOW_NS - start).to_string(), (NOW_NS - end).to_string());
            let params = [("query", query), ("start", &start), ("end", &end)];
            let reply = server.get_as(Some("a"), "/loki/api/v1/index/stats", &params).await;
            let json = reply.expect(200).json();
            (
                json["streams"].as_u64(),
                json["entries"].as_u64(),
                json["bytes"].as_u64(),
            )
        };
        let all = r#"{app=~".+"}"#;
        let expect = |streams, entries, bytes| (Some(streams), Some(entries), Some(bytes));
        let (streams, entries, bytes) = stats(all, 4 * HOUR_NS, 0).await;
        assert_eq!((streams, entries), (Some(2), Some(3)), "flushed: {flushed}");
        // In pages that are not read, metadata counts with its stored size.
        assert!((15..100).contains(&bytes.unwrap()), "{bytes:?}");
        // The edges are cut through pages.
        assert_eq!(stats(all, 2 * HOUR_NS, 0).await.1, Some(1));
        assert_eq!(stats(r#"{app="nosuch"}"#, 4 * HOUR_NS, 0).await, expect(0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_grouped_limited_and_cut_into_steps() {
    let server = with_data().await;
    let volume = async |path: &str, params: &[(&str, &str)]| {
        let start = (NOW_NS - 4 * HOUR_NS).to_string();
        let end = NOW_NS.to_string();
        let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
        all.extend_from_slice(params);
        let path = format!("/loki/api/v1/index/{path}");
        let json = server.get_as(Some("a"), &path, &all).await.expect(200).json();
        json["data"]["result"].clone()
    };
    let app = ("query", r#"{app=~".+"}"#);
    assert_eq!(
        volume("volume", &[app]).await,
        json!([
            {"metric": {"app": "shop"}, "value": [NOW_S, "8"]},
            {"metric": {"app": "web"}, "value": [NOW_S, "7"]},
        ])
    );
    assert_eq!(
        volume("volume", &[app, ("limit", "1"), ("targetLabels", "env")]).await,
        json!([{"metric": {"env": "test"}, "value": [NOW_S, "8"]}])
    );
    assert_eq!(
        volume(
            "volume",
            &[("query", "{}"), ("aggregateBy", "labels"), ("targetLabels", "app")]
        )
        .await,
        json!([{"metric": {"app": ""}, "value": [NOW_S, "15"]}])
    );
    assert_eq!(
        volume("volume", &[app, ("limit", "0")]).await.as_array().map(Vec::len),
        Some(2)
    );
    let wrong = async |path: &str, params: &[(&str, &str)], text: &str| {
        let path = format!("/loki/api/v1/index/{path}");
        server.get_as(Some("a"), &path, params).await.expect_text(400, text);
    };
    let bad = ("query", "{");
    wrong("volume", &[bad, ("aggregateBy", "x")], "invalid aggregation option").await;
    wrong("volume", &[app, ("direction", "x")], "invalid direction 'x'").await;
    wrong(
        "volume",
        &[app, ("time", "x")],
        r#"strconv.ParseInt: parsing "x": invalid syntax"#,
    )
    .await;
    wrong("volume_range", &[app, ("interval", "-1")], "interval must be >= 0").await;
    let one_each = volume("volume_range", &[app, ("step", "4h")]).await;
    assert_eq!(
        one_each,
        json!([
            {"metric": {"app": "shop"}, "value": [NOW_S, "8"]},
            {"metric": {"app": "web"}, "value": [NOW_S, "7"]},
        ])
    );
    let steps = volume("volume_range", &[app, ("step", "1h")]).await;
    let at = |hours: i64| (NOW_S - hours * 3_600) as f64 - 0.001;
    assert_eq!(
        steps,
        json!([
            {"metric": {"app": "web"}, "values": [[at(2), "7"]]},
            {"metric": {"app": "shop"}, "values": [[at(2), "5"], [at(1), "3"]]},
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tenants_are_read_at_once() {
    let server = with_data().await;
    let start = (NOW_NS - 4 * HOUR_NS).to_string();
    let get = async |path: &str, query: (&str, &str)| {
        let params = [query, ("start", start.as_str())];
        let reply = server.get_as(Some("b|a"), path, &params).await;
        reply.expect(200).json()["data"].clone()
    };
    assert_eq!(
        get("/loki/api/v1/labels", ("x", "")).await,
        json!(["__tenant_id__", "app", "env", "service_name"])
    );
    assert_eq!(
        get("/loki/api/v1/label/__tenant_id__/values", ("x", "")).await,
        json!(["a", "b"])
    );
    let only_b = ("match[]", r#"{app="shop", __tenant_id__=~"b|c"}"#);
    assert_eq!(
        get("/loki/api/v1/series", only_b).await,
        json!([{"__tenant_id__": "b", "app": "shop", "service_name": "shop"}])
    );
    let shop = ("query", r#"{app="shop"}"#);
    let lines = get("/loki/api/v1/query_range", shop).await;
    let mut tenants: Vec<&str> = lines["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["stream"]["__tenant_id__"].as_str().unwrap())
        .collect();
    tenants.sort_unstable();
    assert_eq!(tenants, ["a", "b"]);
    let sum = ("query", r#"sum by (__tenant_id__) (count_over_time({app="shop"}[4h]))"#);
    let counts = get("/loki/api/v1/query", sum).await;
    let values: Vec<(&str, &str)> = counts["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            (
                sample["metric"]["__tenant_id__"].as_str().unwrap(),
                sample["value"][1].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(values, [("a", "2"), ("b", "1")]);
    let headers = [("X-Scope-OrgID", "a|b"), ("Content-Type", "application/json")];
    let reply = server.post("/loki/api/v1/push", &headers, r#"{"streams":[]}"#).await;
    reply.expect_text(400, "multiple org IDs present");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_fields_are_detected() {
    let server = Server::new().await;
    let lines = [
        (3, r#"{"a":{"b":1},"level":"info"}"#),
        (2, "took=12ms x=y"),
        (1, "no fields"),
    ];
    push(&server, "fake", json!({"app": "x", "id": "7"}), &lines).await;
    let query = [("query", r#"{app="x"}"#)];
    let end = (NOW_NS + 1).to_string();
    let ask = async |path: &str| {
        let params = [query[0], ("end", end.as_str())];
        server.get(path, &params).await.expect(200).json()
    };
    assert_eq!(
        ask("/loki/api/v1/detected_labels").await,
        json!({"detectedLabels": [{"label": "app", "cardinality": 1}, {"label": "service_name", "cardinality": 1}]})
    );
    let fields = ask("/loki/api/v1/detected_fields").await;
    assert_eq!(
        fields,
        json!({"fields": [
            {"label": "a_b", "type": "int", "cardinality": 1, "parsers": ["json"], "jsonPath": ["a", "b"]},
            {"label": "detected_level", "type": "string", "cardinality": 2, "parsers": null},
            {"label": "level", "type": "string", "cardinality": 1, "parsers": ["json"], "jsonPath": ["level"]},
            {"label": "took", "type": "duration", "cardinality": 1, "parsers": ["logfmt"]},
            {"label": "x", "type": "string", "cardinality": 1, "parsers": ["logfmt"]},
        ], "limit": 1000})
    );
    assert_eq!(
        ask("/loki/api/v1/detected_field/took/values").await,
        json!({"values": ["12ms"], "limit": 1000})
    );
    assert_eq!(ask("/loki/api/v1/detected_field/nosuch/values").await, json!({}));
    server
        .get("/loki/api/v1/detected_labels", &[("query", "{}")])
        .await
        .expect(400);
    for path in ["/loki/api/v1/detected_fields", "/loki/api/v1/detected_field/a/values"] {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        server
            .get(path, &[query[0], ("step", "0")])
            .await
            .expect_text(400, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_those_of_the_line_whatever_its_metadata() {
    let server = Server::new().await;
    let value = |line: &str, metadata: Value| json!([(NOW_NS - 1).to_string(), line, metadata]);
    let values = json!([
        value(
            r#"{"a":"5m","app":"y","size":"1.5KiB"}"#,
            json!({"a": "meta", "size": "2KiB"})
        ),
        value(r#"{"a":1}"#, json!({})),
    ]);
    let body = json!({"streams": [{"stream": {"app": "x"}, "values": values}]});
    server.push_json(body.to_string()).await.expect(204);
    let end = NOW_NS.to_string();
    let ask = async |path: &str| {
        let params = [("query", r#"{app="x"}"#), ("end", end.as_str())];
        server.get(path, &params).await.expect(200).json()
    };
    let fields = ask("/loki/api/v1/detected_fields").await["fields"].clone();
    let named: Vec<(&str, i64)> = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["label"].as_str().unwrap(), field["cardinality"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        named,
        [("a", 3), ("app_extracted", 1), ("detected_level", 1), ("size", 2)]
    );
    let values = ask("/loki/api/v1/detected_field/size/values").await;
    // What a line holds is given as a query compares it; metadata stays as sent.
    assert_eq!(values, json!({"values": ["1.5kB", "2KiB"], "limit": 1000}));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_reads_keep_to_the_longest_range() {
    let server = Server::with("[limits]\nmax_query_length = \"1h\"\n").await;
    let start = (NOW_NS - 2 * HOUR_NS).to_string();
    let end = NOW_NS.to_string();
    let selector = r#"{app="x"}"#;
    for path in [
        "labels",
        "label/app/values",
        "series",
        "index/stats",
        "index/volume",
        "index/volume_range",
        "detected_labels",
        "detected_fields",
        "query_range",
    ] {
        let path = format!("/loki/api/v1/{path}");
        let mut params = vec![("query", selector), ("match[]", selector), ("end", end.as_str())];
        server.get(&path, &params).await.expect(200);
        params.push(("start", start.as_str()));
        let text = "the query time range exceeds the limit (query length: 2h0m0s, limit: 1h)";
        server.get(&path, &params).await.expect_text(400, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_paths_and_pages_answer() {
    let server = with_data().await;
    let get = async |path: &str, params: &[(&str, &str)]| server.get_as(Some("b"), path, params).await.expect(200);
    let lines = get("/api/prom/query", &[("query", r#"{app="shop"}"#), ("regexp", "x")]).await;
    let streams = lines.json()["streams"].clone();
    let entry = json!({"ts": "2024-12-31T23:00:00Z", "line": "x"});
    assert_eq!(streams[0]["entries"], json!([entry]));
    assert_eq!(
        streams[0]["labels"],
        r#"{app="shop", detected_level="unknown", service_name="shop"}"#
    );
    let values = get("/api/prom/label/app/values", &[]).await.json();
    assert_eq!(values, json!({"values": ["shop"]}));
    assert_eq!(get("/api/prom/series", &[]).await.json()["status"], "success");
    let limits = get("/loki/api/v1/drilldown-limits", &[]).await.json();
    assert_eq!(limits["limits"]["volume_enabled"], true);
    let names: Vec<&String> = limits["limits"].as_object().unwrap().keys().collect();
    // All that Loki publishes by default; the rules of retention only where there are some.
    let published = "discover_log_levels discover_service_name log_level_fields max_entries_limit_per_query \
                     max_line_size_truncate max_query_bytes_read max_query_length max_query_lookback max_query_range \
                     max_query_series metric_aggregation_enabled otlp_config pattern_persistence_enabled query_timeout \
                     retention_period volume_enabled volume_max_series";
    assert_eq!(names, published.split_whitespace().collect::<Vec<_>>());
    assert_eq!(limits["limits"]["retention_period"], "0s");
    let resource = &limits["limits"]["otlp_config"]["resource_attributes"]["attributes_config"];
    assert_eq!(resource[0]["action"], "index_label");
    assert_eq!(resource[0]["attributes"][0], "service.name");
    assert!(get("/services", &[]).await.text.contains("store => Running"));
    assert!(
        get("/log_level", &[])
            .await
            .text
            .starts_with(r#"{"message":"Current log level is"#)
    );
    get("/ring", &[]).await;
    let secret = "[object_store]\nsecret_access_key = \"hidden\"\naccess_key_id = \"hidden\"\n[limits]\nmax_line_size = \"1MB\"\n";
    let config = Server::with(secret).await.get("/config", &[]).await.expect(200).text;
    assert!(config.contains("\nlimits:\n"), "{config}");
    assert!(config.contains("\n    max_line_size: 1MB\n"), "{config}");
    assert!(!config.contains("hidden"), "{config}");
    let metric = [("query", r#"rate({app="shop"}[1m])"#)];
    server.get("/api/prom/query", &metric).await.expect_text(
        400,
        "rpc error: code = Code(400) desc = legacy endpoints only support streams result type",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_tenant_are_its_own() {
    let settings = r#"
[limits]
retention_period = "30d"
[limits.otlp_config]
default_resource_attributes_as_index_labels = []
resource_attributes = ["index_label=team", "drop=~secret[.].*"]
scope_attributes = ["drop=scope"]
severity_text_as_label = true
[[overrides.own.retention_stream]]
selector = '{env="dev", app=~"a|b"}'
priority = 3
period = "24h"
"#;
    let server = Server::with(settings).await;
    let limits = async |tenant: &str| {
        let reply = server.get_as(Some(tenant), "/loki/api/v1/drilldown-limits", &[]).await;
        reply.expect(200).json()["limits"].clone()
    };
    let (own, other) = (limits("own").await, limits("other").await);
    assert_eq!(other["retention_period"], "30d");
    assert!(other.get("retention_stream").is_none());
    let rule = json!({"period": "1d", "priority": 3, "selector": r#"{env="dev", app=~"a|b"}"#});
    assert_eq!(own["retention_stream"], json!([rule]));
    let otlp = json!({
        "resource_attributes": {"attributes_config": [
            {"action": "index_label", "attributes": ["team"]},
            {"action": "drop", "regex": "secret[.].*"},
        ]},
        "scope_attributes": [{"action": "drop", "attributes": ["scope"]}],
        "severity_text_as_label": true,
    });
    assert_eq!(own["otlp_config"], otlp);
    let page = async |tenant: &str| {
        server
            .get_as(Some(tenant), "/config/tenant/v1/limits", &[])
            .await
            .expect(200)
            .text
    };
    assert!(
        page("own").await.contains(
            "\nretention_period: 30d\nretention_stream:\n    - period: 1d\n      priority: 3\n      selector: "
        )
    );
    assert!(page("other").await.contains("\nretention_stream: []\n"));
}
