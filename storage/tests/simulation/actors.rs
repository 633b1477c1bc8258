//! Those who use the store at one time: each does a few things, with pauses, and notes in the ledger what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use garner_storage::compaction::Depth;
use garner_storage::engine::{DeleteRequest, Storage};
use garner_storage::model::{LabelMatcher, MatchOp, Signal, TenantId, TimeRange};
use garner_storage::testing::{ManualClock, read_all_of_samples, read_entries};
use garner_storage::{Error, ErrorKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ledger::{Attempt, BASE_NS, Delete, Ledger, Outcome, ReadSpan, Row};
use crate::schedule::Tally;

const HOUR: Duration = Duration::from_secs(3600);
/// Deletes can be taken back for so long.
pub const CANCEL_PERIOD: Duration = Duration::from_secs(86_400);

/// Objects outlive their last segment by so long.
pub const DELETION_GRACE: Duration = Duration::from_secs(3600);

/// What all actors of one life of the store share.
#[derive(Clone)]
pub struct World {
    pub storage: Storage,
    pub clock: ManualClock,
    pub ledger: Arc<Mutex<Ledger>>,
    pub tally: Arc<Mutex<Tally>>,
    /// Complaints end the schedule.
    pub complaint: Arc<Mutex<Option<String>>>,
    /// Whether the object store fails.
    pub faulty: bool,
}

impl World {
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn count(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally.lock().unwrap());
    }
}

/// One of those who use the store.
#[derive(Clone, Copy, Debug)]
pub enum Actor {
    Writer,
    Reader,
    Flusher,
    Compactor,
    Cleaner,
    Deleter,
    Time,
}

/// Everybody, in the numbers in which they appear.
pub const CAST: [Actor; 9] = [
    Actor::Writer,
    Actor::Writer,
    Actor::Writer,
    Actor::Reader,
    Actor::Flusher,
    Actor::Compactor,
    Actor::Cleaner,
    Actor::Deleter,
    Actor::Time,
];

/// Lets `actor` do `turns` things.
pub async fn act(actor: Actor, world: World, seed: u64, turns: u32) {
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..turns {
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..60_000))).await;
        match actor {
            Actor::Writer => write(&world, &mut rng).await,
            Actor::Reader => read(&world, &mut rng).await,
            Actor::Flusher => {
                let flushed = world.storage.flush().await;
                world.count(|t| t.flushes += u64::from(flushed.is_ok()));
            }
            Actor::Compactor => compact(&world, &mut rng).await,
            Actor::Cleaner => clean(&world, &mut rng).await,
            Actor::Deleter => delete_or_cancel(&world, &mut rng).await,
            Actor::Time => {
                let hours = [0, 1, 2, 6, 30][rng.random_range(0..5)];
                world
                    .clock
                    .advance(HOUR * hours + Duration::from_secs(rng.random_range(0..600)));
            }
        }
    }
}

fn outcome<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        // An append that fails is not there; only a commit to the bucket can be in doubt, see `delete_or_cancel`.
        Err(_) => Outcome::Refused,
    }
}

async fn write(world: &World, rng: &mut StdRng) {
    // All rows of an append belong to one tenant and signal: the numbers of such a row are four apart.
    let again = rng.random_bool(0.1);
    let numbers: Vec<u64> = {
        let ledger = world.ledger();
        let next = ledger.rows.keys().next_back().map_or(0, |n| n + 1);
        let first = match again && next > 0 {
            true => rng.random_range(0..next),
            false => next + rng.random_range(0..4),
        };
        (0..rng.random_range(1..8)).map(|i| first + 4 * i).collect()
    };
    if !again {
        append(world, &numbers).await;
        return;
    }
    // As a client that never got its answer: the same rows once more.
    append(world, &numbers).await;
    append(world, &numbers).await;
}

async fn append(world: &World, numbers: &[u64]) {
    {
        let mut ledger = world.ledger();
        let attempt = ledger.begin();
        for number in numbers {
            ledger.rows.entry(*number).or_default().push(attempt);
        }
    }
    let begin = world.ledger().rows[&numbers[0]].last().unwrap().begin;
    let result = try_append(&world.storage, numbers).await;
    let end = world.ledger().tick();
    for number in numbers {
        let mut ledger = world.ledger();
        let attempts = ledger.rows.get_mut(number).unwrap();
        let attempt = attempts.iter_mut().find(|a| a.begin == begin).unwrap();
        (attempt.end, attempt.outcome) = (end, outcome(&result));
    }
    world.count(|t| t.appends += u64::from(result.is_ok()));
}

