//! Logs: ingest by Loki's push, bytes at rest, memory, and LogQL latency warm and after a restart.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Stream, push_body};

use crate::Size;
use crate::lines::{BASE_NS, Lines, NEEDLE, SPAN_NS, STREAMS, labels};
use crate::report::Report;
use crate::server::{Program, Server, check_answer, data_folder, disk_bytes, latency, log_peers};

const CONNECTIONS: usize = 4;
/// Raw bytes of lines in one push, about what Promtail sends.
const PUSH_BYTES: usize = 1 << 20;

/// LogQL for Loki and garner, and the nearest LogsQL for VictoriaLogs.
const QUERIES: &[(&str, &str, &str)] = &[
    ("select, limit 1000", r#"{app="api"}"#, r#"{app="api"} | limit 1000"#),
    (
        "needle",
        r#"{app=~".+"} |= "req-7f3a9c51d2e84b60""#,
        r#""req-7f3a9c51d2e84b60" | limit 1000"#,
    ),
    (
        "count by app",
        r#"sum by (app) (count_over_time({app=~".+"}[5m]))"#,
        r#"* | stats by (_time:5m, app) count()"#,
    ),
    (
        "logfmt 5xx rate by app",
        r#"sum by (app) (rate({app=~"api|gateway|orders"} | logfmt | status >= 500 [5m]))"#,
        r#"{app=~"api|gateway|orders"} | unpack_logfmt | filter status:>=500 | stats by (_time:5m, app) count()"#,
    ),
    (
        "topk of errors",
        r#"topk(5, sum by (app) (count_over_time({app=~".+"} |= "error" [5m])))"#,
        r#"error | stats by (_time:5m, app) count() n | sort by (n desc) | limit 5"#,
    ),
];

/// Runs garner and every peer at hand.
pub fn run(size: Size, report: &mut Report) -> Result<()> {
    report.table("Logs");
    for program in std::iter::once(Program::Garner).chain(log_peers()) {
        let done = one(&program, size, report).with_context(|| format!("logs on {}", program.name()));
        report.settle(&program, done)?;
    }
    Ok(())
}

/// Pushes the data set from `CONNECTIONS` threads; lines and raw bytes sent.
fn ingest(program: &Program, client: &Client, size: Size) -> Result<(usize, usize)> {
    let (lines_sent, bytes_sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let pushes = size.log_bytes / PUSH_BYTES;
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|thread| {
                let (lines_sent, bytes_sent) = (&lines_sent, &bytes_sent);
                scope.spawn(move || -> Result<()> {
                    for number in (thread..pushes).step_by(CONNECTIONS) {
                        let (body, lines, bytes) = one_push(number, pushes)?;
                        let headers = [("Content-Type", "application/x-protobuf")];
                        let answer = client.post(program.push_path(), &headers, &body)?;
                        ensure!(
                            answer.status < 300,
                            "push answered {}: {}",
                            answer.status,
                            answer.text()
                        );
                        lines_sent.fetch_add(lines, Ordering::Relaxed);
                        bytes_sent.fetch_add(bytes, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a writer panicked")?;
        }
        Ok(())
    })?;
    Ok((lines_sent.into_inner(), bytes_sent.into_inner()))
}

/// Push number `number` of `pushes`: its own slice of time, some streams each.
fn one_push(number: usize, pushes: usize) -> Result<(Vec<u8>, usize, usize)> {
    const STREAMS_PER_PUSH: usize = 12;
    let mut generator = Lines::new(number as u64);
    let slice = SPAN_NS / pushes as i64;
    let (mut lines, mut bytes) = (0, 0);
    let names: Vec<String> = (0..STREAMS_PER_PUSH)
        .map(|i| labels((number * STREAMS_PER_PUSH + i) % STREAMS))
        .collect();
    let mut streams = Vec::with_capacity(STREAMS_PER_PUSH);
    for (i, name) in names.iter().enumerate() {
        let stream = (number * STREAMS_PER_PUSH + i) % STREAMS;
        let mut entries = Vec::new();
        let mut held = 0;
        while held < PUSH_BYTES / STREAMS_PER_PUSH {
            let mut line = generator.next(stream);
            if number == pushes / 2 && i == 0 && entries.is_empty() {
                line.push(' ');
                line.push_str(NEEDLE);
            }
            held += line.len();
            entries.push((0, line));
        }
        let count = entries.len() as i64;
        for (k, entry) in entries.iter_mut().enumerate() {
            entry.0 = BASE_NS + number as i64 * slice + slice * k as i64 / count;
        }
        lines += entries.len();
        bytes += held;
        streams.push(Stream { labels: name, entries });
    }
    let body = snap::raw::Encoder::new().compress_vec(&push_body(&streams))?;
    Ok((body, lines, bytes))
}

fn ask(program: &Program, client: &Client, logql: &str, logsql: &str) -> Result<()> {
    let (start, end) = (BASE_NS.to_string(), (BASE_NS + SPAN_NS).to_string());
    if matches!(program, Program::VictoriaLogs(_)) {
        let (start, end) = (
            (BASE_NS / 1_000_000_000).to_string(),
            ((BASE_NS + SPAN_NS) / 1_000_000_000).to_string(),
        );
        let answer = client.get(
            "/select/logsql/query",
            &[("query", logsql), ("start", start.as_str()), ("end", end.as_str())],
        )?;
        ensure!(
            answer.status == 200 && !answer.body.is_empty(),
            "{logsql}: {} {}",
            answer.status,
            answer.text()
        );
        return Ok(());
    }
    let params = [
        ("query", logql),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("limit", "1000"),
        ("step", "60"),
    ];
    check_answer(logql, &client.get("/loki/api/v1/query_range", &params)?)
}

fn one(program: &Program, size: Size, report: &mut Report) -> Result<()> {
    let name = program.name();
    let (folder, _temporary) = data_folder("logs", program)?;
    let (server, _) = Server::start(program, &folder)?;
    let (cpu_before, start) = (server.cpu_seconds()?, Instant::now());
    let (lines, bytes) = ingest(program, &server.client(), size)?;
    let wall = start.elapsed().as_secs_f64();
    if matches!(program, Program::Garner | Program::Loki(_)) {
        server.client().post("/flush", &[], b"")?;
    }
    let quiet = server.wait_quiet()?;
    let cpu = server.cpu_seconds()? - cpu_before;
    let mb = bytes as f64 / 1e6;
    report.set(name, "lines", lines.to_string());
    report.set(
        name,
        "raw MB/s (wall, generator on the same cores)",
        format!("{:.1}", mb / wall),
    );
    report.set(
        name,
        "raw MB per CPU second",
        format!("{:.1}{}", mb / cpu, if quiet { "" } else { " (not yet quiet)" }),
    );
    report.set(name, "peak RSS, MB", format!("{:.0}", server.status_mb("VmHWM")?));
    for (title, logql, logsql) in QUERIES {
        let (_, warm) = latency(size.repeats, || ask(program, &server.client(), logql, logsql))?;
        report.set(name, &format!("{title}, warm ms"), format!("{warm:.1}"));
    }
    server.stop()?;
    let stored = disk_bytes(&folder.join("data"))? as f64;
    report.set(
        name,
        "bytes at rest per raw byte, everything in the data folder",
        format!("{:.4}", stored / bytes as f64),
    );

    let (server, ready) = Server::start(program, &folder)?;
    report.set(name, "ready after restart, s", format!("{:.2}", ready.as_secs_f64()));
    for (title, logql, logsql) in QUERIES {
        let (first, _) = latency(1, || ask(program, &server.client(), logql, logsql))?;
        report.set(name, &format!("{title}, first after restart ms"), format!("{first:.1}"));
    }
    server.stop()
}
