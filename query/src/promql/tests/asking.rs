//! How the tests of the language ask: a store, what the engine is set to, a query and its times.

use std::sync::Arc;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::TenantId;

use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::error::QueryError;
use crate::output::QueryOutput;
use crate::testing::{TestClock, TestStore};

/// When a query is evaluated, in nanoseconds.
#[derive(Clone, Copy)]
pub(in crate::promql) enum At {
    Time(i64),
    Range { start: i64, end: i64, step: i64 },
}

pub(in crate::promql) fn ask(
    store: TestStore,
    limits: EngineLimits,
    query: &str,
    at: At,
) -> Result<QueryOutput, QueryError> {
    let accountant = MemoryAccountant::new(1 << 30);
    let engine = Engine::new(store.reader(), accountant, limits, Arc::new(TestClock(0)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (tenant, options) = (TenantId::new("t").unwrap(), QueryOptions::default());
    // On the heap: the deepest queries leave a test thread little of its stack.
    match at {
        At::Time(time) => runtime.block_on(Box::pin(engine.promql_instant(&tenant, query, time, options))),
        At::Range { start, end, step } => {
            runtime.block_on(Box::pin(engine.promql_range(&tenant, query, start, end, step, options)))
        }
    }
}
