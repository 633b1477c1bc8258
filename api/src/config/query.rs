//! `[query]`: how many queries run at once, and how many wait.

use garner_query::admission::GateLimits;

use super::error::ConfigError;
use super::reader::{COUNT, Reader};

/// Fewest queries at once where none are set: a machine with one or two cores still answers a small query beside large
/// ones, and reads of some overlap with the work of others.
const LEAST_CONCURRENT: usize = 4;

/// The resolved group.
#[derive(Clone, Copy, Debug)]
pub struct QuerySettings {
    /// `query.max_concurrent`; 0 means by the number of threads.
    pub max_concurrent: usize,
    /// `query.max_queued`
    pub max_queued: usize,
}

impl QuerySettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(QuerySettings {
            max_concurrent: from.get(
                "query.max_concurrent",
                &COUNT,
                "0",
                "Queries of both languages and other reads of rows that run at once; the others wait, tenants in turn. 0 means \
                 two for each of `server.query_threads`, at least 4. More make each other slower and need more memory \
                 (Loki: `querier.max_concurrent`, Prometheus: `query.max-concurrency`).",
            )?,
            max_queued: from.get(
                "query.max_queued",
                &COUNT,
                "2048",
                "Queries that may wait, of all tenants together. When all places are taken, the newest query of the tenant \
                 that has most of them is answered 429 (503 in Prometheus' API); waiting counts as part of \
                 `limits.query_timeout` (Loki: `max_outstanding_per_tenant`).",
            )?,
        })
    }

    /// The gate's limits with so many threads for queries.
    pub fn gate(&self, threads: usize) -> GateLimits {
        GateLimits {
            max_concurrent: match self.max_concurrent {
                0 => (2 * threads).max(LEAST_CONCURRENT),
                set => set,
            },
            max_queued: self.max_queued,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_decide_where_nothing_is_set() {
        let at_once = |max_concurrent, threads| {
            let settings = QuerySettings {
                max_concurrent,
                max_queued: 7,
            };
            settings.gate(threads).max_concurrent
        };
        assert_eq!([at_once(0, 1), at_once(0, 2), at_once(0, 8)], [4, 4, 16]);
        assert_eq!([at_once(1, 8), at_once(20, 1)], [1, 20]);
    }
}
