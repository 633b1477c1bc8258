//! Retention: segments that hold nothing but expired rows leave the catalog and the views; those with many expired rows are
//! noted for compaction, which writes them again without.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;

use super::clear::clear_some;
use super::compact::{commit, settle_unsettled};
use super::shared::Shared;
use super::step::{Outcome, step};
use super::upkeep::{Replacement, UpkeepReport, UpkeepState};
use crate::catalog::CommitRequest;
use crate::error::{ErrorKind, Result};
use crate::retention::{RetentionAt, drops, newly_expired_periods, worth_writing_again};
use crate::scan::ScanContext;
use crate::segment::{SegmentMeta, WholeSegment};

/// Segments dropped by one commit.
const MAX_DROPS: usize = 10_000;
/// Segments looked through for expired series in one step; each is one read of its tail.
const MAX_LOOKS: usize = 64;
/// Series whose labels are held at one time while a segment is looked through.
const LOOK_SERIES: u32 = 4096;
/// Memory of looking through one segment.
const LOOK_MEMORY_BYTES: u64 = 256 << 20;

/// One step of retention; `None` where there is nothing to do. It goes on to its end even when the caller stops waiting.
pub(super) async fn retain_once(shared: &Arc<Shared>) -> Outcome {
    step(shared, "retention failed", |shared, state| run(shared, state).boxed()).await
}

async fn run(shared: &Arc<Shared>, state: &mut UpkeepState) -> Outcome {
    if let Some(report) = settle_unsettled(shared, state).await? {
        return Ok(Some(report));
    }
    let retention = shared.retention();
    let drops = drops(&shared.catalog.state(), &retention);
    let dropped: Vec<&Arc<SegmentMeta>> = drops.all().take(MAX_DROPS).collect();
    if dropped.is_empty() {
        let looked = look_through(shared, state, &retention).await? + clear_some(shared, state).await?;
        return Ok((looked > 0).then(UpkeepReport::default));
    }
    if !drops.over_limit.is_empty() {
        tracing::warn!(
            segments = drops.over_limit.len(),
            limit = retention.settings.max_store_bytes,
            "the store is over its limit of bytes; its oldest segments go"
        );
    }
    let mut request = CommitRequest::new(shared.writer.clone());
    request.remove = dropped.iter().map(|meta| meta.id.clone()).collect();
    let replacement = Replacement {
        request,
        owners: dropped
            .iter()
            .map(|meta| (meta.tenant.clone(), meta.signal))
            .collect::<BTreeSet<_>>(),
        report: UpkeepReport {
            segments_dropped: dropped.len() as u64,
            rows_dropped: dropped.iter().map(|meta| meta.rows).sum(),
            bytes_dropped: dropped.iter().map(|meta| meta.len).sum(),
            ..UpkeepReport::default()
        },
    };
    commit(shared, state, replacement).await.map(Some)
}

/// Looks through segments in which series of one more period have expired since the last look; gives how many.
async fn look_through(shared: &Arc<Shared>, state: &mut UpkeepState, retention: &RetentionAt) -> Result<usize> {
    let catalog = shared.catalog.state();
    state.retain(|id| catalog.find(id).is_some());
    let mut due: Vec<(&Arc<SegmentMeta>, usize)> = Vec::new();
    for (tenant, signal, segments) in catalog.by_lane() {
        if !retention.differs_by_series(tenant, signal) {
            continue;
        }
        let cutoffs = retention.cutoffs(tenant, signal);
        let unseen = segments.iter().filter_map(|meta| {
            let periods = newly_expired_periods(meta, &cutoffs);
            let seen = state.looked_through.get(&meta.id).copied().unwrap_or(0);
            (periods > seen && !catalog.is_quarantined(&meta.id)).then_some((meta, periods))
        });
        due.extend(unseen);
    }
    due.truncate(MAX_LOOKS);
    for (meta, periods) in &due {
        match expired_rows(shared, meta, retention).await {
            Ok(expired) if worth_writing_again(expired, meta.rows) => {
                state.rewrites.insert(meta.id.clone());
            }
            Ok(_) => {}
            // Compaction meets it sooner or later, and quarantines it.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::warn!(%error, "a segment cannot be looked through for expired series");
            }
            Err(error) => return Err(error),
        }
        state.looked_through.insert(meta.id.clone(), *periods);
    }
    Ok(due.len())
}

/// Rows of series of which everything in the segment has expired.
async fn expired_rows(shared: &Shared, meta: &Arc<SegmentMeta>, retention: &RetentionAt) -> Result<u64> {
    let scan = ScanContext::passing(
        shared.components.accountant.background(LOOK_MEMORY_BYTES),
        Arc::default(),
    );
    let segment = WholeSegment::open(shared.components.bucket.clone(), Arc::clone(meta), &scan).await?;
    let mut expired = 0;
    let mut at = 0;
    while at < meta.series {
        let some = segment.series_from(at, LOOK_SERIES, &scan).await?;
        for series in &some {
            if series.range.end <= retention.cutoff(&meta.tenant, meta.signal, &series.labels) {
                expired += series.rows;
            }
        }
        at = some.last().map_or(at, |last| last.ordinal).saturating_add(1);
        tokio::task::yield_now().await;
    }
    Ok(expired)
}
