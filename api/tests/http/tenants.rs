//! Whose data an answer holds.

use super::bodies::remote_write;
use super::harness::{NOW_S, Server};

const SERIES: &str = "/api/v1/series";
const MATCH: (&str, &str) = ("match[]", "up");

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_rows_alone() {
    let server = Server::new().await;
    let body = remote_write(&[(&[("__name__", "up"), ("owner", "a")], &[(NOW_S * 1000, 1.0)])]);
    server
        .post("/api/v1/push", &[("X-Scope-OrgID", "a")], body)
        .await
        .expect(204);
    let push = format!(r#"{{"streams":[{{"stream":{{"owner":"a"}},"values":[["{NOW_S}000000000","x"]]}}]}}"#);
    let headers = [("X-Scope-OrgID", "a"), ("Content-Type", "application/json")];
    server.post("/loki/api/v1/push", &headers, push).await.expect(204);
    for (tenant, rows) in [(Some("a"), 1), (Some("b"), 0), (None, 0)] {
        let metrics = server.get_as(tenant, SERIES, &[MATCH]).await.expect(200).json();
        let logs = server
            .get_as(tenant, "/loki/api/v1/series", &[])
            .await
            .expect(200)
            .json();
        for data in [metrics, logs] {
            assert_eq!(data["data"].as_array().map(Vec::len), Some(rows), "{tenant:?}: {data}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_header_the_tenant_is_fake_or_refused() {
    let server = Server::new().await;
    let body = || remote_write(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    server.write(body()).await.expect(204);
    let seen = server.get_as(Some("fake"), SERIES, &[MATCH]).await.expect(200).json();
    assert_eq!(seen["data"].as_array().map(Vec::len), Some(1));

    let strict = Server::with("[tenancy]\nrequired = true\n").await;
    strict.write(body()).await.expect_text(401, "no org id");
    strict
        .push_json(r#"{"streams":[]}"#)
        .await
        .expect_text(401, "no org id");
    for path in [
        SERIES,
        "/api/v1/query",
        "/api/v1/query_range",
        "/api/v1/labels",
        "/loki/api/v1/query",
        "/loki/api/v1/query_range",
        "/loki/api/v1/labels",
        "/loki/api/v1/label/app/values",
        "/loki/api/v1/series",
    ] {
        strict.get(path, &[]).await.expect_text(401, "no org id");
    }
    for path in [
        "/ready",
        "/metrics",
        "/-/healthy",
        "/loki/api/v1/status/buildinfo",
        "/api/v1/status/buildinfo",
    ] {
        strict.get(path, &[]).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_form_no_tenant_are_refused() {
    let server = Server::new().await;
    for (tenant, text) in [
        ("a/b", "tenant ID 'a/b' contains unsupported character '/'"),
        ("..", "tenant ID is '.' or '..'"),
        ("../../etc", "tenant ID '../../etc' contains unsupported character '/'"),
        (&*"x".repeat(151), "tenant ID is too long: max 150 characters"),
    ] {
        server
            .get_as(Some(tenant), "/loki/api/v1/labels", &[])
            .await
            .expect_text(400, text);
    }
    assert_eq!(server.get_as(Some("a|b"), "/api/v1/labels", &[]).await.status, 400);
}
