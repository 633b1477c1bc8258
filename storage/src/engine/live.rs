//! The segments of a lane as the newest catalog state has them: readers, and what tombstones hide of each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::lane::{Lane, LaneView};
use super::shared::Shared;
use crate::catalog::Deletes;
use crate::deletes::{CoveredSource, RowFilter, TombstoneId};
use crate::error::{Error, ErrorKind, Result};
use crate::scan::SeriesSource;
use crate::segment::{SegmentId, SegmentMeta, SegmentReader};

/// The live segments of a lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveSegments {
    /// In the order of [`SegmentId`].
    pub readers: Vec<Arc<SegmentReader>>,
    /// Of the segments that tombstones cover.
    filters: HashMap<SegmentId, RowFilter, ahash::RandomState>,
    /// Why the tombstones cannot be applied. Then nothing is read: an answer with deleted rows would be worse than none.
    unreadable: Option<Arc<str>>,
}

impl LiveSegments {
    /// The sources of a view, newest first.
    pub fn sources(&self) -> Result<Vec<Arc<dyn SeriesSource>>> {
        if let Some(reason) = &self.unreadable {
            return Err(Error::new(ErrorKind::Internal, &**reason));
        }
        let source = |reader: &Arc<SegmentReader>| -> Arc<dyn SeriesSource> {
            match self.filters.get(&reader.meta().id) {
                Some(filter) => Arc::new(CoveredSource::new(reader.clone(), filter.clone())),
                None => reader.clone(),
            }
        };
        Ok(self.readers.iter().rev().map(source).collect())
    }
}

impl Shared {
    /// A flush's segments take the place of its sealed heads in the view that is being changed.
    pub fn arrived(&self, lane: &Lane, segments: &[SegmentMeta]) {
        let mut arriving = self.arriving.lock();
        for meta in segments
            .iter()
            .filter(|m| m.tenant == lane.tenant && m.signal == lane.signal)
        {
            arriving.remove(&meta.id);
        }
    }

    /// Brings all views to the catalog's state, after other writers changed it. Their commits come along with our own, too,
    /// where both tried for one version, so it is the views' version that tells.
    pub fn refresh_all_segments(&self) -> Result<()> {
        let state = self.catalog.state();
        if self.views_at.swap(state.version().0, Ordering::Relaxed) == state.version().0 {
            return Ok(());
        }
        for (tenant, signal, _) in state.by_lane() {
            self.lane_or_new(tenant, signal)?;
        }
        for lane in self.all_lanes() {
            lane.change(|view| self.refresh_segments(&lane, view));
        }
        Ok(())
    }

    /// Brings the segments of `view` to the newest catalog state. Called inside [`Lane::change`], so that a view never has
    /// the segments of one state and the tombstones of another.
    pub fn refresh_segments(&self, lane: &Lane, view: &mut LaneView) {
        let state = self.catalog.state();
        let mut live = state.segments(&lane.tenant, lane.signal);
        let arriving = self.arriving.lock();
        if live.iter().any(|meta| arriving.contains(&meta.id)) {
            Arc::make_mut(&mut live).retain(|meta| !arriving.contains(&meta.id));
        }
        drop(arriving);
        let readers = self.segment_readers(&live, &view.segments.readers);
        let deletes = state.deletes(&lane.tenant, lane.signal);
        let (filters, unreadable) = match self.segment_filters(&readers, &deletes, &view.segments) {
            Ok(filters) => (filters, None),
            Err(error) => {
                let (tenant, signal) = (&lane.tenant, lane.signal.as_str());
                let reason = format!("a delete of {signal} of tenant {tenant} cannot be applied: {error}");
                tracing::error!(reason, "reads are refused until this is mended");
                (HashMap::default(), Some(reason.into()))
            }
        };
        view.segments = LiveSegments {
            readers,
            filters,
            unreadable,
        };
    }

    /// The readers of live segments; those that `known` holds are kept.
    fn segment_readers(&self, live: &[Arc<SegmentMeta>], known: &[Arc<SegmentReader>]) -> Vec<Arc<SegmentReader>> {
        let known: HashMap<_, _, ahash::RandomState> = known.iter().map(|r| (&r.meta().id, r)).collect();
        let reader = |meta: &Arc<SegmentMeta>| match known.get(&meta.id) {
            Some(reader) => Arc::clone(reader),
            None => Arc::new(SegmentReader::new(
                self.components.bucket.clone(),
                meta.clone(),
                self.tails.clone(),
            )),
        };
        live.iter().map(reader).collect()
    }

    /// Segments that the same tombstones cover share a filter, so that each is compiled about once.
    fn segment_filters(
        &self,
        readers: &[Arc<SegmentReader>],
        deletes: &Deletes,
        before: &LiveSegments,
    ) -> Result<HashMap<SegmentId, RowFilter, ahash::RandomState>> {
        let mut filters = HashMap::default();
        if deletes.is_empty() {
            return Ok(filters);
        }
        let known = before.filters.values().map(|filter| (filter.ids(), filter.clone()));
        let mut by_ids: HashMap<Vec<TombstoneId>, RowFilter> = known.collect();
        for id in readers.iter().map(|reader| &reader.meta().id) {
            let covering = deletes.covering(id);
            if covering.is_empty() {
                continue;
            }
            let ids: Vec<TombstoneId> = covering.iter().map(|t| t.id).collect();
            let filter = match by_ids.get(&ids) {
                Some(filter) => filter.clone(),
                None => {
                    let new = RowFilter::new(covering, &*self.components.entry_filters)?;
                    by_ids.entry(ids).or_insert(new).clone()
                }
            };
            filters.insert(id.clone(), filter);
        }
        Ok(filters)
    }
}
