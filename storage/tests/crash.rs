//! Everything acknowledged survives: the store is killed again and again, in the middle of writes and of flushes, and
//! each time what comes back is compared with what was acknowledged.
//!
//! Crashes are of two kinds: the process dies (all it wrote stays), or the machine loses power (what was not synced is
//! lost, last writes are torn). They come at random moments, or at a fail point inside a flush.
//!
//! `TEST_CRASH_SEED` and `TEST_CRASH_ROUNDS` choose another run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use garner_storage::engine::{Storage, WalSync};
use garner_storage::model::{Labels, TenantId, TimeRange};
use garner_storage::testing::{Faults, StoreFixture, read_entries, read_samples};
use garner_storage::{FailAction, FailPoints};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WRITERS: u64 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Rows of one append, by their unique numbers.
#[derive(Clone, Debug)]
struct Batch {
    tenant: TenantId,
    logs: bool,
    numbers: Vec<u64>,
    acknowledged: bool,
}

/// What writers did, over all rounds.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    reads: AtomicU64,
    batches: Mutex<Vec<Batch>>,
}

/// Where a row goes follows from its number, so that the ledger need not keep it.
fn row(number: u64) -> (Labels, i64) {
    let name = format!("series_{}", number % 23);
    let labels = Labels::from_pairs([
        ("__name__", name.as_str()),
        ("parity", if number.is_multiple_of(2) { "even" } else { "odd" }),
    ]);
    // Spread over hours, so that a flush makes several segments; never twice the same time.
    let time = 1_735_689_600_000_000_000 - ((number * 7_919) % 9_000) as i64 * 1_000_000_000 + number as i64;
    (labels, time)
}

async fn write(storage: &Storage, batch: &Batch) -> garner_storage::Result<()> {
    if batch.logs {
        let mut append = storage.begin_logs(&batch.tenant).await?;
        for number in &batch.numbers {
            let (labels, time) = row(*number);
            let series = append.register(labels.fingerprint(), labels)?;
            let line = format!("line {number}");
            append.push(series, time, line.as_bytes(), &[("number", &number.to_string())], None);
        }
        append.commit().await
    } else {
        let mut append = storage.begin_samples(&batch.tenant).await?;
        for number in &batch.numbers {
            let (labels, time) = row(*number);
            let alias = labels.fingerprint();
            let series = match append.lookup(alias) {
                Some(series) => series,
                None => append.register(alias, labels)?,
            };
            append.push(series, time, *number as f64);
        }
        append.commit().await
    }
}

/// Writes until the store fails or the round ends.
async fn writer(storage: Storage, ledger: Arc<Ledger>, tenants: Vec<TenantId>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let len = rng.random_range(1..12);
        let first = ledger.next.fetch_add(len, Ordering::Relaxed);
        let batch = Batch {
            tenant: tenants[rng.random_range(0..tenants.len())].clone(),
            logs: rng.random_bool(0.4),
            numbers: (first..first + len).collect(),
            acknowledged: false,
        };
        let at = {
            let mut batches = ledger.batches.lock().unwrap();
            batches.push(batch.clone());
            batches.len() - 1
        };
        match write(&storage, &batch).await {
            Ok(()) => ledger.batches.lock().unwrap()[at].acknowledged = true,
            Err(_) => return,
        }
        if rng.random_bool(0.1) {
            tokio::time::sleep(Duration::from_micros(rng.random_range(0..2000))).await;
        }
    }
}

