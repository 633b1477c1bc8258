//! What merging in the background takes from writers and readers: the same half hours of samples are sent while a
//! dashboard query is asked, once with compaction off and once with it on, at its default rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Size;
use crate::fleet::{INTERVAL_MS, SERIES_PER_TARGET};
use crate::metric_queries::Question;
use crate::report::Report;
use crate::server::{Program, Server, data_folder};
use crate::writers::Writers;

/// Scrapes between two flushes: half an hour, the age at which garner flushes samples.
const SCRAPES: usize = (30 * 60 * 1000 / INTERVAL_MS) as usize;
/// Half hours. The first only fills the server.
const HALF_HOURS: usize = 4;
/// Asked again and again while samples come in.
const QUESTION: Question = Question::Range("sum by (cluster) (rate(node_cpu_seconds_total[5m]))");

/// Runs garner without and with compaction.
pub fn run(size: Size, report: &mut Report) -> Result<()> {
    report.table("Ingest and queries while segments are merged");
    for (column, enabled) in [("compaction off", "false"), ("compaction on", "true")] {
        one(column, enabled, size, report).with_context(|| column.to_string())?;
    }
    Ok(())
}

fn one(column: &str, enabled: &str, size: Size, report: &mut Report) -> Result<()> {
    let (folder, _temporary) = data_folder(&format!("upkeep-{enabled}"), &Program::Garner)?;
    let (server, _) = Server::start_with(&Program::Garner, &folder, &[("GARNER_COMPACTION_ENABLED", enabled)])?;
    let size = Size {
        scrapes: SCRAPES,
        ..size
    };
    let mut writers = Writers::new(size);
    writers.send(&server.client(), SCRAPES)?;
    server.client().post("/flush", &[], b"")?;
    let cpu_before = server.cpu_seconds()?;
    let start = Instant::now();
    let mut latencies_ms = while_asking(&server, size, || {
        for _ in 1..HALF_HOURS {
            writers.send(&server.client(), SCRAPES)?;
            server.client().post("/flush", &[], b"")?;
        }
        Ok(())
    })?;
    let wall = start.elapsed().as_secs_f64();
    ensure!(!latencies_ms.is_empty(), "no query was answered");
    latencies_ms.sort_by(f64::total_cmp);
    let at = |share: f64| latencies_ms[((latencies_ms.len() - 1) as f64 * share) as usize];
    let samples = (size.targets * SERIES_PER_TARGET * SCRAPES * (HALF_HOURS - 1)) as f64;
    report.set(column, "samples/s, flushes included", format!("{:.0}", samples / wall));
    report.set(
        column,
        "the question's p50 / p99 ms meanwhile",
        format!("{:.1} / {:.1}", at(0.5), at(0.99)),
    );
    report.set(
        column,
        "CPU seconds of the server meanwhile",
        format!("{:.1}", server.cpu_seconds()? - cpu_before),
    );
    report.set(
        column,
        "merges meanwhile",
        server.metric("garner_storage_compaction_merges_total")?.to_string(),
    );
    server.stop()
}

/// Milliseconds of each answer to [`QUESTION`] while `work` runs.
fn while_asking(server: &Server, size: Size, work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Vec<f64>> {
            let client = server.client();
            let mut latencies_ms = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                QUESTION.ask(&client, size)?;
                latencies_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(latencies_ms)
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let asked = asking.join().expect("the asking thread panicked")?;
        worked.map(|()| asked)
    })
}
