//! Scalars: expressions without labels, one value a step. They stand inside other operators as parameters, and as
//! [`Scalar`] where a scalar is the whole query or becomes a vector.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use futures::future::BoxFuture;

use super::exec::{Operator, Plan, partitions};
use super::stream::{Gathered, MemoryGuard, Output, gathered};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::functions::binary::scalar_op;
use crate::functions::seconds::seconds;
use crate::plan::{BinaryOp, Steps};
use crate::vector::{ScalarColumn, VectorReader, vector_schema};

/// A scalar expression over the grid it is evaluated on.
#[derive(Clone, Debug)]
pub enum ScalarExpr {
    /// A number.
    Constant(f64),
    /// Seconds of the step.
    Time,
    /// The value of the only element of a vector, NaN where there is not exactly one.
    Vector(Plan),
    /// `-x`
    Negate(Box<ScalarExpr>),
    /// Arithmetic; a comparison gives 0 or 1.
    Binary(BinaryOp, Box<(ScalarExpr, ScalarExpr)>),
    /// The value at this time stands at every step.
    Invariant(Steps, Box<ScalarExpr>),
}

/// The plans below an operator that has a vector and a scalar, in the order of [`put_inputs`].
pub fn inputs_of<'a>(vector: &'a Plan, scalar: &'a ScalarExpr) -> Vec<&'a Plan> {
    let mut out = vec![vector];
    scalar.inputs(&mut out);
    out
}

/// Puts other plans in their places.
pub fn put_inputs(plans: Vec<Plan>, vector: &mut Plan, scalar: &mut ScalarExpr) {
    let mut plans = plans.into_iter();
    if let Some(plan) = plans.next() {
        *vector = plan;
    }
    *scalar = scalar.with_inputs(&mut plans);
}

impl ScalarExpr {
    /// Adds the plans inside to `out`, in a fixed order.
    pub fn inputs<'a>(&'a self, out: &mut Vec<&'a Plan>) {
        match self {
            ScalarExpr::Constant(_) | ScalarExpr::Time => {}
            ScalarExpr::Vector(plan) => out.push(plan),
            ScalarExpr::Negate(inner) | ScalarExpr::Invariant(_, inner) => inner.inputs(out),
            ScalarExpr::Binary(_, sides) => {
                sides.0.inputs(out);
                sides.1.inputs(out);
            }
        }
    }

    /// The same expression over other plans, taken in the order of [`ScalarExpr::inputs`].
    pub fn with_inputs(&self, plans: &mut impl Iterator<Item = Plan>) -> ScalarExpr {
        match self {
            ScalarExpr::Constant(_) | ScalarExpr::Time => self.clone(),
            ScalarExpr::Vector(plan) => ScalarExpr::Vector(plans.next().unwrap_or_else(|| Arc::clone(plan))),
            ScalarExpr::Negate(inner) => ScalarExpr::Negate(Box::new(inner.with_inputs(plans))),
            ScalarExpr::Invariant(steps, inner) => ScalarExpr::Invariant(*steps, Box::new(inner.with_inputs(plans))),
            ScalarExpr::Binary(op, sides) => {
                let left = sides.0.with_inputs(plans);
                ScalarExpr::Binary(*op, Box::new((left, sides.1.with_inputs(plans))))
            }
        }
    }

    /// The values on a grid. Runs the plans inside.
    pub fn evaluate<'a>(
        &'a self,
        steps: Steps,
        query: &'a Arc<QueryContext>,
        task: &'a Arc<TaskContext>,
    ) -> BoxFuture<'a, Result<ScalarColumn>> {
        Box::pin(async move {
            Ok(match self {
                ScalarExpr::Constant(value) => ScalarColumn::Constant(*value),
                ScalarExpr::Time => {
                    ScalarColumn::Steps((0..steps.len()).map(|step| seconds(steps.time(step))).collect())
                }
                ScalarExpr::Vector(plan) => only_element(plan, steps, query, task).await?,
                ScalarExpr::Negate(inner) => inner.evaluate(steps, query, task).await?.map(|v| -v),
                ScalarExpr::Invariant(at, inner) => {
                    ScalarColumn::Constant(inner.evaluate(*at, query, task).await?.at(0))
                }
                ScalarExpr::Binary(op, sides) => {
                    let left = sides.0.evaluate(steps, query, task).await?;
                    let right = sides.1.evaluate(steps, query, task).await?;
                    match (left, right) {
                        (ScalarColumn::Constant(a), ScalarColumn::Constant(b)) => {
                            ScalarColumn::Constant(scalar_op(*op, a, b))
                        }
                        (a, b) => ScalarColumn::Steps(
                            (0..steps.len())
                                .map(|step| scalar_op(*op, a.at(step), b.at(step)))
                                .collect(),
                        ),
                    }
                }
            })
        })
    }
}

