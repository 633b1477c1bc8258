//! Functions of classic histograms: `histogram_quantile` and `histogram_fraction` over series with an `le` label.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::METRIC_NAME;
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::scalar::{ScalarExpr, evaluate_all};
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::functions::annotate;
use crate::functions::histogram::{Bucket, bucket_fraction, bucket_quantile};
use crate::plan::{Span, Steps};
use crate::vector::{Interner, RowBuffer, ScalarColumn, VectorReader, VectorRow, labels, vector_schema};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// What is asked of the histograms.
#[derive(Clone, Debug)]
pub enum BucketFunction {
    /// `histogram_quantile(φ, …)`, and where φ stands.
    Quantile(ScalarExpr, Span),
    /// `histogram_fraction(lower, upper, …)`.
    Fraction(ScalarExpr, ScalarExpr),
}

/// A [`BucketFunction`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireBuckets {
    /// [`BucketFunction::Quantile`].
    Quantile(WireScalar, Span),
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
            BucketFunction::Fraction(lower, upper) => vec![lower, upper],
        }
    }
}

impl Operator for Buckets {
    const NAME: &'static str = "BucketsExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            BucketFunction::Quantile(phi, _) => write!(f, "quantile({phi})"),
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
            if let BucketFunction::Quantile(_, span) = &plan.function {
                annotate::quantiles(&params, &query, *span);
            }
            let input = collect(Arc::clone(&plan.input), Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let mut memory = MemoryGuard::new(&query);
            let rows = readers.iter().flat_map(|r| r.rows());
            let batches = evaluate(&plan, rows, &params, &query, &mut memory)?;
            Ok(Gathered { batches, memory })
        }))
    }
}

fn evaluate<'a>(
    plan: &Buckets,
    rows: impl Iterator<Item = VectorRow<'a>>,
    params: &[ScalarColumn],
    query: &QueryContext,
    memory: &mut MemoryGuard,
) -> Result<Vec<arrow_array::RecordBatch>> {
    let keys = KeyLabels::all_but(BUCKET_LABEL);
    let (mut histograms, mut series, mut key) = (Interner::new(), Vec::<Vec<(f64, VectorRow<'_>)>>::new(), Vec::new());
    for row in rows {
        let bound = labels::text(labels::value_of(row.labels, BUCKET_LABEL.as_bytes()));
        let Ok(upper) = bound.parse::<f64>() else {
            let metric = labels::text(labels::value_of(row.labels, METRIC_NAME.as_bytes()));
            annotate::bad_bucket_label(bound, metric, query, plan.span);
            continue;
        };
        keys.key_into(row.labels, &mut key);
        let histogram = histograms.intern(&key);
        if histogram == series.len() {
            series.push(Vec::new());
        }
        memory.grow(size_of::<(f64, VectorRow<'_>)>())?;
        series[histogram].push((upper, row));
    }
    let mut output = Output::default();
    let mut row = RowBuffer::new(plan.steps.len());
    let mut buckets = Vec::new();
    for (histogram, series) in series.iter_mut().enumerate() {
        series.sort_by(|a, b| a.0.total_cmp(&b.0));
        row.clear();
        for step in 0..plan.steps.len() {
            buckets.clear();
            buckets.extend(series.iter().filter_map(|(upper, row)| {
                let count = row.at(step)?;
                Some(Bucket { upper: *upper, count })
            }));
            if buckets.is_empty() {
                continue;
            }
            let param = |i: usize| params.get(i).map_or(f64::NAN, |p| p.at(step));
            let value = match plan.function {
                BucketFunction::Quantile(..) => {
                    let (value, forced) = bucket_quantile(param(0), &mut buckets);
                    if let Some(forced) = forced {
                        query.force_monotonic(plan.span, plan.steps.time(step), forced);
                    }
                    value
                }
                BucketFunction::Fraction(..) => bucket_fraction(param(0), param(1), &mut buckets),
            };
            row.set(step, value);
        }
        key.clear();
        query.names().apply_into(histograms.bytes(histogram), &mut key);
        output.row()?.push_row(&key, &row);
    }
    output.finish()
}
