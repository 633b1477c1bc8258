//! Deletes that cannot be cancelled any more: of the segments they cover, those in which they hide nothing are struck off,
//! the others are noted for compaction, which writes them again without the deleted rows.

use std::sync::Arc;

use super::shared::Shared;
use super::upkeep::UpkeepState;
use crate::catalog::CommitRequest;
use crate::deletes::Tombstone;
use crate::error::{ErrorKind, Result};
use crate::scan::{ScanContext, SeriesSource};
use crate::segment::{SegmentMeta, SegmentReader};

/// Segments looked at in one step.
const MAX_LOOKS: usize = 64;
/// Memory of looking at one segment.
const LOOK_MEMORY_BYTES: u64 = 256 << 20;

/// Looks at segments that deletes cover and nobody has looked at yet; gives how many.
pub(super) async fn clear_some(shared: &Arc<Shared>, upkeep: &mut UpkeepState) -> Result<usize> {
    let state = shared.catalog.state();
    let now = shared.components.clock.now();
    let mut due: Vec<(Arc<SegmentMeta>, Vec<Arc<Tombstone>>)> = Vec::new();
    for (tenant, signal, segments) in state.by_lane() {
        let deletes = state.deletes(tenant, signal);
        if deletes.is_empty() {
            continue;
        }
        for meta in segments.iter() {
            let noted = upkeep.deleted_from.contains(&meta.id) || upkeep.is_waiting(&meta.id, now);
            if noted || state.is_quarantined(&meta.id) {
                continue;
            }
            let covering = deletes.covering(&meta.id).iter();
            let last: Vec<Arc<Tombstone>> = covering.filter(|t| t.is_final(now)).cloned().collect();
            if !last.is_empty() {
                due.push((Arc::clone(meta), last));
            }
        }
    }
    due.truncate(MAX_LOOKS);
    let mut request = CommitRequest::new(shared.writer.clone());
    for (meta, tombstones) in &due {
        for tombstone in tombstones {
            match hides_some(shared, meta, tombstone).await {
                Ok(true) => drop(upkeep.deleted_from.insert(meta.id.clone())),
                Ok(false) => request.clear.push((tombstone.id, meta.id.clone())),
                // Compaction meets it, and quarantines it.
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                    upkeep.deleted_from.insert(meta.id.clone());
                }
                Err(error) => return Err(error),
            }
        }
    }
    if !request.clear.is_empty() {
        shared.catalog.commit(&request).await?;
        for (tenant, signal, _) in state.by_lane() {
            if let Some(lane) = shared
                .lane(tenant, signal)
                .filter(|_| !state.deletes(tenant, signal).is_empty())
            {
                lane.change(|view| shared.refresh_segments(&lane, view));
            }
        }
    }
    Ok(due.len())
}

/// Whether the segment has a series with rows that the tombstone may hide.
async fn hides_some(shared: &Shared, meta: &Arc<SegmentMeta>, tombstone: &Tombstone) -> Result<bool> {
    let scan = ScanContext::new(
        shared.components.accountant.background(LOOK_MEMORY_BYTES),
        Arc::default(),
    );
    let bucket = shared.components.bucket.clone();
    let reader = SegmentReader::new(bucket, Arc::clone(meta), shared.tails.clone());
    let found = reader.select(&tombstone.matchers, tombstone.range, &scan).await?;
    // What could not be looked at may be hidden.
    let damaged = scan.stats.pages_corrupt.load(std::sync::atomic::Ordering::Relaxed) > 0;
    Ok(damaged || !found.is_empty())
}
