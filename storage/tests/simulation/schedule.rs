//! One schedule: some lives of a store, each ended by a crash, on one disk and one bucket; then everything is checked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use garner_storage::FailAction;
use garner_storage::FailPoints;
use garner_storage::engine::WalThread;
use garner_storage::model::{LabelMatcher, MatchOp, Signal, TenantId};
use garner_storage::retention::{RetentionRules, RetentionSettings, StreamRule};
use garner_storage::testing::{Faults, StoreFixture};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::actors::{CANCEL_PERIOD, CAST, DELETION_GRACE, World, act, check};
use crate::ledger::{Ledger, RETENTION_B, RETENTION_SHORT, SHORT_SERIES};

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub appends: u64,
    pub reads: u64,
    pub flushes: u64,
    pub merges: u64,
    pub cleanings: u64,
    pub deletes: u64,
    pub cancels: u64,
    pub crashes: u64,
    pub power_losses: u64,
    pub crashes_at_fail_points: u64,
    pub faults: u64,
    pub replayed_rows: u64,
}

impl Tally {
    fn counts(&self) -> [u64; 12] {
        [
            self.appends,
            self.reads,
            self.flushes,
            self.merges,
            self.cleanings,
            self.deletes,
            self.cancels,
            self.crashes,
            self.power_losses,
            self.crashes_at_fail_points,
            self.faults,
            self.replayed_rows,
        ]
    }

    pub fn add(&mut self, other: &Tally) {
        self.appends += other.appends;
        self.reads += other.reads;
        self.flushes += other.flushes;
        self.merges += other.merges;
        self.cleanings += other.cleanings;
        self.deletes += other.deletes;
        self.cancels += other.cancels;
        self.crashes += other.crashes;
        self.power_losses += other.power_losses;
        self.crashes_at_fail_points += other.crashes_at_fail_points;
        self.faults += other.faults;
        self.replayed_rows += other.replayed_rows;
    }

    pub fn assert_everything_happened(&self) {
        assert!(self.counts().iter().all(|count| *count > 0), "{self:?}");
    }
}

fn fixture(seed: u64) -> StoreFixture {
    let mut fixture = StoreFixture::new(seed);
    fixture.config.wal_thread = WalThread::Caller;
    fixture.config.wal_file_bytes = 2_000;
    fixture.config.background_upkeep = false;
    fixture.config.deletion_grace = DELETION_GRACE;
    // Every other life reads through a cache, so small that pieces leave it all the time. foyer's memory runs no tasks and
    // reads no clock that would matter; its disk half cannot be simulated.
    if seed.is_multiple_of(2) {
        fixture.config.piece_cache.memory_bytes = 64 << 10;
    }
    let short = StreamRule {
        matchers: vec![LabelMatcher::new("__name__", MatchOp::Equal, SHORT_SERIES).unwrap()],
        priority: 1,
        period: RETENTION_SHORT,
    };
    let rules = RetentionRules {
        period: RETENTION_B,
        streams: vec![short],
    };
    let mut retention = RetentionSettings::default();
    let tenant = TenantId::new("b").unwrap();
    retention.tenants.insert(tenant, [rules.clone(), rules]);
    fixture.config.retention = Arc::new(retention);
    fixture
}

fn fail_points() -> Vec<&'static str> {
    let lists: [&[&str]; 4] = [
        &FailPoints::FLUSH,
        &FailPoints::DELETE,
        &FailPoints::COMPACT,
        &FailPoints::CLEAN,
    ];
    lists.concat()
}

