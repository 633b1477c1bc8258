//! Queries wait for their turn: what clients are told when there is no place, when their time is over, and that who leaves
//! gives its place up.

use std::time::Duration;

use garner_api::error::Failure;
use garner_storage::model::TenantId;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::bodies::remote_write;
use super::harness::{NOW_S, Reply, Server};

const SELECTOR: (&str, &str) = ("query", r#"{app="x"}"#);
const OUT_OF_TIME: &str = "Request timed out, decrease the duration of the request or add more label matchers (prefer \
                           exact match over regex match) to reduce the amount of data processed.";

/// Comes back when so many queries run and wait.
async fn until(server: &Server, running: usize, waiting: usize) {
    loop {
        let counts = server.app.engine.gate_counts();
        if (counts.running, counts.waiting) == (running, waiting) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Has the only turn there is until it is aborted.
async fn hold(server: &Server) -> JoinHandle<()> {
    let engine = server.app.engine.clone();
    let holder = tokio::spawn(async move {
        let tenant = TenantId::new("holder").unwrap();
        let forever = engine.in_turn::<(), Failure, _>(&tenant, None, |_| std::future::pending());
        let _ = forever.await;
    });
    until(server, 1, 0).await;
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_in_each_dialect() {
    let server = Server::with("[query]\nmax_concurrent = 1\nmax_queued = 0\n").await;
    let holder = hold(&server).await;
    let count = ("query", r#"count_over_time({app="x"}[1m])"#);
    let busy = |path: &str, reply: Reply| {
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (429, "too many outstanding requests\n"),
            "{path}"
        );
        assert!(reply.headers.contains_key("retry-after"), "{path}");
    };
    for (path, query) in [
        ("/loki/api/v1/query", count),
        ("/loki/api/v1/query_range", count),
        ("/loki/api/v1/query_range", SELECTOR),
        ("/api/prom/query", SELECTOR),
        ("/loki/api/v1/detected_fields", SELECTOR),
        ("/loki/api/v1/detected_field/a/values", SELECTOR),
        ("/loki/api/v1/detected_labels", SELECTOR),
        ("/loki/api/v1/index/stats", SELECTOR),
        ("/loki/api/v1/index/volume", SELECTOR),
        ("/loki/api/v1/index/volume_range", SELECTOR),
        ("/loki/api/v1/patterns", SELECTOR),
        ("/loki/api/v1/series", ("match[]", r#"{app="x"}"#)),
        ("/federate", ("match[]", "up")),
        ("/api/v1/cardinality/label_names", ("limit", "1")),
    ] {
        busy(path, server.get(path, &[query]).await);
    }
    // An empty request names no series; a query in it reads some.
    let read = snap::raw::Encoder::new().compress_vec(&[0x0a, 0]).unwrap();
    busy("read", server.post("/api/v1/read", &[], read).await);
    let several = server
        .get_as(Some("a|b"), "/loki/api/v1/query_range", &[SELECTOR])
        .await;
    busy("several tenants", several);
    for (path, params) in [
        ("/api/v1/query", vec![("query", "up")]),
        (
            "/api/v1/query_range",
            vec![("query", "up"), ("start", "0"), ("end", "1"), ("step", "1")],
        ),
        ("/api/v1/series", vec![("match[]", "up")]),
        ("/api/v1/query_exemplars", vec![("query", "up")]),
        ("/api/v1/status/tsdb", vec![]),
    ] {
        let reply = server.get(path, &params).await.expect(503);
        let expected = json!({"status": "error", "errorType": "unavailable", "error": "too many outstanding requests"});
        assert_eq!(reply.json(), expected, "{path}");
        assert!(reply.headers.contains_key("retry-after"), "{path}");
    }
    let rejected = server.app.engine.gate_counts().queue_full;
    assert_eq!(rejected, 14 + 2 + 5);
    // What costs next to nothing goes on.
    for (path, params) in [
        (
            "/loki/api/v1/query",
            vec![("query", "vector(1)+vector(1)"), ("time", "4000000000")],
        ),
        ("/loki/api/v1/labels", vec![]),
        ("/loki/api/v1/label/app/values", vec![]),
        ("/api/v1/query", vec![("query", "1+1")]),
        ("/api/v1/labels", vec![]),
        ("/api/v1/label/job/values", vec![]),
        ("/api/v1/metadata", vec![]),
    ] {
        server.get(path, &params).await.expect(200);
    }
    let page = server.get("/metrics", &[]).await.text;
    for line in [
        "garner_query_running 1".to_string(),
        "garner_query_waiting 0".to_string(),
        format!("garner_query_rejected_total{{reason=\"queue_full\"}} {rejected}"),
        "garner_query_wait_seconds_count 1".to_string(),
    ] {
        assert!(page.lines().any(|l| l == line), "{line} in {page}");
    }
    holder.abort();
    until(&server, 0, 0).await;
    server.get("/api/v1/query", &[("query", "up")]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn time_that_ends_in_the_queue_is_told_in_each_dialect() {
    let server = Server::with("[query]\nmax_concurrent = 1\n[limits]\nquery_timeout = \"20ms\"\n").await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let engine = server.app.engine.clone();
    // Keeps its turn past its time: while it does not come back to be polled, nothing can end it.
    let holder = tokio::spawn(async move {
        let tenant = TenantId::new("holder").unwrap();
        let held = engine.in_turn::<(), Failure, _>(&tenant, None, |_| async move {
            tokio::task::block_in_place(|| _ = released.recv());
            Ok(())
        });
        let _ = held.await;
    });
    until(&server, 1, 0).await;
    let reply = server.get("/api/v1/query", &[("query", "up")]).await.expect(503);
    let expected = json!({"status": "error", "errorType": "timeout", "error": "query timed out in query queue"});
    assert_eq!(reply.json(), expected);
    for (path, query) in [
        ("/loki/api/v1/query_range", SELECTOR),
        ("/loki/api/v1/query", ("query", r#"rate({app="x"}[1m])"#)),
        ("/loki/api/v1/index/volume", SELECTOR),
        ("/loki/api/v1/series", SELECTOR),
        ("/federate", ("match[]", "up")),
    ] {
        server.get(path, &[query]).await.expect_text(504, OUT_OF_TIME);
    }
    assert_eq!(server.app.engine.gate_counts().timed_out, 6);
    release.send(()).unwrap();
    holder.await.unwrap();
    server.get("/api/v1/query", &[("query", "up")]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_gives_its_place_up() {
    let server = Server::with("[query]\nmax_concurrent = 1\n").await;
    let holder = hold(&server).await;
    let address = server.listen().await;
    for path in [
        "/api/v1/query?query=up",
        "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D",
    ] {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        until(&server, 1, 1).await;
        drop(client);
        until(&server, 1, 0).await;
    }
    assert_eq!(server.app.engine.gate_counts().left, 2);
    holder.abort();
    until(&server, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_how_long_they_waited() {
    let server = Server::with("[query]\nmax_concurrent = 1\n").await;
    let body = remote_write(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    server.write(body).await.expect(204);
    let waited = async |path: &str, params: &[(&str, &str)]| {
        let holder = hold(&server).await;
        let (reply, ()) = tokio::join!(server.get(path, params), async {
            until(&server, 1, 1).await;
            server.fixture.clock.advance(Duration::from_secs(2));
            holder.abort();
        });
        reply.expect(200).json()["data"]["stats"].clone()
    };
    let now = (NOW_S + 60).to_string();
    let stats = waited("/api/v1/query", &[("query", "up"), ("time", &now), ("stats", "all")]).await;
    assert_eq!(stats["timings"]["execQueueTime"], json!(2));
    assert_eq!(stats["timings"]["execTotalTime"], json!(2));
    assert_eq!(stats["timings"]["evalTotalTime"], json!(0));
    for (path, params) in [
        ("/loki/api/v1/query_range", [SELECTOR]),
        ("/loki/api/v1/index/volume", [SELECTOR]),
    ] {
        let stats = waited(path, &params).await;
        assert_eq!(stats["summary"]["queueTime"], json!(2), "{path}: {stats}");
        assert_eq!(stats["summary"]["execTime"], json!(0), "{path}");
    }
    let page = server.get("/metrics", &[]).await.text;
    assert!(
        page.contains("garner_query_wait_seconds_bucket{le=\"5\"} 6\n"),
        "{page}"
    );
    assert!(
        page.contains("garner_query_wait_seconds_bucket{le=\"1\"} 3\n"),
        "{page}"
    );
    assert!(page.contains("garner_query_wait_seconds_sum 6\n"), "{page}");
}
