//! What loki-canary does (loki `pkg/canary`): lines that hold their own time are written, tailed, looked up again one by one
//! and counted. Stricter than the original: counts must be exact, and no line may come twice.
//!
//! `TEST_CANARY_SECONDS` makes it longer.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::go;
use garner_compat_tests::http::Client;
use garner_compat_tests::tail::{Event, Tail, lines};
use garner_compat_tests::write::{Stream, accepted, push};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SECONDS: u64 = 30;
/// Between two lines; the original writes one a second, which is too few for a short run.
const INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of a line, as the original pads it.
const SIZE: usize = 100;
/// Share of lines that are written with a time up to `OUT_OF_ORDER_MAX` in the past.
const OUT_OF_ORDER_PERCENT: u32 = 10;
const OUT_OF_ORDER_MAX: Duration = Duration::from_secs(20);
/// The selector of the original's defaults.
const SELECTOR: &str = r#"{name="loki-canary",stream="stdout"}"#;
/// Between two spot checks and between two counts.
const CHECK_PERIOD: Duration = Duration::from_millis(700);
/// A line that has not been tailed by then is missing.
const WAIT: Duration = Duration::from_secs(30);
/// A tail lives this long, so that the canary has to come back.
const TAIL_MAX_DURATION: &str = "12s";
const USER_AGENT: (&str, &str) = ("User-Agent", "loki-canary/3.6.8");

/// Lines by their time: when each was begun to be sent, acknowledged and tailed.
#[derive(Default)]
struct Ledger {
    sent: BTreeMap<i64, Fate>,
    problems: Vec<String>,
    delays: Vec<Duration>,
    connections: u32,
    counts: u32,
    spot_checks: u32,
    spot_lines: u64,
    cache_checks: u32,
}

struct Fate {
    sent: Instant,
    acked: bool,
    tailed: bool,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    stop: AtomicBool,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Times in a range (open at its start, closed at its end) that were acknowledged, and those that were sent at all.
    fn between(&self, after_ns: i64, until_ns: i64) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let ledger = self.ledger();
        let range = || ledger.sent.range(after_ns + 1..=until_ns);
        (
            range().filter(|(_, fate)| fate.acked).map(|(time, _)| *time).collect(),
            range().map(|(time, _)| *time).collect(),
        )
    }
}

fn now_ns() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// `<time> <padding>` with a line break, as `writer.go` makes it.
fn line_of(time_ns: i64) -> String {
    let mut line = format!("{time_ns} ");
    line.extend(std::iter::repeat_n('p', SIZE - line.len() - 1));
    line.push('\n');
    line
}

/// The time in a line; the original reads it in the same way.
fn time_in(line: &str) -> Result<i64> {
    let (time, _) = line
        .split_once(' ')
        .with_context(|| format!("not of the canary: {line:?}"))?;
    Ok(time.parse()?)
}

fn write(client: &Client, shared: &Shared) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(5);
    while !shared.stopped() {
        std::thread::sleep(INTERVAL);
        let mut time_ns = now_ns()?;
        if rng.random_range(0..100) < OUT_OF_ORDER_PERCENT {
            time_ns -= rng.random_range(0..i64::try_from(OUT_OF_ORDER_MAX.as_nanos())?);
        }
        let fate = Fate {
            sent: Instant::now(),
            acked: false,
            tailed: false,
        };
        shared.ledger().sent.insert(time_ns, fate);
        let entries = vec![(time_ns, line_of(time_ns))];
        let stream = Stream {
            labels: SELECTOR,
            entries,
        };
        accepted(push(client, &[stream])?)?;
        if let Some(fate) = shared.ledger().sent.get_mut(&time_ns) {
            fate.acked = true;
        }
    }
    Ok(())
}