impl fmt::Display for ScalarExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalarExpr::Constant(value) => write!(f, "{value}"),
            ScalarExpr::Time => f.write_str("time"),
            ScalarExpr::Vector(_) => f.write_str("scalar(input)"),
            ScalarExpr::Negate(inner) => write!(f, "-{inner}"),
            ScalarExpr::Invariant(steps, inner) => write!(f, "({inner} at {})", steps.start_ns),
            ScalarExpr::Binary(op, sides) => write!(f, "({} {} {})", sides.0, op.as_str(), sides.1),
        }
    }
}

/// Evaluates parameters in order.
pub async fn evaluate_all(
    params: &[ScalarExpr],
    steps: Steps,
    query: &Arc<QueryContext>,
    task: &Arc<TaskContext>,
) -> Result<Vec<ScalarColumn>> {
    let mut out = Vec::with_capacity(params.len());
    for param in params {
        out.push(param.evaluate(steps, query, task).await?);
    }
    Ok(out)
}

async fn only_element(
    plan: &Plan,
    steps: Steps,
    query: &Arc<QueryContext>,
    task: &Arc<TaskContext>,
) -> Result<ScalarColumn> {
    let mut values = vec![f64::NAN; steps.len()];
    let mut counts = vec![0u32; steps.len()];
    for partition in 0..partitions(plan) {
        let mut input = plan.execute(partition, Arc::clone(task))?;
        while let Some(batch) = input.try_next().await? {
            query.check()?;
            for row in VectorReader::new(&batch)?.rows() {
                for (step, value) in row.iter() {
                    counts[step] += 1;
                    values[step] = if counts[step] == 1 { value } else { f64::NAN };
                }
            }
        }
    }
    Ok(ScalarColumn::Steps(values))
}

/// A scalar as a vector of one element without labels.
#[derive(Debug)]
pub struct Scalar {
    /// The scalar.
    pub expr: ScalarExpr,
    /// The grid.
    pub steps: Steps,
}

impl Operator for Scalar {
    const NAME: &'static str = "ScalarExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = Vec::new();
        self.expr.inputs(&mut out);
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        Ok(Scalar {
            expr: self.expr.with_inputs(&mut inputs.into_iter()),
            steps: self.steps,
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    fn estimated_rows(&self, _: &[Option<usize>]) -> Option<usize> {
        Some(1)
    }

    type Wire = (WireScalar, Steps);

    fn to_wire(&self) -> Self::Wire {
        (scalar_to_wire(&self.expr), self.steps)
    }

    fn from_wire((expr, steps): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let expr = parts.scalar(expr)?;
        Ok(Scalar { expr, steps })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (expr, steps) = (self.expr.clone(), self.steps);
        Ok(gathered(vector_schema(), async move {
            let column = expr.evaluate(steps, &query, &task).await?;
            let values: Vec<f64> = (0..steps.len()).map(|step| column.at(step)).collect();
            let mut output = Output::default();
            output.row()?.push_dense(b"", 0, &values);
            Ok(Gathered {
                batches: output.finish()?,
                memory: MemoryGuard::new(&query),
            })
        }))
    }
}
