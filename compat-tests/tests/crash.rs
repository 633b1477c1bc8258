//! kill -9 at random moments, also inside a flush: everything acknowledged is there exactly once afterwards.
//!
//! `TEST_CRASH_SEED` repeats a run, `TEST_CRASH_ROUNDS` makes it longer.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Series, Stream, push, remote_write};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROUNDS: u64 = 50;
const WRITERS: usize = 3;
/// Rows of each request.
const BATCH: i64 = 5;
/// 2026-01-10T00:00:00Z in milliseconds; row `n` of a writer lies `n` ms later.
const BASE_MS: i64 = 1_768_003_200_000;
/// Rows asked for at once; below Loki's limit of 5,000 entries.
const WINDOW: i64 = 4_000;

/// Fail points at which a third of the rounds end, after this many passes; the others are killed by a signal.
const FAIL_POINTS: &[&str] = &[
    "flush.sealed=abort:1",
    "flush.built=abort:2",
    "flush.object_put=abort:1",
    "flush.committed=abort:1",
    "flush.swapped=abort:0",
    "flush.before_truncate=abort:2",
    "flush.truncated=abort:1",
];

/// What one writer has sent: rows below `acked` were acknowledged, up to `sent` may be there as well.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acked: i64,
    sent: i64,
}

