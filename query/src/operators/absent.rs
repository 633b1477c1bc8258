//! 1 at the steps where the input has no element.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use garner_storage::model::Labels;

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::stream::{Gathered, MemoryGuard, Output, gathered};
use super::wire::Parts;
use super::wire::forms::label_pairs;
use crate::context::QueryContext;
use crate::plan::Steps;
use crate::vector::{VectorReader, vector_schema};

/// The operator's parameters.
#[derive(Debug)]
pub struct Absent {
    input: Plan,
    labels: Labels,
    steps: Steps,
}

impl Absent {
    /// One element with `labels` where `input` has none.
    pub fn plan(input: Plan, labels: Labels, steps: Steps) -> Plan {
        let input = Gather::one_partition(input);
        OperatorExec::plan(Absent { input, labels, steps })
    }
}

impl Operator for Absent {
    const NAME: &'static str = "AbsentExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.labels)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Absent {
            input: inputs.swap_remove(0),
            labels: self.labels.clone(),
            steps: self.steps,
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn estimated_rows(&self, _: &[Option<usize>]) -> Option<usize> {
        Some(1)
    }

    type Wire = (Vec<(String, String)>, Steps);

    fn to_wire(&self) -> Self::Wire {
        (label_pairs(&self.labels), self.steps)
    }

    fn from_wire((labels, steps): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Absent {
            input: parts.input()?,
            labels: Labels::from_pairs(labels),
            steps,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(0, task)?;
        let (labels, steps) = (self.labels.clone(), self.steps);
        Ok(gathered(vector_schema(), async move {
            let mut present = vec![false; steps.len()];
            let mut missing = steps.len();
            // Once no step is missing the rest need not be read.
            while missing > 0
                && let Some(batch) = input.try_next().await?
            {
                query.check()?;
                for row in VectorReader::new(&batch)?.rows() {
                    for step in row.steps() {
                        missing -= usize::from(!std::mem::replace(&mut present[step], true));
                    }
                }
            }
            let mut output = Output::default();
            let ones = vec![1.0; steps.len()];
            output
                .row()?
                .push_steps(labels.as_bytes(), &ones, |step| !present[step]);
            Ok(Gathered {
                batches: output.finish()?,
                memory: MemoryGuard::new(&query),
            })
        }))
    }
}
