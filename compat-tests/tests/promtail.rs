//! Pushes as Promtail and Alloy send them, byte for byte, and the answers on which they decide to drop, to keep or to send
//! again (promtail `clients/pkg/promtail/client/client.go`, alloy `internal/component/common/loki/client/shards.go`).
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::http::{Answer, Client};
use garner_compat_tests::write::{Stream, push_body};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// 2026-01-10T00:00:00Z.
const BASE_NS: i64 = 1_768_003_200_000_000_000;

/// A `logproto.PushRequest` as gogo-protobuf writes it for Promtail: two streams, no hash, times as
/// `google.protobuf.Timestamp` whose zero nanoseconds are left out, structured metadata of a pipeline stage.
#[rustfmt::skip]
const REQUEST: &[&[u8]] = &[
    b"\x0a\x65",                                                // PushRequest.streams, 101 bytes
    b"\x0a\x23{app=\"x\", filename=\"/var/log/a\\\"b\"}",      //   labels: model.LabelSet.String
    b"\x12\x1b",                                                //   entries, 27 bytes
    b"\x0a\x0b\x08\x80\xad\x86\xcb\x06\x10\x95\x9a\xef\x3a",    //     timestamp: seconds 1768003200, nanos 123456789
    b"\x12\x0cfirst \"line\"",                                  //     line
    b"\x12\x21",                                                //   entries, 33 bytes
    b"\x0a\x06\x08\x81\xad\x86\xcb\x06",                        //     timestamp: seconds 1768003201
    b"\x12\x06second",                                          //     line
    b"\x1a\x0f\x0a\x08trace_id\x12\x03abc",                     //     structuredMetadata
    b"\x0a\x1c",                                                // PushRequest.streams, 28 bytes
    b"\x0a\x09{app=\"y\"}",                                     //   labels
    b"\x12\x0f",                                                //   entries, 15 bytes
    b"\x0a\x06\x08\x80\xad\x86\xcb\x06",                        //     timestamp: seconds 1768003200
    b"\x12\x05third",                                           //     line
];

fn start(folder: &std::path::Path, settings: &[(&str, &str)]) -> Result<Garner> {
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let options = Options {
        env: settings.iter().map(own).collect(),
        ..Options::default()
    };
    Garner::start(&folder.join("data"), &options)
}

/// Sends a batch with Promtail's headers. It names no encoding: the block is snappy all the same.
fn send(client: &Client, request: &[u8]) -> Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(request)?;
    client.post(
        "/loki/api/v1/push",
        &[
            ("Content-Type", "application/x-protobuf"),
            ("User-Agent", "promtail/3.6.8"),
        ],
        &body,
    )
}

/// All there is around the base time: entries by the labels of their stream, metadata among these.
fn stored(client: &Client, query: &str) -> Result<BTreeMap<String, Vec<Value>>> {
    let (start, end) = ((BASE_NS - 1).to_string(), (BASE_NS + 3_600_000_000_000).to_string());
    let params = [
        ("query", query),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("limit", "5000"),
        ("direction", "forward"),
    ];
    let data = client.data("/loki/api/v1/query_range", &params)?;
    let mut out = BTreeMap::new();
    for stream in data["result"].as_array().context("no result")? {
        let labels: BTreeMap<String, String> = serde_json::from_value(stream["stream"].clone())?;
        let values = stream["values"].as_array().context("no values")?.clone();
        ensure!(
            out.insert(serde_json::to_string(&labels)?, values).is_none(),
            "a stream comes twice"
        );
    }
    Ok(out)
}

fn check(answer: &Answer, status: u16, text: &str) -> Result<()> {
    ensure!(
        answer.status == status && answer.text().trim_end() == text,
        "{status} {text:?} expected, not {} {:?}",
        answer.status,
        answer.text()
    );
    Ok(())
}

#[test]
fn a_batch_is_taken_byte_for_byte() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = start(folder.path(), &[])?;
    let client = garner.client();
    for tenant in [None, Some("team-a")] {
        let client = match tenant {
            None => client.clone(),
            Some(tenant) => client.tenant(tenant),
        };
        let answer = send(&client, &REQUEST.concat())?;
        check(&answer, 204, "")?;
        let got = stored(&client, r#"{app=~"x|y"}"#)?;
        let at = |more: i64| (BASE_NS + more).to_string();
        let x = r#"{"app":"x","detected_level":"unknown","filename":"/var/log/a\"b","service_name":"x"}"#;
        let traced =
            r#"{"app":"x","detected_level":"unknown","filename":"/var/log/a\"b","service_name":"x","trace_id":"abc"}"#;
        let y = r#"{"app":"y","detected_level":"unknown","service_name":"y"}"#;
        let expected = BTreeMap::from([
            (x.to_string(), vec![json!([at(123_456_789), "first \"line\""])]),
            (traced.to_string(), vec![json!([at(1_000_000_000), "second"])]),
            (y.to_string(), vec![json!([at(0), "third"])]),
        ]);
        ensure!(got == expected, "{tenant:?}: {got:#?}");
    }
    Ok(())
}

