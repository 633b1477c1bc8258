//! The leaf of log queries: scans from the wanted end, runs the pipeline row by row, and stops as soon as no row that is left
//! can be among those wanted.

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
use garner_storage::scan::{LogOrder, SeriesRequest};

use super::exec::{Operator, Plan};
use super::log_input::{LogFilter, LogRows, log_schema};
use super::log_pick::Picker;
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
    let mut picker = Picker::new(plan.order, plan.limit);
    if plan.limit == 0 {
        return Ok(LogRows::default().finish()?);
    }
    while let Some(slab) = slabs.next().await {
        let slab = slab.map_err(QueryError::from)?;
        query.check()?;
        tokio::task::coop::consume_budget().await;
        picker.take(&slab, worker.as_mut(), || query.check())?;
        memory.resize(picker.size_bytes())?;
        if picker.is_settled(slab.rest) {
            break;
        }
    }
    Ok(picker.finish()?.finish()?)
}
