//! Input that no client should send: each is answered with its own status, nothing of it is stored, and the server goes on.

use axum::body::Body;
use http::Request;

use super::bodies::{gzip, promtail_push, remote_write, write_request};
use super::harness::{NOW_S, Server};

const PUSH: &str = "/loki/api/v1/push";
const WRITE: &str = "/api/v1/write";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

/// Asserts that neither dialect has any series of the default tenant.
async fn assert_empty(server: &Server) {
    let logs = server.get("/loki/api/v1/series", &[("start", "0")]).await.expect(200);
    assert_eq!(logs.json()["data"], serde_json::json!([]));
    let metrics = server.get("/api/v1/labels", &[]).await.expect(200);
    assert_eq!(metrics.json()["data"], serde_json::json!([]));
}

fn one_line(time_ns: &str) -> String {
    format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{time_ns}","x"]]}}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_truncated_bodies_are_400() {
    let server = Server::new().await;
    let whole = remote_write(&[(&[("__name__", "up"), ("job", "j")], &[(NOW_S * 1000, 1.0)])]);
    for body in [
        &b""[..],
        b"garbage garbage",
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 1],
    ] {
        server.write(body.to_vec()).await.expect(400);
    }
    let request = write_request(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    for cut in 1..request.len() {
        let body = snap::raw::Encoder::new().compress_vec(&request[..cut]).unwrap();
        server.write(body).await.expect(400);
    }
    let push = promtail_push(r#"{app="a"}"#, &[(NOW_S * 1_000_000_000, "x", &[])]);
    for body in [&b""[..], b"garbage garbage", &push[..push.len() / 2]] {
        server
            .post(PUSH, &[PROTOBUF], body.to_vec())
            .await
            .expect_text(400, "snappy: corrupt input");
    }
    let json = one_line(&format!("{NOW_S}000000000"));
    for cut in 0..json.len() - 1 {
        server.push_json(json[..cut].to_string()).await.expect(400);
    }
    server.push_json("").await.expect_text(400, "EOF");
    server.push_json(vec![0xff, 0xfe, b'{']).await.expect(400);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_types_and_encodings_are_checked() {
    let server = Server::new().await;
    let body = || remote_write(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    server.post(WRITE, &[JSON], body()).await.expect(415);
    server
        .post(WRITE, &[PROTOBUF, ("Content-Encoding", "zstd")], body())
        .await
        .expect(415);
    let version_2 = (
        "Content-Type",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
    );
    server.post(WRITE, &[version_2], body()).await.expect(415);
    let brotli = [JSON, ("Content-Encoding", "br")];
    server
        .post(PUSH, &brotli, r#"{"streams":[]}"#)
        .await
        .expect_text(400, "Content-Encoding \"br\" not supported");
    server
        .post(PUSH, &[], r#"{"streams":[]}"#)
        .await
        .expect_text(400, "mime: no media type");
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_and_oversized_bodies_are_413() {
    let settings = "[server]\nmax_body_size = \"64KB\"\n[limits]\nmax_decompressed_size = \"1MB\"\n\
                    [limits.metrics]\nmax_recv_msg_size = \"1MB\"\n";
    let server = Server::with(settings).await;
    let zeros = vec![b' '; 32 << 20];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 64 << 10, "the bomb itself passes the door");
    server
        .post(PUSH, &[JSON, ("Content-Encoding", "gzip")], bomb)
        .await
        .expect(413);
    let block = snap::raw::Encoder::new().compress_vec(&zeros[..1 << 20 | 1]).unwrap();
    assert!(block.len() < 64 << 10);
    server.write(block.clone()).await.expect(413);
    server.post(PUSH, &[PROTOBUF], block).await.expect(413);
    // A block that promises four gigabytes and holds nothing.
    server.write(b"\xff\xff\xff\xff\x0f\x00".to_vec()).await.expect(400);

    let large = vec![b'x'; 65 << 10];
    server.push_json(large.clone()).await.expect(413);
    server.write(large.clone()).await.expect(413);
    // Without a length in the header the limit holds as well.
    let chunks = futures::stream::iter(
        large
            .chunks(1000)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect::<Vec<_>>(),
    );
    server.push_json(Body::from_stream(chunks)).await.expect(413);
    server
        .post_form("/api/v1/query", &[("query", &"x".repeat(65 << 10))])
        .await
        .expect(413);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_in_an_error_stores_nothing() {
    let server = Server::new().await;
    let parts = [Ok(one_line("1").into_bytes()), Err(std::io::Error::other("gone"))];
    server
        .push_json(Body::from_stream(futures::stream::iter(parts)))
        .await
        .expect(400);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_none_refuse_the_whole_push() {
    let server = Server::new().await;
    let now = format!("{NOW_S}000000000");
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"good"}},"values":[["{now}","x"]]}},{{"stream":{{"my.app":"x"}},"values":[["{now}","x"]]}}]}}"#
    );
    let text = "couldn't parse labels: 1:4: parse error: unexpected character inside braces: '.'";
    server.push_json(body).await.expect_text(400, text);
    let unclosed = promtail_push("{app=\"x\"", &[(NOW_S * 1_000_000_000, "x", &[])]);
    server.post(PUSH, &[PROTOBUF], unclosed).await.expect(400);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_without_a_name_or_with_a_label_twice_are_refused_beside_good_ones() {
    let server = Server::new().await;
    let at = &[(NOW_S * 1000, 1.0)][..];
    let body = remote_write(&[
        (&[("__name__", "good")], at),
        (&[("job", "nameless")], at),
        (&[("__name__", "twice"), ("a", "1"), ("a", "2")], at),
    ]);
    let reply = server.write(body).await.expect(400);
    assert!(!reply.text.trim().is_empty());
    let names = server
        .get("/api/v1/label/__name__/values", &[])
        .await
        .expect(200)
        .json();
    assert_eq!(
        names["data"],
        serde_json::json!(["good"]),
        "the valid series is kept: {}",
        reply.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_streams_and_requests_have_their_statuses() {
    let server = Server::new().await;
    let nothing = "error at least one valid stream is required for ingestion";
    server.push_json("{}").await.expect_text(422, nothing);
    server.push_json(r#"{"streams":[]}"#).await.expect(422);
    server
        .push_json(r#"{"streams":[{"stream":{"app":"a"},"values":[]}]}"#)
        .await
        .expect(204);
    server.write(remote_write(&[])).await.expect(204);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_future_is_refused_and_named_and_neighbours_are_kept() {
    let server = Server::new().await;
    let ahead = NOW_S + 3600;
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{ahead}000000000","late"],["{NOW_S}000000000","fine"]]}}]}}"#
    );
    let reply = server.push_json(body).await.expect(400);
    assert!(reply.text.contains("timestamp too new"), "{}", reply.text);
    let labels = &[("__name__", "up")][..];
    let reply = server
        .write(remote_write(&[(labels, &[(ahead * 1000, 1.0), (NOW_S * 1000, 2.0)])]))
        .await
        .expect(400);
    assert!(reply.text.contains("future"), "{}", reply.text);
    let logs = server.get("/loki/api/v1/series", &[]).await.expect(200).json();
    assert_eq!(logs["data"].as_array().map(Vec::len), Some(1));
    let metrics = server
        .get("/api/v1/series", &[("match[]", "up")])
        .await
        .expect(200)
        .json();
    assert_eq!(metrics["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_answered_as_in_go() {
    let server = Server::new().await;
    for path in ["/nosuch", "/loki/api/v1/nosuch", "/loki/api/v1/query/"] {
        server.get(path, &[]).await.expect_text(404, "404 page not found");
    }
    assert_eq!(server.get(PUSH, &[]).await.status, 405);
    let moved = server
        .get("/loki/api/v1/label//values", &[("a", "b")])
        .await
        .expect(301);
    assert_eq!(moved.headers["location"], "/loki/api/v1/label/values?a=b");
    let odd = Request::get("/api/v1/query?query=%zz&time=%ff%fe")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(odd).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_503_and_recovers() {
    let server = Server::new().await;
    let body = || remote_write(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    server.fixture.disk.set_capacity(Some(0));
    let reply = server.write(body()).await.expect(503);
    assert!(reply.headers.contains_key("retry-after"));
    server.fixture.disk.set_capacity(None);
    server.write(body()).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_takes_no_writes() {
    let server = Server::new().await;
    server.app.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    let body = remote_write(&[(&[("__name__", "up")], &[(NOW_S * 1000, 1.0)])]);
    server.write(body).await.expect(503);
    server.push_json(one_line("1")).await.expect(503);
    server.get("/ready", &[]).await.expect(503);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_408() {
    let server = Server::with("[server]\nread_timeout = \"50ms\"\n").await;
    let start = futures::stream::iter([Ok::<_, std::io::Error>(b"{".to_vec())]);
    let body = Body::from_stream(futures::StreamExt::chain(start, futures::stream::pending()));
    server.push_json(body).await.expect(408);
    assert_empty(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_ends_when_its_client_leaves_and_a_panic_is_an_answer() {
    use garner_api::error::{Failure, FailureKind};
    use garner_api::server::run_query;

    let server = Server::new().await;
    let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let (started, running) = tokio::sync::oneshot::channel();
    let work = async move {
        let _held = held;
        let _ = started.send(());
        std::future::pending::<Result<(), Failure>>().await
    };
    let mut query = Box::pin(run_query(&server.app, work));
    tokio::select! {
        _ = &mut query => panic!("the work never ends by itself"),
        _ = running => {}
    }
    drop(query);
    // Closed once the work, the only holder of the sender, is dropped.
    assert_eq!(dropped.recv().await, None);

    let defect = std::hint::black_box(None::<Result<(), Failure>>);
    let broken = run_query(&server.app, async move { defect.expect("a defect") });
    assert_eq!(
        broken.await.map_err(|failure| failure.kind()),
        Err(FailureKind::Internal)
    );
}
