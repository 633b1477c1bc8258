//! The metric leaf: selects series, and makes of each series' samples one value a step, in one pass.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::{StreamExt, stream};
use garner_storage::model::{Labels, METRIC_NAME, Signal, TenantId, TimeRange, Timestamp, is_stale};
use garner_storage::scan::{BatchStream, SampleBatch, SampleSlice, SeriesRequest};
use serde::{Deserialize, Serialize};

use super::exec::{Operator, Plan};
use super::scalar::{ScalarExpr, evaluate_all};
use super::stream::{MemoryGuard, boxed};
use super::wire::Parts;
use super::wire::forms::{WireRequest, WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::annotate::Notes;
use crate::functions::native::{self, mixed::MixedBuffer};
use crate::functions::range::RangeKernel;
use crate::functions::reach::{self, ReachKernel};
use crate::functions::seconds::seconds;
use crate::functions::starts::{Started, looks_at_starts};
use crate::functions::window::{Reach, Windows, without_stale};
use crate::functions::{RangeFunction, annotate};
use crate::plan::Span;
use crate::vector::{RowBuffer, VectorBuilder, labels};

/// Bytes of a float sample.
const SAMPLE_BYTES: usize = 16;

/// What is made of the samples in a window.
#[derive(Clone, Debug)]
pub enum SampleFunction {
    /// The newest, nothing where that is a staleness marker.
    Newest,
    /// The time of the newest in seconds.
    NewestTime,
    /// When the counting of the newest began, in seconds; 0 where that is not known.
    NewestStart,
    /// The value between the samples around the end of each of these windows.
    Smoothed(Windows),
    /// A range function with its scalar parameters.
    Range(RangeFunction, Vec<ScalarExpr>),
    /// A range function whose windows reach beyond the bounds of the selector's, which are these.
    Reaching(RangeFunction, Reach, Windows),
}

impl SampleFunction {
    /// Whether the result is still the metric it was.
    pub fn keeps_name(&self) -> bool {
        match self {
            SampleFunction::Newest | SampleFunction::Smoothed(_) => true,
            SampleFunction::NewestTime | SampleFunction::NewestStart => false,
            SampleFunction::Range(function, _) | SampleFunction::Reaching(function, ..) => function.keeps_name(),
        }
    }

    fn range_function(&self) -> Option<RangeFunction> {
        match self {
            SampleFunction::Range(function, _) | SampleFunction::Reaching(function, ..) => Some(*function),
            SampleFunction::Newest
            | SampleFunction::NewestTime
            | SampleFunction::NewestStart
            | SampleFunction::Smoothed(_) => None,
        }
    }

    /// Whether a range function looks at when counting began, where it is asked to.
    fn may_look_at_starts(&self) -> bool {
        match self {
            SampleFunction::Range(function, _) => looks_at_starts(*function),
            SampleFunction::Reaching(function, ..) => *function == RangeFunction::Resets,
            _ => false,
        }
    }
}

/// A [`SampleFunction`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireSampleFunction {
    /// [`SampleFunction::Newest`].
    Newest,
    /// [`SampleFunction::NewestTime`].
    NewestTime,
    /// [`SampleFunction::NewestStart`].
    NewestStart,
    /// [`SampleFunction::Smoothed`].
    Smoothed(Windows),
    /// [`SampleFunction::Range`].
    Range(RangeFunction, Vec<WireScalar>),
    /// [`SampleFunction::Reaching`].
    Reaching(RangeFunction, Reach, Windows),
}

/// The leaf's parameters. It holds nothing of the store: where it runs, the query's view resolves the request.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Whose.
    pub tenant: TenantId,
    /// Which series, over all windows.
    pub request: SeriesRequest,
    /// Which samples each step sees.
    pub windows: Windows,
    /// What is made of them.
    pub function: SampleFunction,
    /// In how many ranges of series it runs.
    pub partitions: usize,
    /// Where the selector stands.
    pub span: Span,
    /// Whether buckets of histograms are left out once resets are found.
    pub counts_only: bool,
    /// About how many series there are, as planning saw them.
    pub series: usize,
}

impl Samples {
    /// The request that covers all windows.
    pub fn request(matchers: Vec<garner_storage::model::LabelMatcher>, windows: &Windows) -> SeriesRequest {
        let (first, last) = windows.bounds();
        SeriesRequest {
            signal: Signal::Metrics,
            matchers,
            range: TimeRange::closed(first, last),
        }
    }
}

