//! Reads: a tenant's lanes as one view.

use std::sync::Arc;

use super::Storage;
use super::lane::LaneView;
use crate::deletes::{CoveredSource, RowFilter};
use crate::error::Result;
use crate::model::{Signal, TenantId};
use crate::retention::SeriesCutoffs;
use crate::scan::{MergedView, SeriesSource, StoreReader, StoreView};

impl StoreReader for Storage {
    fn view(&self, tenant: &TenantId) -> Result<Arc<dyn StoreView>> {
        self.0.check_readable()?;
        // What has expired is not answered, whether it is still stored or not.
        let retention = self.0.retention();
        let cutoffs = |signal| retention.by_series(tenant, signal).map(Arc::new);
        let sources = |signal| -> Result<Vec<Arc<dyn SeriesSource>>> {
            let lane = self.0.lane(tenant, signal);
            let sources = lane.map_or(Ok(Vec::new()), |lane| sources(&lane.view()))?;
            Ok(match cutoffs(signal) {
                Some(cutoffs) => without_expired(sources, &cutoffs),
                None => sources,
            })
        };
        let mut view = MergedView::new(sources(Signal::Metrics)?, sources(Signal::Logs)?);
        for signal in [Signal::Metrics, Signal::Logs] {
            view = view.with_cutoff(signal, retention.cutoff_of_all(tenant, signal));
        }
        if let Some(cutoffs) = cutoffs(Signal::Metrics) {
            view = view.with_exemplar_cutoffs(cutoffs);
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

/// The sources, those that reach before some series' cutoff through a filter: it costs a look at the rules for each series,
/// and names and values of labels from the series instead of the index. Recent sources, which most queries read alone, pay
/// nothing.
fn without_expired(sources: Vec<Arc<dyn SeriesSource>>, cutoffs: &Arc<SeriesCutoffs>) -> Vec<Arc<dyn SeriesSource>> {
    let latest = cutoffs.latest();
    let filtered = |source: Arc<dyn SeriesSource>| -> Arc<dyn SeriesSource> {
        if source.time_range().start >= latest {
            return source;
        }
        Arc::new(CoveredSource::new(source, RowFilter::expired(Arc::clone(cutoffs))))
    };
    sources.into_iter().map(filtered).collect()
}
