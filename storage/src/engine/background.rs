//! The task that flushes by age, size, memory and WAL size.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::lane::Lane;
use super::round::{Selection, flush_round};
use super::shared::Shared;
use super::stats::Readiness;
use crate::memory::MemoryUse;
use crate::model::{Signal, Timestamp};

/// How often the task looks, besides when it is woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waits after failed rounds double from `LOOK_EVERY` up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Starts the task. It ends with the store.
pub(super) fn start(shared: &Arc<Shared>) {
    let wake = shared.wake.clone();
    let weak = Arc::downgrade(shared);
    shared.components.background.spawn(run(weak, wake));
}

/// Holds the store only while it works, so that a store that is dropped without close goes.
async fn run(shared: Weak<Shared>, wake: Arc<Notify>) {
    let mut wait = LOOK_EVERY;
    loop {
        // After a failed round appends that fail must not make the next one come sooner.
        if wait > LOOK_EVERY {
            tokio::time::sleep(wait).await;
        } else {
            drop(tokio::time::timeout(wait, wake.notified()).await);
        }
        let Some(shared) = shared.upgrade() else { return };
        if *shared.readiness.borrow() != Readiness::Ready {
            return;
        }
        let unfinished = shared.all_lanes().iter().any(|lane| !lane.view().sealed.is_empty());
        let due = due_lanes(&shared);
        if due.is_empty() && !unfinished {
            wait = LOOK_EVERY;
            continue;
        }
        wait = match flush_round(&shared, Selection::Lanes(due)).await {
            Ok(_) => LOOK_EVERY,
            Err(_) => (wait * 2).min(MAX_BACKOFF),
        };
    }
}

/// Bytes that heads may take before they are flushed early.
pub(super) fn head_memory_target(shared: &Shared) -> u64 {
    (shared.components.accountant.limit_bytes() as f64 * shared.config.head_memory_share) as u64
}

/// Lanes whose open head should be sealed now.
fn due_lanes(shared: &Shared) -> Vec<Arc<Lane>> {
    let now = shared.components.clock.now();
    let lanes = shared.all_lanes();
    let mut due: Vec<Arc<Lane>> = lanes.iter().filter(|l| is_due(shared, l, now, 1)).cloned().collect();
    due.extend(under_memory_pressure(shared, &lanes));
    due.extend(holding_back_wal(shared));
    if !due.is_empty() {
        // What is due soon goes along: it shares the object and the commit.
        due.extend(lanes.iter().filter(|l| is_due(shared, l, now, 2)).cloned());
    }
    due.sort_unstable_by_key(|lane| Arc::as_ptr(lane) as usize);
    due.dedup_by_key(|lane| Arc::as_ptr(lane) as usize);
    due
}

/// Whether the head reached 1/`fraction` of what it may be.
fn is_due(shared: &Shared, lane: &Lane, now: Timestamp, fraction: u64) -> bool {
    let config = &shared.config;
    let head = lane.view().open.clone();
    let stats = head.stats();
    let (max_age, bytes, max_bytes) = match lane.signal {
        Signal::Metrics => (config.metrics_flush_age, stats.memory_bytes, config.metrics_flush_bytes),
        Signal::Logs => (config.logs_flush_age, stats.line_bytes, config.logs_flush_bytes),
    };
    let older = |since: Timestamp, by: Duration| {
        u128::try_from(i128::from(now) - i128::from(since)).is_ok_and(|age| age >= by.as_nanos())
    };
    match stats.since {
        Some(since) => older(since, max_age / fraction as u32) || bytes >= max_bytes / fraction,
        // An idle lane's seal frees the series that nothing has written to for two heads.
        None => fraction == 1 && !head.index().is_empty() && older(lane.opened_at(), max_age * 2),
    }
}

/// The largest heads, until the rest is well below what heads may take.
fn under_memory_pressure(shared: &Shared, lanes: &[Arc<Lane>]) -> Vec<Arc<Lane>> {
    let target = head_memory_target(shared);
    let used = shared.components.accountant.used_bytes(MemoryUse::Head);
    if used <= target {
        return Vec::new();
    }
    let mut by_size: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.view().open.stats(), lane))
        .filter(|(stats, _)| stats.rows > 0)
        .map(|(stats, lane)| (stats.memory_bytes, lane))
        .collect();
    by_size.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let mut excess = used - target / 2;
    let mut chosen = Vec::new();
    for (bytes, lane) in by_size {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(bytes);
        chosen.push(lane.clone());
    }
    chosen
}

/// Lanes that keep the oldest WAL file, where the log is larger than it should be.
fn holding_back_wal(shared: &Shared) -> Vec<Arc<Lane>> {
    let Some(wal) = shared
        .wal
        .get()
        .filter(|wal| wal.size().1 > shared.config.wal_max_bytes)
    else {
        return Vec::new();
    };
    let lanes = wal.oldest_lanes(&|lane| shared.committed(lane));
    lanes
        .iter()
        .filter_map(|(tenant, signal)| shared.lane(tenant, *signal))
        .collect()
}