impl Operator for Samples {
    const NAME: &'static str = "SamplesExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            SampleFunction::Newest => f.write_str("newest")?,
            SampleFunction::NewestTime => f.write_str("timestamp")?,
            SampleFunction::NewestStart => f.write_str("start_timestamp")?,
            SampleFunction::Smoothed(_) => f.write_str("smoothed")?,
            SampleFunction::Range(function, _) => f.write_str(function.as_str())?,
            SampleFunction::Reaching(function, reach, _) => write!(f, "{} {reach:?}", function.as_str())?,
        }
        let windows = &self.windows;
        write!(f, " {:?} window={}ns", self.request.matchers, windows.width_ns)?;
        if windows.offset_ns != 0 {
            write!(f, " offset={}ns", windows.offset_ns)?;
        }
        windows.at_ns.map_or(Ok(()), |at| write!(f, " at={at}ns"))
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = Vec::new();
        if let SampleFunction::Range(_, params) = &self.function {
            params.iter().for_each(|p| p.inputs(&mut out));
        }
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut out = self.clone();
        if let SampleFunction::Range(_, params) = &mut out.function {
            let mut inputs = inputs.into_iter();
            *params = params.iter().map(|p| p.with_inputs(&mut inputs)).collect();
        }
        Ok(out)
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn estimated_rows(&self, _: &[Option<usize>]) -> Option<usize> {
        // A row a series.
        Some(self.series)
    }

    type Wire = (
        TenantId,
        WireRequest,
        Windows,
        WireSampleFunction,
        usize,
        usize,
        Span,
        bool,
    );

    fn to_wire(&self) -> Self::Wire {
        let function = match &self.function {
            SampleFunction::Newest => WireSampleFunction::Newest,
            SampleFunction::NewestTime => WireSampleFunction::NewestTime,
            SampleFunction::NewestStart => WireSampleFunction::NewestStart,
            SampleFunction::Smoothed(bounds) => WireSampleFunction::Smoothed(*bounds),
            SampleFunction::Range(function, params) => {
                WireSampleFunction::Range(*function, params.iter().map(scalar_to_wire).collect())
            }
            SampleFunction::Reaching(function, reach, bounds) => {
                WireSampleFunction::Reaching(*function, *reach, *bounds)
            }
        };
        let request = WireRequest::of(&self.request);
        let (partitions, series) = (self.partitions, self.series);
        (
            self.tenant.clone(),
            request,
            self.windows,
            function,
            partitions,
            series,
            self.span,
            self.counts_only,
        )
    }

    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let (tenant, request, windows, function, partitions, series, span, counts_only) = wire;
        let function = match function {
            WireSampleFunction::Newest => SampleFunction::Newest,
            WireSampleFunction::NewestTime => SampleFunction::NewestTime,
            WireSampleFunction::NewestStart => SampleFunction::NewestStart,
            WireSampleFunction::Smoothed(bounds) => SampleFunction::Smoothed(bounds),
            WireSampleFunction::Range(function, params) => SampleFunction::Range(function, parts.scalars(params)?),
            WireSampleFunction::Reaching(function, reach, bounds) => SampleFunction::Reaching(function, reach, bounds),
        };
        Ok(Samples {
            tenant: parts.tenant(tenant)?,
            request: request.build(Signal::Metrics)?,
            windows,
            function,
            partitions: parts.partitions(partitions)?,
            series,
            span,
            counts_only,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let state = stream::once(start(self.clone(), partition, query, task));
        Ok(boxed(state.flat_map(|started| match started {
            Ok(leaf) => stream::unfold(leaf, next_batch).left_stream(),
            Err(error) => stream::iter([Err(error.into())]).right_stream(),
        })))
    }
}

/// A partition while it runs.
struct Leaf {
    input: BatchStream<SampleBatch>,
    evaluator: Evaluator,
    query: Arc<QueryContext>,
    memory: MemoryGuard,
    done: bool,
}

async fn start(
    plan: Samples,
    partition: usize,
    query: Arc<QueryContext>,
    task: Arc<TaskContext>,
) -> Result<Leaf, QueryError> {
    query.check_tenant(&plan.tenant)?;
    let selection = query.select_samples(&plan.request).await?;
    let kernel = match &plan.function {
        SampleFunction::Range(function, params) => {
            let params = evaluate_all(params, plan.windows.steps, &query, &task).await?;
            if *function == RangeFunction::QuantileOverTime {
                annotate::quantiles(&params, &query, plan.span);
            }
            Kernel::Range(RangeKernel::new(*function, plan.windows, params))
        }
        SampleFunction::Reaching(function, reach, bounds) => Kernel::Reaching(ReachKernel {
            function: *function,
            reach: *reach,
            windows: plan.windows,
            bounds: *bounds,
        }),
        SampleFunction::Smoothed(bounds) => Kernel::Smoothed(*bounds),
        SampleFunction::Newest | SampleFunction::NewestTime | SampleFunction::NewestStart => Kernel::Newest,
    };
    let steps = plan.windows.steps.len();
    Ok(Leaf {
        input: selection.scan(partition, plan.partitions),
        memory: MemoryGuard::new(&query),
        evaluator: Evaluator {
            kernel,
            row: RowBuffer::new(steps),
            builder: VectorBuilder::new(),
            keeps_name: plan.function.keeps_name(),
            wants_counter: matches!(
                plan.function.range_function(),
                Some(RangeFunction::Rate | RangeFunction::Increase)
            ),
            looks_at_starts: query.promql().use_start_timestamps && plan.function.may_look_at_starts(),
            fresh: Fresh::default(),
            label_bytes: Vec::new(),
            checked_name: Vec::new(),
            mixed: MixedBuffer::default(),
            plan,
        },
        query,
        done: false,
    })
}

