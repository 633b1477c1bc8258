//! Live tails of the real server while it flushes and compacts: each line comes once, whoever writes at the same time.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::go;
use garner_compat_tests::http::Client;
use garner_compat_tests::tail::{Event, Tail, TailedLine, lines};
use garner_compat_tests::write::{Stream, accepted, push};

const WRITERS: usize = 4;
/// Lines of each push, and pushes of each writer.
const BATCH: i64 = 5;
const PUSHES: i64 = 120;
const LINES: i64 = BATCH * PUSHES;
/// After so many pushes of each writer a tail is opened that asks for everything since the beginning.
const LATE: i64 = PUSHES / 2;
/// How long a reader waits for lines that must come.
const PATIENCE: Duration = Duration::from_secs(120);

fn now_ns() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// A server that flushes every second, and whenever a few hundred lines have come.
fn restless(folder: &std::path::Path) -> Result<Garner> {
    let settings = [
        ("GARNER_FLUSH_LOGS_MAX_AGE", "1s"),
        ("GARNER_FLUSH_LOGS_MAX_SIZE", "32KB"),
        ("GARNER_WAL_FILE_SIZE", "64KB"),
    ];
    let options = Options {
        env: settings
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
        ..Options::default()
    };
    Garner::start(&folder.join("data"), &options)
}

