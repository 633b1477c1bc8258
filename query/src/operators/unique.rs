//! Makes label sets unique again after labels were dropped or replaced.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::plan::Steps;
use crate::vector::{Interner, RowBuffer, VectorReader, labels, vector_schema};

/// The operator's parameters. Rows with equal labels become one row; an error where both have a value at one step.
#[derive(Debug)]
pub struct Unique {
    input: Plan,
    steps: Steps,
    strict: bool,
}

impl Unique {
    /// `input` with unique labels. `strict` refuses equal labels even where no step has both values, as Prometheus does
    /// after range functions.
    pub fn plan(input: Plan, steps: Steps, strict: bool) -> Plan {
        OperatorExec::plan(Unique {
            input: Gather::one_partition(input),
            steps,
            strict,
        })
    }
}

impl Operator for Unique {
    const NAME: &'static str = "UniqueExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "strict={}", self.strict)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Unique {
            input: inputs.swap_remove(0),
            steps: self.steps,
            strict: self.strict,
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = (Steps, bool);

    fn to_wire(&self) -> Self::Wire {
        (self.steps, self.strict)
    }

    fn from_wire((steps, strict): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        Ok(Unique { input, steps, strict })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, steps, strict) = (Arc::clone(&self.input), self.steps, self.strict);
        Ok(gathered(vector_schema(), async move {
            let input = collect(input, Arc::clone(&query), task).await?;
            unite(input, steps, strict, &query)
        }))
    }
}

/// The error of equal labels (prometheus promql/engine.go, `ContainsSameLabelset`).
pub fn same_labelset() -> QueryError {
    QueryError::execution("vector cannot contain metrics with the same labelset")
}

fn unite(input: Gathered, steps: Steps, strict: bool, query: &QueryContext) -> Result<Gathered> {
    let mut sets = Interner::new();
    let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut rows = 0;
    for (b, batch) in input.batches.iter().enumerate() {
        let reader = VectorReader::new(batch)?;
        rows += reader.len();
        for r in 0..reader.len() {
            let set = sets.intern(labels::split_mark(reader.row(r).labels).1);
            if set == places.len() {
                places.push(Vec::new());
            }
            places[set].push((b, r));
        }
    }
    if sets.len() == rows {
        return Ok(input);
    }
    if strict {
        return Err(same_labelset().into());
    }
    let mut memory = MemoryGuard::new(query);
    memory.grow(sets.size_bytes() + rows * 16)?;
    let readers = input
        .batches
        .iter()
        .map(VectorReader::new)
        .collect::<Result<Vec<_>>>()?;
    let mut output = Output::default();
    let mut buffer = RowBuffer::new(steps.len());
    for (set, places) in places.iter().enumerate() {
        buffer.clear();
        for (b, r) in places {
            for (step, value) in readers[*b].row(*r).iter() {
                if buffer.is_present(step) {
                    return Err(same_labelset().into());
                }
                buffer.set(step, value);
            }
            for (step, histogram) in readers[*b].row(*r).histogram_points() {
                if buffer.is_present(step) {
                    return Err(same_labelset().into());
                }
                buffer.set_histogram(step, histogram);
            }
        }
        // With the mark of the first.
        let labels = places
            .first()
            .map_or(sets.bytes(set), |(b, r)| readers[*b].row(*r).labels);
        output.row()?.push_row(labels, &buffer);
    }
    Ok(Gathered {
        batches: output.finish()?,
        memory: input.memory,
    })
}