/// Reads while others write and flush: what was acknowledged before a read began is in it, once. Ends at the crash.
async fn reader(
    storage: Storage,
    ledger: Arc<Ledger>,
    tenants: Vec<TenantId>,
    crashed: Arc<AtomicBool>,
    may_fail: bool,
) -> Option<String> {
    for tenant in tenants.iter().cycle() {
        let before: Vec<Batch> = {
            let batches = ledger.batches.lock().unwrap();
            batches
                .iter()
                .filter(|b| b.acknowledged && b.tenant == *tenant)
                .cloned()
                .collect()
        };
        let found = try_numbers_of(&storage, tenant).await;
        if crashed.load(Ordering::SeqCst) {
            return None;
        }
        let found = match found {
            Ok(found) => found,
            Err(_) if may_fail => continue,
            Err(error) => return Some(format!("a read failed: {error}")),
        };
        if let Some((number, times)) = found.iter().find(|(_, times)| **times != 1) {
            return Some(format!("row {number} was read {times} times"));
        }
        let lost = before.iter().flat_map(|b| &b.numbers).find(|n| !found.contains_key(n));
        if let Some(number) = lost {
            return Some(format!("row {number} was acknowledged and not read"));
        }
        ledger.reads.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

async fn flusher(storage: Storage, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..20_000))).await;
        // A failed flush keeps its rows; what it does is seen in what comes back.
        let _ = storage.flush().await;
    }
}

/// The numbers that a tenant's reads give, each with how often.
async fn numbers_of(storage: &Storage, tenant: &TenantId) -> BTreeMap<u64, u32> {
    try_numbers_of(storage, tenant).await.unwrap()
}

async fn try_numbers_of(storage: &Storage, tenant: &TenantId) -> garner_storage::Result<BTreeMap<u64, u32>> {
    let mut found = BTreeMap::new();
    for (labels, time, value) in read_samples(storage, tenant, &[], TimeRange::ALL).await? {
        let number = value as u64;
        assert_eq!((labels, time), row(number), "sample {number}");
        *found.entry(number).or_default() += 1;
    }
    for entry in read_entries(storage, tenant, &[], TimeRange::ALL).await? {
        let number: u64 = entry.metadata.get("number").unwrap().parse().unwrap();
        assert_eq!((entry.stream, entry.time), row(number), "entry {number}");
        assert_eq!(entry.line, format!("line {number}").as_bytes());
        *found.entry(number).or_default() += 1;
    }
    Ok(found)
}

/// Compares what can be read with what was acknowledged; batches that are neither get settled by what is there.
async fn check(storage: &Storage, ledger: &Ledger, tenants: &[TenantId], lossy: bool, round: u64) {
    let mut expected: BTreeMap<&TenantId, BTreeSet<u64>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for tenant in tenants {
        let numbers = numbers_of(storage, tenant).await;
        assert!(
            numbers.values().all(|times| *times == 1),
            "round {round}: a row of {tenant} is there twice"
        );
        found.insert(tenant, numbers.into_keys().collect::<BTreeSet<u64>>());
        expected.insert(tenant, BTreeSet::new());
    }
    let mut batches = ledger.batches.lock().unwrap();
    batches.retain_mut(|batch| {
        let tenant = tenants.iter().find(|t| **t == batch.tenant).unwrap();
        let present = batch.numbers.iter().filter(|n| found[tenant].contains(n)).count();
        let whole = present == batch.numbers.len();
        assert!(whole || present == 0, "round {round}: {present} rows of {batch:?}");
        assert!(whole || lossy || !batch.acknowledged, "round {round}: lost {batch:?}");
        batch.acknowledged = whole;
        if whole {
            expected.get_mut(tenant).unwrap().extend(&batch.numbers);
        }
        whole
    });
    for tenant in tenants {
        assert!(
            found[tenant] == expected[tenant],
            "round {round}: {tenant} has rows nobody wrote"
        );
    }
    let stored: usize = expected.values().map(BTreeSet::len).sum();
    let stats = storage.stats();
    let kept = stats.segment_rows + stats.head_rows[0] + stats.head_rows[1];
    assert_eq!(
        kept, stored as u64,
        "round {round}: rows are kept once, not only read once: {stats:?}"
    );
}

/// One run: how it writes and what goes wrong.
struct Run {
    seed: u64,
    rounds: u64,
    sync: WalSync,
    /// Half of the crashes are power losses.
    power_loss: bool,
    faults: Faults,
}

