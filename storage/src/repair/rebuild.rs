//! A new catalog from what is left of the old one and what segments tell of themselves.

use std::collections::HashSet;
use std::sync::Arc;

use super::fsck::{Fault, FsckOptions, check_segments, present};
use super::objects::contents;
use super::progress::Progress;
use crate::catalog::{CommitRequest, Salvage, replace, salvage};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::object::paths::{SEGMENTS_PREFIX, WriterId, segment_created};
use crate::object::{Bucket, ObjectInfo};
use crate::segment::{Depth, SegmentId, SegmentMeta};

/// Clocks of writers may differ by this much: objects that are this much older than the last whole commit are still
/// looked at.
const CLOCK_SLACK_NS: i64 = 3_600 * 1_000_000_000;

/// What a rebuild did.
#[derive(Clone, Debug, Default)]
pub struct RebuildReport {
    /// The version of the new catalog; `None` where the old one is whole, and nothing was done.
    pub version: Option<u64>,
    /// Segments that the old catalog still knew.
    pub kept: usize,
    /// Segments taken in by their footers.
    pub adopted: usize,
    /// Segments that cannot be opened, and bytes that belong to none: left out, their objects stay where they are.
    pub quarantined: Vec<Fault>,
    /// Objects left out because they were replaced or never committed, as far as can be told.
    pub orphans: Vec<ObjectInfo>,
}

/// Rebuilds a damaged or lost catalog. The bucket must have no writer.
///
/// ```text
/// newest checkpoint that can be read + later deltas that can       live segments, deletes, WAL positions
///   + segments in objects made since the last whole commit          (all, where no commit can be read)
///   - segments that some commit removed, or that cannot be opened
/// ```
///
/// Rows that two segments hold are read once, so it does no harm to take in one that was replaced. Deletes of a catalog of
/// which nothing can be read are lost: their rows are back.
pub async fn rebuild(
    bucket: &Bucket,
    options: &FsckOptions,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<RebuildReport> {
    progress.stage("reading the catalog", 0);
    let old = salvage(bucket).await?;
    progress.stage("listing objects", 0);
    let objects = bucket.list(SEGMENTS_PREFIX, None).await?;
    let lost = old.objects == 0 && !objects.is_empty();
    if old.faults.is_empty() && !lost {
        return Ok(RebuildReport::default());
    }
    let mut report = RebuildReport::default();
    let (kept, missing) = present(old.state.all_segments().cloned().collect(), &objects);
    report.quarantined.extend(missing);
    report.kept = kept.len();
    let known: HashSet<SegmentId> = kept.iter().map(|meta| meta.id.clone()).collect();
    let mut adopted: Vec<Arc<SegmentMeta>> = Vec::new();
    progress.stage("reading footers", objects.len() as u64);
    for object in &objects {
        progress.advance(1);
        let live = old.state.is_object_live(&object.path);
        let replaced = old.state.is_pending(&object.path);
        if !live && (replaced || !may_be_live(&old, object)) {
            report.orphans.push(object.clone());
            continue;
        }
        let found = contents(bucket, object).await?;
        report.quarantined.extend(found.faults.into_iter().map(|what| Fault {
            place: object.path.clone(),
            what,
        }));
        let new = found
            .segments
            .into_iter()
            .filter(|meta| !known.contains(&meta.id) && !old.removed.contains(&meta.id));
        let before = adopted.len();
        adopted.extend(new.map(Arc::new));
        if !live && adopted.len() == before {
            report.orphans.push(object.clone());
        }
    }
    let all: Vec<Arc<SegmentMeta>> = kept.into_iter().chain(adopted.iter().cloned()).collect();
    let bad = check_segments(bucket, all, Depth::Tail, options, progress).await?;
    let bad_places: HashSet<&str> = bad.iter().map(|fault| fault.place.as_str()).collect();
    let is_bad = |meta: &Arc<SegmentMeta>| bad_places.contains(meta.place().as_str());
    adopted.retain(|meta| !is_bad(meta));
    report.adopted = adopted.len();

    let mut change = CommitRequest::new(WriterId::from_random(0));
    let gone = |meta: &&Arc<SegmentMeta>| !known.contains(&meta.id) || is_bad(meta);
    change.remove = old.state.all_segments().filter(gone).map(|m| m.id.clone()).collect();
    report.kept = old.state.segment_count() - change.remove.len();
    change.add = adopted.iter().map(|meta| (**meta).clone()).collect();
    report.quarantined.extend(bad);
    report.quarantined.sort();
    report.quarantined.dedup();
    progress.stage("writing the catalog", 0);
    let state = old.state.apply(&change, now);
    report.version = Some(replace(bucket, &state, old.newest, now).await?);
    let again = salvage(bucket).await?;
    if again.faults.is_empty() && again.state.segment_count() == state.segment_count() {
        return Ok(report);
    }
    let message = format!("the rebuilt catalog cannot be read again: {:?}", again.faults);
    Err(Error::new(ErrorKind::Internal, message))
}

/// Whether an object that no readable commit names may hold live segments: it was made at the time of a commit that cannot
/// be read.
fn may_be_live(old: &Salvage, object: &ObjectInfo) -> bool {
    match (old.whole_until, segment_created(&object.path)) {
        (Some(until), Some(created)) => created >= until.saturating_sub(CLOCK_SLACK_NS),
        _ => true,
    }
}
