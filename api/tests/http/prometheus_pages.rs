//! What Prometheus' UI and its operators ask beside the API: version, switches, state of the start, scraping that is not there.

use axum::body::Body;
use http::Request;
use serde_json::json;

use super::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn version_and_switches_answer_as_upstream() {
    let server = Server::new().await;
    let version = server.get("/version", &[]).await.expect(200);
    let expected = json!({
        "version": "3.14.0",
        "revision": concat!("garner-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    assert_eq!(version.json(), expected);
    let mut wrapped = server.get("/api/v1/status/buildinfo", &[]).await.expect(200).json()["data"].clone();
    wrapped.as_object_mut().unwrap().remove("application");
    assert_eq!(wrapped, expected);
    for path in ["/-/quit", "/-/reload"] {
        server
            .get(path, &[])
            .await
            .expect_text(405, "Only POST or PUT requests allowed");
        for method in ["POST", "PUT"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            server
                .send(request)
                .await
                .expect_text(403, "Lifecycle API is not enabled.");
        }
    }
    server.post("/flush/tenant", &[], "").await.expect(204);
    let strict = Server::with("[tenancy]\nrequired = true\n").await;
    strict
        .post("/flush/tenant", &[], "")
        .await
        .expect_text(401, "no org id");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_the_start_are_told_truly() {
    let server = Server::with("[deletes]\nenabled = false\n[query]\nmax_concurrent = 7\n").await;
    let flags = server.get("/api/v1/status/flags", &[]).await.expect(200).json()["data"].clone();
    assert_eq!(flags["web.enable-admin-api"], "false");
    assert_eq!(flags["web.enable-otlp-receiver"], "true");
    assert_eq!(flags["query.max-concurrency"], "7");
    let replay = server.get("/api/v1/status/walreplay", &[]).await.expect(200).json()["data"].clone();
    assert_eq!(replay["min"], 0);
    assert_eq!(replay["current"], replay["max"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scrape_pool_has_a_name() {
    let server = Server::new().await;
    let check = async |path: &str, params: &[(&str, &str)], error: &str| {
        let reply = server.get(path, params).await.expect(400).json();
        assert_eq!(
            (&reply["errorType"], &reply["error"]),
            (&json!("bad_data"), &json!(error))
        );
    };
    let unknown = r#"error retrieving scrape config: scrape pool "a" not found"#;
    let config = "/api/v1/scrape_pools/config";
    check(config, &[], "no scrapePool parameter provided").await;
    check(config, &[("scrapePool", "a")], unknown).await;
    let steps = "/api/v1/targets/relabel_steps";
    check(steps, &[], "no scrapePool parameter provided").await;
    check(steps, &[("scrapePool", "a")], "no labels parameter provided").await;
    check(steps, &[("scrapePool", "a"), ("labels", r#"{"b":"c"}"#)], unknown).await;
    let broken = server
        .get(steps, &[("scrapePool", "a"), ("labels", "{")])
        .await
        .expect(400)
        .json();
    assert!(
        broken["error"]
            .as_str()
            .is_some_and(|e| e.starts_with("error parsing labels: "))
    );
}