/// The next full batch; each state machine step reads scan batches until one is full or the scan ends.
async fn next_batch(mut leaf: Leaf) -> Option<(Result<RecordBatch>, Leaf)> {
    if leaf.done {
        return None;
    }
    let result = fill(&mut leaf).await;
    match result {
        Ok(Some(batch)) => Some((Ok(batch), leaf)),
        Ok(None) => None,
        Err(error) => {
            leaf.done = true;
            Some((Err(error), leaf))
        }
    }
}

async fn fill(leaf: &mut Leaf) -> Result<Option<RecordBatch>> {
    while let Some(batch) = leaf.input.next().await {
        let batch = batch.map_err(QueryError::from)?;
        leaf.query.check()?;
        leaf.query.count_samples(batch.timestamps.len() as u64)?;
        // A scan whose rows are all in memory never waits, and a task that never waits cannot be canceled.
        tokio::task::coop::consume_budget().await;
        for series in 0..batch.series.len() {
            leaf.evaluator.eval(&batch, series, &leaf.query)?;
        }
        leaf.memory.resize(leaf.evaluator.builder.size_bytes())?;
        if leaf.evaluator.builder.is_full() {
            return Ok(Some(leaf.evaluator.builder.finish()?));
        }
    }
    leaf.done = true;
    if leaf.evaluator.builder.is_empty() {
        return Ok(None);
    }
    Ok(Some(leaf.evaluator.builder.finish()?))
}

/// What makes values of a series' samples.
enum Kernel {
    Newest,
    Smoothed(Windows),
    Range(RangeKernel),
    Reaching(ReachKernel),
}

/// Samples of one series without staleness markers, where it has some.
#[derive(Default)]
struct Fresh {
    times: Vec<Timestamp>,
    values: Vec<f64>,
    starts: Vec<Timestamp>,
}

impl Fresh {
    fn started<'a>(&'a mut self, samples: SampleSlice<'a>) -> Started<'a> {
        let SampleSlice {
            timestamps: times,
            values,
            start_times: starts,
            ..
        } = samples;
        if !without_stale(times, values, &mut self.times, &mut self.values) {
            return Started { times, values, starts };
        }
        self.starts.clear();
        let fresh = starts.iter().zip(values).filter(|(_, value)| !is_stale(**value));
        self.starts.extend(fresh.map(|(start, _)| *start));
        Started {
            times: &self.times,
            values: &self.values,
            starts: &self.starts,
        }
    }
}

