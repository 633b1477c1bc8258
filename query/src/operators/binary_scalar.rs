//! Arithmetic and comparison of a vector with a scalar.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::Histogram;

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::scalar::{ScalarExpr, inputs_of, put_inputs};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::binary::{arithmetic, compare};
use crate::functions::native::binary::{Element, Outcome, Told, combine};
use crate::plan::{BinaryOp, Span, Steps};
use crate::vector::labels::NameRemoval;
use crate::vector::{HistogramRuns, RowBuffer, ScalarColumn, VectorBuilder, VectorRow};

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct BinaryScalar {
    /// The vector.
    pub input: Plan,
    /// The scalar.
    pub scalar: ScalarExpr,
    /// The operator.
    pub op: BinaryOp,
    /// Whether the scalar is the left side.
    pub scalar_left: bool,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// The grid.
    pub steps: Steps,
    /// Where the operation stands.
    pub span: Span,
}

impl BinaryScalar {
    /// Whether the result is no longer the metric it was. Neither a comparison that filters nor a trim makes another one of it
    /// (prometheus promql/engine.go, `changesMetricSchema`).
    pub fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
        return_bool || !(op.is_comparison() || op.is_trim())
    }
}

impl Operator for BinaryScalar {
    const NAME: &'static str = "BinaryScalarExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bool_text = if self.return_bool { " bool" } else { "" };
        if self.scalar_left {
            write!(f, "{} {}{bool_text} input", self.scalar, self.op.as_str())
        } else {
            write!(f, "input {}{bool_text} {}", self.op.as_str(), self.scalar)
        }
    }

    fn inputs(&self) -> Vec<&Plan> {
        inputs_of(&self.input, &self.scalar)
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut out = self.clone();
        put_inputs(inputs, &mut out.input, &mut out.scalar);
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = (BinaryOp, WireScalar, bool, bool, Steps, Span);

    fn to_wire(&self) -> Self::Wire {
        let scalar = scalar_to_wire(&self.scalar);
        let (op, steps, span) = (self.op, self.steps, self.span);
        (op, scalar, self.scalar_left, self.return_bool, steps, span)
    }

    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let (op, scalar, scalar_left, return_bool, steps, span) = wire;
        Ok(BinaryScalar {
            input: parts.input()?,
            scalar: parts.scalar(scalar)?,
            op,
            scalar_left,
            return_bool,
            steps,
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
                let scalar = plan.scalar.evaluate(plan.steps, &query, &task).await?;
                Ok(Mapper {
                    row: RowBuffer::new(plan.steps.len()),
                    rows: 0,
                    drops_name: BinaryScalar::drops_name(plan.op, plan.return_bool),
                    names: query.names(),
                    label_bytes: Vec::new(),
                    told: Told::default(),
                    query,
                    scalar,
                    plan,
                })
            })
        })
    }
}

struct Mapper {
    plan: BinaryScalar,
    scalar: ScalarColumn,
    row: RowBuffer,
    /// How many rows were mapped.
    rows: usize,
    drops_name: bool,
    names: NameRemoval,
    label_bytes: Vec<u8>,
    told: Told,
    query: Arc<QueryContext>,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        self.row.clear();
        self.rows += 1;
        let op = self.plan.op;
        if op.is_trim() {
            for (step, _) in row.iter() {
                self.told.set_place(step, self.rows);
                self.told.types(&Element::Float(0.0), &Element::Float(0.0));
            }
        } else {
            self.map_floats(row);
        }
        if let Some(runs) = row.histograms() {
            self.map_histograms(runs);
        }
        if self.drops_name {
            self.label_bytes.clear();
            self.names.apply_into(row.labels, &mut self.label_bytes);
            out.push_row(&self.label_bytes, &self.row);
        } else {
            out.push_row(row.labels, &self.row);
        }
        Ok(())
    }

    fn tell(&mut self) {
        let told = std::mem::take(&mut self.told);
        told.tell(self.plan.op, &self.query, self.plan.span);
    }
}

impl Mapper {
    #[inline]
    fn map_floats(&mut self, row: VectorRow<'_>) {
        let op = self.plan.op;
        for (step, value) in row.iter() {
            let scalar = self.scalar.at(step);
            let (left, right) = if self.plan.scalar_left {
                (scalar, value)
            } else {
                (value, scalar)
            };
            if !op.is_comparison() {
                self.row.set(step, arithmetic(op, left, right));
                continue;
            }
            let holds = compare(op, left, right);
            if self.plan.return_bool {
                self.row.set(step, f64::from(u8::from(holds)));
            } else if holds {
                // The vector's value stays, whichever side it is on.
                self.row.set(step, value);
            }
        }
    }

    fn map_histograms(&mut self, runs: HistogramRuns<'_>) {
        for run in 0..runs.len() {
            let (first, count) = runs.steps(run);
            let histogram = runs.read(run);
            let mut last: Option<(u64, Arc<Histogram>)> = None;
            for step in first as usize..(first + count) as usize {
                let scalar = self.scalar.at(step);
                if let Some((bits, made)) = &last
                    && *bits == scalar.to_bits()
                {
                    self.row.set_histogram(step, Arc::clone(made));
                    continue;
                }
                let (left, right) = (Element::Histogram(&histogram), Element::Float(scalar));
                let (left, right) = if self.plan.scalar_left {
                    (right, left)
                } else {
                    (left, right)
                };
                self.told.set_place(step, self.rows);
                // Histograms and numbers do not compare, so there is either a new one or nothing.
                if let Outcome::Histogram(made) = combine(self.plan.op, left, right, &mut self.told) {
                    let made = Arc::new(made);
                    self.row.set_histogram(step, Arc::clone(&made));
                    last = Some((scalar.to_bits(), made));
                }
            }
        }
    }
}
