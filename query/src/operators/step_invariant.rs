//! Repeats what was evaluated at one step at every step of the grid.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::{StreamExt, stream};

use super::exec::{Operator, OperatorExec, Plan, partitions};
use super::stream::{Output, boxed};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::plan::Steps;
use crate::vector::VectorReader;

/// The operator's parameters; the input has one step.
#[derive(Debug)]
pub struct StepInvariant {
    input: Plan,
    steps: Steps,
}

impl StepInvariant {
    /// The values of `input`'s only step at all `steps`; the input itself where that is one.
    pub fn plan(input: Plan, steps: Steps) -> Plan {
        if steps.count == 1 {
            return input;
        }
        OperatorExec::plan(StepInvariant { input, steps })
    }
}

impl Operator for StepInvariant {
    const NAME: &'static str = "StepInvariantExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "steps={}", self.steps.count)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(StepInvariant {
            input: inputs.swap_remove(0),
            steps: self.steps,
        })
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = Steps;

    fn to_wire(&self) -> Self::Wire {
        self.steps
    }

    fn from_wire(steps: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        Ok(StepInvariant { input, steps })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, task)?;
        let steps = self.steps.len();
        let repeated = input.flat_map(move |batch| {
            let repeated = batch.and_then(|batch| {
                query.check()?;
                let mut output = Output::default();
                for row in VectorReader::new(&batch)?.rows() {
                    if let Some(value) = row.at(0) {
                        output.row()?.push_dense(row.labels, 0, &vec![value; steps]);
                    } else if let Some(histogram) = row.histogram_at(0) {
                        output.row()?.push_histogram(row.labels, steps as u32, &histogram);
                    }
                }
                output.finish()
            });
            match repeated {
                Ok(batches) => stream::iter(batches.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        });
        Ok(boxed(repeated))
    }
}
