//! What an operator did: rows out and time spent, counted around its stream, so that no operator counts for itself.
//!
//! The time is the operator's own: polling a stream polls its inputs inside, and what these took is theirs. A leaf's time
//! holds that of the store's scan. Work in tasks of their own (a log leaf that scans in parallel) is not in it.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion_physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use futures::{Stream, StreamExt};

use crate::context::QueryContext;

thread_local! {
    /// Nanoseconds that metered streams have taken inside the poll under way on this thread. Polls nest and never cross
    /// threads, so one cell serves all streams.
    static INSIDE_NS: Cell<i64> = const { Cell::new(0) };
}

/// A stream with its operator's counters.
pub struct Metered {
    batches: SendableRecordBatchStream,
    rows: Count,
    compute: Time,
    query: Arc<QueryContext>,
}

impl Metered {
    /// Counts what comes out of `partition` into `metrics`.
    pub fn stream(
        batches: SendableRecordBatchStream,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
        query: Arc<QueryContext>,
    ) -> SendableRecordBatchStream {
        Box::pin(Metered {
            batches,
            rows: MetricBuilder::new(metrics).output_rows(partition),
            compute: MetricBuilder::new(metrics).elapsed_compute(partition),
            query,
        })
    }
}

impl Stream for Metered {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let before_ns = INSIDE_NS.replace(0);
        let start_ns = self.query.now_ns();
        let polled = self.batches.poll_next_unpin(context);
        // The clock can be set back.
        let whole_ns = self.query.now_ns().saturating_sub(start_ns).max(0);
        let inputs_ns = INSIDE_NS.replace(before_ns.saturating_add(whole_ns));
        let own_ns = u64::try_from(whole_ns.saturating_sub(inputs_ns)).unwrap_or(0);
        self.compute.add_duration(Duration::from_nanos(own_ns));
        if let Poll::Ready(Some(Ok(batch))) = &polled {
            self.rows.add(batch.num_rows());
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl RecordBatchStream for Metered {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}
