//! How the engine runs a query: behind the gate, and in bounded time.

use std::future::Future;
use std::time::Duration;

use garner_storage::model::{TenantId, Timestamp};

use crate::engine::{Engine, nanos, timed_out};
use crate::error::{QueryError, QueryErrorKind};

/// Loki's text (`pkg/queue`, `ErrTooManyRequests`).
const TOO_MANY: &str = "too many outstanding requests";

tokio::task_local! {
    /// Set while a query has its turn.
    static IN_TURN: ();
}

/// What a query that runs now knows of its turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How long it waited, nanoseconds.
    pub waited_ns: u64,
    /// When it began to run.
    pub started_ns: Timestamp,
    /// When its time is over, the wait counted.
    pub deadline_ns: Timestamp,
}

impl Engine {
    /// Runs `work` when it is the tenant's turn, at most `timeout` (and the engine's own) from now on, the wait counted.
    /// Dropping the future leaves the queue, or cancels the work. A query over several tenants waits as the first of them.
    ///
    /// Everything that reads rows, or every label set of a selector, goes through here, once a request: work that asks for
    /// another turn is refused, since with enough of its like none would ever get one.
    pub async fn in_turn<T, E, F>(
        &self,
        tenant: &TenantId,
        timeout: Option<Duration>,
        work: impl FnOnce(Turn) -> F,
    ) -> Result<T, E>
    where
        E: From<QueryError>,
        F: Future<Output = Result<T, E>>,
    {
        if IN_TURN.try_with(|()| ()).is_ok() {
            return Err(QueryError::internal("a query that has its turn asked for another one").into());
        }
        let timeout = self.timeout(timeout);
        let deadline_ns = self.now_ns().saturating_add(nanos(timeout));
        let permit = match tokio::time::timeout(timeout, self.gate().enter(tenant)).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(QueryError::new(QueryErrorKind::TooMany, TOO_MANY).into()),
            Err(_) => {
                self.gate().count_timeout();
                return Err(timed_out("query queue").into());
            }
        };
        let turn = Turn {
            waited_ns: permit.waited_ns(),
            started_ns: self.now_ns(),
            deadline_ns,
        };
        let left = turn.left(turn.started_ns);
        match tokio::time::timeout(left, IN_TURN.scope((), work(turn))).await {
            Ok(done) => done,
            Err(_) => Err(timed_out("query execution").into()),
        }
    }
}

impl Turn {
    /// What is left of its time.
    pub fn left(&self, now_ns: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(self.deadline_ns.saturating_sub(now_ns)).unwrap_or(0))
    }
}
