//! Many clients at once, for a bounded time: requests a second, latency percentiles and the server's CPU a request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use garner_compat_tests::http::Client;

use crate::report::Report;
use crate::server::Server;

/// Clients of the rows under load, as the field counts them.
pub const CLIENTS: usize = 50;

/// Runs `ask(client, number)` from [`CLIENTS`] threads for `span`, numbers counting up over all of them, and reports one
/// row a figure under `title`. Requests that fail, as by a server's own time limit, are counted apart.
pub fn under_load(
    server: &Server,
    report: &mut Report,
    title: &str,
    span: Duration,
    ask: impl Fn(&Client, usize) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let cpu_before = server.cpu_seconds()?;
    let start = Instant::now();
    let failed = AtomicUsize::new(0);
    let mut latencies_ms: Vec<f64> = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (next, ask, failed) = (&next, &ask, &failed);
                scope.spawn(move || -> Result<Vec<f64>> {
                    // A client of its own: connections are not shared between the fifty.
                    let client = server.client();
                    let mut mine = Vec::new();
                    while start.elapsed() < span {
                        let asked = Instant::now();
                        match ask(&client, next.fetch_add(1, Ordering::Relaxed)) {
                            Ok(()) => mine.push(asked.elapsed().as_secs_f64() * 1000.0),
                            Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
                        }
                    }
                    Ok(mine)
                })
            })
            .collect();
        for thread in threads {
            latencies_ms.extend(thread.join().expect("a client panicked")?);
        }
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds()? - cpu_before;
    ensure!(!latencies_ms.is_empty(), "{title}: no request was answered");
    latencies_ms.sort_by(f64::total_cmp);
    let requests = latencies_ms.len();
    let at = |share: f64| latencies_ms[((requests - 1) as f64 * share) as usize];
    let name = server.program.name();
    let failed = failed.into_inner();
    if failed > 0 {
        report.set(
            name,
            &format!("{title}, {CLIENTS} clients: requests that failed, of all"),
            format!("{failed} of {}", requests + failed),
        );
    }
    report.set(
        name,
        &format!("{title}, {CLIENTS} clients: requests/s"),
        format!("{:.1}", requests as f64 / seconds),
    );
    report.set(
        name,
        &format!("{title}, {CLIENTS} clients: p50 / p99 ms"),
        format!("{:.1} / {:.1}", at(0.5), at(0.99)),
    );
    report.set(
        name,
        &format!("{title}, {CLIENTS} clients: server CPU ms a request"),
        format!("{:.3}", cpu * 1000.0 / requests as f64),
    );
    Ok(())
}