/// Runs rounds of writing and crashing on one disk and bucket.
fn run(run: Run) {
    let Run {
        seed,
        rounds,
        sync,
        power_loss,
        faults,
    } = run;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fixture = StoreFixture::new(seed);
    fixture.config.wal_sync = sync;
    fixture.config.wal_file_bytes = 20_000;
    fixture.local_objects = true;
    fixture.disk.set_sync_delay(Duration::from_micros(1500));
    let lossy = power_loss && sync != WalSync::Always;
    let tenants: Vec<TenantId> = ["a", "b", "c"].iter().map(|t| TenantId::new(t).unwrap()).collect();
    let ledger = Arc::new(Ledger::default());
    let (mut torn, mut replayed, mut in_flush) = (0, 0, 0);
    for round in 0..=rounds {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        fixture.seed = rng.random();
        fixture.fail_points = FailPoints::default();
        let crash_in_flush = rng.random_bool(0.5);
        runtime.block_on(async {
            let (storage, store) = fixture.open_faulty().await.unwrap();
            let replay = storage.stats().replay;
            torn += u64::from(replay.torn_bytes > 0);
            replayed += replay.rows;
            check(&storage, &ledger, &tenants, lossy, round).await;
            if round == rounds {
                storage.close(Duration::from_secs(60)).await.unwrap();
                return;
            }
            if crash_in_flush {
                let point = FailPoints::FLUSH[rng.random_range(0..FailPoints::FLUSH.len())];
                fixture
                    .fail_points
                    .arm(point, rng.random_range(0..3), FailAction::Stall);
            }
            store.set_faults(faults);
            for _ in 0..WRITERS {
                tokio::spawn(writer(storage.clone(), ledger.clone(), tenants.clone(), rng.random()));
            }
            tokio::spawn(flusher(storage.clone(), rng.random()));
            let crashed = Arc::new(AtomicBool::new(false));
            let reads = tokio::spawn(reader(
                storage.clone(),
                ledger.clone(),
                tenants.clone(),
                crashed.clone(),
                faults != Faults::default(),
            ));
            let moment = Duration::from_micros(rng.random_range(0..40_000));
            if crash_in_flush {
                let reached = tokio::time::timeout(Duration::from_secs(5), fixture.fail_points.reached()).await;
                in_flush += u64::from(reached.is_ok());
                tokio::time::sleep(moment / 10).await;
            } else {
                tokio::time::sleep(moment).await;
            }
            crashed.store(true, Ordering::SeqCst);
            if power_loss && rng.random_bool(0.5) {
                fixture.disk.power_loss();
            } else {
                fixture.disk.crash();
            }
            let complaint = tokio::time::timeout(Duration::from_secs(5), reads).await;
            if let Ok(complaint) = complaint {
                assert_eq!(complaint.unwrap(), None, "round {round}");
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
    let stored = ledger
        .batches
        .lock()
        .unwrap()
        .iter()
        .map(|b| b.numbers.len())
        .sum::<usize>();
    let reads = ledger.reads.load(Ordering::Relaxed);
    println!(
        "seed {seed}: {rounds} crashes, {in_flush} inside a flush, {reads} reads beside writes, {stored} rows kept, {replayed} replayed, {torn} torn tails"
    );
    assert!(stored > 100 && replayed > 0 && in_flush > 0 && reads > 0);
}

fn run_of(seed: u64) -> Run {
    Run {
        seed: number("TEST_CRASH_SEED", seed),
        rounds: number("TEST_CRASH_ROUNDS", 50),
        sync: WalSync::Always,
        power_loss: false,
        faults: Faults::default(),
    }
}

#[test]
fn everything_acknowledged_survives_the_death_of_the_process() {
    run(run_of(1));
}

#[test]
fn everything_acknowledged_survives_power_losses() {
    run(Run {
        power_loss: true,
        ..run_of(2)
    });
}

#[test]
fn with_interval_sync_the_death_of_the_process_loses_nothing_and_a_power_loss_no_consistency() {
    let sync = WalSync::Interval(Duration::from_millis(5));
    run(Run {
        sync,
        rounds: 15,
        ..run_of(3)
    });
    run(Run {
        sync,
        rounds: 15,
        power_loss: true,
        ..run_of(4)
    });
}

#[test]
fn a_failing_object_store_and_crashes_together_lose_nothing() {
    let faults = Faults {
        refused: 0.2,
        answer_lost: 0.2,
    };
    run(Run {
        faults,
        power_loss: true,
        rounds: 25,
        ..run_of(5)
    });
}
