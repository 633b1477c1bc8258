//! The engine: text and times in, an answer out. Parses, lowers, builds the physical plan and runs it on the caller's runtime.

use std::sync::Arc;
use std::time::Duration;

use garner_storage::clock::SharedClock;
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{TenantId, Timestamp};
use garner_storage::scan::StoreReader;

use crate::error::QueryError;
use crate::output::QueryOutput;

/// What bounds a query.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most bytes that one query may hold.
    pub max_query_memory_bytes: u64,
    /// Most steps of a range query, as in Prometheus (web/api/v1, 11,000).
    pub max_points_per_series: u32,
    /// Most samples that one query may read; 0 means that only memory bounds it.
    pub max_samples: u64,
    /// How long a query may run.
    pub timeout: Duration,
    /// How far back an instant selector looks.
    pub lookback_delta: Duration,
    /// Step of a subquery that names none.
    pub default_subquery_step: Duration,
    /// In how many partitions a large plan runs.
    pub target_partitions: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            max_query_memory_bytes: 1 << 30,
            max_points_per_series: 11_000,
            max_samples: 0,
            timeout: Duration::from_secs(120),
            lookback_delta: Duration::from_secs(300),
            default_subquery_step: Duration::from_secs(60),
            target_partitions: 2,
        }
    }
}

/// What one request may change of the engine's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryOptions {
    /// A shorter timeout.
    pub timeout: Option<Duration>,
    /// Another lookback.
    pub lookback_delta: Option<Duration>,
}

/// Answers queries of all tenants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
#[allow(dead_code)]
struct Inner {
    reader: Arc<dyn StoreReader>,
    accountant: MemoryAccountant,
    limits: EngineLimits,
    clock: SharedClock,
}

impl Engine {
    /// An engine over a store.
    pub fn new(
        reader: Arc<dyn StoreReader>,
        accountant: MemoryAccountant,
        limits: EngineLimits,
        clock: SharedClock,
    ) -> Self {
        Engine(Arc::new(Inner {
            reader,
            accountant,
            limits,
            clock,
        }))
    }

    /// The limits in force.
    pub fn limits(&self) -> &EngineLimits {
        &self.0.limits
    }

    /// A PromQL query at one time. Dropping the future cancels the query.
    pub async fn promql_instant(
        &self,
        tenant: &TenantId,
        text: &str,
        time_ns: Timestamp,
        options: QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        let _ = (tenant, text, time_ns, options);
        Err(QueryError::internal("PromQL is not connected yet"))
    }

    /// A PromQL query at `start_ns`, `start_ns + step_ns`, … up to and including `end_ns`. Dropping the future cancels the
    /// query.
    pub async fn promql_range(
        &self,
        tenant: &TenantId,
        text: &str,
        start_ns: Timestamp,
        end_ns: Timestamp,
        step_ns: i64,
        options: QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        let _ = (tenant, text, start_ns, end_ns, step_ns, options);
        Err(QueryError::internal("PromQL is not connected yet"))
    }
}
