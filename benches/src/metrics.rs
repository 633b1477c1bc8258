//! Metrics: ingest by remote write, bytes at rest, memory, and PromQL latency after a restart, warm and under load.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Series, accepted, remote_write};

use crate::Size;
use crate::at_rest;
use crate::fleet::{BASE_MS, INTERVAL_MS, SERIES_PER_TARGET};
use crate::load::under_load;
use crate::metric_queries::{JOIN, QUESTIONS, Question, write_uids};
use crate::report::Report;
use crate::server::{Program, Server, compact, data_folder, latency, metric_peers};
use crate::writers::Writers;

/// Requests of the small-query row.
const SMALL_QUERIES: usize = 10_000;

/// Runs garner and every peer at hand.
pub fn run(size: Size, report: &mut Report) -> Result<()> {
    report.table("Metrics");
    for program in std::iter::once(Program::Garner).chain(metric_peers()) {
        let done = one(&program, size, report).with_context(|| format!("metrics on {}", program.name()));
        report.settle(&program, done)?;
    }
    Ok(())
}

/// Sends the whole fleet; the samples sent.
fn ingest(client: &Client, size: Size) -> Result<usize> {
    Writers::new(size).send(client, size.scrapes)
}

/// Ingest alone, for work on it.
pub fn run_ingest(size: Size, report: &mut Report) -> Result<()> {
    report.table("Ingest of metrics");
    for program in std::iter::once(Program::Garner).chain(metric_peers()) {
        let (folder, _temporary) = data_folder("ingest", &program)?;
        let (server, _) = Server::start(&program, &folder)?;
        let done = fill(&server, size, report).and_then(|_| server.stop());
        report.settle(&program, done)?;
    }
    Ok(())
}

/// Sends the fleet to an empty server and reports what that took; the samples sent.
fn fill(server: &Server, size: Size, report: &mut Report) -> Result<f64> {
    let name = server.program.name();
    let (cpu_before, start) = (server.cpu_seconds()?, Instant::now());
    let samples = ingest(&server.client(), size)? as f64;
    ensure!(
        samples as usize == size.targets * size.scrapes * SERIES_PER_TARGET,
        "not all samples were sent"
    );
    let wall = start.elapsed().as_secs_f64();
    if matches!(server.program, Program::Garner) {
        server.client().post("/flush", &[], b"")?;
    }
    let quiet = server.wait_quiet()?;
    let cpu = server.cpu_seconds()? - cpu_before;
    report.set(
        name,
        "samples/s (wall, generator on the same cores)",
        format!("{:.0}", samples / wall),
    );
    report.set(
        name,
        "samples per CPU second",
        format!("{:.0}{}", samples / cpu, if quiet { "" } else { " (not yet quiet)" }),
    );
    report.set(name, "peak RSS, MB", format!("{:.0}", server.status_mb("VmHWM")?));
    report.set(
        name,
        "RSS after ingest, MB",
        format!("{:.0}", server.status_mb("VmRSS")?),
    );
    Ok(samples)
}

fn one(program: &Program, size: Size, report: &mut Report) -> Result<()> {
    let name = program.name();
    let (folder, _temporary) = data_folder("metrics", program)?;
    let (server, _) = Server::start(program, &folder)?;
    let samples = fill(&server, size, report)?;
    compact(&server, report)?;
    server.stop()?;
    at_rest::report(program, &folder, samples, "sample", report)?;

    let (server, ready) = Server::start(program, &folder)?;
    report.set(name, "ready after restart, s", format!("{:.2}", ready.as_secs_f64()));
    write_uids(&server.client(), size)?;
    for question in QUESTIONS {
        let client = server.client();
        let (cold, warm) = latency(size.repeats, || question.ask(&client, size))?;
        report.set(
            name,
            &format!("{}, first after restart / warm ms", question.title()),
            format!("{cold:.1} / {warm:.1}"),
        );
    }
    small_queries(&server, size, report)?;
    for question in [
        Question::Instant("kube_node_info"),
        Question::Range("kube_node_info"),
        Question::Range(JOIN),
    ] {
        let title = match question {
            Question::Range(JOIN) => "the dashboard join".to_string(),
            other => other.title(),
        };
        under_load(&server, report, &title, size.load_for, |client, _| {
            question.ask(client, size)
        })?;
    }
    report.set(
        name,
        "peak RSS after all queries, MB",
        format!("{:.0}", server.status_mb("VmHWM")?),
    );
    server.stop()
}

/// The same number of samples over 24 hours: fewer targets, more scrapes; bytes at rest only.
pub fn run_day(size: Size, report: &mut Report) -> Result<()> {
    report.table("Metrics over 24 hours");
    let scrapes = (24 * 3_600_000 / INTERVAL_MS) as usize;
    let size = Size {
        targets: (size.targets * size.scrapes / scrapes).max(1),
        scrapes,
        ..size
    };
    for program in std::iter::once(Program::Garner).chain(metric_peers()) {
        let done = one_day(&program, size, report).with_context(|| format!("a day of metrics on {}", program.name()));
        report.settle(&program, done)?;
    }
    Ok(())
}

fn one_day(program: &Program, size: Size, report: &mut Report) -> Result<()> {
    let (folder, _temporary) = data_folder("day", program)?;
    let (server, _) = Server::start(program, &folder)?;
    let samples = ingest(&server.client(), size)? as f64;
    if matches!(program, Program::Garner) {
        server.client().post("/flush", &[], b"")?;
    }
    server.wait_quiet()?;
    compact(&server, report)?;
    server.stop()?;
    at_rest::report(program, &folder, samples, "sample", report)
}

/// Instant queries over at most 10 series on one kept connection: CPU of the server per request.
fn small_queries(server: &Server, size: Size, report: &mut Report) -> Result<()> {
    let client = server.client();
    let end = BASE_MS + size.scrapes as i64 * INTERVAL_MS + 3_600_000;
    let series: Vec<Series> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|host| Series {
            labels: vec![("__name__", "small_rows"), ("host", host)],
            samples: vec![(end, 1.0)],
        })
        .collect();
    accepted(remote_write(&client, &series)?)?;
    let time = (end / 1000 + 1).to_string();
    let before = server.cpu_seconds()?;
    let start = Instant::now();
    for _ in 0..SMALL_QUERIES {
        let answer = client.get("/api/v1/query", &[("query", "small_rows"), ("time", &time)])?;
        ensure!(answer.status == 200, "{}", answer.text());
    }
    let wall = start.elapsed().as_secs_f64() * 1e6 / SMALL_QUERIES as f64;
    let cpu = (server.cpu_seconds()? - before) * 1e6 / SMALL_QUERIES as f64;
    report.set(
        server.program.name(),
        "instant query over 5 series in the head, CPU µs per request",
        format!("{cpu:.0}"),
    );
    report.set(
        server.program.name(),
        "the same, wall µs per request",
        format!("{wall:.0}"),
    );
    Ok(())
}
