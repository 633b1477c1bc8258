//! Streams of batches: how operators read their inputs and hand their results on, with memory accounted.

use std::future::Future;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use garner_storage::memory::QueryMemory;

use super::exec::{Plan, partitions};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::vector::{VectorBuilder, vector_schema};

/// Bytes of a query's memory, given back on drop.
#[derive(Debug)]
pub struct MemoryGuard {
    memory: QueryMemory,
    bytes: u64,
}

impl MemoryGuard {
    /// Nothing held yet.
    pub fn new(query: &QueryContext) -> Self {
        MemoryGuard {
            memory: query.scan().memory.clone(),
            bytes: 0,
        }
    }

    /// Takes `bytes` more, or refuses with the query's limit.
    pub fn grow(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.memory.try_grow(bytes as u64)?;
        self.bytes += bytes as u64;
        Ok(())
    }

    /// Makes the guard hold `bytes`, more or fewer than now.
    pub fn resize(&mut self, bytes: usize) -> Result<(), QueryError> {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.memory.try_grow(bytes - self.bytes)?;
        } else {
            self.memory.shrink(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.memory.shrink(self.bytes);
    }
}

/// A stream of the vector layout.
pub fn boxed(batches: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static) -> SendableRecordBatchStream {
    boxed_with(vector_schema(), batches)
}

/// A stream of another schema.
pub fn boxed_with(
    schema: SchemaRef,
    batches: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// The stream of an operator that must see its whole input before it can answer.
pub fn gathered(
    schema: SchemaRef,
    result: impl Future<Output = Result<Gathered>> + Send + 'static,
) -> SendableRecordBatchStream {
    let batches = stream::once(result)
        .map_ok(|Gathered { batches, memory }| {
            stream::iter(batches).map(move |batch| {
                // Held until the last batch is taken.
                let _ = &memory;
                Ok(batch)
            })
        })
        .try_flatten();
    boxed_with(schema, batches)
}

/// Batches with the memory they are accounted under.
#[derive(Debug)]
pub struct Gathered {
    /// In output order.
    pub batches: Vec<RecordBatch>,
    /// Held as long as the batches.
    pub memory: MemoryGuard,
}

/// Reads a plan to its end, all partitions in order.
pub async fn collect(plan: Plan, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<Gathered> {
    let mut out = Gathered {
        batches: Vec::new(),
        memory: MemoryGuard::new(&query),
    };
    for partition in 0..partitions(&plan) {
        let mut input = plan.execute(partition, Arc::clone(&task))?;
        while let Some(batch) = input.try_next().await? {
            query.check()?;
            out.memory.grow(batch.get_array_memory_size())?;
            out.batches.push(batch);
        }
    }
    Ok(out)
}

/// Collects the rows of an operator's result into batches of the right size.
#[derive(Debug, Default)]
pub struct Output {
    builder: VectorBuilder,
    batches: Vec<RecordBatch>,
}

impl Output {
    /// The builder for the next row; a full batch was put aside before.
    pub fn row(&mut self) -> Result<&mut VectorBuilder> {
        if self.builder.is_full() {
            self.batches.push(self.builder.finish()?);
        }
        Ok(&mut self.builder)
    }

    /// All batches.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if !self.builder.is_empty() {
            self.batches.push(self.builder.finish()?);
        }
        Ok(self.batches)
    }
}
