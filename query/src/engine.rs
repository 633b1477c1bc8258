//! The engine: text and times in, an answer out. Parses, lowers, builds the physical plan and runs it on the caller's runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion_execution::TaskContext;
use garner_storage::clock::SharedClock;
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{TenantId, Timestamp};
use garner_storage::scan::{ScanContext, StoreReader};

use crate::admission::{Gate, GateCounts, GateLimits, Turn};
use crate::annotations::render;
use crate::context::{PromqlSettings, QueryContext, QueryContextParts};
use crate::error::{QueryError, QueryErrorKind};
use crate::output::{QueryOutput, QueryStats};
use crate::plan::{Steps, VectorPlan};
use crate::promql::{self, LowerRequest, ParseOptions};
use crate::results::{AskedTimes, Language, ResultCache, ResultCounts, ResultKey};
use crate::run::{SharedRuntime, run_plan};

/// What bounds a query.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most bytes that one query may hold.
    pub max_query_memory_bytes: u64,
    /// Most steps of a range query, as in Prometheus (web/api/v1, 11,000).
    pub max_points_per_series: u32,
    /// Most samples that one query may read; 0 means that only memory bounds it.
    pub max_samples: u64,
    /// How long a query may wait and run.
    pub timeout: Duration,
    /// How many queries run at once, and how many wait.
    pub gate: GateLimits,
    /// How far back an instant selector looks.
    pub lookback_delta: Duration,
    /// Step of a subquery that names none.
    pub default_subquery_step: Duration,
    /// In how many partitions a large plan runs.
    pub target_partitions: usize,
    /// Rows below which a scan runs in one partition: splitting costs about 70 µs, as much as reading these.
    pub min_rows_to_split: u64,
    /// Bytes of results that are kept for later queries; 0 keeps none.
    pub result_cache_bytes: u64,
    /// What PromQL means.
    pub promql: PromqlSettings,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            max_query_memory_bytes: 1 << 30,
            max_points_per_series: 11_000,
            max_samples: 0,
            timeout: Duration::from_secs(120),
            gate: GateLimits::default(),
            lookback_delta: Duration::from_secs(300),
            default_subquery_step: Duration::from_secs(60),
            target_partitions: 2,
            min_rows_to_split: 65_536,
            result_cache_bytes: 0,
            promql: PromqlSettings::default(),
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
    /// What PromQL means; the engine puts its own here.
    pub promql: PromqlSettings,
}

/// Answers queries of all tenants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: Arc<dyn StoreReader>,
    accountant: MemoryAccountant,
    limits: EngineLimits,
    clock: SharedClock,
    gate: Gate,
    shared: Arc<SharedRuntime>,
    results: Option<Arc<ResultCache>>,
}

/// What a language hands to the engine.
#[derive(Debug)]
pub struct EngineQuery<'a> {
    /// Whose rows.
    pub tenant: &'a TenantId,
    /// The language of the text.
    pub language: Language,
    /// The query as written, for places in messages.
    pub text: &'a str,
    /// The times that lowering saw.
    pub times: AskedTimes,
    /// What it asks.
    pub plan: &'a VectorPlan,
    /// When it is evaluated.
    pub steps: Steps,
    /// Whether the answer is a matrix over the steps.
    pub range: bool,
    /// What the request changed.
    pub options: QueryOptions,
}

impl Engine {
    /// An engine over a store.
    pub fn new(
        reader: Arc<dyn StoreReader>,
        accountant: MemoryAccountant,
        limits: EngineLimits,
        clock: SharedClock,
    ) -> Self {
        let results = ResultCache::new(accountant.clone(), limits.result_cache_bytes);
        Engine(Arc::new(Inner {
            results: results.map(Arc::new),
            gate: Gate::new(limits.gate, Arc::clone(&clock)),
            reader,
            accountant,
            limits,
            clock,
            shared: Arc::new(SharedRuntime::new()),
        }))
    }

    /// The same engine over another reader.
    pub fn over(&self, reader: impl StoreReader + 'static) -> Engine {
        let inner = &self.0;
        Engine(Arc::new(Inner {
            reader: Arc::new(reader),
            accountant: inner.accountant.clone(),
            limits: inner.limits.clone(),
            clock: Arc::clone(&inner.clock),
            gate: inner.gate.clone(),
            shared: Arc::clone(&inner.shared),
            results: inner.results.clone(),
        }))
    }

    /// What the result cache holds and did.
    pub fn result_counts(&self) -> ResultCounts {
        self.0
            .results
            .as_ref()
            .map(|results| results.counts())
            .unwrap_or_default()
    }

    /// How many queries run and wait, and how long they did.
    pub fn gate_counts(&self) -> GateCounts {
        self.0.gate.counts()
    }

