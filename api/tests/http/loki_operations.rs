//! What operators and tools of Loki ask for: pages, limits, rules, shards, the log's level.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::harness::{NOW_S, Reply, Server};

async fn send(server: &Server, method: Method, uri: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(Body::empty()).unwrap()).await
}

async fn push(server: &Server) {
    let time = NOW_S * 1_000_000_000 - 1;
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"shop"}},"values":[["{time}","a line"]]}}]}}"#);
    server.push_json(body).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_as_yaml() {
    let server = Server::with("[limits]\nmax_line_size = \"1MB\"\n[tenancy]\nrequired = true\n").await;
    let page = server.get("/config", &[]).await.expect(200);
    assert_eq!(page.headers["content-type"], "text/plain; charset=utf-8");
    assert!(
        page.text.starts_with("target: all\nauth_enabled: true\n"),
        "{}",
        page.text
    );
    for group in ["server:", "limits:", "wal:", "flush:"] {
        let count = page.text.lines().filter(|line| *line == group).count();
        assert_eq!(count, 1, "{group}\n{}", page.text);
    }
    let changed = server.get("/config", &[("mode", "diff")]).await.expect(200).text;
    assert_eq!(
        changed,
        "tenancy:\n    required: true\nlimits:\n    max_line_size: 1MB\n"
    );
    server.get("/config/tenant/v1/limits", &[]).await.expect(401);
    let limits = server
        .get_as(Some("t"), "/config/tenant/v1/limits", &[])
        .await
        .expect(200)
        .text;
    assert!(limits.contains("\nmax_line_size: 1MB\n"), "{limits}");
    assert!(limits.contains("discover_service_name:\n    - service\n"), "{limits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_tells_about_itself() {
    let server = Server::new().await;
    let text = server.get("/ring", &[]).await.expect(200).text;
    assert!(text.contains("no ring"), "{text}");
    let ring = send(
        &server,
        Method::GET,
        "/distributor/ring",
        &[("Accept", "application/json")],
    )
    .await;
    assert_eq!(ring.expect(200).json()["shards"][0]["state"], "ACTIVE");
    server
        .get("/memberlist", &[])
        .await
        .expect_text(200, "This instance doesn't use memberlist.");
    for (method, status, text) in [
        (Method::GET, 200, "unset"),
        (Method::POST, 204, ""),
        (Method::GET, 200, "set"),
        (Method::DELETE, 204, ""),
        (Method::GET, 200, "unset"),
    ] {
        send(&server, method, "/ingester/prepare_shutdown", &[])
            .await
            .expect_text(status, text);
    }
    server.get("/flush", &[]).await.expect_text(204, "");
    let set = server
        .post_form("/log_level", &[("log_level", "warn")])
        .await
        .expect(200);
    assert_eq!(
        set.json(),
        json!({"status": "success", "message": "Log level set to warn"})
    );
    let bad = server
        .post_form("/log_level", &[("log_level", "loud")])
        .await
        .expect(400);
    assert_eq!(
        bad.json(),
        json!({"status": "failed", "message": "unrecognized log level \"loud\""})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_rules() {
    let server = Server::new().await;
    for base in ["/loki/api/v1/rules", "/api/prom/rules"] {
        server.get(base, &[]).await.expect_text(404, "no rule groups found");
        let of = format!("{base}/ns");
        server.get(&of, &[]).await.expect_text(404, "no rule groups found");
        send(&server, Method::DELETE, &of, &[])
            .await
            .expect_text(404, "group namespace does not exist");
        server
            .get(&format!("{of}/g"), &[])
            .await
            .expect_text(404, "group does not exist");
        server.post(&of, &[], "name: g").await.expect(501);
    }
    let rules = server.get("/prometheus/api/v1/rules", &[]).await.expect(200);
    assert_eq!(
        rules.text,
        r#"{"status":"success","data":{"groups":[]},"errorType":"","error":""}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_one_shard_and_listed_by_tenant() {
    let server = Server::new().await;
    push(&server).await;
    let path = "/loki/api/v1/index/shards";
    let query = ("query", r#"{app="shop"}"#);
    server
        .get(path, &[query])
        .await
        .expect_text(400, "targetBytesPerShard must be a positive value");
    let reply = server
        .get(path, &[query, ("targetBytesPerShard", "1MB")])
        .await
        .expect(200)
        .json();
    assert_eq!(reply["shards"].as_array().map(Vec::len), Some(1));
    assert_eq!(reply["shards"][0]["stats"]["entries"], 1);
    assert_eq!(reply["shards"][0]["bounds"], json!({"min": 0, "max": u64::MAX}));

    let labels = server
        .get("/ui/api/v1/tenants/fake/analyze-labels", &[])
        .await
        .expect(200)
        .json();
    assert_eq!(labels["data"], json!([{"app": "shop", "service_name": "shop"}]));
    let none = server
        .get("/ui/api/v1/tenants/other/analyze-labels", &[])
        .await
        .expect(200)
        .json();
    assert_eq!(none["data"], json!([]));

    let number = server
        .get("/loki/api/v1/cache/generation_numbers", &[])
        .await
        .expect(200);
    assert_eq!(number.json(), "");
    server
        .post("/loki/api/v1/cache/generation_numbers/increase", &[], "")
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_what_they_cost() {
    let server = Server::new().await;
    push(&server).await;
    server.post("/flush", &[], "").await.expect(204);
    let start = (NOW_S - 60).to_string();
    let query = [("query", r#"{app="shop"}"#), ("start", start.as_str())];
    let reply = server.get("/loki/api/v1/query_range", &query).await.expect(200);
    let timing = reply.headers["server-timing"].to_str().unwrap().to_string();
    let parts: Vec<&str> = timing.split(", ").collect();
    assert!(parts[0].starts_with("querier_wall_time;dur="), "{timing}");
    let total = parts[1].strip_prefix("response_time;dur=").unwrap();
    assert!(total.parse::<f64>().unwrap() > 0.0, "{timing}");
    let stats = &reply.json()["data"]["stats"];
    assert_eq!(stats["summary"]["totalLinesProcessed"], 1);
    assert_eq!(stats["summary"]["totalEntriesReturned"], 1);
    assert_eq!(stats["storage"]["segments"], 1);
    assert_eq!(stats["storage"]["pagesSkipped"], 0);
    // What is not asked of the query engine tells nothing.
    assert!(
        server
            .get("/loki/api/v1/labels", &[])
            .await
            .headers
            .get("server-timing")
            .is_none()
    );
}
