//! Functions of whole histograms: `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` over native ones and
//! over classic ones, which are series with an `le` label.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::{Histogram, METRIC_NAME};
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::scalar::{ScalarExpr, evaluate_all};
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::annotate;
use crate::functions::histogram::{Bucket, bucket_fraction, bucket_quantile};
use crate::functions::native::summary;
use crate::functions::number::{go_open_metrics, go_parse};
use crate::plan::{Span, Steps};
use crate::vector::labels::{self, NameRemoval};
use crate::vector::{Interner, RowBuffer, ScalarColumn, VectorReader, VectorRow, vector_schema};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// What is asked of the histograms.
#[derive(Clone, Debug)]
pub enum BucketFunction {
    /// `histogram_quantile(φ, …)`, and where φ stands.
    Quantile(ScalarExpr, Span),
    /// `histogram_quantiles(…, "label", φ…)`: the label that becomes φ, every φ and where it stands.
    Quantiles(Arc<str>, Vec<(ScalarExpr, Span)>),
    /// `histogram_fraction(lower, upper, …)`.
    Fraction(ScalarExpr, ScalarExpr),
}

/// A [`BucketFunction`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireBuckets {
    /// [`BucketFunction::Quantile`].
    Quantile(WireScalar, Span),
    /// [`BucketFunction::Quantiles`].
    Quantiles(Arc<str>, Vec<(WireScalar, Span)>),
    /// [`BucketFunction::Fraction`].
    Fraction(WireScalar, WireScalar),
}

/// The operator's parameters. The metric name is dropped: where the input has several, put `Unique` above.
#[derive(Clone, Debug)]
pub struct Buckets {
    input: Plan,
    function: BucketFunction,
    steps: Steps,
    span: Span,
}

impl Buckets {
    /// The function of the histograms in `input`, which stands at `span`.
    pub fn plan(input: Plan, function: BucketFunction, steps: Steps, span: Span) -> Plan {
        OperatorExec::plan(Buckets {
            input: Gather::one_partition(input),
            function,
            steps,
            span,
        })
    }

    fn params(&self) -> Vec<&ScalarExpr> {
        match &self.function {
            BucketFunction::Quantile(phi, _) => vec![phi],
            BucketFunction::Quantiles(_, phis) => phis.iter().map(|(phi, _)| phi).collect(),
            BucketFunction::Fraction(lower, upper) => vec![lower, upper],
        }
    }
}

impl Operator for Buckets {
    const NAME: &'static str = "BucketsExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            BucketFunction::Quantile(phi, _) => write!(f, "quantile({phi})"),
            BucketFunction::Quantiles(label, phis) => {
                write!(f, "quantiles({label:?}")?;
                phis.iter().try_for_each(|(phi, _)| write!(f, ", {phi}"))?;
                f.write_str(")")
            }
            BucketFunction::Fraction(lower, upper) => write!(f, "fraction({lower}, {upper})"),
        }
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = vec![&self.input];
        self.params().into_iter().for_each(|p| p.inputs(&mut out));
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut out = self.clone();
        out.input = inputs.next().unwrap_or(out.input);
        match &mut out.function {
            BucketFunction::Quantile(phi, _) => *phi = phi.with_inputs(&mut inputs),
            BucketFunction::Quantiles(_, phis) => {
                for (phi, _) in phis {
                    *phi = phi.with_inputs(&mut inputs);
                }
            }
            BucketFunction::Fraction(lower, upper) => {
                *lower = lower.with_inputs(&mut inputs);
                *upper = upper.with_inputs(&mut inputs);
            }
        }
        Ok(out)
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = (WireBuckets, Steps, Span);

    fn to_wire(&self) -> Self::Wire {
        let function = match &self.function {
            BucketFunction::Quantile(phi, span) => WireBuckets::Quantile(scalar_to_wire(phi), *span),
            BucketFunction::Quantiles(label, phis) => {
                let phis = phis.iter().map(|(phi, span)| (scalar_to_wire(phi), *span));
                WireBuckets::Quantiles(Arc::clone(label), phis.collect())
            }
            BucketFunction::Fraction(lower, upper) => {
                WireBuckets::Fraction(scalar_to_wire(lower), scalar_to_wire(upper))
            }
        };
        (function, self.steps, self.span)
    }

    fn from_wire((function, steps, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        let function = match function {
            WireBuckets::Quantile(phi, span) => BucketFunction::Quantile(parts.scalar(phi)?, span),
            WireBuckets::Quantiles(label, phis) => {
                let mut built = Vec::with_capacity(phis.len());
                for (phi, span) in phis {
                    built.push((parts.scalar(phi)?, span));
                }
                BucketFunction::Quantiles(label, built)
            }
            WireBuckets::Fraction(lower, upper) => BucketFunction::Fraction(parts.scalar(lower)?, parts.scalar(upper)?),
        };
        Ok(Buckets {
            input,
            function,
            steps,
            span,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let params: Vec<ScalarExpr> = plan.params().into_iter().cloned().collect();
            let params = evaluate_all(&params, plan.steps, &query, &task).await?;
            let spans: &[Span] = match &plan.function {
                BucketFunction::Quantile(_, span) => std::slice::from_ref(span),
                BucketFunction::Quantiles(_, phis) => &phis.iter().map(|(_, span)| *span).collect::<Vec<_>>(),
                BucketFunction::Fraction(..) => &[],
            };
            for (param, span) in params.iter().zip(spans) {
                annotate::quantiles(std::slice::from_ref(param), &query, *span);
            }
            let input = collect(Arc::clone(&plan.input), Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let mut memory = MemoryGuard::new(&query);
            let rows = readers.iter().flat_map(|r| r.rows());
            let histograms = Histograms::of(rows, &plan, &query, &mut memory)?;
            let batches = histograms.evaluate(&plan, &params, &query, &mut memory)?;
            Ok(Gathered { batches, memory })
        }))
    }
}