/// Tails until every line has come, and connects again when the server ends a tail by its age.
fn tail(garner: &Garner, shared: &Shared) -> Result<()> {
    // The original leaves a space where nothing is appended to the selector. It gives no limit, and counts what arrives
    // late while it reconnects as missing: the newest 100 lines do not reach back that far.
    let path = format!(
        "/loki/api/v1/tail?query={}&limit=1000",
        go::query_escape(&format!("{SELECTOR} "))
    );
    let begun_ns = now_ns()?;
    let mut given_up: Option<Instant> = None;
    loop {
        let mut tail = Tail::open(garner.port, &path, &[USER_AGENT])?;
        let mut seen = BTreeSet::new();
        shared.ledger().connections += 1;
        loop {
            let frame = match tail.next(Duration::from_millis(200))? {
                Event::Frame(frame) => Some(frame),
                Event::Quiet => None,
                Event::Closed(1011, text) if text == "reached tail max duration limit" => break,
                Event::Closed(code, text) => bail!("the tail was closed with {code} {text:?}"),
            };
            let mut ledger = shared.ledger();
            for line in frame
                .iter()
                .map(lines)
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .flatten()
            {
                let time_ns = time_in(&line.line)?;
                let problem = match ledger.sent.get_mut(&time_ns) {
                    _ if line.time_ns != time_ns => Some(format!("{time_ns} came with the time {}", line.time_ns)),
                    _ if line.line != line_of(time_ns) => Some(format!("another line: {:?}", line.line)),
                    _ if !seen.insert(time_ns) => Some(format!("{time_ns} came twice")),
                    None => Some(format!("{time_ns} was never sent")),
                    Some(fate) => {
                        let delay = (!fate.tailed).then(|| fate.sent.elapsed());
                        fate.tailed = true;
                        ledger.delays.extend(delay);
                        None
                    }
                };
                ledger.problems.extend(problem);
            }
            if shared.stopped() {
                let missing = ledger.sent.values().filter(|fate| fate.acked && !fate.tailed).count();
                let since = *given_up.get_or_insert_with(Instant::now);
                if missing == 0 {
                    return Ok(());
                }
                ensure!(
                    since.elapsed() < WAIT,
                    "{missing} lines were not tailed within {WAIT:?} (since {begun_ns})"
                );
            }
        }
    }
}

/// `count_over_time` as `reader.go` asks for it.
fn count(client: &Client, range: &str, at_ns: i64, cached: bool) -> Result<i64> {
    let query = format!("count_over_time({SELECTOR}[{range}])");
    let path = format!(
        "/loki/api/v1/query?query={}&time={at_ns}&limit=1000",
        go::query_escape(&query)
    );
    let mut headers = vec![USER_AGENT];
    if !cached {
        headers.push(("Cache-Control", "no-cache"));
    }
    let answer = client.get_with(&path, &[], &headers)?.json()?;
    let data = &answer["data"];
    let result = data["result"].as_array().context("no result")?;
    ensure!(
        data["resultType"] == "vector" && result.len() == 1,
        "one sample, not {data}"
    );
    Ok(result[0]["value"][1].as_str().context("a value")?.parse()?)
}

fn count_check(client: &Client, shared: &Shared, begun_ns: i64) -> Result<()> {
    let at_ns = now_ns()?;
    // At least a second, and never further back than the canary itself.
    let seconds = ((at_ns - begun_ns) / 1_000_000_000).max(1);
    let after_ns = at_ns - seconds * 1_000_000_000;
    let least = shared.between(after_ns, at_ns).0.len() as i64;
    let got = count(client, &format!("{seconds}s"), at_ns, true)?;
    let most = shared.between(after_ns, at_ns).1.len() as i64;
    let mut ledger = shared.ledger();
    ledger.counts += 1;
    if !(least..=most).contains(&got) {
        let text = format!("{got} lines counted over {seconds}s, {least} to {most} were written");
        ledger.problems.push(text);
    }
    Ok(())
}

/// Everything within ten seconds of one line, which the original looks up by that line alone.
fn spot_check(client: &Client, shared: &Shared, time_ns: i64) -> Result<()> {
    let (start, end) = (time_ns - 10_000_000_000, time_ns + 10_000_000_000);
    let path = format!(
        "/loki/api/v1/query_range?start={start}&end={end}&query={}&limit=1000",
        go::query_escape(&format!("{SELECTOR} "))
    );
    let must = shared.between(start - 1, end - 1).0;
    let answer = client.get_with(&path, &[], &[USER_AGENT])?.json()?;
    let may = shared.between(start - 1, end - 1).1;
    let mut got = BTreeSet::new();
    let mut problems = Vec::new();
    for stream in answer["data"]["result"].as_array().context("no result")? {
        for value in stream["values"].as_array().context("no values")? {
            let time = time_in(value[1].as_str().context("a line")?)?;
            if !got.insert(time) {
                problems.push(format!("{time} is there twice"));
            }
        }
    }
    problems.extend(
        must.difference(&got)
            .map(|time| format!("{time} is missing in a query")),
    );
    problems.extend(got.difference(&may).map(|time| format!("{time} was never sent")));
    if !got.contains(&time_ns) {
        problems.push(format!("spot check of {time_ns} fails"));
    }
    let mut ledger = shared.ledger();
    ledger.spot_checks += 1;
    ledger.spot_lines += got.len() as u64;
    ledger.problems.extend(problems);
    Ok(())
}