    /// Where it reads.
    pub fn reader(&self) -> Arc<dyn StoreReader> {
        Arc::clone(&self.0.reader)
    }

    /// The limits in force.
    pub fn limits(&self) -> &EngineLimits {
        &self.0.limits
    }

    /// The state of one query: a view of the tenant's rows, its memory and its deadline.
    pub fn context(&self, tenant: &TenantId, options: QueryOptions) -> Result<Arc<QueryContext>, QueryError> {
        let limits = &self.0.limits;
        Ok(QueryContext::new(QueryContextParts {
            tenant: tenant.clone(),
            view: self.0.reader.view(tenant)?,
            scan: ScanContext::new(self.0.accountant.query(limits.max_query_memory_bytes), Arc::default()),
            clock: Arc::clone(&self.0.clock),
            timeout: self.timeout(options.timeout),
            lookback_ns: self.lookback_ns(options),
            target_partitions: limits.target_partitions,
            min_rows_to_split: limits.min_rows_to_split,
            max_samples: limits.max_samples,
            promql: options.promql,
        }))
    }

    /// Evaluates a plan when it is its turn, and shapes the answer. Dropping the future cancels the query. Needs a runtime
    /// with its timer on.
    ///
    /// What is kept of an earlier query, and what reads no row, waits for no turn: it costs less than telling a client to
    /// come back.
    pub async fn run(&self, ask: EngineQuery<'_>) -> Result<QueryOutput, QueryError> {
        let key = self.0.results.as_ref().map(|_| self.key(&ask));
        if let Some(kept) = self.kept(&ask, key.as_ref(), 0).await? {
            return Ok(kept);
        }
        if !ask.plan.reads() {
            let started_ns = self.0.clock.now();
            let turn = Turn {
                waited_ns: 0,
                started_ns,
                deadline_ns: started_ns.saturating_add(nanos(self.timeout(ask.options.timeout))),
            };
            return self.evaluate(&ask, key, turn).await;
        }
        self.in_turn(ask.tenant, ask.options.timeout, |turn| async move {
            // One like it may have run in the meantime.
            if turn.waited_ns > 0
                && let Some(kept) = self.kept(&ask, key.as_ref(), turn.waited_ns).await?
            {
                return Ok(kept);
            }
            self.evaluate(&ask, key, turn).await
        })
        .await
    }

    /// The answer of an earlier query, where it is still exact.
    async fn kept(
        &self,
        ask: &EngineQuery<'_>,
        key: Option<&ResultKey>,
        waited_ns: u64,
    ) -> Result<Option<QueryOutput>, QueryError> {
        let (Some(results), Some(key)) = (&self.0.results, key) else {
            return Ok(None);
        };
        let Some(kept) = results.get(key) else {
            return Ok(None);
        };
        let started_ns = self.0.clock.now();
        let query = self.context(ask.tenant, ask.options)?;
        let exact = results.is_exact(key, &kept, &query).await?;
        Ok(exact.then(|| kept.output(self.stats(&query, started_ns, waited_ns))))
    }

    async fn evaluate(
        &self,
        ask: &EngineQuery<'_>,
        key: Option<ResultKey>,
        turn: Turn,
    ) -> Result<QueryOutput, QueryError> {
        if let Some(results) = &self.0.results {
            results.count_miss();
        }
        let query = self.turn_context(ask.tenant, turn, ask.options)?;
        let value = run_plan(ask.plan, ask.steps, ask.range, &query, &self.0.shared).await?;
        let (mut warnings, infos) = render(&query.annotations(), ask.text);
        let stats = self.stats(&query, turn.started_ns, turn.waited_ns);
        warnings.extend(stats.damage_warning());
        let output = QueryOutput {
            value,
            warnings,
            infos,
            stats,
        };
        if let (Some(results), Some(key)) = (&self.0.results, key) {
            results.keep(key, &query, &output);
        }
        Ok(output)
    }

    /// The state of a query that has its turn.
    pub(crate) fn turn_context(
        &self,
        tenant: &TenantId,
        turn: Turn,
        options: QueryOptions,
    ) -> Result<Arc<QueryContext>, QueryError> {
        let options = QueryOptions {
            timeout: Some(turn.left(self.now_ns())),
            ..options
        };
        self.context(tenant, options)
    }

    /// How long a query that asked for `timeout` may take.
    pub(crate) fn timeout(&self, timeout: Option<Duration>) -> Duration {
        let most = self.0.limits.timeout;
        timeout.map_or(most, |t| t.min(most))
    }

    fn lookback_ns(&self, options: QueryOptions) -> i64 {
        nanos(options.lookback_delta.unwrap_or(self.0.limits.lookback_delta))
    }

