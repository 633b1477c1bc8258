//! Deleting samples by Prometheus' admin API, and what filters of deletes mean to the store.

use garner_query::logql::deletes::DeleteQuery;
use garner_storage::engine::DeleteRequest;
use garner_storage::model::{Signal, TenantId, TimeRange};

use super::bodies::remote_write;
use super::harness::{NOW_S, Server};

const AT: i64 = NOW_S * 1000;
const DELETE: &str = "/api/v1/admin/tsdb/delete_series";

async fn with_samples(settings: &str) -> Server {
    let server = Server::with(settings).await;
    let points: Vec<(i64, f64)> = (0..10).map(|i| (AT - i * 1000, i as f64)).collect();
    let body = remote_write(&[
        (&[("__name__", "up"), ("job", "a")], &points),
        (&[("__name__", "up"), ("job", "b")], &points),
        (&[("__name__", "down"), ("job", "b")], &points),
    ]);
    server.write(body).await.expect(204);
    server
}

/// How many samples each query's result has.
async fn counts(server: &Server, queries: [&str; 3]) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, query) in counts.iter_mut().zip(queries) {
        let time = NOW_S.to_string();
        let params = [("query", query), ("time", time.as_str())];
        let answer = server.get("/api/v1/query", &params).await.expect(200).json();
        let results = answer["data"]["result"].as_array().unwrap();
        *count = results.iter().map(|r| r["values"].as_array().unwrap().len()).sum();
    }
    counts
}

const ALL: [&str; 3] = ["up{job=\"a\"}[1h]", "up{job=\"b\"}[1h]", "down[1h]"];

