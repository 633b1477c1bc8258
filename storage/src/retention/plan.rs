//! Which segments go, and which are worth writing again. Pure.

use std::sync::Arc;

use super::rules::RetentionAt;
use crate::catalog::CatalogState;
use crate::model::Timestamp;
use crate::segment::SegmentMeta;

/// One in so many rows of a segment must have expired for it to be written again; fewer are left to its next merge or its
/// own end, hidden from reads.
const REWRITE_SHARE: u64 = 16;
/// Two days in nanoseconds: shorter segments are not written again for the sake of their time.
const SHORT: i128 = 2 * 24 * 3_600 * 1_000_000_000;

/// Segments that go as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Drops {
    /// All of their rows have expired.
    pub expired: Vec<Arc<SegmentMeta>>,
    /// The oldest ones, to bring the store under its limit.
    pub over_limit: Vec<Arc<SegmentMeta>>,
}

impl Drops {
    pub fn all(&self) -> impl Iterator<Item = &Arc<SegmentMeta>> {
        self.expired.iter().chain(&self.over_limit)
    }
}

/// What goes now.
pub(crate) fn drops(state: &CatalogState, retention: &RetentionAt) -> Drops {
    let mut drops = Drops::default();
    let mut left: Vec<&Arc<SegmentMeta>> = Vec::new();
    for (tenant, signal, segments) in state.by_lane() {
        let cutoff = retention.cutoff_of_all(tenant, signal);
        for meta in segments.iter() {
            if meta.range.end <= cutoff {
                drops.expired.push(Arc::clone(meta));
            } else {
                left.push(meta);
            }
        }
    }
    let limit = retention.settings.max_store_bytes;
    let mut bytes: u64 = left.iter().map(|meta| meta.len).sum();
    if limit == 0 || bytes <= limit {
        return drops;
    }
    // Whoever's they are: the store is full for all tenants alike.
    left.sort_by(|a, b| (a.range.end, &a.id).cmp(&(b.range.end, &b.id)));
    for meta in left {
        if bytes <= limit {
            break;
        }
        bytes -= meta.len;
        drops.over_limit.push(Arc::clone(meta));
    }
    drops
}

/// Whether at least half of the segment's time is before the cutoff of all series. It is written again then, and half of
/// what is left later, so that expired rows are at most about as many as others, at the cost of writing each segment about
/// once more. Short segments are dropped soon enough.
pub(crate) fn half_expired(meta: &SegmentMeta, cutoff: Timestamp) -> bool {
    let (start, end) = (i128::from(meta.range.start), i128::from(meta.range.end));
    end - start >= SHORT && i128::from(cutoff) < end && (i128::from(cutoff) - start) * 2 >= end - start
}

/// How many of `cutoffs` (latest first) lie behind all of the segment's rows: series of so many periods have expired in it.
pub(crate) fn newly_expired_periods(meta: &SegmentMeta, cutoffs: &[Timestamp]) -> usize {
    cutoffs.partition_point(|cutoff| meta.range.end <= *cutoff)
}

/// Whether so many expired rows are worth writing the others again.
pub(crate) fn worth_writing_again(expired: u64, rows: u64) -> bool {
    expired > 0 && expired.saturating_mul(REWRITE_SHARE) >= rows
}
