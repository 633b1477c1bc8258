//! The log leaf of metric queries: scans log lines, makes samples of them, and folds these into windows, a row a group.

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::RecordBatch;
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::{StreamExt, TryStreamExt, stream};
use garner_storage::model::{LabelMatcher, Signal, TenantId, TimeRange, Timestamp};
use garner_storage::scan::{LogOrder, LogSelection, SeriesRequest};
use hashbrown::HashTable;

use super::exec::{Operator, Plan};
use super::log_accumulate::{Accumulator, LogRangeFunction, LogWindows, SameSteps};
use super::log_input::{LogSampler, SampleSink};
use super::stream::{MemoryGuard, boxed};
use super::wire::Parts;
use super::wire::forms::WireRequest;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::vector::VectorBuilder;

/// The leaf's parameters.
#[derive(Clone, Debug)]
pub struct LogRange {
    /// Whose.
    pub tenant: TenantId,
    /// Which streams, over all windows.
    pub request: SeriesRequest,
    /// Which lines each step sees.
    pub windows: LogWindows,
    /// What is made of a window's samples.
    pub function: LogRangeFunction,
    /// What is made of each line.
    pub sampler: Arc<dyn LogSampler>,
    /// In how many ranges of streams it scans; one partition comes out, since groups can span all of them.
    pub scans: usize,
    /// About how many groups come out, where planning can tell.
    pub groups: Option<usize>,
}

impl LogRange {
    /// The request that covers all windows.
    pub fn request(matchers: Vec<LabelMatcher>, windows: &LogWindows) -> SeriesRequest {
        let (first, last) = windows.bounds();
        SeriesRequest {
            signal: Signal::Logs,
            matchers,
            range: TimeRange::closed(first, last),
        }
    }
}

impl Operator for LogRange {
    const NAME: &'static str = "LogRangeExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} of {} window={}ns",
            self.function,
            self.sampler.text(),
            self.windows.range_ns
        )
    }

    fn inputs(&self) -> Vec<&Plan> {
        Vec::new()
    }

    fn with_inputs(&self, _: Vec<Plan>) -> Result<Self> {
        Ok(self.clone())
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = (
        TenantId,
        WireRequest,
        LogWindows,
        LogRangeFunction,
        String,
        usize,
        Option<usize>,
    );

    fn estimated_rows(&self, _: &[Option<usize>]) -> Option<usize> {
        self.groups
    }

    fn to_wire(&self) -> Self::Wire {
        let (tenant, request) = (self.tenant.clone(), WireRequest::of(&self.request));
        let (windows, function, text) = (self.windows, self.function, self.sampler.text());
        (tenant, request, windows, function, text, self.scans, self.groups)
    }

    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let (tenant, request, windows, function, text, scans, groups) = wire;
        Ok(LogRange {
            tenant: parts.tenant(tenant)?,
            request: request.build(Signal::Logs)?,
            windows,
            function,
            sampler: parts.lines().sampler(&text)?,
            scans: parts.partitions(scans)?,
            groups,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = stream::once(evaluate(self.clone(), query));
        Ok(boxed(
            batches
                .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
                .try_flatten(),
        ))
    }
}

async fn evaluate(plan: LogRange, query: Arc<QueryContext>) -> Result<Vec<RecordBatch>> {
    query.check_tenant(&plan.tenant)?;
    let selection = query.select_logs(&plan.request).await?;
    let scans = plan.scans.max(1);
    let mut groups = if scans == 1 {
        scan(&plan, &selection, 0, 1, &query).await?
    } else {
        // One task a scan, so that lines are parsed on all cores.
        let tasks = (0..scans).map(|partition| {
            let (plan, selection, query) = (plan.clone(), Arc::clone(&selection), Arc::clone(&query));
            AbortOnDrop(tokio::spawn(async move {
                scan(&plan, &selection, partition, scans, &query).await
            }))
        });
        let tasks: Vec<_> = tasks.collect();
        let mut merged: Option<Groups> = None;
        for mut task in tasks {
            let part = (&mut task.0).await.map_err(|e| QueryError::internal(e.to_string()))??;
            merged = Some(match merged {
                None => part,
                Some(mut whole) => {
                    whole.merge(part)?;
                    whole
                }
            });
        }
        match merged {
            Some(groups) => groups,
            None => return Ok(Vec::new()),
        }
    };
    groups.finish()
}

/// A task that ends with the query that started it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn scan(
    plan: &LogRange,
    selection: &Arc<dyn LogSelection>,
    partition: usize,
    partitions: usize,
    query: &Arc<QueryContext>,
) -> Result<Groups, QueryError> {
    let mut slabs = selection.scan(partition, partitions, LogOrder::Any, plan.sampler.read());
    let mut worker = plan.sampler.start();
    let mut groups = Groups::new(plan, query);
    while let Some(slab) = slabs.next().await {
        let slab = slab?;
        query.check()?;
        query.count_samples(slab.batch.len() as u64)?;
        tokio::task::coop::consume_budget().await;
        worker.run(&slab.batch, &mut groups)?;
        groups.memory.resize(groups.size_bytes())?;
    }
    Ok(groups)
}