/// The histograms of the input, by labels.
#[derive(Default)]
struct Histograms<'a> {
    sets: Interner,
    entries: Vec<Entry<'a>>,
}

/// What stands under one label set (of classic buckets, without `le`).
#[derive(Default)]
struct Entry<'a> {
    /// Series of classic buckets with their upper bounds.
    buckets: Vec<(f64, VectorRow<'a>)>,
    /// Rows with native histograms.
    native: Vec<VectorRow<'a>>,
}

impl<'a> Histograms<'a> {
    fn of(
        rows: impl Iterator<Item = VectorRow<'a>>,
        plan: &Buckets,
        query: &QueryContext,
        memory: &mut MemoryGuard,
    ) -> Result<Self, QueryError> {
        let keys = KeyLabels::all_but(BUCKET_LABEL);
        let mut out = Histograms::default();
        let mut key = Vec::new();
        for row in rows {
            if row.histograms().is_some() {
                out.entry(row.labels, memory)?.native.push(row);
            }
            if row.iter().next().is_none() {
                continue;
            }
            let bound = labels::text(labels::value_of(row.labels, BUCKET_LABEL.as_bytes()));
            let Some(upper) = go_parse(bound) else {
                annotate::bad_bucket_label(bound, told_metric(row.labels, query), query, plan.span);
                continue;
            };
            keys.key_into(row.labels, &mut key);
            out.entry(&key, memory)?.buckets.push((upper, row));
        }
        for entry in &mut out.entries {
            entry.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(out)
    }

    fn entry(&mut self, set: &[u8], memory: &mut MemoryGuard) -> Result<&mut Entry<'a>, QueryError> {
        memory.grow(size_of::<(f64, VectorRow<'_>)>())?;
        let index = self.sets.intern(set);
        if index == self.entries.len() {
            memory.grow(set.len() + size_of::<Entry<'_>>())?;
            self.entries.push(Entry::default());
        }
        Ok(&mut self.entries[index])
    }

    fn evaluate(
        &self,
        plan: &Buckets,
        params: &[ScalarColumn],
        query: &QueryContext,
        memory: &mut MemoryGuard,
    ) -> Result<Vec<RecordBatch>> {
        let steps = plan.steps.len();
        let mut output = Output::default();
        let mut row = RowBuffer::new(steps);
        let (mut set, mut buckets) = (Vec::new(), Vec::new());
        // Steps at which the counts of a histogram had to be raised; the first φ tells of it.
        let mut raised = vec![false; steps];
        for (index, entry) in self.entries.iter().enumerate() {
            let native = entry.native_by_step(steps);
            // Given back with the rest at the end.
            memory.grow(native.iter().flatten().map(|h| h.size_bytes()).sum())?;
            let teller = Teller {
                plan,
                query,
                metric: told_metric(self.sets.bytes(index), query),
            };
            let asks: Vec<Ask<'_>> = match &plan.function {
                BucketFunction::Quantile(..) | BucketFunction::Quantiles(..) => {
                    params.iter().map(Ask::Quantile).collect()
                }
                BucketFunction::Fraction(..) => params.windows(2).map(|p| Ask::Fraction(&p[0], &p[1])).collect(),
            };
            set.clear();
            query.names().apply_into(self.sets.bytes(index), &mut set);
            raised.fill(false);
            for ask in asks {
                row.clear();
                for (step, raised) in raised.iter_mut().enumerate() {
                    entry.buckets_at(step, &mut buckets);
                    let native = native.get(step).and_then(Option::as_ref);
                    if let Some(value) = teller.value(ask, step, native.map(|h| &**h), &mut buckets, raised) {
                        row.set(step, value);
                    }
                }
                match (&plan.function, ask) {
                    (BucketFunction::Quantiles(label, _), Ask::Quantile(phi)) => {
                        push_by_quantile(&set, label, phi, &row, &mut output)?;
                    }
                    _ => {
                        output.row()?.push_row(&set, &row);
                    }
                }
            }
        }
        output.finish()
    }
}

impl Entry<'_> {
    /// The native histogram of each step; empty where there is none at all.
    fn native_by_step(&self, steps: usize) -> Vec<Option<Arc<Histogram>>> {
        if self.native.is_empty() {
            return Vec::new();
        }
        let mut out = vec![None; steps];
        for (step, histogram) in self.native.iter().flat_map(|row| row.histogram_points()) {
            out[step] = Some(histogram);
        }
        out
    }

    fn buckets_at(&self, step: usize, out: &mut Vec<Bucket>) {
        out.clear();
        out.extend(self.buckets.iter().filter_map(|(upper, row)| {
            let count = row.at(step)?;
            Some(Bucket { upper: *upper, count })
        }));
    }
}

/// One number that is asked of every histogram.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Quantile(&'a ScalarColumn),
    Fraction(&'a ScalarColumn, &'a ScalarColumn),
}

