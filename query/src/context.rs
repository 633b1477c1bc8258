//! What all operators of one query share: the tenant's view, memory, counters, annotations and the deadline. Operators find it
//! in the session config of their task context, so that a plan itself holds no process state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use datafusion_common::internal_datafusion_err;
use datafusion_execution::TaskContext;
use garner_storage::clock::SharedClock;
use garner_storage::model::{TenantId, Timestamp};
use garner_storage::scan::{Fingerprint, LogSelection, SampleSelection, ScanContext, SeriesRequest, StoreView};
use parking_lot::Mutex;

use crate::error::{QueryError, QueryErrorKind};
use crate::functions::histogram::Forced;
use crate::plan::Span;
use crate::selections::Selections;
use crate::vector::labels::NameRemoval;

/// Most distinct warnings or infos of one answer; more say nothing new and would grow with the data.
const MAX_ANNOTATIONS: usize = 100;

/// What PromQL means where Prometheus leaves it to feature flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PromqlSettings {
    /// `promql-delayed-name-removal`: the metric name goes at the end of a query.
    pub delayed_name_removal: bool,
    /// `use-start-timestamps`: `rate` and its like see resets in start timestamps.
    pub use_start_timestamps: bool,
    /// `type-and-unit-labels`: the label `__type__` says what a counter is.
    pub type_and_unit_labels: bool,
}

/// The state of one query.
#[derive(Debug)]
pub struct QueryContext {
    tenant: TenantId,
    view: Arc<dyn StoreView>,
    scan: ScanContext,
    clock: SharedClock,
    deadline_ns: Timestamp,
    timeout: Duration,
    lookback_ns: i64,
    target_partitions: usize,
    min_rows_to_split: u64,
    canceled: AtomicBool,
    samples: AtomicU64,
    max_samples: u64,
    promql: PromqlSettings,
    annotations: Mutex<Annotations>,
    sample_selections: Selections<dyn SampleSelection>,
    log_selections: Selections<dyn LogSelection>,
}

/// Where `histogram_quantile` had to raise counts, over all samples of one expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForcedMonotonicity {
    /// Which expression.
    pub span: Span,
    /// First time.
    pub first_ns: Timestamp,
    /// Last time.
    pub last_ns: Timestamp,
    /// How many histograms and times.
    pub samples: u64,
    /// The bounds raised and the greatest fall.
    pub forced: Forced,
}

/// Warnings and infos of an answer, each once, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Texts that say the answer may be wrong.
    pub warnings: BTreeSet<(String, Option<Span>)>,
    /// Texts that say the query may not be what was meant.
    pub infos: BTreeSet<(String, Option<Span>)>,
    /// By metric, whose name is empty where names go at once.
    pub forced: BTreeMap<String, ForcedMonotonicity>,
    /// By metric: the first place that tells of starts before the sample before, and how often.
    pub start_overlaps: BTreeMap<String, (Span, u64)>,
}

/// What a [`QueryContext`] is made of.
#[derive(Debug)]
pub struct QueryContextParts {
    /// Whose rows.
    pub tenant: TenantId,
    /// The one view that all leaves read.
    pub view: Arc<dyn StoreView>,
    /// Memory and counters.
    pub scan: ScanContext,
    /// Time, for the deadline.
    pub clock: SharedClock,
    /// How long the query may run from now.
    pub timeout: Duration,
    /// Width of an instant selector's window.
    pub lookback_ns: i64,
    /// In how many partitions a large plan runs.
    pub target_partitions: usize,
    /// Rows below which a scan runs in one partition.
    pub min_rows_to_split: u64,
    /// Most samples that leaves may read; 0 means no limit.
    pub max_samples: u64,
    /// What PromQL means.
    pub promql: PromqlSettings,
}

impl QueryContext {
    /// The state of a query that starts now.
    pub fn new(parts: QueryContextParts) -> Arc<Self> {
        let timeout_ns = i64::try_from(parts.timeout.as_nanos()).unwrap_or(i64::MAX);
        Arc::new(QueryContext {
            deadline_ns: parts.clock.now().saturating_add(timeout_ns),
            tenant: parts.tenant,
            view: parts.view,
            scan: parts.scan,
            clock: parts.clock,
            timeout: parts.timeout,
            lookback_ns: parts.lookback_ns,
            target_partitions: parts.target_partitions.max(1),
            min_rows_to_split: parts.min_rows_to_split,
            canceled: AtomicBool::new(false),
            samples: AtomicU64::new(0),
            max_samples: parts.max_samples,
            promql: parts.promql,
            annotations: Mutex::default(),
            sample_selections: Selections::default(),
            log_selections: Selections::default(),
        })
    }

    /// The query that a task belongs to.
    pub fn of(task: &TaskContext) -> datafusion_common::Result<Arc<QueryContext>> {
        task.session_config()
            .get_extension::<QueryContext>()
            .ok_or_else(|| internal_datafusion_err!("the task context holds no query context"))
    }

    /// Whose rows.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The one view that all leaves read.
    pub fn view(&self) -> &Arc<dyn StoreView> {
        &self.view
    }

    /// The series of a metric scan, resolved once a query.
    pub async fn select_samples(&self, request: &SeriesRequest) -> Result<Arc<dyn SampleSelection>, QueryError> {
        let resolve = self.view.select_samples(request, &self.scan);
        Ok(self.sample_selections.get(request, resolve).await?)
    }