/// The groups of a scan, by their labels.
struct Groups {
    function: LogRangeFunction,
    windows: LogWindows,
    hasher: RandomState,
    index: HashTable<u32>,
    rows: Vec<(Box<[u8]>, Accumulator)>,
    /// Steps of the line before: neighbours mostly fall into the same.
    steps: SameSteps,
    memory: MemoryGuard,
}

impl Groups {
    fn new(plan: &LogRange, query: &Arc<QueryContext>) -> Self {
        Groups {
            function: plan.function,
            windows: plan.windows,
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            index: HashTable::new(),
            rows: Vec::new(),
            steps: plan.windows.steps_of(plan.windows.steps.start_ns),
            memory: MemoryGuard::new(query),
        }
    }

    fn size_bytes(&self) -> usize {
        self.rows
            .iter()
            .map(|(labels, state)| labels.len() + state.size_bytes() + 64)
            .sum()
    }

    fn merge(&mut self, other: Groups) -> Result<(), QueryError> {
        for (labels, state) in other.rows {
            let group = self.group(&labels)? as usize;
            self.rows[group].1.merge(self.function, state);
        }
        self.memory.resize(self.size_bytes())
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut builder = VectorBuilder::new();
        let (mut values, mut dense) = (Vec::new(), Vec::new());
        for (labels, state) in std::mem::take(&mut self.rows) {
            state.finish(self.function, &self.windows, &mut values);
            dense.clear();
            dense.extend(values.iter().map(|v| v.unwrap_or(0.0)));
            builder.push_steps(&labels, &dense, |i| values[i].is_some());
            if builder.is_full() {
                batches.push(builder.finish()?);
            }
        }
        if !builder.is_empty() {
            batches.push(builder.finish()?);
        }
        Ok(batches)
    }
}

impl SampleSink for Groups {
    fn group(&mut self, labels: &[u8]) -> Result<u32, QueryError> {
        let hash = self.hasher.hash_one(labels);
        if let Some(found) = self.index.find(hash, |i| &*self.rows[*i as usize].0 == labels) {
            return Ok(*found);
        }
        let number = u32::try_from(self.rows.len()).map_err(|_| QueryError::internal("too many groups"))?;
        self.rows
            .push((labels.into(), Accumulator::new(self.function, &self.windows)));
        let (hasher, rows) = (&self.hasher, &self.rows);
        self.index
            .insert_unique(hash, number, |i| hasher.hash_one(&*rows[*i as usize].0));
        Ok(number)
    }

    fn sample(&mut self, group: u32, time_ns: Timestamp, value: f64) {
        if !self.steps.hold(time_ns) {
            self.steps = self.windows.steps_of(time_ns);
        }
        if let Some((_, state)) = self.rows.get_mut(group as usize) {
            state.add(self.function, self.steps, time_ns, value);
        }
    }

    fn is_seen(&self, time_ns: Timestamp) -> bool {
        !self.windows.steps_of(time_ns).is_empty()
    }

    fn ones(&mut self, group: u32, times_ns: &[Timestamp]) {
        if let Some((_, state)) = self.rows.get_mut(group as usize) {
            state.add_ones(self.function, &self.windows, times_ns);
        }
    }
}