#[tokio::test(flavor = "multi_thread")]
async fn deleted_samples_are_gone_at_once_and_new_ones_stay() {
    let server = with_samples("").await;
    let (start, end) = ((NOW_S - 4).to_string(), (NOW_S - 2).to_string());
    let params = [("match[]", "up{job=\"a\"}"), ("start", &start), ("end", &end)];
    server.post_form(DELETE, &params).await.expect_text(204, "");
    // Both ends are deleted.
    assert_eq!(counts(&server, ALL).await, [7, 10, 10]);
    let body = remote_write(&[(&[("__name__", "up"), ("job", "a")], &[(AT - 3000, 1.0)])]);
    server.write(body).await.expect(204);
    assert_eq!(counts(&server, ALL).await, [8, 10, 10]);

    // Several selectors, by query string and PUT, without times, under Prometheus' prefix.
    let uri = format!("/prometheus{DELETE}?match[]=up%7Bjob%3D%22b%22%7D&match[]=down");
    let request = http::Request::put(uri).body(axum::body::Body::empty()).unwrap();
    server.send(request).await.expect_text(204, "");
    assert_eq!(counts(&server, ALL).await, [8, 0, 0]);
    let series = server.get("/api/v1/series", &[("match[]", "{job=~\".+\"}")]).await;
    assert_eq!(series.json()["data"].as_array().unwrap().len(), 1, "{}", series.text);
    let values = server.get("/api/v1/label/job/values", &[]).await.json();
    assert_eq!(values["data"], serde_json::json!(["a"]));
    server
        .post_form("/api/v1/admin/tsdb/clean_tombstones", &[])
        .await
        .expect_text(204, "");
    let page = server.get("/metrics", &[]).await.text;
    assert!(page.contains("garner_storage_deletes 3\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cleaning_tombstones_removes_deleted_samples_from_the_store() {
    let server = with_samples("[compaction]\nenabled = false").await;
    let storage = &server.app.storage;
    server.post_form(DELETE, &[("match[]", "up")]).await.expect(204);
    let tenant = TenantId::new("fake").unwrap();
    let covered = || storage.deletes(&tenant, Signal::Metrics)[0].covered;
    assert!(covered() > 0);
    assert_eq!(storage.stats().segment_rows, 30);
    for _ in 0..2 {
        let reply = server.post_form("/api/v1/admin/tsdb/clean_tombstones", &[]).await;
        reply.expect_text(204, "");
    }
    // The catalog says so a moment before the view of readers does.
    while covered() > 0 || storage.stats().segment_rows == 30 {
        tokio::task::yield_now().await;
    }
    assert_eq!(storage.stats().segment_rows, 10, "those of `down` are left");
    assert_eq!(counts(&server, ALL).await, [0, 0, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_reaches_no_other_tenant() {
    let server = with_samples("").await;
    let form = "match[]=up";
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Scope-OrgID", "other"),
    ];
    server.post(DELETE, &headers, form).await.expect(204);
    assert_eq!(counts(&server, ALL).await, [10, 10, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_deletes_are_refused_in_prometheus_words() {
    let server = with_samples("[deletes]\nmax_pending = 1").await;
    let check = async |params: &[(&str, &str)], status: u16, kind: &str, text: &str| {
        let reply = server.post_form(DELETE, params).await.expect(status);
        let json = reply.json();
        assert_eq!((&json["errorType"], &json["error"]), (&kind.into(), &text.into()));
    };
    check(&[], 400, "bad_data", "no match[] parameter provided").await;
    let text = "invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces";
    check(&[("match[]", "up"), ("match[]", "up{")], 400, "bad_data", text).await;
    let text = "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp";
    check(&[("match[]", "up"), ("start", "x")], 400, "bad_data", text).await;
    // Backwards is nothing to Prometheus.
    let backwards = [("match[]", "up"), ("start", "5"), ("end", "4")];
    server.post_form(DELETE, &backwards).await.expect(204);
    assert_eq!(counts(&server, ALL).await, [10, 10, 10]);
    let two = [("match[]", "up"), ("match[]", "down")];
    let reply = server.post_form(DELETE, &two).await.expect(422);
    assert!(reply.text.contains("deletes.max_pending is 1"), "{}", reply.text);
    assert_eq!(counts(&server, ALL).await, [10, 10, 10]);
    server.get(DELETE, &[("match[]", "up")]).await.expect(405);

    let server = with_samples("[deletes]\nenabled = false").await;
    let reply = server.post_form(DELETE, &[("match[]", "up")]).await.expect(503);
    assert_eq!(reply.json()["error"], "admin APIs disabled");
    let features = server.get("/api/v1/features", &[]).await.json();
    assert_eq!(features["data"]["api"]["admin"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_filters_of_deletes_are_logql() {
    let server = Server::new().await;
    let time = NOW_S.to_string() + "000000000";
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{time}","keep me"],["{time}","a secret"],["{time}","tagged",{{"trace":"7"}}]]}}]}}"#
    );
    server.push_json(body).await.expect(204);
    let lines = async || {
        let params = [("query", "{app=\"a\"}"), ("start", "1735689000"), ("end", "1735690000")];
        let answer = server.get("/loki/api/v1/query_range", &params).await.expect(200).json();
        let streams = answer["data"]["result"].as_array().unwrap().clone();
        let values = streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone());
        let mut lines: Vec<String> = values.map(|v| v[1].as_str().unwrap().to_string()).collect();
        lines.sort();
        lines
    };
    for (query, left) in [
        (r#"{app="a"} |= "secret""#, vec!["keep me", "tagged"]),
        (r#"{app="a"} | trace="7""#, vec!["keep me"]),
        (r#"{app="a"}"#, vec![]),
    ] {
        let parsed = DeleteQuery::parse(query).unwrap();
        let request = DeleteRequest {
            signal: Signal::Logs,
            matchers: parsed.matchers,
            filter: parsed.filter,
            range: TimeRange::ALL,
            query: query.into(),
            cancel_period: server.app.settings.deletes.cancel_period,
        };
        let tenant = TenantId::new("fake").unwrap();
        server.app.storage.create_deletes(&tenant, vec![request]).await.unwrap();
        assert_eq!(lines().await, left, "{query}");
        let stats = server
            .get(
                "/loki/api/v1/index/stats",
                &[("query", "{app=\"a\"}"), ("start", "1735689000"), ("end", "1735690000")],
            )
            .await
            .json();
        assert_eq!(stats["entries"], left.len(), "{query}: {stats}");
    }
}
