//! Live tails over a websocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::harness::{NOW_S, Server};

const NOW_NS: i64 = NOW_S * 1_000_000_000;
const APP: &str = "%7Bapp%3D%22a%22%7D";

type Client = WebSocketStream<TcpStream>;

async fn connect(server: &Server, path: &str) -> Result<Client, Error> {
    let address = server.listen().await;
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    request.headers_mut().insert("X-Scope-OrgID", "fake".parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

async fn push(server: &Server, app: &str, lines: &[(i64, &str)]) {
    let values: Vec<Value> = lines
        .iter()
        .map(|(at, line)| json!([(NOW_NS + at).to_string(), line]))
        .collect();
    let body = json!({"streams": [{"stream": {"app": app}, "values": values}]});
    server.push_json(body.to_string()).await.expect(204);
}

/// Lines until `count` have come, and what closed the connection before that.
async fn lines(client: &mut Client, count: usize) -> (Vec<String>, Option<(u16, String)>) {
    let mut got = Vec::new();
    // Pings keep a connection talking that has no lines, so the time is bounded over all messages.
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while got.len() < count {
        let message = tokio::time::timeout_at(end, client.next()).await;
        match message.unwrap().unwrap().unwrap() {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                for stream in frame["streams"].as_array().unwrap() {
                    let values = stream["values"].as_array().unwrap();
                    got.extend(values.iter().map(|value| value[1].as_str().unwrap().to_string()));
                }
            }
            Message::Close(Some(frame)) => return (got, Some((frame.code.into(), frame.reason.to_string()))),
            _ => {}
        }
    }
    (got, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_gives_each_line_once_across_flushes() {
    let server = Server::new().await;
    push(&server, "a", &[(-3, "old 1"), (-2, "old 2"), (-1, "old 3")]).await;
    let mut client = connect(&server, &format!("/loki/api/v1/tail?query={APP}&limit=2"))
        .await
        .unwrap();
    assert_eq!(lines(&mut client, 2).await.0, ["old 2", "old 3"]);
    let mut expected = Vec::new();
    for round in 0..20i64 {
        let line = format!("line {round}");
        // Times run backwards: what is new is not told by its time.
        push(&server, "a", &[(100 - round, &line)]).await;
        push(&server, "b", &[(round, "not asked for")]).await;
        // A client that sends again what was stored already.
        push(&server, "a", &[(100 - round, &line)]).await;
        expected.push(line);
        if round % 5 == 0 {
            server.app.storage.flush().await.unwrap();
        }
    }
    assert_eq!(lines(&mut client, expected.len()).await.0, expected);
    client.send(Message::Close(None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_runs_and_delayed_lines_come_in_order() {
    let server = Server::new().await;
    let query =
        format!("/api/prom/tail?query={APP}%20%7C%20logfmt%20%7C%20line_format%20%22%7B%7B.x%7D%7D%22&delay_for=1");
    let mut client = connect(&server, &query).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    push(&server, "a", &[(9, "x=3")]).await;
    push(&server, "a", &[(5, "x=2"), (1, "x=1")]).await;
    assert_eq!(lines(&mut client, 3).await.0.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_end_with_lokis_texts() {
    let server = Server::with("[limits]\nmax_concurrent_tail_requests = 1\ntail_max_duration = \"2s\"\n").await;
    let path = format!("/loki/api/v1/tail?query={APP}");
    let mut first = connect(&server, &path).await.unwrap();
    push(&server, "a", &[(1, "x")]).await;
    assert_eq!(lines(&mut first, 1).await.0, ["x"]);
    let mut second = connect(&server, &path).await.unwrap();
    let text = "max concurrent tail requests limit exceeded, count > limit (2 > 1)";
    assert_eq!(lines(&mut second, 1).await.1, Some((1011, text.to_string())));
    let text = "reached tail max duration limit";
    assert_eq!(lines(&mut first, 1).await.1, Some((1011, text.to_string())));
    let mut metric = connect(&server, "/loki/api/v1/tail?query=rate(%7Bapp%3D%22a%22%7D%5B1m%5D)")
        .await
        .unwrap();
    let text = "only log selector is supported";
    assert_eq!(lines(&mut metric, 1).await.1, Some((1011, text.to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tails_are_refused_before_the_upgrade() {
    let server = Server::new().await;
    let check = async |tenant: &str, params: &[(&str, &str)], text: &str| {
        server
            .get_as(Some(tenant), "/loki/api/v1/tail", params)
            .await
            .expect_text(400, text);
    };
    let query = ("query", r#"{app="a"}"#);
    check("a|b", &[query], "multiple org IDs present").await;
    check("a", &[query, ("delay_for", "10")], "delay_for can't be greater than 5").await;
    check(
        "a",
        &[query, ("delay_for", "x")],
        r#"strconv.Atoi: parsing "x": invalid syntax"#,
    )
    .await;
    check(
        "a",
        &[("query", "{")],
        "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }",
    )
    .await;
}
