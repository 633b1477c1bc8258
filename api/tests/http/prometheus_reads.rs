//! What other servers read from garner: federation and remote read.

use super::bodies::{field, label, read_request, remote_write};
use super::harness::{NOW_S, Reply, Server};

const AT: i64 = NOW_S * 1000;

async fn with_data() -> Server {
    let server = Server::new().await;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = remote_write(&[
        (&[("__name__", "up"), ("job", "b")], &[(AT, 0.0)]),
        (
            &[("__name__", "up"), ("instance", "1"), ("job", "a\"\\")],
            &[(AT - 15_000, 0.0), (AT, 1.0)],
        ),
        (&[("__name__", "ended")], &[(AT - 15_000, 1.0), (AT, stale)]),
        (&[("__name__", "old")], &[(AT - 400_000, 1.0)]),
        (&[("__name__", "odd values"), ("été", "x")], &[(AT, 1e6)]),
    ]);
    server.write(body).await.expect(204);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn federation_shows_the_newest_sample_of_each_series() {
    let server = with_data().await;
    let all = [("match[]", "{__name__=~\".+\"}"), ("match[]", "up")];
    for prefix in ["", "/prometheus"] {
        let reply = server.get(&format!("{prefix}/federate"), &all).await.expect(200);
        assert_eq!(
            reply.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        let expected = format!(
            "# TYPE odd_values untyped\n\
             odd_values{{_t_=\"x\",instance=\"\"}} 1e+06 {AT}\n\
             # TYPE up untyped\n\
             up{{instance=\"1\",job=\"a\\\"\\\\\"}} 1 {AT}\n\
             up{{job=\"b\",instance=\"\"}} 0 {AT}\n"
        );
        assert_eq!(reply.text, expected);
    }
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4";
    let request = http::Request::get("/federate?match[]=%7B%22odd%20values%22%7D")
        .header("Accept", accept)
        .body(axum::body::Body::empty())
        .unwrap();
    let reply = server.send(request).await.expect(200);
    assert_eq!(
        reply.headers["content-type"],
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    );
    assert_eq!(
        reply.text,
        format!("# TYPE \"odd values\" untyped\n{{\"odd values\",\"été\"=\"x\",instance=\"\"}} 1e+06 {AT}\n")
    );
    assert_eq!(server.get("/federate", &[]).await.expect(200).text, "");
    server
        .get("/federate", &[("match[]", "up{")])
        .await
        .expect_text(400, "1:4: parse error: unexpected end of input inside braces");
}

async fn read(server: &Server, body: Vec<u8>) -> Reply {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Read-Version", "0.1.0"),
    ];
    server.post("/api/v1/read", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_read_gives_raw_samples() {
    let server = with_data().await;
    let sample = |time: i64, value: f64| {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        let mut time = time as u64;
        while time >= 0x80 {
            sample.push(time as u8 | 0x80);
            time >>= 7;
        }
        sample.push(time as u8);
        field(2, &sample)
    };
    let check = async |times, matchers: &[(u8, &str, &str)], series: &[Vec<u8>]| {
        let reply = read(&server, read_request(times, matchers, &[])).await.expect(200);
        assert_eq!(reply.headers["content-type"], "application/x-protobuf");
        assert_eq!(reply.headers["content-encoding"], "snappy");
        let message = snap::raw::Decoder::new().decompress_vec(&reply.bytes).unwrap();
        let series: Vec<u8> = series.iter().flat_map(|s| field(1, s)).collect();
        assert_eq!(message, field(1, &series), "{matchers:?}");
    };
    let up_a = |samples: &[(i64, f64)]| {
        let mut series = [label("__name__", "up"), label("instance", "1"), label("job", "a\"\\")].concat();
        samples.iter().for_each(|(t, v)| series.extend(sample(*t, *v)));
        series
    };
    let job_a: [(u8, &str, &str); 2] = [(0, "__name__", "up"), (2, "job", "a.*")];
    check((0, AT), &job_a, &[up_a(&[(AT - 15_000, 0.0), (AT, 1.0)])]).await;
    // Both ends belong to the range.
    check((AT, AT), &job_a, &[up_a(&[(AT, 1.0)])]).await;
    check((AT - 15_000, AT - 1), &job_a, &[up_a(&[(AT - 15_000, 0.0)])]).await;
    check((AT + 1, AT + 2), &job_a, &[]).await;
    check((0, AT), &[(0, "__name__", "nosuch")], &[]).await;
    read(&server, b"nonsense".to_vec()).await.expect(400);
    read(&server, read_request((0, AT), &[(2, "job", "(")], &[]))
        .await
        .expect(400);
    read(&server, read_request((0, AT), &job_a, &[7])).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_read_streams_chunks_in_the_order_of_prometheus() {
    let server = Server::new().await;
    let samples: Vec<(i64, f64)> = (0..121).map(|i| (AT - 200_000 + i * 1000, 1.0)).collect();
    let body = remote_write(&[
        (&[("__name__", "m"), ("le", "10"), ("zone", "a")], &[(AT, 1.0)]),
        (&[("__name__", "m"), ("le", "2"), ("zone", "b")], &[(AT, 1.0)]),
        (&[("A", "1"), ("__name__", "n")], &samples),
    ]);
    server.write(body).await.expect(204);
    let request = read_request((0, AT), &[(3, "__name__", "")], &[1, 0]);
    let reply = read(&server, request).await.expect(200);
    assert_eq!(
        reply.headers["content-type"],
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    let (mut frames, mut rest) = (Vec::new(), reply.bytes.as_slice());
    while let Some((first, after)) = rest.split_first() {
        let (len, after) = match first {
            0..0x80 => (usize::from(*first), after),
            _ => (usize::from(first & 0x7f) | usize::from(after[0]) << 7, &after[1..]),
        };
        let (frame, after) = after[4..].split_at(len);
        frames.push(frame.to_vec());
        rest = after;
    }
    assert_eq!(frames.len(), 3);
    // `A` sorts before `__name__`, and `le` as text.
    for (frame, start) in frames.iter().zip([
        [label("A", "1"), label("__name__", "n")].concat(),
        [label("__name__", "m"), label("le", "10"), label("zone", "a")].concat(),
        [label("__name__", "m"), label("le", "2"), label("zone", "b")].concat(),
    ]) {
        assert!(frame.windows(start.len()).any(|w| w == start), "{frame:?}");
    }
    // One full chunk and one of the sample that is left, both of encoding XOR.
    let encodings = frames[0].windows(3).filter(|w| w == &[3 << 3, 1, 4 << 3 | 2]).count();
    assert_eq!(encodings, 2);
}
