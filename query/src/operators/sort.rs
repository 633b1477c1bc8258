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
use crate::functions::natural::{natural_order, naturally_precedes};
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
            match &key {
                SortKey::Labels(names) if rows.len() <= MAX_INSERTION => insert_by_labels(&mut rows, names, descending),
                _ => rows.sort_by(|a, b| compare(a, b, &key, descending)),
            }
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

/// Most elements that Go's `slices.SortFunc` sorts by insertion.
const MAX_INSERTION: usize = 12;

/// Sorts a few elements as Prometheus does, whose order of label values is none: of an empty value and another neither comes
/// first, of two that differ in leading zeros both do (promql/functions.go, `funcSortByLabel`). What comes of that depends on
/// the algorithm.
fn insert_by_labels(rows: &mut [VectorRow<'_>], names: &[Arc<str>], descending: bool) {
    let precedes = |a: &VectorRow<'_>, b: &VectorRow<'_>| {
        for name in names {
            let [x, y] = [a, b].map(|row| labels::value_of(row.labels, name.as_bytes()));
            if x != y {
                // Upstream asks whether `a` precedes `b`, and takes no for the opposite.
                return naturally_precedes(x, y) != descending;
            }
        }
        let order = labels::compare(a.labels, b.labels);
        order == if descending { Ordering::Greater } else { Ordering::Less }
    };
    for end in 1..rows.len() {
        let mut at = end;
        while at > 0 && precedes(&rows[at], &rows[at - 1]) {
            rows.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn compare(a: &VectorRow<'_>, b: &VectorRow<'_>, key: &SortKey, descending: bool) -> Ordering {
    match key {
        SortKey::Value => {
            let (a, b) = (a.at(0).unwrap_or(f64::NAN), b.at(0).unwrap_or(f64::NAN));
            match (a.is_nan(), b.is_nan()) {
                // Zeros of both signs are equal.
                (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
                (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
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
