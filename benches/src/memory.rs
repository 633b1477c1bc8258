//! Memory per active series at the steady state of scrapes every 15 s: half an hour of them in the head, what is sealed and
//! not yet flushed on top.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Size;
use crate::fleet::{INTERVAL_MS, SERIES_PER_TARGET};
use crate::report::Report;
use crate::server::{Program, Server, data_folder, metric_peers};
use crate::writers::Writers;

/// Targets whatever the size of the run: at few series the process itself is all there is to see.
const TARGETS: usize = 366;
/// Scrapes of half an hour, the age at which garner flushes samples.
const SCRAPES: usize = (30 * 60 * 1000 / INTERVAL_MS) as usize;
/// Half hours; the first only fills the server.
const HALF_HOURS: usize = 3;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs garner and every peer at hand.
pub fn run(size: Size, report: &mut Report) -> Result<()> {
    report.table("Memory at steady state");
    let size = Size {
        targets: TARGETS,
        ..size
    };
    for program in std::iter::once(Program::Garner).chain(metric_peers()) {
        let done = one(&program, size, report).with_context(|| format!("memory of {}", program.name()));
        report.settle(&program, done)?;
    }
    Ok(())
}

/// Half hours are sent as fast as they are taken, which shows more memory than a scrape every 15 s would, never less.
fn one(program: &Program, size: Size, report: &mut Report) -> Result<()> {
    let (folder, _temporary) = data_folder("memory", program)?;
    let (server, _) = Server::start(program, &folder)?;
    server.wait_quiet()?;
    let empty = server.status_mb("VmRSS")?;
    let mut writers = Writers::new(size);
    let mut seen = Vec::new();
    for half_hour in 0..HALF_HOURS {
        let looks = watched(&server, || {
            writers.send(&server.client(), SCRAPES)?;
            // What age does in real time; peers move rows to disk by themselves.
            if matches!(program, Program::Garner) {
                server.client().post("/flush", &[], b"")?;
            }
            Ok(())
        })?;
        if half_hour > 0 {
            seen.extend(looks);
        }
    }
    let series = (size.targets * SERIES_PER_TARGET) as f64;
    let per_series = |mb: f64| format!("{:.0}", (mb - empty) * 1024.0 * 1024.0 / series);
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    let most = seen.iter().copied().fold(0.0, f64::max);
    let name = program.name();
    report.set(name, "RSS of the empty process, MB", format!("{empty:.0}"));
    report.set(
        name,
        "bytes of memory per active series above it, mean over an hour",
        per_series(mean),
    );
    report.set(
        name,
        "bytes of memory per active series above it, highest, flushes included",
        per_series(most),
    );
    server.stop()
}

/// Resident megabytes again and again while `work` runs.
fn watched(server: &Server, work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let done = AtomicBool::new(false);
    let memory = server.memory();
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = Vec::new();
            while !done.load(Ordering::Relaxed) {
                looks.extend(memory.resident_mb());
                std::thread::sleep(LOOK_EVERY);
            }
            looks
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let looks = looks.join().expect("watching panicked");
        worked.map(|()| looks)
    })
}
