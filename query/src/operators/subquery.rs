//! A range function over the points of an inner plan.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::{METRIC_NAME, Timestamp};

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::scalar::{ScalarExpr, evaluate_all};
use super::stream::MemoryGuard;
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::native::mixed::MixedBuffer;
use crate::functions::range::RangeKernel;
use crate::functions::window::{Windows, without_stale};
use crate::functions::{RangeFunction, annotate};
use crate::plan::physical::BYTES_PER_INNER_STEP;
use crate::plan::{Span, Steps};
use crate::vector::{RowBuffer, VectorBuilder, VectorRow, labels};

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// Evaluated on `inner`.
    pub input: Plan,
    /// The inner grid.
    pub inner: Steps,
    /// Windows over the inner points, one an outer step.
    pub windows: Windows,
    /// The function.
    pub function: RangeFunction,
    /// Its scalar parameters, on the outer grid.
    pub params: Vec<ScalarExpr>,
    /// Where the subquery stands.
    pub span: Span,
}

impl Operator for Subquery {
    const NAME: &'static str = "SubqueryExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} window={}ns step={}ns points={}",
            self.function.as_str(),
            self.windows.width_ns,
            self.inner.step_ns,
            self.inner.count
        )
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = vec![&self.input];
        self.params.iter().for_each(|p| p.inputs(&mut out));
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut out = self.clone();
        out.input = inputs.next().unwrap_or(out.input);
        out.params = self.params.iter().map(|p| p.with_inputs(&mut inputs)).collect();
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = (Steps, Windows, RangeFunction, Vec<WireScalar>, Span);

    fn to_wire(&self) -> Self::Wire {
        let params = self.params.iter().map(scalar_to_wire).collect();
        (self.inner, self.windows, self.function, params, self.span)
    }

    fn from_wire((inner, windows, function, params, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Subquery {
            input: parts.input()?,
            inner,
            windows,
            function,
            params: parts.scalars(params)?,
            span,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        map_rows(&self.input, partition, query, task, move |query, task| {
            Box::pin(async move {
                let mut memory = MemoryGuard::new(&query);
                memory.grow(plan.inner.len().saturating_mul(BYTES_PER_INNER_STEP))?;
                let params = evaluate_all(&plan.params, plan.windows.steps, &query, &task).await?;
                if plan.function == RangeFunction::QuantileOverTime {
                    annotate::quantiles(&params, &query, plan.span);
                }
                Ok(Mapper {
                    kernel: RangeKernel::new(plan.function, plan.windows, params),
                    row: RowBuffer::new(plan.windows.steps.len()),
                    points: Points::default(),
                    mixed: MixedBuffer::default(),
                    label_bytes: Vec::new(),
                    plan,
                    query,
                    _memory: memory,
                })
            })
        })
    }
}

#[derive(Default)]
struct Points {
    times: Vec<Timestamp>,
    values: Vec<f64>,
    clean_times: Vec<Timestamp>,
    clean_values: Vec<f64>,
}

struct Mapper {
    plan: Subquery,
    kernel: RangeKernel,
    row: RowBuffer,
    points: Points,
    mixed: MixedBuffer,
    label_bytes: Vec<u8>,
    query: Arc<QueryContext>,
    /// Of the points of one row.
    _memory: MemoryGuard,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        self.row.clear();
        if row.histograms().is_some() {
            self.eval_mixed(row)?;
        } else {
            self.eval_floats(row)?;
        }
        if self.row.is_empty() {
            return Ok(());
        }
        let counter = matches!(self.plan.function, RangeFunction::Rate | RangeFunction::Increase);
        if counter && self.row.has_floats() {
            annotate::counter(row.labels, &self.query, self.plan.span);
        }
        if self.plan.function.keeps_name() {
            out.push_row(row.labels, &self.row);
        } else {
            self.label_bytes.clear();
            self.query.names().apply_into(row.labels, &mut self.label_bytes);
            out.push_row(&self.label_bytes, &self.row);
        }
        Ok(())
    }
}

impl Mapper {
    fn eval_floats(&mut self, row: VectorRow<'_>) -> Result<(), QueryError> {
        let points = &mut self.points;
        points.times.clear();
        points.values.clear();
        for (step, value) in row.iter() {
            points.times.push(self.plan.inner.time(step));
            points.values.push(value);
        }
        if without_stale(
            &points.times,
            &points.values,
            &mut points.clean_times,
            &mut points.clean_values,
        ) {
            self.kernel
                .eval(&points.clean_times, &points.clean_values, &mut self.row)?;
        } else {
            self.kernel.eval(&points.times, &points.values, &mut self.row)?;
        }
        Ok(())
    }

    fn eval_mixed(&mut self, row: VectorRow<'_>) -> Result<(), QueryError> {
        let inner = self.plan.inner;
        self.mixed.clear();
        for (step, value) in row.iter() {
            self.mixed.push_float(inner.time(step), value);
        }
        for (step, histogram) in row.histogram_points() {
            self.mixed.push_histogram(inner.time(step), histogram);
        }
        self.mixed.forget_resets();
        let notes = self.kernel.eval_mixed(&self.mixed.samples(), &mut self.row)?;
        let metric = labels::text(labels::value_of(row.labels, METRIC_NAME.as_bytes()));
        notes.tell(metric, &self.query, self.plan.span);
        Ok(())
    }
}