/// What is told of the newest sample instead of its value.
enum NewestOf<'a> {
    Value,
    Time(&'a [Timestamp]),
    Start(&'a [Timestamp]),
}

impl<'a> NewestOf<'a> {
    fn of(function: &SampleFunction, samples: SampleSlice<'a>) -> Self {
        match function {
            SampleFunction::NewestTime => NewestOf::Time(samples.timestamps),
            SampleFunction::NewestStart => NewestOf::Start(samples.start_times),
            _ => NewestOf::Value,
        }
    }

    #[inline]
    fn told(&self, row: usize) -> Option<f64> {
        match self {
            NewestOf::Value => None,
            NewestOf::Time(times) => times.get(row).map(|time| seconds(*time)),
            NewestOf::Start(starts) => Some(starts.get(row).map_or(0.0, |start| seconds(*start))),
        }
    }
}

/// Tells notes of a series.
fn tell(notes: Notes, series: &Labels, query: &QueryContext, span: Span) {
    let metric = labels::value_of(series.as_bytes(), METRIC_NAME.as_bytes());
    notes.tell(labels::text(metric), query, span);
}

/// Scratch and parameters of a partition.
struct Evaluator {
    plan: Samples,
    kernel: Kernel,
    row: RowBuffer,
    builder: VectorBuilder,
    keeps_name: bool,
    wants_counter: bool,
    looks_at_starts: bool,
    fresh: Fresh,
    label_bytes: Vec<u8>,
    checked_name: Vec<u8>,
    mixed: MixedBuffer,
}

impl Evaluator {
    fn eval(&mut self, batch: &SampleBatch, series: usize, query: &QueryContext) -> Result<(), QueryError> {
        self.row.clear();
        if batch.histograms(series).is_empty() {
            self.eval_floats(batch, series, query)?;
        } else {
            self.eval_mixed(batch, series, query)?;
        }
        if self.row.is_empty() {
            return Ok(());
        }
        let labels = batch.series[series].as_bytes();
        if self.wants_counter && self.row.has_floats() {
            self.check_counter_name(labels, query);
        }
        if self.keeps_name {
            self.builder.push_row(labels, &self.row);
        } else {
            self.label_bytes.clear();
            query.names().apply_into(labels, &mut self.label_bytes);
            self.builder.push_row(&self.label_bytes, &self.row);
        }
        Ok(())
    }

    fn eval_floats(&mut self, batch: &SampleBatch, series: usize, query: &QueryContext) -> Result<(), QueryError> {
        let samples = batch.samples(series);
        let (times, values) = (samples.timestamps, samples.values);
        if let Kernel::Newest = self.kernel {
            let of_newest = NewestOf::of(&self.plan.function, samples);
            let row = &mut self.row;
            self.plan.windows.for_each(times, |step, low, high| {
                if low < high && !is_stale(values[high - 1]) {
                    row.set(step, of_newest.told(high - 1).unwrap_or(values[high - 1]));
                }
            });
            return Ok(());
        }
        if self.looks_at_starts && samples.start_times.iter().any(|start| *start != 0) {
            let started = self.fresh.started(samples);
            let notes = match &self.kernel {
                Kernel::Range(kernel) => kernel.eval_started(started, &mut self.row),
                Kernel::Reaching(kernel) => {
                    kernel.eval_started(started, &mut self.row);
                    Notes::default()
                }
                Kernel::Newest | Kernel::Smoothed(_) => Notes::default(),
            };
            tell(notes, &batch.series[series], query, self.plan.span);
            return Ok(());
        }
        let (times, values) = match without_stale(times, values, &mut self.fresh.times, &mut self.fresh.values) {
            true => (&self.fresh.times[..], &self.fresh.values[..]),
            false => (times, values),
        };
        match &mut self.kernel {
            Kernel::Range(kernel) => kernel.eval(times, values, &mut self.row)?,
            Kernel::Reaching(kernel) => kernel.eval(times, values, &mut self.row),
            Kernel::Smoothed(bounds) => {
                reach::interpolated(times, values, &self.plan.windows, bounds, &mut self.row);
            }
            Kernel::Newest => {}
        }
        Ok(())
    }

    /// As [`Evaluator::eval_floats`], of a series with native histograms.
    fn eval_mixed(&mut self, batch: &SampleBatch, series: usize, query: &QueryContext) -> Result<(), QueryError> {
        let rows = batch.samples(series);
        let mut sizes = 0;
        self.mixed.fill(rows, self.looks_at_starts, |h| sizes += h.size_bytes());
        // A histogram counts as as many samples as fit into it (prometheus promql/value.go, `HPoint.size`).
        query.count_samples((sizes / SAMPLE_BYTES) as u64)?;
        if self.plan.counts_only {
            self.mixed.keep_counts_only();
        }
        let samples = self.mixed.samples();
        let notes = match &mut self.kernel {
            Kernel::Newest => {
                self.newest_mixed(rows);
                return Ok(());
            }
            Kernel::Range(kernel) => kernel.eval_mixed(&samples, &mut self.row)?,
            Kernel::Reaching(kernel) => kernel.eval_mixed(&samples, &mut self.row),
            Kernel::Smoothed(bounds) => {
                native::reach::interpolated(&samples, &self.plan.windows, bounds, &mut self.row)
            }
        };
        tell(notes, &batch.series[series], query, self.plan.span);
        Ok(())
    }

    fn newest_mixed(&mut self, rows: SampleSlice<'_>) {
        let (times, values) = (rows.timestamps, rows.values);
        let of_newest = NewestOf::of(&self.plan.function, rows);
        let samples = self.mixed.samples();
        let row = &mut self.row;
        self.plan.windows.for_each(times, |step, low, high| {
            if low == high || is_stale(values[high - 1]) {
                return;
            }
            let time = times[high - 1];
            if let Some(told) = of_newest.told(high - 1) {
                row.set(step, told);
                return;
            }
            match samples.times.binary_search(&time) {
                Ok(index) => row.set_histogram(step, Arc::clone(&samples.histograms[index])),
                Err(_) => row.set(step, values[high - 1]),
            }
        });
    }

    fn check_counter_name(&mut self, labels: &[u8], query: &QueryContext) {
        // Series come by name, but of one name in several types.
        let name = labels::value_of(labels, METRIC_NAME.as_bytes());
        if name != self.checked_name || query.promql().type_and_unit_labels {
            self.checked_name.clear();
            self.checked_name.extend_from_slice(name);
            annotate::counter(labels, query, self.plan.span);
        }
    }
}
