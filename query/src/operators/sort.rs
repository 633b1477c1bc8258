//! Orders the elements of an instant vector, by value or by labels.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::functions::natural::natural_order;
use crate::vector::{VectorReader, VectorRow, labels, vector_schema};

/// By what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SortKey {
    /// Values; NaN last either way. Histograms have no order and are left out.
    Value,
    /// Values of these labels in natural order, ties by all labels.
    Labels(Vec<Arc<str>>),
}

/// The operator's parameters; the input has one step.
#[derive(Debug)]
pub struct Sort {
    input: Plan,
    key: SortKey,
    descending: bool,
}

impl Sort {
    /// `input` in order.
    pub fn plan(input: Plan, key: SortKey, descending: bool) -> Plan {
        OperatorExec::plan(Sort {
            input: Gather::one_partition(input),
            key,
            descending,
        })
    }
}

impl Operator for Sort {
    const NAME: &'static str = "SortExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} descending={}", self.key, self.descending)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Sort {
            input: inputs.swap_remove(0),
            key: self.key.clone(),
            descending: self.descending,
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = (SortKey, bool);

    fn to_wire(&self) -> Self::Wire {
        (self.key.clone(), self.descending)
    }

    fn from_wire((key, descending): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        Ok(Sort { input, key, descending })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, key, descending) = (Arc::clone(&self.input), self.key.clone(), self.descending);
        Ok(gathered(vector_schema(), async move {
            let input = collect(input, Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let mut rows: Vec<VectorRow<'_>> = readers.iter().flat_map(|r| r.rows()).collect();
            if matches!(key, SortKey::Value) {
                rows.retain(|row| row.at(0).is_some());
            }
            let mut memory = MemoryGuard::new(&query);
            memory.grow(rows.len() * size_of::<VectorRow<'_>>())?;
            rows.sort_by(|a, b| compare(a, b, &key, descending));
            let mut output = Output::default();
            for row in rows {
                output.row()?.push_copy(row.labels, row);
            }
            Ok(Gathered {
                batches: output.finish()?,
                memory: input.memory,
            })
        }))
    }
}

fn compare(a: &VectorRow<'_>, b: &VectorRow<'_>, key: &SortKey, descending: bool) -> Ordering {
    match key {
        SortKey::Value => {
            let (a, b) = (a.at(0).unwrap_or(f64::NAN), b.at(0).unwrap_or(f64::NAN));
            match (a.is_nan(), b.is_nan()) {
                (false, false) if descending => b.total_cmp(&a),
                (false, false) => a.total_cmp(&b),
                (a, b) => a.cmp(&b),
            }
        }
        SortKey::Labels(names) => {
            let by_names = names.iter().map(|name| {
                let value = |row: &VectorRow<'_>| labels::value_of(row.labels, name.as_bytes()).to_vec();
                natural_order(&value(a), &value(b))
            });
            let order = by_names.fold(Ordering::Equal, Ordering::then);
            let order = order.then_with(|| labels::compare(a.labels, b.labels));
            if descending { order.reverse() } else { order }
        }
    }
}
