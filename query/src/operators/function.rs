//! A function of each value.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::{Histogram, METRIC_NAME};
use serde::{Deserialize, Serialize};

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::scalar::{ScalarExpr, evaluate_all};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::instant::apply;
use crate::functions::native::scale::mul;
use crate::functions::seconds::seconds;
use crate::functions::{HistogramFunction, InstantFunction};
use crate::plan::Steps;
use crate::vector::labels::{self, NameRemoval};
use crate::vector::{RowBuffer, ScalarColumn, VectorBuilder, VectorRow};

/// What is done to each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueFunction {
    /// A named function.
    Named(InstantFunction),
    /// `-x`
    Negate,
    /// A number of each histogram.
    Histogram(HistogramFunction),
    /// Leaves histograms out, and labels as they are.
    Floats,
}

impl ValueFunction {
    /// Whether the result keeps the metric name.
    pub fn keeps_name(self) -> bool {
        self == ValueFunction::Floats
    }
}

/// The operator's parameters. The result is no longer the metric it was, unless
/// [`ValueFunction::keeps_name`].
#[derive(Clone, Debug)]
pub struct Function {
    /// The vector.
    pub input: Plan,
    /// What is done.
    pub function: ValueFunction,
    /// Scalar arguments.
    pub args: Vec<ScalarExpr>,
    /// The grid.
    pub steps: Steps,
}

impl Operator for Function {
    const NAME: &'static str = "FunctionExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            ValueFunction::Named(function) => f.write_str(function.as_str())?,
            ValueFunction::Negate => f.write_str("-")?,
            ValueFunction::Histogram(function) => f.write_str(function.as_str())?,
            ValueFunction::Floats => f.write_str("floats")?,
        }
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = vec![&self.input];
        self.args.iter().for_each(|a| a.inputs(&mut out));
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut out = self.clone();
        out.input = inputs.next().unwrap_or(out.input);
        out.args = self.args.iter().map(|a| a.with_inputs(&mut inputs)).collect();
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = (ValueFunction, Vec<WireScalar>, Steps);

    fn to_wire(&self) -> Self::Wire {
        let args = self.args.iter().map(scalar_to_wire).collect();
        (self.function, args, self.steps)
    }

    fn from_wire((function, args, steps): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Function {
            input: parts.input()?,
            function,
            args: parts.scalars(args)?,
            steps,
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
                Ok(Mapper {
                    args: evaluate_all(&plan.args, plan.steps, &query, &task).await?,
                    row: RowBuffer::new(plan.steps.len()),
                    names: query.names(),
                    label_bytes: Vec::new(),
                    scratch: Histogram::default(),
                    plan,
                })
            })
        })
    }
}

struct Mapper {
    plan: Function,
    args: Vec<ScalarColumn>,
    row: RowBuffer,
    names: NameRemoval,
    label_bytes: Vec<u8>,
    scratch: Histogram,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        self.row.clear();
        match self.plan.function {
            ValueFunction::Floats => {
                out.push_copy(row.labels, row.floats());
                return Ok(());
            }
            ValueFunction::Histogram(function) => {
                self.map_to_numbers(function, row);
                self.label_bytes.clear();
                match self.names {
                    // Upstream leaves the other labels of a metric here.
                    NameRemoval::AtOnce => {
                        let is_name = |name: &[u8]| name == METRIC_NAME.as_bytes();
                        labels::filter_into(row.labels, &mut self.label_bytes, |name| !is_name(name));
                    }
                    NameRemoval::Delayed => self.names.apply_into(row.labels, &mut self.label_bytes),
                }
                out.push_row(&self.label_bytes, &self.row);
                return Ok(());
            }
            ValueFunction::Named(_) | ValueFunction::Negate => {}
        }
        for (step, value) in row.iter() {
            let result = match self.plan.function {
                ValueFunction::Negate => Some(-value),
                ValueFunction::Histogram(_) | ValueFunction::Floats => None,
                // Samples have starts, values of anything but a selector have none.
                ValueFunction::Named(InstantFunction::StartTimestamp) => None,
                // Of anything but a selector, the time of a value is that of its step.
                ValueFunction::Named(InstantFunction::Timestamp) => Some(seconds(self.plan.steps.time(step))),
                ValueFunction::Named(function) => apply(function, value, |i| self.args.get(i).map(|a| a.at(step))),
            };
            if let Some(result) = result {
                self.row.set(step, result);
            }
        }
        self.map_histograms(row);
        self.label_bytes.clear();
        self.names.apply_into(row.labels, &mut self.label_bytes);
        out.push_row(&self.label_bytes, &self.row);
        Ok(())
    }
}

impl Mapper {
    fn map_to_numbers(&mut self, function: HistogramFunction, row: VectorRow<'_>) {
        let Some(runs) = row.histograms() else {
            return;
        };
        runs.for_each(&mut self.scratch, |steps, histogram| {
            let value = function.of(histogram);
            steps.for_each(|step| self.row.set(step, value));
        });
    }

    /// Of histograms there are a negative and a time; functions of numbers leave them out.
    fn map_histograms(&mut self, row: VectorRow<'_>) {
        let Some(runs) = row.histograms() else {
            return;
        };
        match self.plan.function {
            ValueFunction::Negate => {
                for run in 0..runs.len() {
                    let (first, count) = runs.steps(run);
                    let mut negative = runs.read(run);
                    mul(&mut negative, -1.0);
                    let negative = Arc::new(negative);
                    (first..first + count).for_each(|s| self.row.set_histogram(s as usize, Arc::clone(&negative)));
                }
            }
            ValueFunction::Named(InstantFunction::Timestamp) => {
                let steps = self.plan.steps;
                runs.all_steps()
                    .for_each(|step| self.row.set(step, seconds(steps.time(step))));
            }
            ValueFunction::Named(_) | ValueFunction::Histogram(_) | ValueFunction::Floats => {}
        }
    }
}
