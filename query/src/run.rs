//! Running a plan: from operators to the answer, on the caller's runtime.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::{StreamExt, TryStreamExt};
use garner_storage::model::{Signal, Timestamp, is_stale};
use garner_storage::scan::SeriesRequest;

use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::reach::extended;
use crate::functions::window::Reach;
use crate::operators::exec::Plan;
use crate::operators::gather::Gather;
use crate::operators::samples::Samples;
use crate::operators::stream::MemoryGuard;
use crate::output::{InstantSample, RangeSeries, SampleValue, Value};
use crate::plan::physical::{plan_any, plan_scalar, plan_vector, subquery_grid};
use crate::plan::{Quantity, RawRange, SamplesNode, Select, Steps, SubqueryNode, VectorPlan};
use crate::vector::{VectorReader, labels};

/// What all task contexts share; made once, because making it costs more than a small query.
#[derive(Debug)]
pub struct SharedRuntime {
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
}

impl SharedRuntime {
    /// DataFusion's defaults; our operators account memory with the query's own account.
    pub fn new() -> Self {
        SharedRuntime {
            config: SessionConfig::new(),
            runtime: Arc::new(RuntimeEnv::default()),
        }
    }

    /// The task context of one query.
    pub fn task(&self, query: &Arc<QueryContext>) -> Arc<TaskContext> {
        Arc::new(TaskContext::new(
            None,
            String::new(),
            self.config.clone().with_extension(Arc::clone(query)),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            Arc::clone(&self.runtime),
        ))
    }
}

impl Default for SharedRuntime {
    fn default() -> Self {
        Self::new()
    }
}

/// Cancels the query's operators when its future is dropped, also those that run in tasks of their own.
struct CancelOnDrop(Arc<QueryContext>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Evaluates `plan` and shapes the answer: of a range query a matrix, of an instant query what the expression is.
pub async fn run_plan(
    plan: &VectorPlan,
    steps: Steps,
    range: bool,
    query: &Arc<QueryContext>,
    shared: &SharedRuntime,
) -> Result<Value, QueryError> {
    let _cancel = CancelOnDrop(Arc::clone(query));
    query.check()?;
    let task = shared.task(query);
    match plan.quantity() {
        Quantity::String => match plan {
            VectorPlan::String(text) => Ok(Value::String(steps.start_ns, Arc::clone(text))),
            _ => Err(QueryError::internal("a string plan without a string")),
        },
        Quantity::Scalar if !range => {
            let scalar = plan_scalar(plan, steps, query).await?;
            let value = scalar.evaluate(steps, query, &task).await?.at(0);
            Ok(Value::Scalar(steps.start_ns, value))
        }
        Quantity::Matrix => match plan {
            VectorPlan::Matrix(RawRange::Samples(node)) => raw_samples(node, steps, query).await,
            VectorPlan::Matrix(RawRange::Subquery(node)) => raw_subquery(node, steps, query, task).await,
            VectorPlan::StepInvariant(inner) => Box::pin(run_plan(inner, steps, range, query, shared)).await,
            _ => Err(QueryError::internal("a matrix plan without a range")),
        },
        Quantity::Scalar | Quantity::Vector => {
            let exec = plan_any(plan, steps, query).await?.finished(steps, query);
            if range {
                let mut series = read_series(exec, task, query, |step| steps.time(step)).await?;
                sort_series(&mut series);
                Ok(Value::Matrix(series))
            } else {
                read_instant(exec, task, query, steps.start_ns).await
            }
        }
    }
}

/// The physical plan of a query as text, one operator a line.
pub async fn explain(plan: &VectorPlan, steps: Steps, query: &Arc<QueryContext>) -> Result<String, QueryError> {
    let planned = plan_vector(plan, steps, query).await?;
    Ok(datafusion_physical_plan::displayable(planned.exec.as_ref())
        .indent(false)
        .to_string())
}

fn open(exec: Plan, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream, QueryError> {
    Ok(Gather::one_partition(exec).execute(0, task)?)
}

async fn read_instant(
    exec: Plan,
    task: Arc<TaskContext>,
    query: &QueryContext,
    time_ns: Timestamp,
) -> Result<Value, QueryError> {
    let mut stream = open(exec, task)?;
    let mut memory = MemoryGuard::new(query);
    let mut out = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        query.check()?;
        memory.grow(batch.get_array_memory_size())?;
        for row in VectorReader::new(&batch)?.rows() {
            let float = row.at(0).map(SampleValue::Float);
            let histogram = || row.histogram_at(0).map(|h| SampleValue::Histogram(Arc::new(h)));
            if let Some(value) = float.or_else(histogram) {
                out.push(InstantSample {
                    labels: labels::to_labels(row.labels),
                    time_ns,
                    value,
                });
            }
        }
    }
    Ok(Value::Vector(out))
}

async fn read_series(
    exec: Plan,
    task: Arc<TaskContext>,
    query: &QueryContext,
    time: impl Fn(usize) -> Timestamp,
) -> Result<Vec<RangeSeries>, QueryError> {
    let mut stream = open(exec, task)?;
    let mut memory = MemoryGuard::new(query);
    let mut out = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        query.check()?;
        memory.grow(output_bytes(&batch))?;
        for row in VectorReader::new(&batch)?.rows() {
            let samples: Vec<_> = row.iter().map(|(step, value)| (time(step), value)).collect();
            let histograms: Vec<_> = row.histogram_points().map(|(step, h)| (time(step), h)).collect();
            if !samples.is_empty() || !histograms.is_empty() {
                out.push(RangeSeries {
                    labels: labels::to_labels(row.labels),
                    samples,
                    histograms,
                });
            }
        }
    }
    Ok(out)
}

