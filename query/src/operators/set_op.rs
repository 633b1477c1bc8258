//! `and`, `or`, `unless` of two vectors.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::plan::{Matching, SetOp, Steps};
use crate::vector::{Interner, RowBuffer, VectorReader, VectorRow, vector_schema};

/// The operator's parameters. `or` can give one label set from both sides at different steps: put `Unique` above.
#[derive(Clone, Debug)]
pub struct SetOperation {
    left: Plan,
    right: Plan,
    op: SetOp,
    keys: KeyLabels,
    steps: Steps,
}

impl SetOperation {
    /// The set operation of two vectors.
    pub fn plan(left: Plan, right: Plan, op: SetOp, matching: &Matching, steps: Steps) -> Plan {
        OperatorExec::plan(SetOperation {
            left: Gather::one_partition(left),
            right: Gather::one_partition(right),
            op,
            keys: KeyLabels::of_match(matching),
            steps,
        })
    }
}

impl Operator for SetOperation {
    const NAME: &'static str = "SetOpExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.op.as_str(), self.keys)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.left, &self.right]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(SetOperation {
            right: inputs.swap_remove(1),
            left: inputs.swap_remove(0),
            ..self.clone()
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    fn estimated_rows(&self, inputs: &[Option<usize>]) -> Option<usize> {
        let (left, right) = ((*inputs.first()?)?, (*inputs.get(1)?)?);
        Some(match self.op {
            SetOp::And | SetOp::Unless => left,
            SetOp::Or => left.saturating_add(right),
        })
    }

    type Wire = (SetOp, KeyLabels, Steps);

    fn to_wire(&self) -> Self::Wire {
        (self.op, self.keys.clone(), self.steps)
    }

    fn from_wire((op, keys, steps): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(SetOperation {
            left: parts.input()?,
            right: parts.input()?,
            op,
            keys,
            steps,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            // The right side is read where nothing can come of it too: its errors and annotations belong to the answer.
            let left = collect(Arc::clone(&plan.left), Arc::clone(&query), Arc::clone(&task)).await?;
            let right = collect(Arc::clone(&plan.right), Arc::clone(&query), task).await?;
            combine(&plan, &left, &right, &query)
        }))
    }
}

fn combine(plan: &SetOperation, left: &Gathered, right: &Gathered, query: &QueryContext) -> Result<Gathered> {
    let mut memory = MemoryGuard::new(query);
    let mut output = Output::default();
    let left_readers = left.batches.iter().map(VectorReader::new).collect::<Result<Vec<_>>>()?;
    let right_readers = right
        .batches
        .iter()
        .map(VectorReader::new)
        .collect::<Result<Vec<_>>>()?;
    let left_rows = || left_readers.iter().flat_map(|r| r.rows());
    let right_rows = || right_readers.iter().flat_map(|r| r.rows());
    let mut row = RowBuffer::new(plan.steps.len());
    match plan.op {
        SetOp::And | SetOp::Unless => {
            let present = Presence::of(right_rows(), plan, &mut memory)?;
            let wanted = plan.op == SetOp::And;
            filter(left_rows(), &present, wanted, plan, &mut row, &mut output)?;
        }
        SetOp::Or => {
            for element in left_rows() {
                output.row()?.push_copy(element.labels, element);
            }
            let present = Presence::of(left_rows(), plan, &mut memory)?;
            filter(right_rows(), &present, false, plan, &mut row, &mut output)?;
        }
    }
    Ok(Gathered {
        batches: output.finish()?,
        memory,
    })
}

/// At which steps a match key has an element.
struct Presence {
    keys: Interner,
    steps: Vec<bool>,
}

impl Presence {
    fn of<'a>(
        rows: impl Iterator<Item = VectorRow<'a>>,
        plan: &SetOperation,
        memory: &mut MemoryGuard,
    ) -> Result<Self, QueryError> {
        let steps = plan.steps.len();
        let mut out = Presence {
            keys: Interner::new(),
            steps: Vec::new(),
        };
        let mut key = Vec::new();
        for row in rows {
            plan.keys.key_into(row.labels, &mut key);
            let index = out.keys.intern(&key);
            if out.steps.len() < (index + 1) * steps {
                memory.grow(steps + key.len() + 16)?;
                out.steps.resize((index + 1) * steps, false);
            }
            for step in row.steps() {
                out.steps[index * steps + step] = true;
            }
        }
        Ok(out)
    }
}

/// Adds what is left of `rows` where their key's presence is `wanted`.
fn filter<'a>(
    rows: impl Iterator<Item = VectorRow<'a>>,
    present: &Presence,
    wanted: bool,
    plan: &SetOperation,
    buffer: &mut RowBuffer,
    output: &mut Output,
) -> Result<()> {
    let steps = plan.steps.len();
    let mut key = Vec::new();
    for row in rows {
        plan.keys.key_into(row.labels, &mut key);
        match present.keys.get(&key) {
            None if wanted => {}
            None => {
                output.row()?.push_copy(row.labels, row);
            }
            Some(index) => {
                buffer.clear();
                for (step, value) in row.iter() {
                    if present.steps[index * steps + step] == wanted {
                        buffer.set(step, value);
                    }
                }
                for (step, histogram) in row.histogram_points() {
                    if present.steps[index * steps + step] == wanted {
                        buffer.set_histogram(step, histogram);
                    }
                }
                output.row()?.push_row(row.labels, buffer);
            }
        }
    }
    Ok(())
}
