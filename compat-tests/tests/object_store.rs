//! The bucket is the truth: a server with an empty folder answers the same from a real S3 server, and servers that
//! commit at the same time lose nothing of each other.
#![allow(missing_docs)]

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use garner_compat_tests::garner::{self, Garner, Options};
use garner_compat_tests::http::Client;
use garner_compat_tests::peers::{self, S3_ACCESS_KEY, S3_SECRET_KEY};
use garner_compat_tests::write::{Series, Stream, accepted, push, remote_write};
use serde_json::Value;

/// 2026-01-10T00:00:00Z.
const BASE_S: i64 = 1_768_003_200;

fn s3_options(port: u16, prefix: &str) -> Options {
    Options {
        args: vec!["--object-store".into(), format!("s3://garner/{prefix}")],
        env: [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}").as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", S3_ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", S3_SECRET_KEY),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec(),
        ..Options::default()
    }
}

/// Writes 100 samples of 20 series and 100 lines of 10 streams under names that carry `mark`.
fn write_some(client: &Client, mark: &str) -> Result<()> {
    for batch in 0..10 {
        let hosts: Vec<String> = (0..20).map(|h| format!("host-{h}")).collect();
        let series: Vec<Series> = hosts
            .iter()
            .enumerate()
            .map(|(h, host)| Series {
                labels: vec![("__name__", "requests_total"), ("host", host), ("mark", mark)],
                samples: (0..10)
                    .map(|i| {
                        (
                            (BASE_S + batch * 150 + i * 15) * 1000,
                            (batch * 10 + i) as f64 * (h + 1) as f64,
                        )
                    })
                    .collect(),
            })
            .collect();
        accepted(remote_write(client, &series)?)?;
        let labels: Vec<String> = (0..10)
            .map(|s| format!(r#"{{app="app-{s}", mark="{mark}"}}"#))
            .collect();
        let streams: Vec<Stream> = labels
            .iter()
            .map(|labels| Stream {
                labels,
                entries: (0..10)
                    .map(|i| {
                        let time = (BASE_S + batch * 150 + i * 15) * 1_000_000_000;
                        (
                            time,
                            format!("level=info msg=\"request {}\" duration={}ms", batch * 10 + i, i),
                        )
                    })
                    .collect(),
            })
            .collect();
        accepted(push(client, &streams)?)?;
    }
    Ok(())
}

/// Answers of both languages that together touch every row.
fn answers(client: &Client) -> Result<Vec<Value>> {
    let end = (BASE_S + 1600).to_string();
    let start = BASE_S.to_string();
    let mut out = Vec::new();
    for query in [
        "sum by (mark) (requests_total)",
        "rate(requests_total[5m])",
        "count_over_time(requests_total[30m])",
    ] {
        out.push(client.data(
            "/api/v1/query_range",
            &[("query", query), ("start", &start), ("end", &end), ("step", "60")],
        )?);
    }
    for query in [
        r#"{app=~".+"} |= "request 9""#,
        r#"sum by (mark, app) (count_over_time({app=~".+"}[5m]))"#,
    ] {
        let data = client.data(
            "/loki/api/v1/query_range",
            &[
                ("query", query),
                ("start", &start),
                ("end", &end),
                ("step", "60"),
                ("limit", "5000"),
            ],
        )?;
        let mut result = data["result"].as_array().cloned().unwrap_or_default();
        result.sort_by_key(|series| series.to_string());
        out.push(Value::Array(result));
    }
    out.push(client.data("/api/v1/label/host/values", &[("start", &start), ("end", &end)])?);
    Ok(out)
}

fn assert_full(answers: &[Value]) {
    for answer in answers {
        let rows = answer["result"].as_array().or(answer.as_array()).map_or(0, Vec::len);
        assert!(rows > 0, "an answer is empty: {answer}");
    }
}

fn remove(folder: &Path) -> Result<()> {
    Ok(std::fs::remove_dir_all(folder)?)
}

#[test]
fn an_empty_folder_answers_the_same_from_the_bucket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let s3 = peers::s3_server(folder.path())?;
    let options = s3_options(s3.port, "prefix/one");
    let data = folder.path().join("data");
    let mut garner = Garner::start(&data, &options)?;
    write_some(&garner.client(), "a")?;
    let from_head = answers(&garner.client())?;
    assert_full(&from_head);
    garner.flush()?;
    assert_eq!(from_head, answers(&garner.client())?, "after the flush");
    assert_eq!(garner.process.terminate(Duration::from_secs(30))?, Some(0));
    remove(&data)?;

    let garner = Garner::start(&data, &options)?;
    assert_eq!(
        from_head,
        answers(&garner.client())?,
        "from the bucket, with an empty folder"
    );
    Ok(())
}

/// Runs a command of the binary on the bucket; its exit status and what it printed.
fn tool(args: &[&str], data: &Path, options: &Options) -> Result<(Option<i32>, String)> {
    let output = garner::command()?
        .args(args)
        .args(["--data-dir".as_ref(), data.as_os_str()])
        .args(&options.args)
        .envs(options.env.iter().cloned())
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn a_real_bucket_is_checked_and_a_lost_catalog_rebuilt() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let s3 = peers::s3_server(folder.path())?;
    let (options, data) = (s3_options(s3.port, "kept"), folder.path().join("data"));
    let (status, text) = tool(&["storage", "check"], &data, &options)?;
    assert_eq!(status, Some(0), "{text}");
    for step in [
        "ok     write in parts, read back",
        "ok     create only",
        "single_writer = false",
    ] {
        assert!(text.contains(step), "no {step:?} in\n{text}");
    }

    let mut garner = Garner::start(&data, &options)?;
    write_some(&garner.client(), "a")?;
    garner.flush()?;
    write_some(&garner.client(), "b")?;
    garner.flush()?;
    let before = answers(&garner.client())?;
    assert_full(&before);
    let (status, text) = tool(&["fsck"], &data, &options)?;
    assert_eq!(status, Some(3), "a server holds the folder: {text}");
    assert_eq!(garner.process.terminate(Duration::from_secs(30))?, Some(0));
    let (status, text) = tool(&["fsck"], &data, &options)?;
    assert_eq!(status, Some(0), "{text}");
    // Both batches have 20 series of 100 samples and 10 streams of 100 lines.
    assert!(text.contains(" 6000 rows, ") && text.contains("no faults"), "{text}");

    s3.lose_folder("kept/v1/catalog")?;
    let (status, text) = tool(&["fsck"], &data, &options)?;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("run garner fsck --rebuild"), "{text}");
    let (status, text) = tool(&["fsck", "--rebuild"], &data, &options)?;
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.contains("rebuilt the catalog") && text.contains(" 6000 rows, "),
        "{text}"
    );
    let garner = Garner::start(&data, &options)?;
    assert_eq!(before, answers(&garner.client())?, "from a rebuilt catalog");
    Ok(())
}

#[test]
fn servers_that_commit_at_the_same_time_lose_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let s3 = peers::s3_server(folder.path())?;
    let options = s3_options(s3.port, "shared");
    let rounds = 8;
    std::thread::scope(|scope| -> Result<()> {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (data, options) = (folder.path().join(format!("data-{writer}")), options.clone());
                scope.spawn(move || -> Result<()> {
                    let garner = Garner::start(&data, &options)?;
                    for round in 0..rounds {
                        write_some(&garner.client(), &format!("w{writer}-r{round}"))?;
                        garner.flush()?;
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer thread panicked")?;
        }
        Ok(())
    })?;

    let garner = Garner::start(&folder.path().join("reader"), &options)?;
    let client = garner.client();
    let at = (BASE_S + 1500).to_string();
    let query = "count by (mark) (count_over_time(requests_total[30m]) == 100)";
    let data = client.data("/api/v1/query", &[("query", query), ("time", &at)])?;
    let complete = data["result"].as_array().map_or(0, Vec::len);
    assert_eq!(complete, 3 * rounds, "{data}");
    Ok(())
}