async fn try_append(storage: &Storage, numbers: &[u64]) -> Result<(), Error> {
    let rows: Vec<Row> = numbers.iter().map(|n| Row::new(*n)).collect();
    match rows[0].signal {
        Signal::Metrics => {
            let mut append = storage.begin_samples(&rows[0].tenant).await?;
            for row in &rows {
                let labels = row.labels();
                let series = append.register(labels.fingerprint(), labels)?;
                match row.histogram() {
                    Some(histogram) => append.push_histogram(series, row.time, histogram),
                    None => append.push(series, row.time, row.number as f64),
                }
            }
            append.commit().await
        }
        Signal::Logs => {
            let mut append = storage.begin_logs(&rows[0].tenant).await?;
            for row in &rows {
                let labels = row.labels();
                let series = append.register(labels.fingerprint(), labels)?;
                let number = row.number.to_string();
                append.push(series, row.time, row.line().as_bytes(), &[("number", &number)], None);
            }
            append.commit().await
        }
    }
}

async fn read(world: &World, rng: &mut StdRng) {
    let tenant = TenantId::new(["a", "b"][rng.random_range(0..2)]).unwrap();
    let signal = [Signal::Metrics, Signal::Logs][rng.random_range(0..2)];
    let begun = world.clock_now();
    match check(world, &tenant, signal).await {
        Ok(None) => world.count(|t| t.reads += 1),
        Ok(Some(complaint)) => {
            world.complaint.lock().unwrap().get_or_insert(complaint);
        }
        // A store that fails may fail reads; whether they come back is checked in the end.
        Err(_) if world.faulty => {}
        // Time leaps in a simulation: a read that lasts longer than objects outlive their segments may find them gone.
        Err(_) if world.clock_now().saturating_sub(begun) >= DELETION_GRACE.as_nanos() as i64 => {}
        Err(error) if error.kind() == ErrorKind::Closed => {}
        Err(error) => {
            let complaint = format!("a read of {tenant} failed: {error}");
            world.complaint.lock().unwrap().get_or_insert(complaint);
        }
    }
}

/// Reads a tenant's rows and judges them.
pub async fn check(world: &World, tenant: &TenantId, signal: Signal) -> Result<Option<String>, Error> {
    let (begin, now_begin) = (world.ledger().tick(), world.clock_now());
    let found = numbers_of(&world.storage, tenant, signal).await?;
    let mut ledger = world.ledger();
    let span = ReadSpan {
        begin,
        end: ledger.tick(),
        now_begin,
        now_end: world.clock_now(),
    };
    Ok(match found {
        Ok(found) => ledger.judge(tenant, signal, &found, span),
        Err(complaint) => Some(complaint),
    })
}

impl World {
    fn clock_now(&self) -> i64 {
        garner_storage::clock::Clock::now(&self.clock)
    }
}

type Found = Result<BTreeMap<u64, u32>, String>;

/// How often each number was read, or what is wrong with a row.
async fn numbers_of(storage: &Storage, tenant: &TenantId, signal: Signal) -> Result<Found, Error> {
    let mut found = BTreeMap::new();
    let mut note = |number: u64, is_itself: bool| {
        *found.entry(number).or_default() += 1;
        match is_itself {
            true => Ok(()),
            false => Err(format!("row {number} of {tenant} came back as another")),
        }
    };
    let checked = match signal {
        Signal::Metrics => read_all_of_samples(storage, tenant, &[], TimeRange::ALL)
            .await?
            .into_iter()
            .try_for_each(|sample| {
                let row = Row::new(sample.value as u64);
                let same = match (&sample.histogram, row.histogram()) {
                    (Some(found), Some(own)) => found.total_cmp(&own).is_eq(),
                    (found, own) => found.is_none() && own.is_none(),
                };
                let is_itself = (&sample.series, sample.time) == (&row.labels(), row.time) && row.tenant == *tenant;
                note(row.number, is_itself && same)
            }),
        Signal::Logs => read_entries(storage, tenant, &[], TimeRange::ALL)
            .await?
            .into_iter()
            .try_for_each(|entry| {
                let row = Row::new(entry.metadata.get("number").unwrap_or("").parse().unwrap_or(u64::MAX));
                let is_itself = (&entry.stream, entry.time) == (&row.labels(), row.time)
                    && entry.line == row.line().as_bytes()
                    && row.tenant == *tenant;
                note(row.number, is_itself)
            }),
    };
    Ok(checked.map(|()| found))
}

