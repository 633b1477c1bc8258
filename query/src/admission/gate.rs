//! [`Gate`]: lets so many queries run at once, the others in turn.

use std::sync::Arc;

use garner_storage::clock::SharedClock;
use garner_storage::model::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::counts::{Counters, GateCounts};
use super::turns::{Ticket, Turns};

/// What bounds the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Queries that run at once, at least 1.
    pub max_concurrent: usize,
    /// Queries that wait, of all tenants together.
    pub max_queued: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        GateLimits {
            max_concurrent: 4,
            max_queued: 2048,
        }
    }
}

/// The queue was full, and no tenant had more waiting than this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway;

/// The gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: GateLimits,
    clock: SharedClock,
    state: Mutex<State>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    /// Permits that are out, those on their way to who waited for one included.
    running: usize,
    waiting: Turns<TenantId, oneshot::Sender<Permit>>,
}

/// Leave to run, given back when dropped: whoever is next has it in the same moment.
#[derive(Debug)]
pub struct Permit {
    /// `None` once it was handed on.
    gate: Option<Arc<Shared>>,
    /// How long its query waited.
    waited_ns: u64,
}

impl Gate {
    /// An open gate.
    pub fn new(limits: GateLimits, clock: SharedClock) -> Self {
        let limits = GateLimits {
            max_concurrent: limits.max_concurrent.max(1),
            ..limits
        };
        Gate(Arc::new(Shared {
            limits,
            clock,
            state: Mutex::default(),
            counters: Counters::default(),
        }))
    }

    /// Waits for this query's turn. Dropping the future leaves the queue at once. Whoever holds a [`Permit`] must not wait
    /// here for another one: when all do, none gets any.
    pub async fn enter(&self, tenant: &TenantId) -> Result<Permit, TurnedAway> {
        let shared = &self.0;
        let arrived_ns = shared.clock.now();
        let (place, turn) = {
            let mut state = shared.state.lock();
            if state.running < shared.limits.max_concurrent {
                // A permit is never free while somebody waits: it is handed on, not given back.
                state.running += 1;
                drop(state);
                shared.counters.admitted(0);
                return Ok(Permit::of(shared));
            }
            if state.waiting.len() >= shared.limits.max_queued {
                let Some(displaced) = state.waiting.make_place(tenant) else {
                    shared.counters.queue_full();
                    return Err(TurnedAway);
                };
                // Dropping its sender tells it.
                drop(displaced);
            }
            let (sender, turn) = oneshot::channel();
            let ticket = state.waiting.push(tenant, sender);
            let place = Place { shared, tenant, ticket };
            (place, turn)
        };
        let permit = turn.await;
        // Nobody finds the place any more.
        std::mem::forget(place);
        let Ok(mut permit) = permit else {
            shared.counters.queue_full();
            return Err(TurnedAway);
        };
        permit.waited_ns = u64::try_from(shared.clock.now().saturating_sub(arrived_ns)).unwrap_or(0);
        shared.counters.admitted(permit.waited_ns);
        Ok(permit)
    }

    /// Counts a query whose time ran out in the queue.
    pub(super) fn count_timeout(&self) {
        self.0.counters.timed_out();
    }

    /// What it does and did.
    pub fn counts(&self) -> GateCounts {
        let (running, waiting) = {
            let state = self.0.state.lock();
            (state.running, state.waiting.len())
        };
        self.0.counters.snapshot(running, waiting)
    }
}

impl Permit {
    fn of(shared: &Arc<Shared>) -> Permit {
        Permit {
            gate: Some(Arc::clone(shared)),
            waited_ns: 0,
        }
    }

    /// How long its query waited for it.
    pub fn waited_ns(&self) -> u64 {
        self.waited_ns
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.gate.take() {
            shared.hand_on();
        }
    }
}

impl Shared {
    /// Gives a permit that came back to who is next.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                match state.waiting.pop() {
                    Some(next) => next,
                    None => {
                        state.running -= 1;
                        return;
                    }
                }
            };
            match next.send(Permit::of(self)) {
                Ok(()) => return,
                // It left between the two steps; the permit is still here.
                Err(mut unwanted) => unwanted.gate = None,
            }
        }
    }
}

/// A place in the queue, left when dropped.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    tenant: &'a TenantId,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().waiting.remove(self.tenant, self.ticket);
        self.shared.counters.gave_up();
    }
}