/// A count over what changes no more is the same with and without caches, and exact.
fn cache_check(client: &Client, shared: &Shared, begun_ns: i64) -> Result<()> {
    let at_ns = now_ns()? - i64::try_from(OUT_OF_ORDER_MAX.as_nanos())? - 1_000_000_000;
    if at_ns < begun_ns + 2_000_000_000 {
        return Ok(());
    }
    let expected = shared.between(at_ns - 2_000_000_000, at_ns).0.len() as i64;
    for cached in [true, false] {
        let got = count(client, "2s", at_ns, cached)?;
        if got != expected {
            let text = format!("{got} lines (cached: {cached}) where {expected} were written long ago");
            shared.ledger().problems.push(text);
        }
    }
    shared.ledger().cache_checks += 1;
    Ok(())
}

fn check(client: &Client, shared: &Shared, begun_ns: i64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(6);
    while !shared.stopped() {
        std::thread::sleep(CHECK_PERIOD);
        count_check(client, shared, begun_ns)?;
        let acked: Vec<i64> = shared.between(0, i64::MAX - 1).0.into_iter().collect();
        let spot = acked
            .get(rng.random_range(0..acked.len().max(1)))
            .context("nothing was written")?;
        spot_check(client, shared, *spot)?;
        cache_check(client, shared, begun_ns)?;
    }
    Ok(())
}

#[test]
fn a_canary_misses_nothing() -> Result<()> {
    let seconds = match std::env::var("TEST_CANARY_SECONDS") {
        Ok(text) => text.parse()?,
        Err(_) => SECONDS,
    };
    let folder = tempfile::tempdir()?;
    let settings = [
        ("GARNER_FLUSH_LOGS_MAX_AGE", "3s"),
        ("GARNER_LIMITS_TAIL_MAX_DURATION", TAIL_MAX_DURATION),
    ];
    let options = Options {
        env: settings
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
        ..Options::default()
    };
    let garner = Garner::start(&folder.path().join("data"), &options)?;
    let client = garner.client();
    let shared = Shared::default();
    let begun_ns = now_ns()?;
    std::thread::scope(|scope| -> Result<()> {
        let tail = scope.spawn(|| tail(&garner, &shared));
        // The tail's first connection stands before the first line.
        while shared.ledger().connections == 0 && !tail.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let tasks = [
            ("the writer", scope.spawn(|| write(&client, &shared))),
            ("the checks", scope.spawn(|| check(&client, &shared, begun_ns))),
            ("the tail", tail),
        ];
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end && !tasks.iter().any(|(_, task)| task.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        shared.stop.store(true, Ordering::Relaxed);
        for (name, task) in tasks {
            task.join()
                .map_err(|_| anyhow!("{name} panicked"))?
                .with_context(|| name)?;
        }
        Ok(())
    })?;

    let mut ledger = shared.ledger();
    ledger.delays.sort_unstable();
    let delay = |share: usize| {
        let at = ledger.delays.len() * share / 100;
        ledger
            .delays
            .get(at.min(ledger.delays.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "canary over {seconds} s: {} lines, tailed after {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (longest) over {} connections; \
         {} counts, {} spot checks of {} lines, {} cache checks; {} problems",
        ledger.sent.len(),
        delay(50).as_secs_f64() * 1e3,
        delay(99).as_secs_f64() * 1e3,
        delay(100).as_secs_f64() * 1e3,
        ledger.connections,
        ledger.counts,
        ledger.spot_checks,
        ledger.spot_lines,
        ledger.cache_checks,
        ledger.problems.len(),
    );
    ensure!(ledger.problems.is_empty(), "{:#?}", ledger.problems);
    ensure!(
        ledger.sent.values().all(|fate| fate.acked && fate.tailed),
        "a line is unaccounted for"
    );
    ensure!(ledger.connections >= 2, "the tail never ended by its age");
    ensure!(
        ledger.counts > 5 && ledger.spot_checks > 5 && ledger.cache_checks > 0,
        "too little was checked"
    );
    Ok(())
}