async fn compact(world: &World, rng: &mut StdRng) {
    let depth = if rng.random_bool(0.5) {
        Depth::Full
    } else {
        Depth::Economical
    };
    if let Ok(Some(report)) = world.storage.compact_once(depth).await {
        world.count(|t| t.merges += report.merges);
    }
}

async fn clean(world: &World, rng: &mut StdRng) {
    let done = match rng.random_range(0..3) {
        0 => world.storage.retain_once().await,
        1 => world.storage.remove_once().await,
        _ => world.storage.sweep_once().await,
    };
    if let Ok(Some(_)) = done {
        world.count(|t| t.cleanings += 1);
    }
}

async fn delete_or_cancel(world: &World, rng: &mut StdRng) {
    let own: Vec<usize> = {
        let ledger = world.ledger();
        let deletes = ledger.deletes.iter().enumerate();
        deletes
            .filter(|(_, d)| d.id.is_some() && d.cancels.is_empty())
            .map(|(at, _)| at)
            .collect()
    };
    if !own.is_empty() && rng.random_bool(0.4) {
        cancel(world, own[rng.random_range(0..own.len())]).await;
        return;
    }
    let signal = [Signal::Metrics, Signal::Logs][rng.random_range(0..2)];
    let start = BASE_NS - rng.random_range(0..5) * HOUR.as_nanos() as i64;
    let range = match rng.random_bool(0.3) {
        true => TimeRange::ALL,
        false => TimeRange::new(start, start + rng.random_range(1..4) * HOUR.as_nanos() as i64),
    };
    let series = rng.random_bool(0.7).then(|| format!("s{}", rng.random_range(0..5)));
    let filtered = signal == Signal::Logs && rng.random_bool(0.5);
    let mut delete = Delete {
        tenant: TenantId::new(["a", "b"][rng.random_range(0..2)]).unwrap(),
        signal,
        series,
        needle: filtered.then(|| format!("kind-{}", rng.random_range(0..3))),
        range,
        made: world.ledger().begin(),
        id: None,
        cancels: Vec::new(),
    };
    let matchers: Vec<LabelMatcher> = delete
        .series
        .iter()
        .map(|series| LabelMatcher::new("__name__", MatchOp::Equal, series).unwrap())
        .collect();
    let at = {
        let mut ledger = world.ledger();
        ledger.deletes.push(delete.clone());
        ledger.deletes.len() - 1
    };
    let request = DeleteRequest {
        signal,
        matchers,
        filter: delete.needle.as_deref().map(Into::into),
        range,
        query: "simulation".into(),
        cancel_period: CANCEL_PERIOD,
    };
    let result = world.storage.create_deletes(&delete.tenant, vec![request]).await;
    let mut ledger = world.ledger();
    delete.made.end = ledger.tick();
    delete.made.outcome = in_doubt(&result);
    delete.id = result.ok().and_then(|made| made.first().map(|t| t.id));
    let made = delete.id.is_some();
    ledger.deletes[at] = delete;
    drop(ledger);
    world.count(|t| t.deletes += u64::from(made));
}

async fn cancel(world: &World, at: usize) {
    let (tenant, signal, id) = {
        let mut ledger = world.ledger();
        let attempt = ledger.begin();
        let delete = &mut ledger.deletes[at];
        delete.cancels.push(attempt);
        (delete.tenant.clone(), delete.signal, delete.id.unwrap())
    };
    let result = world.storage.cancel_delete(&tenant, signal, id, false).await;
    let mut ledger = world.ledger();
    let end = ledger.tick();
    let attempt: &mut Attempt = ledger.deletes[at].cancels.last_mut().unwrap();
    (attempt.end, attempt.outcome) = (end, in_doubt(&result));
    drop(ledger);
    world.count(|t| t.cancels += u64::from(result.is_ok()));
}

/// A commit that failed because the bucket could not be reached may have happened.
fn in_doubt<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Closed) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
}