/// Bytes that a batch takes once its values stand beside their times.
fn output_bytes(batch: &RecordBatch) -> usize {
    batch.get_array_memory_size() * 2
}

async fn raw_samples(node: &SamplesNode, steps: Steps, query: &Arc<QueryContext>) -> Result<Value, QueryError> {
    let Select::Range { range_ns, reach, .. } = node.select else {
        return Err(QueryError::internal("a range selector without a range"));
    };
    let bounds = node.windows(steps, range_ns);
    let windows = bounds.reaching(reach, query.lookback_ns());
    let request: SeriesRequest = Samples::request(node.matchers.clone(), &windows);
    debug_assert_eq!(request.signal, Signal::Metrics);
    let selection = query.select_samples(&request).await?;
    let mut scan = selection.scan(0, 1);
    let mut memory = MemoryGuard::new(query);
    let mut out = Vec::new();
    while let Some(batch) = scan.next().await {
        let batch = batch?;
        query.check()?;
        query.count_samples(batch.timestamps.len() as u64)?;
        memory.grow(batch.size_bytes())?;
        for (index, labels) in batch.series.iter().enumerate() {
            let (times, values) = batch.rows(index);
            let found = batch.histograms(index);
            let (mut samples, mut histograms) = (Vec::with_capacity(times.len() - found.len()), Vec::new());
            for (row, (time, value)) in times.iter().zip(values).enumerate() {
                if is_stale(*value) {
                    continue;
                }
                match found.get(row) {
                    Some(histogram) => histograms.push((*time, Arc::clone(histogram))),
                    None => samples.push((*time, *value)),
                }
            }
            if reach != Reach::Inside {
                if !histograms.is_empty() {
                    let word = if reach == Reach::Anchored {
                        "anchored"
                    } else {
                        "smoothed"
                    };
                    let text = format!("{word} modifier is not supported with histograms");
                    return Err(QueryError::execution(text));
                }
                let (times, values): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
                samples = extended(&times, &values, bounds.start(0), bounds.end(0), reach).unwrap_or_default();
            }
            if !samples.is_empty() || !histograms.is_empty() {
                out.push(RangeSeries {
                    labels: labels.clone(),
                    samples,
                    histograms,
                });
            }
        }
    }
    sort_series(&mut out);
    Ok(Value::Matrix(out))
}

async fn raw_subquery(
    node: &SubqueryNode,
    steps: Steps,
    query: &Arc<QueryContext>,
    task: Arc<TaskContext>,
) -> Result<Value, QueryError> {
    let (inner, _) = subquery_grid(node, steps, query)?;
    let exec = plan_any(&node.input, inner, query).await?.finished(inner, query);
    let mut series = read_series(exec, task, query, |step| inner.time(step)).await?;
    sort_series(&mut series);
    Ok(Value::Matrix(series))
}

fn sort_series(series: &mut [RangeSeries]) {
    series.sort_by(|a, b| labels::compare(a.labels.as_bytes(), b.labels.as_bytes()));
}
