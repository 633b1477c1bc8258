//! The end of a query whose metric names go last: drops those that are marked (prometheus promql/engine.go,
//! `cleanupMetricLabels`).

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::vector::{VectorBuilder, VectorRow, labels};

/// The operator's parameters. Different rows can come out with equal labels: put `Unique` above.
#[derive(Clone, Debug)]
pub struct DropNames {
    /// The vector.
    pub input: Plan,
}

impl Operator for DropNames {
    const NAME: &'static str = "DropNamesExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("where marked")
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(DropNames {
            input: inputs.swap_remove(0),
        })
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = ();

    fn to_wire(&self) -> Self::Wire {}

    fn from_wire((): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(DropNames { input: parts.input()? })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        map_rows(&self.input, partition, query, task, move |_, _| {
            Box::pin(async move { Ok(Mapper::default()) })
        })
    }
}

#[derive(Default)]
struct Mapper {
    label_bytes: Vec<u8>,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        let (marked, set) = labels::split_mark(row.labels);
        if !marked {
            out.push_copy(set, row);
            return Ok(());
        }
        self.label_bytes.clear();
        labels::drop_metadata_into(set, &mut self.label_bytes);
        out.push_copy(&self.label_bytes, row);
        Ok(())
    }
}