    /// The streams of a log scan, resolved once a query.
    pub async fn select_logs(&self, request: &SeriesRequest) -> Result<Arc<dyn LogSelection>, QueryError> {
        let resolve = self.view.select_logs(request, &self.scan);
        Ok(self.log_selections.get(request, resolve).await?)
    }

    /// What was read so far, and what decided it; `None` where recent rows may have had a part in it.
    pub fn reads(&self) -> Option<Vec<(SeriesRequest, Fingerprint)>> {
        let mut reads = self.sample_selections.reads(|s| s.fingerprint().cloned())?;
        reads.extend(self.log_selections.reads(|s| s.fingerprint().cloned())?);
        Some(reads)
    }

    /// Refuses a leaf that was planned for another tenant: its rows are not this query's.
    pub fn check_tenant(&self, planned_for: &TenantId) -> Result<(), QueryError> {
        if *planned_for == self.tenant {
            return Ok(());
        }
        Err(QueryError::internal(format!(
            "a plan of tenant {:?} was given to a query of tenant {:?}",
            planned_for.as_str(),
            self.tenant.as_str()
        )))
    }

    /// The time now, nanoseconds, for the operators' own metrics.
    pub fn now_ns(&self) -> Timestamp {
        self.clock.now()
    }

    /// Memory and counters for the view's scans.
    pub fn scan(&self) -> &ScanContext {
        &self.scan
    }

    /// Width of an instant selector's window, nanoseconds.
    pub fn lookback_ns(&self) -> i64 {
        self.lookback_ns
    }

    /// What PromQL means.
    pub fn promql(&self) -> PromqlSettings {
        self.promql
    }

    /// When metric names go.
    pub fn names(&self) -> NameRemoval {
        match self.promql.delayed_name_removal {
            true => NameRemoval::Delayed,
            false => NameRemoval::AtOnce,
        }
    }

    /// In how many partitions a large plan runs.
    pub fn target_partitions(&self) -> usize {
        self.target_partitions
    }

    /// In how many partitions a leaf over so many series and rows should run: one where it is small.
    pub fn partitions_for(&self, series: usize, rows: u64) -> usize {
        if rows < self.min_rows_to_split {
            1
        } else {
            self.target_partitions.min(series.max(1))
        }
    }

    /// Makes every operator stop at its next check.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Refuses to go on once the query is canceled or over its time. Called once a batch.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(QueryError::new(
                QueryErrorKind::Canceled,
                "query was canceled in query execution",
            ));
        }
        if self.clock.now() >= self.deadline_ns {
            return Err(QueryError::new(
                QueryErrorKind::Timeout,
                "query timed out in query execution",
            ));
        }
        Ok(())
    }

    /// How long the query may run.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Counts samples that a leaf has read, and refuses over the limit (prometheus `ErrTooManySamples`).
    pub fn count_samples(&self, count: u64) -> Result<(), QueryError> {
        let total = self.samples.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if self.max_samples > 0 && total > self.max_samples {
            return Err(QueryError::new(
                QueryErrorKind::Limit,
                "query processing would load too many samples into memory in query execution",
            ));
        }
        Ok(())
    }

    /// Samples read so far.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Adds a warning; `span` is the place it speaks of.
    pub fn warn(&self, text: impl Into<String>, span: Option<Span>) {
        let mut annotations = self.annotations.lock();
        if annotations.warnings.len() < MAX_ANNOTATIONS {
            annotations.warnings.insert((text.into(), span));
        }
    }

    /// Adds an info; `span` is the place it speaks of.
    pub fn info(&self, text: impl Into<String>, span: Option<Span>) {
        let mut annotations = self.annotations.lock();
        if annotations.infos.len() < MAX_ANNOTATIONS {
            annotations.infos.insert((text.into(), span));
        }
    }

    /// Remembers that counts of a histogram of a metric were raised at a time; told once a metric, with the place of the
    /// first (prometheus util/annotations, `histogramQuantileForcedMonotonicityErr.Merge`).
    pub fn force_monotonic(&self, metric: &str, span: Span, time_ns: Timestamp, forced: Forced) {
        let mut annotations = self.annotations.lock();
        let Some(seen) = annotations.forced.get_mut(metric) else {
            if annotations.forced.len() < MAX_ANNOTATIONS {
                let first = ForcedMonotonicity {
                    span,
                    first_ns: time_ns,
                    last_ns: time_ns,
                    samples: 1,
                    forced,
                };
                annotations.forced.insert(metric.to_string(), first);
            }
            return;
        };
        seen.span = seen.span.min(span);
        seen.first_ns = seen.first_ns.min(time_ns);
        seen.last_ns = seen.last_ns.max(time_ns);
        seen.samples += 1;
        seen.forced.min_bucket = seen.forced.min_bucket.min(forced.min_bucket);
        seen.forced.max_bucket = seen.forced.max_bucket.max(forced.max_bucket);
        seen.forced.max_diff = seen.forced.max_diff.max(forced.max_diff);
    }

    /// Counts samples of a metric whose counting began before the sample before; told once a metric, at the end.
    pub fn warn_start_overlaps(&self, metric: &str, span: Span, count: u32) {
        let mut annotations = self.annotations.lock();
        let count = u64::from(count);
        if let Some((first, seen)) = annotations.start_overlaps.get_mut(metric) {
            (*first, *seen) = (span.min(*first), *seen + count);
        } else if annotations.start_overlaps.len() < MAX_ANNOTATIONS {
            annotations.start_overlaps.insert(metric.to_string(), (span, count));
        }
    }

    /// What was collected.
    pub fn annotations(&self) -> Annotations {
        self.annotations.lock().clone()
    }
}
