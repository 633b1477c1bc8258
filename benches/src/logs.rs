//! Logs: ingest by Loki's push, bytes at rest, memory, and LogQL latency after a restart, warm and under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Stream, push_body};

use crate::Size;
use crate::at_rest;
use crate::lines::{BASE_NS, Lines, NEEDLE, SPAN_NS, STREAMS, labels};
use crate::load::under_load;
use crate::log_queries::{Processed, QUESTIONS, label_values};
use crate::report::Report;
use crate::server::{Program, Server, compact, data_folder, latency, log_peers};

const CONNECTIONS: usize = 4;
/// Raw bytes of lines in one push, about what Promtail sends.
const PUSH_BYTES: usize = 1 << 20;

/// How long many clients ask at the most: each answer over all the lines takes a peer seconds.
const LONGEST_LOAD: Duration = Duration::from_secs(30);

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
    compact(&server, report)?;
    server.stop()?;
    at_rest::report(program, &folder, bytes as f64, "raw byte", report)?;

    let (server, ready) = Server::start(program, &folder)?;
    report.set(name, "ready after restart, s", format!("{:.2}", ready.as_secs_f64()));
    let client = server.client();
    for question in QUESTIONS {
        let mut processed = None;
        let cpu_before = server.cpu_seconds()?;
        let (cold, warm) = latency(size.repeats, || {
            processed = question.ask(program, &client)?;
            Ok(())
        })?;
        let cpu = (server.cpu_seconds()? - cpu_before) / (size.repeats + 1) as f64;
        report.set(
            name,
            &format!("{}, first after restart / warm ms", question.title),
            format!("{cold:.1} / {warm:.1}"),
        );
        report.set(
            name,
            &format!("{}: server CPU ms a request", question.title),
            format!("{:.1}", cpu * 1000.0),
        );
        if let Some(Processed {
            lines,
            bytes,
            stored_bytes,
        }) = processed
        {
            report.set(
                name,
                &format!(
                    "{}: lines / MB processed / MB read from the store, MB processed a second and core",
                    question.title
                ),
                format!(
                    "{lines:.0} / {:.1} / {:.1}, {:.0}",
                    bytes / 1e6,
                    stored_bytes / 1e6,
                    bytes / 1e6 / cpu.max(1e-3)
                ),
            );
        }
    }
    let (cold, warm) = latency(size.repeats, || label_values(program, &client))?;
    report.set(
        name,
        "label values, first after restart / warm ms",
        format!("{cold:.1} / {warm:.1}"),
    );
    under_load(
        &server,
        report,
        "all questions in turn",
        size.load_for.min(LONGEST_LOAD),
        |client, number| QUESTIONS[number % QUESTIONS.len()].ask(program, client).map(drop),
    )?;
    report.set(
        name,
        "peak RSS after all queries, MB",
        format!("{:.0}", server.status_mb("VmHWM")?),
    );
    server.stop()
}
