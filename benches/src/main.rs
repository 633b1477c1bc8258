//! `garner-bench [--small | --full] [--only metrics | ingest | memory | day | upkeep | logs] [--out FILE]`: garner and its peers on the same seeded data, one after the other, in
//! one run; prints a table and writes it to FILE.
//!
//! Peers run where they are found: VictoriaMetrics by `BENCH_VICTORIAMETRICS` or as Debian's `victoria-metrics`,
//! VictoriaLogs by `BENCH_VICTORIALOGS`, Loki by `BENCH_LOKI` (paths of binaries). A server's CPU is read
//! from the operating system from the first write until its background work is quiet. `BENCH_KEEP=FOLDER` leaves the
//! servers' data in FOLDER.

mod at_rest;
mod fleet;
mod lines;
mod load;
mod log_queries;
mod logs;
mod memory;
mod metric_queries;
mod metrics;
mod report;
mod server;
mod upkeep;
mod writers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

/// How much data a run uses.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Scrape targets; each has [`fleet::SERIES_PER_TARGET`] series.
    pub targets: usize,
    /// Scrapes of each target, 15 s apart.
    pub scrapes: usize,
    /// Raw bytes of log lines.
    pub log_bytes: usize,
    /// Runs of each query after the first.
    pub repeats: usize,
    /// How long each row of many clients runs.
    pub load_for: Duration,
}

const SMALL: Size = Size {
    targets: 20,
    scrapes: 240,
    log_bytes: 48 << 20,
    repeats: 9,
    load_for: Duration::from_secs(5),
};
/// About 100k series over two hours, and 1 GB of lines.
const FULL: Size = Size {
    targets: 366,
    scrapes: 480,
    log_bytes: 1 << 30,
    repeats: 5,
    load_for: Duration::from_secs(60),
};

/// Parts of a run that can be asked for alone; all but `ingest`, which `metrics` holds, make a whole run.
const PARTS: [&str; 6] = ["metrics", "ingest", "memory", "day", "upkeep", "logs"];

fn part(argument: Option<String>) -> Result<String> {
    match argument {
        Some(part) if PARTS.contains(&part.as_str()) => Ok(part),
        other => bail!("--only wants one of {}, not {other:?}", PARTS.join(", ")),
    }
}

fn main() -> Result<()> {
    let mut size = SMALL;
    let mut out: Option<PathBuf> = None;
    let mut only: Option<String> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--small" => size = SMALL,
            "--full" => size = FULL,
            "--only" => only = Some(part(arguments.next())?),
            "--out" => out = arguments.next().map(PathBuf::from),
            other => {
                bail!(
                    "unknown argument {other}: expected --small, --full, --only metrics, ingest, memory, day, upkeep or logs, --out FILE"
                )
            }
        }
    }
    let mut report = report::Report::new(size);
    let wanted = |part: &str| only.as_deref().is_none_or(|o| o == part);
    if wanted("metrics") {
        metrics::run(size, &mut report)?;
    }
    if only.as_deref() == Some("ingest") {
        metrics::run_ingest(size, &mut report)?;
    }
    if wanted("memory") {
        memory::run(size, &mut report)?;
    }
    if wanted("day") {
        metrics::run_day(size, &mut report)?;
    }
    if wanted("upkeep") {
        upkeep::run(size, &mut report)?;
    }
    if wanted("logs") {
        logs::run(size, &mut report)?;
    }
    let text = report.render();
    println!("{text}");
    if let Some(path) = out {
        std::fs::write(path, text)?;
    }
    Ok(())
}