/// Pushes `number` of writer `w`: lines that only it writes, with times that ascend.
fn batch(w: usize, number: i64, base_ns: i64) -> (String, Vec<(i64, String)>) {
    let rows = number * BATCH..(number + 1) * BATCH;
    let entries = rows
        .map(|row| {
            let parity = if row % 2 == 0 { "even" } else { "odd" };
            (base_ns + row, format!("row={row} {parity} {}", "x".repeat(40)))
        })
        .collect();
    (format!(r#"{{job="tail", writer="w{w}"}}"#), entries)
}

fn write(client: &Client, w: usize, base_ns: i64, gate: &AtomicBool) -> Result<()> {
    for number in 0..PUSHES {
        let send = |number: i64| -> Result<()> {
            let (labels, entries) = batch(w, number, base_ns);
            accepted(push(
                client,
                &[Stream {
                    labels: &labels,
                    entries,
                }],
            )?)
        };
        send(number)?;
        // What a client does whose answer was lost: at once, and much later, when the first copy is long flushed.
        if number % 7 == 3 {
            send(number)?;
        }
        if number % 11 == 10 {
            send(number - 10)?;
        }
        let other = format!(r#"{{job="other", writer="w{w}"}}"#);
        let entries = vec![(base_ns + number, format!("not asked for {number}"))];
        accepted(push(
            client,
            &[Stream {
                labels: &other,
                entries,
            }],
        )?)?;
        if number == LATE {
            while !gate.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn open(garner: &Garner, query: &str, more: &[(&str, &str)]) -> Result<Tail> {
    let mut params = vec![("query", query)];
    params.extend_from_slice(more);
    Tail::open(garner.port, &format!("/loki/api/v1/tail?{}", go::encode(&params)), &[])
}

/// Reads until `expected` lines and then a line "end" have come; the rows of each writer in their order.
fn follow(tail: &mut Tail, expected: usize) -> Result<BTreeMap<String, Vec<i64>>> {
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut count = 0;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let frame = match tail.next(Duration::from_secs(1))? {
            Event::Frame(frame) => frame,
            Event::Quiet => continue,
            Event::Closed(code, text) => bail!("closed with {code} {text:?} after {count} lines"),
        };
        ensure!(
            frame.get("dropped_entries").is_none(),
            "lines were dropped: {}",
            frame["dropped_entries"]
        );
        for TailedLine { labels, line, .. } in lines(&frame)? {
            if line == "end even" {
                ensure!(
                    count == expected,
                    "{count} of {expected} lines before the end: {rows:?}"
                );
                return Ok(rows);
            }
            let row = line
                .strip_prefix("row=")
                .and_then(|rest| rest.split(' ').next())
                .with_context(|| format!("a foreign line: {line}"))?;
            rows.entry(labels["writer"].clone()).or_default().push(row.parse()?);
            count += 1;
        }
    }
    bail!("only {count} of {expected} lines came: {rows:?}")
}

fn figure(client: &Client, name: &str) -> Result<f64> {
    let text = client.get("/metrics", &[])?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
}

#[test]
fn a_tail_gives_each_line_once_while_the_store_flushes_and_compacts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = restless(folder.path())?;
    let client = garner.client();
    let base_ns = now_ns()?;
    let mut everything = open(&garner, r#"{job="tail"}"#, &[])?;
    // As Grafana asks: through a pipeline, and with a limit.
    let mut filtered = open(
        &garner,
        r#"{job="tail", writer=~"w1|end"} |= "even" | logfmt"#,
        &[("limit", "30")],
    )?;

    let (gate, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (all, some, late, pings) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|w| {
                let (client, gate) = (client.clone(), &gate);
                scope.spawn(move || write(&client, w, base_ns, gate))
            })
            .collect();
        let upkeep = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                garner.flush()?;
                let answer = client.post("/garner/api/v1/admin/compact", &[], b"")?;
                ensure!(answer.status == 200, "compact: {}", answer.text());
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(())
        });
        let readers = [
            scope.spawn(|| {
                Ok::<_, anyhow::Error>((follow(&mut everything, WRITERS * LINES as usize)?, everything.pings))
            }),
            scope.spawn(|| Ok((follow(&mut filtered, LINES as usize / 2)?, filtered.pings))),
            scope.spawn(|| {
                // Opened while all are writing: the lines there are come first, then the others.
                let since = base_ns.to_string();
                let seen = || -> Result<bool> {
                    let query = r#"sum(count_over_time({job="tail"}[5m]))"#;
                    let data = client.data("/loki/api/v1/query", &[("query", query)])?;
                    let count = data["result"][0]["value"][1].as_str().unwrap_or("0").parse::<i64>()?;
                    Ok(count >= WRITERS as i64 * BATCH * LATE / 2)
                };
                while !seen()? {
                    std::thread::sleep(Duration::from_millis(20));
                }
                let mut tail = open(&garner, r#"{job="tail"}"#, &[("limit", "5000"), ("start", &since)])?;
                gate.store(true, Ordering::Relaxed);
                let rows = follow(&mut tail, WRITERS * LINES as usize)?;
                let pings = tail.pings;
                tail.close()?;
                Ok((rows, pings))
            }),
        ];
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        // Whatever is doubled or late would come before this, or be missed by it.
        let end = Stream {
            labels: r#"{job="tail", writer="end"}"#,
            entries: vec![(now_ns()?, "end even".to_string())],
        };
        accepted(push(&client, &[end])?)?;
        let mut results = Vec::new();
        for reader in readers {
            results.push(reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))?);
        }
        done.store(true, Ordering::Relaxed);
        upkeep.join().map_err(|_| anyhow::anyhow!("upkeep panicked"))??;
        let mut results = results.into_iter().collect::<Result<Vec<_>>>()?.into_iter();
        let mut next = || results.next().context("three readers");
        let ((all, pings), (some, _), (late, _)) = (next()?, next()?, next()?);
        Ok::<_, anyhow::Error>((all, some, late, pings))
    })?;

    let rows: Vec<i64> = (0..LINES).collect();
    let even: Vec<i64> = (0..LINES).step_by(2).collect();
    ensure!(
        all.len() == WRITERS && late.len() == WRITERS,
        "{:?} {:?}",
        all.keys(),
        late.keys()
    );
    for (writer, got) in &all {
        ensure!(*got == rows, "{writer}: each row once and in order, not {got:?}");
    }
    for (writer, got) in &late {
        ensure!(
            *got == rows,
            "{writer} in the late tail: each row once and in order, not {got:?}"
        );
    }
    ensure!(
        some.len() == 1 && some.get("w1") == Some(&even),
        "the filtered tail: {some:?}"
    );
    ensure!(pings > 0, "the server never pinged");

    let (flushes, compacted) = (
        figure(&client, "garner_storage_flushes_total ")?,
        figure(&client, "garner_storage_compaction_merges_total ")?,
    );
    println!(
        "3 tails of {} lines by {WRITERS} writers, {pings} pings, {flushes} flushes, {compacted} merges: none missing, none doubled",
        WRITERS as i64 * LINES
    );
    ensure!(flushes >= 3.0, "only {flushes} flushes happened");
    ensure!(compacted >= 1.0, "nothing was compacted");

    // The tail answers what a client that hangs up expects.
    everything.close()
}