/// Runs the schedule of `seed`; panics with what went wrong.
pub fn run(seed: u64) -> Tally {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fixture = fixture(seed);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let tally = Arc::new(Mutex::new(Tally::default()));
    for _ in 0..rng.random_range(1..4) {
        life(&mut fixture, &mut rng, &ledger, &tally);
    }
    fixture.seed = rng.random();
    fixture.fail_points = FailPoints::default();
    with_runtime(async {
        let (storage, _) = fixture.open_faulty().await.unwrap();
        let world = World {
            storage,
            clock: fixture.clock.clone(),
            ledger: ledger.clone(),
            tally: tally.clone(),
            complaint: Arc::default(),
            faulty: false,
        };
        tally.lock().unwrap().replayed_rows += world.storage.stats().replay.rows;
        check_all(&world, "after the last crash").await;
        world.storage.flush().await.unwrap();
        check_all(&world, "after a flush").await;
        world.storage.compact_all().await.unwrap();
        check_all(&world, "after compaction").await;
        // Past every grace and cancel period: deletes are carried out, objects go.
        fixture.clock.advance(CANCEL_PERIOD * 2);
        world.storage.compact_all().await.unwrap();
        while world.storage.sweep_once().await.unwrap().is_some() {}
        fixture.clock.advance(CANCEL_PERIOD * 2);
        world.storage.compact_all().await.unwrap();
        check_all(&world, "after everything was carried out").await;
        world.storage.close(Duration::from_secs(60)).await.unwrap();
    });
    tally.lock().unwrap().clone()
}

fn with_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work);
    // What still runs belongs to a process that is gone.
    runtime.shutdown_background();
}

async fn check_all(world: &World, when: &str) {
    for tenant in ["a", "b"] {
        for signal in [Signal::Metrics, Signal::Logs] {
            let tenant = TenantId::new(tenant).unwrap();
            let complaint = check(world, &tenant, signal).await.unwrap();
            assert_eq!(complaint, None, "{when}");
        }
    }
}

/// One life of the store: it is opened, everybody works at it, and it crashes.
fn life(fixture: &mut StoreFixture, rng: &mut StdRng, ledger: &Arc<Mutex<Ledger>>, tally: &Arc<Mutex<Tally>>) {
    fixture.seed = rng.random();
    fixture.fail_points = FailPoints::default();
    let armed = rng.random_bool(0.5);
    if armed {
        let points = fail_points();
        let point = points[rng.random_range(0..points.len())];
        let action = if rng.random_bool(0.7) {
            FailAction::Stall
        } else {
            FailAction::Fail
        };
        fixture.fail_points.arm(point, rng.random_range(0..2), action);
    }
    let faults = match rng.random_range(0..3) {
        0 => Faults::default(),
        1 => Faults {
            refused: 0.05,
            answer_lost: 0.05,
        },
        _ => Faults {
            refused: 0.25,
            answer_lost: 0.2,
        },
    };
    let power_loss = rng.random_bool(0.5);
    let latency = Duration::from_micros([0, 500, 20_000][rng.random_range(0..3)]);
    let lasts = Duration::from_micros(rng.random_range(20_000..600_000));
    with_runtime(async {
        let (storage, store) = fixture.open_faulty().await.unwrap();
        let world = World {
            storage,
            clock: fixture.clock.clone(),
            ledger: ledger.clone(),
            tally: tally.clone(),
            complaint: Arc::default(),
            faulty: faults != Faults::default(),
        };
        tally.lock().unwrap().replayed_rows += world.storage.stats().replay.rows;
        check_all(&world, "after a crash").await;
        store.set_faults(faults);
        store.set_latency(latency);
        for actor in CAST {
            let turns = rng.random_range(1..10);
            tokio::spawn(act(actor, world.clone(), rng.random(), turns));
        }
        let reached = tokio::time::timeout(lasts, fixture.fail_points.reached()).await.is_ok();
        if power_loss {
            fixture.disk.power_loss();
        } else {
            fixture.disk.crash();
        }
        ledger.lock().unwrap().crash();
        let complaint = world.complaint.lock().unwrap().clone();
        assert_eq!(complaint, None, "while the store was at work");
        let mut tally = tally.lock().unwrap();
        tally.crashes += 1;
        tally.power_losses += u64::from(power_loss);
        tally.crashes_at_fail_points += u64::from(reached);
        tally.faults += store.injected();
    });
}
