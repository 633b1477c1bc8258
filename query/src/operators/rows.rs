//! Operators that turn each row into at most one row, partition by partition: the shape that functions, scalar arithmetic and
//! label changes share.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use super::exec::Plan;
use super::stream::{Output, boxed};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::vector::{VectorBuilder, VectorReader, VectorRow};

/// Makes rows of rows; has the scratch that it needs.
pub trait RowMapper: Send + 'static {
    /// Adds what becomes of `row` to `out`, or nothing.
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError>;

    /// Tells what there is to tell of the rows of a batch, before the batch is handed on.
    fn tell(&mut self) {}
}

/// Runs one partition of `input` through the mapper that `make` gives (once parameters are evaluated).
pub fn map_rows<M: RowMapper>(
    input: &Plan,
    partition: usize,
    query: Arc<QueryContext>,
    task: Arc<TaskContext>,
    make: impl FnOnce(Arc<QueryContext>, Arc<TaskContext>) -> BoxFuture<'static, Result<M>> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let input = input.execute(partition, Arc::clone(&task))?;
    let mapped = stream::once(async move {
        let mut mapper = make(Arc::clone(&query), task).await?;
        Result::<_, DataFusionError>::Ok(input.flat_map(move |batch| {
            let mapped = batch.and_then(|batch| map_batch(&mut mapper, &batch, &query));
            match mapped {
                Ok(batches) => stream::iter(batches.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        }))
    });
    Ok(boxed(mapped.try_flatten()))
}

fn map_batch(mapper: &mut impl RowMapper, batch: &RecordBatch, query: &QueryContext) -> Result<Vec<RecordBatch>> {
    query.check()?;
    let mut output = Output::default();
    for row in VectorReader::new(batch)?.rows() {
        mapper.map(row, output.row()?)?;
    }
    mapper.tell();
    output.finish()
}
