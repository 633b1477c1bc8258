//! Reads: a tenant's lanes as one view.

use std::sync::Arc;

use super::Storage;
use super::lane::LaneView;
use crate::error::Result;
use crate::model::{Signal, TenantId};
use crate::scan::{MergedView, SeriesSource, StoreReader, StoreView};

impl StoreReader for Storage {
    fn view(&self, tenant: &TenantId) -> Result<Arc<dyn StoreView>> {
        self.0.check_readable()?;
        let sources = |signal| match self.0.lane(tenant, signal) {
            Some(lane) => sources(&lane.view()),
            None => Ok(Vec::new()),
        };
        // What has expired is not answered, whether it is still stored or not.
        let retention = self.0.retention();
        let mut view = MergedView::new(sources(Signal::Metrics)?, sources(Signal::Logs)?);
        for signal in [Signal::Metrics, Signal::Logs] {
            view = view.with_cutoff(signal, retention.cutoff_of_all(tenant, signal));
        }
        Ok(Arc::new(view))
    }
}

/// The sources of one lane, newest first.
fn sources(view: &LaneView) -> Result<Vec<Arc<dyn SeriesSource>>> {
    let mut sources: Vec<Arc<dyn SeriesSource>> = Vec::new();
    if !view.open.is_empty() || view.open.has_loose() {
        sources.push(view.open.clone());
    }
    sources.extend(view.sealed.iter().rev().map(|s| s.head.clone() as _));
    sources.extend(view.segments.sources()?);
    Ok(sources)
}
