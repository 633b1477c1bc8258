//! The leaf of log queries: scans slab by slab from the wanted end, runs the pipeline row by row in time order, and stops
//! as soon as it has enough.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{SchemaRef, SortOptions};
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{LexOrdering, PhysicalSortExpr};
use futures::{StreamExt, stream};
use garner_storage::model::{Signal, TenantId};
use garner_storage::scan::{LogBatch, LogOrder, SeriesRequest};

use super::exec::{Operator, Plan};
use super::log_input::{FilterWorker, LogFilter, LogRows, log_schema};
use super::stream::{MemoryGuard, boxed_with};
use super::wire::Parts;
use super::wire::forms::{WireOrder, WireRequest};
use crate::context::QueryContext;
use crate::error::QueryError;

/// The leaf's parameters.
#[derive(Clone, Debug)]
pub struct LogSelect {
    /// Whose.
    pub tenant: TenantId,
    /// Which streams and times.
    pub request: SeriesRequest,
    /// What is made of each line.
    pub filter: Arc<dyn LogFilter>,
    /// From which end.
    pub order: LogOrder,
    /// Most rows of each partition.
    pub limit: usize,
    /// In how many ranges of streams it runs.
    pub partitions: usize,
    /// About how many lines lie in the range, as planning saw them.
    pub rows: usize,
}

impl Operator for LogSelect {
    const NAME: &'static str = "LogSelectExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} limit={}", self.filter.text(), self.order, self.limit)
    }

    fn inputs(&self) -> Vec<&Plan> {
        Vec::new()
    }

    fn with_inputs(&self, _: Vec<Plan>) -> Result<Self> {
        Ok(self.clone())
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn schema(&self) -> SchemaRef {
        log_schema()
    }

    fn ordering(&self) -> Option<LexOrdering> {
        let descending = match self.order {
            LogOrder::Forward => false,
            LogOrder::Backward => true,
            LogOrder::Streams | LogOrder::Any => return None,
        };
        let options = SortOptions {
            descending,
            nulls_first: false,
        };
        LexOrdering::new([PhysicalSortExpr::new(Arc::new(Column::new("time", 0)), options)])
    }

    fn estimated_rows(&self, _: &[Option<usize>]) -> Option<usize> {
        Some(self.limit.saturating_mul(self.partitions).min(self.rows))
    }

    type Wire = (TenantId, WireRequest, String, WireOrder, usize, usize, usize);

    fn to_wire(&self) -> Self::Wire {
        let (tenant, request, text) = (self.tenant.clone(), WireRequest::of(&self.request), self.filter.text());
        (
            tenant,
            request,
            text,
            self.order.into(),
            self.limit,
            self.partitions,
            self.rows,
        )
    }

    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let (tenant, request, text, order, limit, partitions, rows) = wire;
        Ok(LogSelect {
            tenant: parts.tenant(tenant)?,
            request: request.build(Signal::Logs)?,
            filter: parts.lines().filter(&text)?,
            order: order.into(),
            limit,
            partitions: parts.partitions(partitions)?,
            rows,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        _: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(boxed_with(
            log_schema(),
            stream::once(select(self.clone(), partition, query)),
        ))
    }
}

async fn select(plan: LogSelect, partition: usize, query: Arc<QueryContext>) -> Result<RecordBatch> {
    query.check_tenant(&plan.tenant)?;
    let selection = query.select_logs(&plan.request).await?;
    let mut memory = MemoryGuard::new(&query);
    let mut slabs = selection.scan(partition, plan.partitions, plan.order, plan.filter.read());
    let mut worker = plan.filter.start();
    let mut picker = Picker {
        limit: plan.limit,
        order: plan.order,
        rows: LogRows::default(),
        selected: Vec::new(),
    };
    while picker.rows.len() < plan.limit {
        let Some(slab) = slabs.next().await else { break };
        let slab = slab.map_err(QueryError::from)?;
        query.check()?;
        tokio::task::coop::consume_budget().await;
        picker.take(&slab.batch, worker.as_mut(), &query)?;
        memory.resize(picker.rows.size_bytes())?;
    }
    Ok(picker.rows.finish()?)
}

/// Turns the ascending rows of each stream around, so that of those of one time the last written comes first, as in Loki.
fn last_written_first(selected: &mut [(i64, u32)], offsets: &[u32]) {
    let mut rest = selected;
    for end in offsets.iter().skip(1) {
        let (rows, others) = rest.split_at_mut(rest.partition_point(|(_, row)| row < end));
        rows.reverse();
        rest = others;
    }
}

struct Picker {
    limit: usize,
    order: LogOrder,
    rows: LogRows,
    /// Time and row of each row of a batch, in the order wanted.
    selected: Vec<(i64, u32)>,
}

impl Picker {
    /// Rows of a batch between two checks of the deadline.
    const ROWS_PER_CHECK: usize = 4096;

    fn take(
        &mut self,
        batch: &LogBatch,
        worker: &mut dyn FilterWorker,
        query: &QueryContext,
    ) -> Result<(), QueryError> {
        let mut selected = std::mem::take(&mut self.selected);
        worker.begin(batch);
        // Rows of one time come in the order of their streams, which are sorted, and of their arrival.
        selected.clear();
        selected.extend(batch.timestamps.iter().copied().zip(0..));
        match self.order {
            LogOrder::Backward => {
                last_written_first(&mut selected, &batch.offsets);
                selected.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
            }
            _ => selected.sort_unstable(),
        }
        for (i, (_, row)) in selected.iter().enumerate() {
            if self.rows.len() >= self.limit {
                break;
            }
            if i % Self::ROWS_PER_CHECK == 0 {
                query.check()?;
            }
            let stream = batch.offsets.partition_point(|o| *o <= *row).saturating_sub(1);
            worker.row(batch, stream, *row as usize, &mut self.rows)?;
        }
        self.selected = selected;
        Ok(())
    }
}