/// Sends rows `from..from + BATCH` of writer `w` to both APIs; true when both acknowledged.
fn send(client: &Client, w: usize, from: i64) -> bool {
    let name = format!("w{w}");
    let rows = from..from + BATCH;
    let samples = Series {
        labels: vec![("__name__", "crash_rows"), ("writer", &name)],
        samples: rows.clone().map(|n| (BASE_MS + n, n as f64)).collect(),
    };
    let labels = format!(r#"{{app="crash", writer="{name}"}}"#);
    let entries = Stream {
        labels: &labels,
        entries: rows.map(|n| ((BASE_MS + n) * 1_000_000, format!("row {n}"))).collect(),
    };
    remote_write(client, &[samples]).is_ok_and(|a| a.status == 204)
        && push(client, &[entries]).is_ok_and(|a| a.status == 204)
}

/// Writes until the server is gone; repeats the last request whose answer was lost, as real clients do.
fn write_until_killed(client: &Client, w: usize, start: Progress, stop: &AtomicBool) -> Progress {
    let mut progress = start;
    while !stop.load(Ordering::Relaxed) {
        let from = progress.acked;
        progress.sent = progress.sent.max(from + BATCH);
        if send(client, w, from) {
            progress.acked = from + BATCH;
        } else {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    progress
}

/// Checks rows `from..` of a writer against what it knows.
fn verify(client: &Client, w: usize, progress: Progress, from: i64) -> Result<()> {
    let mut start = from;
    while start < progress.sent.max(1) {
        let end = start + WINDOW;
        let mut lines: BTreeMap<i64, u32> = BTreeMap::new();
        let (a, b) = ((BASE_MS + start) * 1_000_000, (BASE_MS + end) * 1_000_000);
        let data = client.data(
            "/loki/api/v1/query_range",
            &[
                ("query", &format!(r#"{{app="crash", writer="w{w}"}}"#)),
                ("start", &a.to_string()),
                ("end", &b.to_string()),
                ("limit", "5000"),
                ("direction", "forward"),
            ],
        )?;
        for stream in data["result"].as_array().context("result")? {
            for value in stream["values"].as_array().context("values")? {
                let time: i64 = value[0].as_str().context("time")?.parse()?;
                let row: i64 = value[1]
                    .as_str()
                    .context("line")?
                    .strip_prefix("row ")
                    .context("a foreign line")?
                    .parse()?;
                ensure!(
                    time == (BASE_MS + row) * 1_000_000,
                    "writer {w}: row {row} moved to {time}"
                );
                *lines.entry(row).or_default() += 1;
            }
        }
        // The window of a range selector is open at its start, so it begins 1 ms before the first row.
        let range_ms = end - start;
        let at_ms = BASE_MS + end - 1;
        let data = client.data(
            "/api/v1/query",
            &[
                ("query", &format!(r#"crash_rows{{writer="w{w}"}}[{range_ms}ms]"#)),
                ("time", &format!("{}.{:03}", at_ms / 1000, at_ms % 1000)),
            ],
        )?;
        let mut samples: BTreeMap<i64, u32> = BTreeMap::new();
        for series in data["result"].as_array().context("result")? {
            for value in series["values"].as_array().context("values")? {
                let row = (value[0].as_f64().context("time")? * 1000.0).round() as i64 - BASE_MS;
                let number: f64 = value[1].as_str().context("value")?.parse()?;
                ensure!(number == row as f64, "writer {w}: sample {row} has the value {number}");
                *samples.entry(row).or_default() += 1;
            }
        }
        for (kind, rows) in [("line", &lines), ("sample", &samples)] {
            for (row, count) in rows {
                ensure!(*count == 1, "writer {w}: {kind} {row} is there {count} times");
                ensure!(*row < progress.sent, "writer {w}: {kind} {row} was never sent");
            }
            for row in start..end.min(progress.acked) {
                ensure!(
                    rows.contains_key(&row),
                    "writer {w}: acknowledged {kind} {row} is lost ({progress:?})"
                );
            }
        }
        start = end;
    }
    Ok(())
}

#[test]
fn everything_acknowledged_survives_kill_9_exactly_once() -> Result<()> {
    let seed: u64 = std::env::var("TEST_CRASH_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(20_261_122);
    let rounds: u64 = std::env::var("TEST_CRASH_ROUNDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(ROUNDS);
    println!("seed {seed}, {rounds} rounds");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut progress = [Progress::default(); WRITERS];
    let mut checked_from = [0i64; WRITERS];
    let mut inside_flush = 0;

    for round in 0..rounds {
        let point = rng
            .random_bool(0.35)
            .then(|| FAIL_POINTS[rng.random_range(0..FAIL_POINTS.len())]);
        let env = point.map(|p| ("GARNER_TESTING_FAIL_POINTS".to_string(), p.to_string()));
        let options = Options {
            env: env.into_iter().collect(),
            ..Options::default()
        };
        let mut garner = Garner::start(&data, &options).with_context(|| format!("round {round}"))?;
        let client = garner.client();
        for w in 0..WRITERS {
            verify(&client, w, progress[w], checked_from[w]).with_context(|| format!("after round {round}"))?;
            checked_from[w] = (progress[w].acked - WINDOW / 4).max(0);
        }

        let stop = AtomicBool::new(false);
        let flushing = point.is_some() || rng.random_bool(0.5);
        let (life, pause) = (rng.random_range(20..400), rng.random_range(0..60));
        progress = std::thread::scope(|scope| {
            let handles: Vec<_> = progress
                .iter()
                .enumerate()
                .map(|(w, start)| {
                    let (client, stop) = (client.clone(), &stop);
                    scope.spawn(move || write_until_killed(&client, w, *start, stop))
                })
                .collect();
            if flushing {
                let (client, stop) = (client.clone(), &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let _ = client.post("/flush", &[], b"");
                        std::thread::sleep(Duration::from_millis(pause));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(life));
            inside_flush += usize::from(garner.process.has_ended());
            garner.process.kill();
            stop.store(true, Ordering::Relaxed);
            let done: Vec<Progress> = handles.into_iter().map(|h| h.join().unwrap_or_default()).collect();
            [done[0], done[1], done[2]]
        });
    }

    // Once more from the beginning, from the WAL, after a flush, and after an orderly stop.
    let mut garner = Garner::start(&data, &Options::default())?;
    for after_flush in [false, true] {
        if after_flush {
            garner.flush()?;
        }
        for (w, one) in progress.iter().enumerate() {
            verify(&garner.client(), w, *one, 0)?;
        }
    }
    ensure!(
        garner.process.terminate(Duration::from_secs(30))? == Some(0),
        "SIGTERM does not end with 0"
    );
    let garner = Garner::start(&data, &Options::default())?;
    for (w, one) in progress.iter().enumerate() {
        verify(&garner.client(), w, *one, 0)?;
    }
    let rows: i64 = progress.iter().map(|p| p.acked).sum();
    println!(
        "{rows} rows of each signal acknowledged over {rounds} kills ({inside_flush} at a fail point of a flush), none lost, \
         none doubled"
    );
    ensure!(inside_flush > 0, "no round ended inside a flush");
    ensure!(rows > rounds as i64 * BATCH, "too little was written: {rows} rows");
    Ok(())
}
