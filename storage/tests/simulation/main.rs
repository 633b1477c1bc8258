//! The whole store in a simulation: writers, readers, flush, compaction, retention, deletes, passing time, a faulty object
//! store, crashes and power losses, interleaved by one seed.
//!
//! `schedule` runs one seed, `actors` do the work, `ledger` knows what every read must, must not and may find. Time is
//! virtual: it moves on only where every actor waits. The WAL is written on its caller's thread; what still runs beside
//! (replay, the building of an object) holds the virtual time up, so that a seed decides all but the order of what happens
//! at one and the same moment.
//!
//! `TEST_SIMULATION_SCHEDULES` sets how many seeds are run, `TEST_SIMULATION_SEED` the first: a failure names its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod actors;
mod ledger;
mod schedule;

use schedule::{Tally, run};

/// Schedules of a run where the environment names no other number, over all four tests.
const SCHEDULES: u64 = 1_000;
/// Tests that share the schedules, so that they use more than one core.
const SHARDS: u64 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn shard(shard: u64) {
    let (first, schedules) = (
        number("TEST_SIMULATION_SEED", 1),
        number("TEST_SIMULATION_SCHEDULES", SCHEDULES),
    );
    let mut tally = Tally::default();
    for seed in (first..first + schedules).filter(|seed| seed % SHARDS == shard) {
        let outcome = std::panic::catch_unwind(|| run(seed));
        match outcome {
            Ok(done) => tally.add(&done),
            Err(panic) => {
                println!(
                    "simulation: seed {seed} failed; TEST_SIMULATION_SEED={seed} TEST_SIMULATION_SCHEDULES=1 runs it again"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("simulation, part {shard}: {tally:?}");
    // A simulation in which something never happens would prove nothing about it.
    if schedules >= SCHEDULES {
        tally.assert_everything_happened();
    }
}

#[test]
fn nothing_is_lost_or_doubled_part_0() {
    shard(0);
}

#[test]
fn nothing_is_lost_or_doubled_part_1() {
    shard(1);
}

#[test]
fn nothing_is_lost_or_doubled_part_2() {
    shard(2);
}

#[test]
fn nothing_is_lost_or_doubled_part_3() {
    shard(3);
}
