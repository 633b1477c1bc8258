//! Loki's `/loki/api/v1/delete`.

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;

use super::harness::{NOW_S, Reply, Server};

const PATH: &str = "/loki/api/v1/delete";

async fn send(server: &Server, method: Method, params: &[(&str, &str)]) -> Reply {
    let query: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    let request = Request::builder().method(method).uri(format!("{PATH}?{query}"));
    server.send(request.body(Body::empty()).unwrap()).await
}

async fn with_lines(settings: &str) -> Server {
    let server = Server::with(settings).await;
    let values: Vec<String> = (1..=10)
        .map(|i| {
            format!(
                r#"["{}","line {i} of {}"]"#,
                (NOW_S - i) * 1_000_000_000,
                if i % 2 == 0 { "ann" } else { "bob" }
            )
        })
        .collect();
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"shop"}},"values":[{0}]}},{{"stream":{{"app":"other"}},"values":[{0}]}}]}}"#,
        values.join(",")
    );
    server.push_json(body).await.expect(204);
    server
}

async fn count(server: &Server, app: &str) -> usize {
    let query = format!(r#"{{app="{app}"}}"#);
    let params = [("query", query.as_str())];
    let reply = server.get("/loki/api/v1/query_range", &params).await.expect(200).json();
    let streams = reply["data"]["result"].as_array().cloned().unwrap_or_default();
    streams
        .iter()
        .filter_map(|s| s["values"].as_array().map(Vec::len))
        .sum()
}

async fn list(server: &Server) -> Vec<Value> {
    let reply = server.get(PATH, &[]).await.expect(200);
    assert_eq!(reply.headers["content-type"], "application/json");
    reply.json().as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_gone_at_once_and_back_when_it_is_cancelled() {
    let server = with_lines("").await;
    let (start, end) = ((NOW_S - 4).to_string(), (NOW_S - 2).to_string());
    let whole = [
        ("query", r#"{app="shop"}"#),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    let made = send(&server, Method::POST, &whole).await.expect(204);
    let id = made.headers["x-delete-request-id"].to_str().unwrap().to_string();
    // Both ends are deleted.
    assert_eq!((count(&server, "shop").await, count(&server, "other").await), (7, 10));

    let filtered = [
        ("query", r#"{app=~"shop|other"} |= "ann""#),
        ("start", "2024-12-31T23:00:00Z"),
    ];
    server.fixture.clock.advance(std::time::Duration::from_millis(1_500));
    send(&server, Method::PUT, &filtered).await.expect(204);
    assert_eq!((count(&server, "shop").await, count(&server, "other").await), (4, 5));

    let all = list(&server).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["request_id"], id.as_str());
    assert_eq!(all[0]["start_time"], (NOW_S - 4) as f64);
    assert_eq!(all[0]["end_time"], (NOW_S - 2) as f64);
    assert_eq!(all[0]["query"], r#"{app="shop"}"#);
    assert_eq!(all[0]["status"], "received");
    assert_eq!(all[0]["user_id"], "");
    assert_eq!(all[1]["query"], filtered[0].1);
    assert_eq!(all[1]["created_at"], NOW_S as f64 + 1.5);
    let early = [("start", "1000000000"), ("end", "1000000001")];
    assert_eq!(server.get(PATH, &early).await.json(), serde_json::json!([]));
    let other = server.get_as(Some("other"), PATH, &[]).await.expect(200);
    assert_eq!(other.json(), serde_json::json!([]));

    send(&server, Method::DELETE, &[("request_id", &id)])
        .await
        .expect_text(204, "");
    assert_eq!((count(&server, "shop").await, count(&server, "other").await), (5, 5));
    send(&server, Method::DELETE, &[("request_id", &id)])
        .await
        .expect_text(404, "could not find delete request with given id");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_period_a_delete_is_cancelled_by_force_alone() {
    let server = with_lines("[deletes]\ncancel_period = \"1h\"\n").await;
    let whole = [("query", r#"{app="shop"}"#), ("start", "2024-12-31T23:00:00Z")];
    let made = send(&server, Method::POST, &whole).await.expect(204);
    let id = made.headers["x-delete-request-id"].to_str().unwrap().to_string();
    assert_eq!(count(&server, "shop").await, 0);
    server.fixture.clock.advance(std::time::Duration::from_secs(3_601));
    send(&server, Method::DELETE, &[("request_id", &id)]).await.expect_text(
        400,
        "Cancellation of partially completed delete request or delete request past the deadline of 1h0m0s since its creation \
         is not allowed. To force, use the ?force query parameter",
    );
    send(&server, Method::DELETE, &[("request_id", &id), ("force", "true")])
        .await
        .expect_text(204, "");
    assert_eq!(list(&server).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_deletes_are_refused_in_lokis_words() {
    let server = with_lines("").await;
    let (hour, now) = ((NOW_S - 3_600).to_string(), (NOW_S + 60).to_string());
    let (query, start) = (("query", r#"{app="shop"}"#), ("start", hour.as_str()));
    let lines = ("query", r#"{app="shop"} |= "x""#);
    for (params, text) in [
        (vec![start], "query not set"),
        (vec![("query", "{"), start], "invalid query expression"),
        (
            vec![("query", r#"rate({app="shop"}[1m])"#), start],
            "invalid query expression",
        ),
        (vec![query], "start time not set"),
        (
            vec![query, ("start", "5")],
            "invalid start time: require unix seconds or RFC3339 format",
        ),
        (
            vec![query, start, ("end", "x")],
            "invalid end time: require unix seconds or RFC3339 format",
        ),
        (
            vec![query, start, ("end", &now)],
            "deletes in the future are not allowed",
        ),
        (
            vec![query, start, ("end", &hour)],
            "start time can't be greater than or equal to end time",
        ),
        (
            vec![lines, start, ("max_interval", "1x")],
            "invalid max_interval: valid time units are 's', 'm', 'h'",
        ),
        (
            vec![lines, start, ("max_interval", "10ms")],
            "invalid max_interval: valid time units are 's', 'm', 'h'",
        ),
        (
            vec![lines, start, ("max_interval", "25h")],
            "max_interval can't be greater than 24h0m0s",
        ),
        (
            vec![lines, start, ("max_interval", "2h")],
            "max_interval can't be greater than the interval to be deleted (1h0m0s)",
        ),
    ] {
        send(&server, Method::POST, &params).await.expect_text(400, text);
    }
    // Without a filter the interval is not looked at.
    send(&server, Method::POST, &[query, start, ("max_interval", "1x")])
        .await
        .expect(204);
    send(&server, Method::DELETE, &[("request_id", "nosuch")])
        .await
        .expect_text(404, "could not find delete request with given id");
    let off = with_lines("[deletes]\nenabled = false\n").await;
    for method in [Method::POST, Method::GET, Method::DELETE] {
        send(&off, method, &[query, start])
            .await
            .expect_text(403, "deletion is not available for this tenant");
    }
}