    fn key(&self, ask: &EngineQuery<'_>) -> ResultKey {
        ResultKey {
            tenant: ask.tenant.clone(),
            language: ask.language,
            text: ask.text.to_string(),
            times: ask.times,
            steps: ask.steps,
            range: ask.range,
            lookback_ns: self.lookback_ns(ask.options),
            promql: ask.options.promql,
        }
    }

    /// The gate that queries wait at.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The task context of a query's operators.
    pub(crate) fn task(&self, query: &Arc<QueryContext>) -> Arc<TaskContext> {
        self.0.shared.task(query)
    }

    /// The time now, nanoseconds.
    pub(crate) fn now_ns(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What a query has cost that began to run at `started_ns`, after it had waited.
    pub(crate) fn stats(&self, query: &QueryContext, started_ns: Timestamp, waited_ns: u64) -> QueryStats {
        let elapsed_ns = self.now_ns().saturating_sub(started_ns);
        QueryStats {
            queued_ns: waited_ns,
            ..stats(query, elapsed_ns)
        }
    }

    /// A PromQL query at one time. Dropping the future cancels the query.
    pub async fn promql_instant(
        &self,
        tenant: &TenantId,
        text: &str,
        time_ns: Timestamp,
        options: QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        let request = LowerRequest::instant(time_ns, self.subquery_step_ns());
        let plan = promql::lower(&promql::parse_expr(text, &ParseOptions::default())?, &request)?;
        self.run(EngineQuery {
            tenant,
            language: Language::Promql,
            text,
            times: AskedTimes::instant(time_ns),
            plan: &plan,
            steps: Steps::instant(time_ns),
            range: false,
            options: self.promql_options(options),
        })
        .await
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
        let steps = self.range_steps(start_ns, end_ns, step_ns)?;
        let request = LowerRequest::range(start_ns, end_ns, step_ns, self.subquery_step_ns());
        let plan = promql::lower(&promql::parse_expr(text, &ParseOptions::default())?, &request)?;
        self.run(EngineQuery {
            tenant,
            language: Language::Promql,
            text,
            times: AskedTimes {
                start_ns,
                end_ns,
                step_ns,
            },
            plan: &plan,
            steps,
            range: true,
            options: self.promql_options(options),
        })
        .await
    }

    fn promql_options(&self, options: QueryOptions) -> QueryOptions {
        QueryOptions {
            promql: self.0.limits.promql,
            ..options
        }
    }

    fn subquery_step_ns(&self) -> i64 {
        nanos(self.0.limits.default_subquery_step)
    }

    /// The grid of a range query, or why it is refused (prometheus web/api/v1/api.go, `queryRange`).
    pub fn range_steps(&self, start_ns: Timestamp, end_ns: Timestamp, step_ns: i64) -> Result<Steps, QueryError> {
        if end_ns < start_ns {
            return Err(QueryError::bad_data(
                "invalid parameter \"end\": end timestamp must not be before start time",
            ));
        }
        if step_ns <= 0 {
            return Err(QueryError::bad_data(
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a \
                 positive integer",
            ));
        }
        let max_points = self.0.limits.max_points_per_series;
        if end_ns.saturating_sub(start_ns) / step_ns > i64::from(max_points) {
            return Err(QueryError::bad_data(format!(
                "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
                thousands(max_points)
            )));
        }
        Ok(Steps::range(start_ns, end_ns, step_ns))
    }
}

/// The error of a query whose time ran out, in Prometheus' words (promql/engine.go, `ErrQueryTimeout`).
pub(crate) fn timed_out(wherein: &str) -> QueryError {
    QueryError::new(QueryErrorKind::Timeout, format!("query timed out in {wherein}"))
}

/// As nanoseconds, like all times here.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// `11,000`: as the message of Prometheus has its limit.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn stats(query: &QueryContext, elapsed_ns: i64) -> QueryStats {
    let scan = query.scan();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    QueryStats {
        rows: read(&scan.stats.rows),
        bytes: read(&scan.stats.bytes),
        rows_passed: read(&scan.stats.rows_passed),
        segments: read(&scan.stats.segments),
        pages: read(&scan.stats.pages),
        pages_skipped: read(&scan.stats.pages_skipped),
        object_requests: read(&scan.stats.object_requests),
        object_bytes: read(&scan.stats.object_bytes),
        cache_memory_hits: read(&scan.stats.cache_memory_hits),
        cache_disk_hits: read(&scan.stats.cache_disk_hits),
        cache_misses: read(&scan.stats.cache_misses),
        cache_bytes: read(&scan.stats.cache_bytes),
        result_cache_hits: 0,
        queued_ns: 0,
        pages_corrupt: read(&scan.stats.pages_corrupt),
        peak_memory_bytes: scan.memory.peak_bytes(),
        elapsed_ns: u64::try_from(elapsed_ns).unwrap_or(0),
    }
}
