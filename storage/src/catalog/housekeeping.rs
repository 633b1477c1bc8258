//! What the catalog knows besides live segments: objects that wait for their deletion, the age below which unnamed objects
//! are orphans, and segments that could not be read.
//!
//! ```text
//! last live segment of an object goes ─> pending since the time of that commit ─grace─> object deleted ─> struck off
//! object put, never committed ─> the orphan horizon passes its name's time (no commit may name it any more) ─> deleted
//! ```
//!
//! An object is pending by the very commit that takes its last segment, without anybody asking: none can be forgotten. The
//! horizon is what makes orphans safe to delete: a writer that was cut off for a day and then commits what it had stored
//! finds its commit refused, instead of a catalog that names an object somebody removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::{CatalogState, CommitRequest};
use crate::model::Timestamp;
use crate::segment::SegmentId;

/// See the module docs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Housekeeping {
    /// Objects without live segments, and since when.
    pub pending: BTreeMap<Arc<str>, Timestamp>,
    /// Objects whose name says that they were made before this, and that no live segment lies in, will never hold one.
    pub orphans_before: Timestamp,
    pub quarantined: BTreeMap<SegmentId, Quarantine>,
}

/// Why and since when a segment is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// What could not be read.
    pub reason: String,
    /// The time of the commit that said so.
    pub since: Timestamp,
}

impl CatalogState {
    /// Objects without live segments that wait for their deletion, and since when.
    pub fn pending_deletions(&self) -> impl Iterator<Item = (&Arc<str>, Timestamp)> {
        self.housekeeping.pending.iter().map(|(object, since)| (object, *since))
    }

    /// Whether the object waits for its deletion.
    pub fn is_pending(&self, object: &str) -> bool {
        self.housekeeping.pending.contains_key(object)
    }

    /// No commit names a new object whose name says that it was made before this.
    pub fn orphans_before(&self) -> Timestamp {
        self.housekeeping.orphans_before
    }

    /// Live segments that could not be read whole. Reads answer what they can of them; compaction leaves them alone.
    pub fn quarantined(&self) -> impl Iterator<Item = (&SegmentId, &Quarantine)> {
        self.housekeeping.quarantined.iter()
    }

    /// Whether the segment could not be read whole.
    pub fn is_quarantined(&self, id: &SegmentId) -> bool {
        self.housekeeping.quarantined.contains_key(id)
    }
}

/// Whether `state` has what `request` asks for beside segments.
pub(super) fn holds(state: &CatalogState, request: &CommitRequest) -> bool {
    let gone = |object: &Arc<str>| !state.is_pending(object) && !state.is_object_live(object);
    let deleted = request.deleted.iter().all(gone);
    let quarantined = request.quarantine.iter().all(|(id, _)| state.is_quarantined(id));
    let released = request.release.iter().all(|id| !state.is_quarantined(id));
    let horizon = request.orphans_before.is_none_or(|at| state.orphans_before() >= at);
    deleted && quarantined && released && horizon
}

/// What `request`, committed at the time `at`, changes about the housekeeping of `next`, in which its segments are already
/// the live ones.
pub(super) fn apply(next: &mut CatalogState, request: &CommitRequest, at: Timestamp) {
    let CatalogState {
        housekeeping, objects, ..
    } = next;
    for id in &request.remove {
        housekeeping.quarantined.remove(id);
        if !objects.contains_key(&id.object) {
            housekeeping.pending.entry(Arc::clone(&id.object)).or_insert(at);
        }
    }
    for object in &request.deleted {
        housekeeping.pending.remove(object);
    }
    for id in &request.release {
        housekeeping.quarantined.remove(id);
    }
    for (id, reason) in &request.quarantine {
        let quarantine = Quarantine {
            reason: reason.clone(),
            since: at,
        };
        housekeeping.quarantined.entry(id.clone()).or_insert(quarantine);
    }
    if let Some(horizon) = request.orphans_before {
        housekeeping.orphans_before = housekeeping.orphans_before.max(horizon);
    }
}
