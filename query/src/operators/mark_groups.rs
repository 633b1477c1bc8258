//! Under an aggregation by metric name, where names go last: marks every element of a group in which one is marked, so that
//! they stay one group and its result loses its name (prometheus promql/engine.go, `groupedAggregation.dropName`).

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::stream::{Gathered, Output, collect, gathered};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::plan::Grouping;
use crate::vector::labels::{self, NameRemoval};
use crate::vector::{Interner, VectorReader, vector_schema};

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct MarkGroups {
    input: Plan,
    keys: KeyLabels,
}

impl MarkGroups {
    /// `input` with whole groups marked or not.
    pub fn plan(input: Plan, grouping: &Grouping) -> Plan {
        OperatorExec::plan(MarkGroups {
            input: Gather::one_partition(input),
            keys: KeyLabels::of_group(grouping).without_mark(),
        })
    }
}

impl Operator for MarkGroups {
    const NAME: &'static str = "MarkGroupsExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.keys)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(MarkGroups {
            input: inputs.swap_remove(0),
            keys: self.keys.clone(),
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = KeyLabels;

    fn to_wire(&self) -> Self::Wire {
        self.keys.clone()
    }

    fn from_wire(keys: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        Ok(MarkGroups { input, keys })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let input = collect(plan.input, Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let rows = || readers.iter().flat_map(|r| r.rows());
            let (mut marked, mut key) = (Interner::new(), Vec::new());
            for row in rows().filter(|row| labels::split_mark(row.labels).0) {
                plan.keys.key_into(row.labels, &mut key);
                marked.intern(&key);
            }
            if marked.is_empty() {
                return Ok(input);
            }
            let mut output = Output::default();
            let mut label_bytes = Vec::new();
            for row in rows() {
                plan.keys.key_into(row.labels, &mut key);
                label_bytes.clear();
                match marked.get(&key) {
                    Some(_) => NameRemoval::Delayed.apply_into(row.labels, &mut label_bytes),
                    None => label_bytes.extend_from_slice(row.labels),
                }
                output.row()?.push_copy(&label_bytes, row);
            }
            Ok(Gathered {
                batches: output.finish()?,
                memory: input.memory,
            })
        }))
    }
}