#[test]
fn label_strings_are_read_as_go_writes_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = start(folder.path(), &[])?;
    let client = garner.client();
    // Go's %q: what does not print is escaped, everything else stands for itself.
    let cases = [
        (
            r#"{app="a", filename="/var/log/a\"b"}"#,
            json!({"filename": "/var/log/a\"b"}),
        ),
        (r#"{app="b",filename="/b"}"#, json!({"filename": "/b"})),
        (
            r#"{zone="z", app="c", filename="/c"}"#,
            json!({"filename": "/c", "zone": "z"}),
        ),
        (r#"{ app = "d" , }"#, json!({})),
        (r#"{app="e", path="C:\\temp\\new"}"#, json!({"path": "C:\\temp\\new"})),
        (
            r#"{app="f", control="a\nb\tc\r\x00\x7f\a\b\f\v"}"#,
            json!({"control": "a\nb\tc\r\0\u{7f}\u{7}\u{8}\u{c}\u{b}"}),
        ),
        (
            r#"{app="g", unicode="\u00a0\u2028\ufeff\U000e0001 é世界😀"}"#,
            json!({"unicode": "\u{a0}\u{2028}\u{feff}\u{e0001} é世界😀"}),
        ),
        (r#"{app="h", gone=""}"#, json!({})),
        (r#"{app="i", brace="}{,=~"}"#, json!({"brace": "}{,=~"})),
    ];
    let streams: Vec<Stream<'_>> = cases
        .iter()
        .map(|(labels, _)| Stream {
            labels,
            entries: vec![(BASE_NS, "x".to_string())],
        })
        .collect();
    check(&send(&client, &push_body(&streams))?, 204, "")?;
    for flushed in [false, true] {
        if flushed {
            garner.flush()?;
        }
        for (labels, more) in &cases {
            let app = labels
                .split("app")
                .nth(1)
                .and_then(|rest| rest.split('"').nth(1))
                .context("app")?;
            let mut expected = more.clone();
            expected["app"] = json!(app);
            expected["service_name"] = json!(app);
            let (start, end) = (BASE_NS.to_string(), (BASE_NS + 1).to_string());
            let selector = format!(r#"{{app="{app}"}}"#);
            let params = [("match[]", selector.as_str()), ("start", &start), ("end", &end)];
            let got = client.data("/loki/api/v1/series", &params)?;
            ensure!(got == json!([expected]), "{labels} (flushed: {flushed}): {got}");
        }
    }
    let stream = Stream {
        labels: r#"{app="x""#,
        entries: vec![(BASE_NS, "x".to_string())],
    };
    let text = "couldn't parse labels: 1:9: parse error: unexpected end of input inside braces";
    check(&send(&client, &push_body(&[stream]))?, 400, text)
}

#[test]
fn what_is_refused_for_good_is_400_and_the_rest_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = [
        ("GARNER_LIMITS_MAX_LINE_SIZE", "100"),
        ("GARNER_SERVER_MAX_BODY_SIZE", "64KB"),
        ("GARNER_LIMITS_MAX_DECOMPRESSED_SIZE", "128KB"),
    ];
    let garner = start(folder.path(), &settings)?;
    let client = garner.client();
    let good = |app: &'static str| Stream {
        labels: app,
        entries: vec![(BASE_NS, "good".to_string())],
    };
    let mut long = good(r#"{app="long"}"#);
    long.entries.push((BASE_NS + 1, "z".repeat(101)));
    let answer = send(
        &client,
        &push_body(&[good(r#"{app="first"}"#), long, good(r#"{app="last"}"#)]),
    )?;
    let text = "max entry size '100' bytes exceeded for stream '{app=\"long\", service_name=\"long\"}' while adding an entry \
                with length '101' bytes";
    check(&answer, 400, text)?;
    ensure!(
        answer.header("content-type").starts_with("text/plain"),
        "{:?}",
        answer.headers
    );
    let got = stored(&client, r#"{app=~".+"}"#)?;
    ensure!(
        got.len() == 3 && got.values().all(|values| values.len() == 1),
        "{got:?}"
    );

    // Promtail drops every other 4xx at once, so each must be for good.
    let request = REQUEST.concat();
    let headers = [("Content-Type", "application/x-protobuf")];
    let push = |headers: &[(&str, &str)], body: &[u8]| client.post("/loki/api/v1/push", headers, body);
    ensure!(
        push(&headers, b"\xff\xff\xff\xffgarbage")?.status == 400,
        "no snappy block"
    );
    ensure!(
        send(&client, &request[..request.len() - 3])?.status == 400,
        "a message cut off"
    );
    ensure!(send(&client, b"\x0a\x05hello")?.status == 400, "no stream");
    check(
        &send(&client, b"")?,
        422,
        "error at least one valid stream is required for ingestion",
    )?;
    let encoded = [headers[0], ("Content-Encoding", "zstd")];
    check(&push(&encoded, b"x")?, 400, r#"Content-Encoding "zstd" not supported"#)?;
    let large: Vec<u8> = (0..70_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    ensure!(push(&headers, &large)?.status == 413, "larger than any body may be");
    let bomb = Stream {
        labels: r#"{app="bomb"}"#,
        entries: vec![(BASE_NS, "z".repeat(200_000))],
    };
    let answer = send(&client, &push_body(&[bomb]))?;
    ensure!(
        answer.status == 413 && answer.text().contains("request body too large"),
        "{}",
        answer.text()
    );
    ensure!(
        stored(&client, r#"{app=~".+"}"#)? == got,
        "a refused batch has left something"
    );
    Ok(())
}

#[test]
fn a_tenants_own_limit_is_429_and_sending_again_doubles_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = start(folder.path(), &[("GARNER_LIMITS_MAX_GLOBAL_STREAMS_PER_USER", "2")])?;
    let client = garner.client();
    let batch: Vec<Stream<'_>> = [r#"{app="a"}"#, r#"{app="b"}"#, r#"{app="c"}"#]
        .map(|labels| Stream {
            labels,
            entries: vec![(BASE_NS, "one".to_string()), (BASE_NS + 1, "two".to_string())],
        })
        .into();
    let text = "maximum active stream limit exceeded when trying to create stream {app=\"c\", service_name=\"c\"}, reduce the \
                number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if \
                the limit can be increased, user: 'fake'";
    for _ in 0..3 {
        let answer = send(&client, &push_body(&batch))?;
        check(&answer, 429, text)?;
        ensure!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    }
    ensure!(stored(&client, r#"{app=~".+"}"#)?.len() == 2, "two streams fit");
    // Promtail keeps the batch and sends it again, until the operator has raised the limit.
    drop(garner);
    let garner = start(folder.path(), &[("GARNER_LIMITS_MAX_GLOBAL_STREAMS_PER_USER", "3")])?;
    let client = garner.client();
    check(&send(&client, &push_body(&batch))?, 204, "")?;
    let got = stored(&client, r#"{app=~".+"}"#)?;
    ensure!(
        got.len() == 3 && got.values().all(|values| values.len() == 2),
        "each line once: {got:?}"
    );
    Ok(())
}

/// Lets no file of the server grow beyond so many bytes, as on a full disk.
fn limit_files(garner: &Garner, bytes: &str) -> Result<()> {
    let pid = garner.process.pid().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status()?;
    ensure!(status.success(), "prlimit fails");
    Ok(())
}

#[test]
fn a_full_disk_is_5xx_until_there_is_room_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut options = Options {
        // Without this signal a file over its limit is an error like that of a full disk.
        via: ["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#]
            .map(str::to_string)
            .into(),
        ..Options::default()
    };
    let garner = Garner::start(&data, &options)?;
    let client = garner.client();
    // Lines that no codec makes smaller.
    let mut rng = StdRng::seed_from_u64(4);
    let mut batch = |labels: &'static str| Stream {
        labels,
        entries: (0..300)
            .map(|row| (BASE_NS + row, (0..500).map(|_| rng.random_range('0'..='9')).collect()))
            .collect(),
    };
    let batches = [
        batch(r#"{app="before"}"#),
        batch(r#"{app="during"}"#),
        batch(r#"{app="cut"}"#),
    ];
    let [before, during, cut] = batches.each_ref().map(|stream| push_body(std::slice::from_ref(stream)));
    check(&send(&client, &before)?, 204, "")?;
    let outage = |request: &[u8]| -> Result<()> {
        for _ in 0..3 {
            let answer = send(&client, request)?;
            ensure!(
                (500..600).contains(&answer.status),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        Ok(())
    };
    // Nothing can be written, not even the log.
    limit_files(&garner, "1")?;
    outage(&during)?;
    ensure!(
        stored(&client, r#"{app=~".+"}"#)?.len() == 1,
        "reads go on, without what was refused"
    );
    limit_files(&garner, "unlimited")?;
    check(&send(&client, &during)?, 204, "")?;
    // The first bytes of a batch can be written.
    limit_files(&garner, "65536")?;
    outage(&cut)?;
    limit_files(&garner, "unlimited")?;
    check(&send(&client, &cut)?, 204, "")?;

    let expect_all = |client: &Client, when: &str| -> Result<()> {
        for (stream, app) in batches.iter().zip(["before", "during", "cut"]) {
            let got = stored(client, &format!(r#"{{app="{app}"}}"#))?;
            let lines: Vec<Value> = got.into_values().flatten().collect();
            let expected: Vec<Value> = stream
                .entries
                .iter()
                .map(|(time, line)| json!([time.to_string(), line]))
                .collect();
            ensure!(lines == expected, "{app} {when}: {} lines", lines.len());
        }
        Ok(())
    };
    expect_all(&client, "at once")?;
    drop(garner);
    options.via.clear();
    let garner = Garner::start(&data, &options)?;
    expect_all(&garner.client(), "out of the WAL")?;
    garner.flush()?;
    expect_all(&garner.client(), "out of a segment")
}
