//! Reading samples as they are stored, without a query language.

use std::sync::Arc;

use garner_storage::memory::QueryMemory;
use garner_storage::model::{LabelMatcher, Signal, TenantId, TimeRange};
use garner_storage::scan::{BatchStream, SampleBatch, ScanContext, ScanStats, SeriesRequest, StoreReader, StoreView};

use super::app::App;
use crate::error::Failure;

/// One view of a tenant's samples, and the memory that an answer from it may take.
#[derive(Debug)]
pub struct SampleQuery {
    view: Arc<dyn StoreView>,
    scan: ScanContext,
}

impl SampleQuery {
    /// Takes the tenant's view.
    pub fn new(app: &App, tenant: &TenantId) -> Result<Self, Failure> {
        Ok(SampleQuery {
            view: app.storage.view(tenant)?,
            scan: ScanContext::new(
                app.accountant.query(app.settings.logs.max_query_memory_bytes),
                Arc::new(ScanStats::default()),
            ),
        })
    }

    /// What an answer is accounted with.
    pub fn memory(&self) -> &QueryMemory {
        &self.scan.memory
    }

    /// The samples of the series that pass all matchers.
    pub async fn scan(
        &self,
        matchers: Vec<LabelMatcher>,
        range: TimeRange,
    ) -> Result<BatchStream<SampleBatch>, Failure> {
        let request = SeriesRequest {
            signal: Signal::Metrics,
            matchers,
            range,
        };
        Ok(self.view.select_samples(&request, &self.scan).await?.scan(0, 1))
    }
}
