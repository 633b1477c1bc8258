//! What the gate did since the start, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// Upper bounds of the histogram of waiting times, nanoseconds; the last bucket has none.
pub const WAIT_BOUNDS_NS: [u64; 9] = [
    MILLI,
    10 * MILLI,
    100 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// A snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounts {
    /// Queries that run now.
    pub running: usize,
    /// Queries that wait now.
    pub waiting: usize,
    /// Queries let in, by how long they waited: not cumulative, the last one beyond every bound.
    pub waits: [u64; WAIT_BOUNDS_NS.len() + 1],
    /// Nanoseconds that they waited.
    pub waited_ns: u64,
    /// Queries turned away since the queue was full.
    pub queue_full: u64,
    /// Queries whose time ran out while they waited.
    pub timed_out: u64,
    /// Queries whose client left while they waited.
    pub left: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    waits: [AtomicU64; WAIT_BOUNDS_NS.len() + 1],
    waited_ns: AtomicU64,
    queue_full: AtomicU64,
    timed_out: AtomicU64,
    /// Those that left the queue before their turn, for whatever reason.
    gave_up: AtomicU64,
}

impl Counters {
    pub fn admitted(&self, waited_ns: u64) {
        let bucket = WAIT_BOUNDS_NS.partition_point(|bound| *bound < waited_ns);
        self.waits[bucket].fetch_add(1, Ordering::Relaxed);
        self.waited_ns.fetch_add(waited_ns, Ordering::Relaxed);
    }

    pub fn queue_full(&self) {
        self.queue_full.fetch_add(1, Ordering::Relaxed);
    }

    pub fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub fn gave_up(&self) {
        self.gave_up.fetch_add(1, Ordering::Relaxed);
    }

    pub fn snapshot(&self, running: usize, waiting: usize) -> GateCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let timed_out = read(&self.timed_out);
        GateCounts {
            running,
            waiting,
            waits: std::array::from_fn(|bucket| read(&self.waits[bucket])),
            waited_ns: read(&self.waited_ns),
            queue_full: read(&self.queue_full),
            timed_out,
            left: read(&self.gave_up).saturating_sub(timed_out),
        }
    }
}