/// Finds values, and tells what there is to tell of them.
struct Teller<'a> {
    plan: &'a Buckets,
    query: &'a QueryContext,
    metric: &'a str,
}

impl Teller<'_> {
    fn value(
        &self,
        ask: Ask<'_>,
        step: usize,
        native: Option<&Histogram>,
        buckets: &mut Vec<Bucket>,
        raised: &mut bool,
    ) -> Option<f64> {
        let (query, span) = (self.query, self.plan.span);
        let Some(native) = native else {
            return (!buckets.is_empty()).then(|| self.classic_value(ask, step, buckets, raised));
        };
        if !buckets.is_empty() {
            annotate::mixed_classic_native(self.metric, query, span);
            return None;
        }
        Some(match ask {
            Ask::Quantile(phi) => {
                let (value, effect) = summary::quantile(phi.at(step), native);
                if let Some(effect) = effect {
                    annotate::nan_observations(effect, self.metric, query, span);
                }
                value
            }
            Ask::Fraction(lower, upper) => {
                let (value, without_nan) = summary::fraction(lower.at(step), upper.at(step), native);
                if without_nan {
                    annotate::nan_excluded(self.metric, query, span);
                }
                value
            }
        })
    }

    fn classic_value(&self, ask: Ask<'_>, step: usize, buckets: &mut Vec<Bucket>, raised: &mut bool) -> f64 {
        match ask {
            Ask::Quantile(phi) => {
                let (value, forced) = bucket_quantile(phi.at(step), buckets);
                if let Some(forced) = forced
                    && !std::mem::replace(raised, true)
                {
                    let time_ns = self.plan.steps.time(step);
                    self.query.force_monotonic(self.metric, self.plan.span, time_ns, forced);
                }
                value
            }
            Ask::Fraction(lower, upper) => bucket_fraction(lower.at(step), upper.at(step), buckets),
        }
    }
}

/// Adds a row for each φ that a parameter has.
fn push_by_quantile(
    set: &[u8],
    label: &str,
    phi: &ScalarColumn,
    row: &RowBuffer,
    output: &mut Output,
) -> Result<(), DataFusionError> {
    let marked = labels::split_mark(set).0 && label != METRIC_NAME;
    let labelled = |phi: f64| {
        let mut builder = labels::to_labels(set).to_builder();
        builder.set(label, &go_open_metrics(phi));
        let built = builder.build();
        let mut out = Vec::new();
        if marked {
            NameRemoval::Delayed.apply_into(built.as_bytes(), &mut out);
        } else {
            out.extend_from_slice(built.as_bytes());
        }
        out
    };
    if let ScalarColumn::Constant(phi) = phi {
        output.row()?.push_row(&labelled(*phi), row);
        return Ok(());
    }
    let mut by_phi: BTreeMap<String, (f64, RowBuffer)> = BTreeMap::new();
    for (step, value) in row
        .values()
        .iter()
        .enumerate()
        .filter(|(step, _)| row.is_present(*step))
    {
        let phi = phi.at(step);
        let (_, steps) = by_phi
            .entry(go_open_metrics(phi))
            .or_insert_with(|| (phi, RowBuffer::new(row.values().len())));
        steps.set(step, *value);
    }
    for (phi, steps) in by_phi.values() {
        output.row()?.push_row(&labelled(*phi), steps);
    }
    Ok(())
}

/// The name that annotations give a histogram: none where names go before they are told.
fn told_metric<'a>(set: &'a [u8], query: &QueryContext) -> &'a str {
    if query.names() == NameRemoval::AtOnce {
        return "";
    }
    labels::text(labels::value_of(set, METRIC_NAME.as_bytes()))
}
