//! Which tombstones there are, and which live segments each covers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::state::{CatalogState, CommitRequest};
use crate::deletes::{Tombstone, TombstoneId};
use crate::model::{Signal, TenantId};
use crate::segment::{SegmentId, SegmentMeta};

/// The tombstones of one tenant and signal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletes {
    by_id: BTreeMap<TombstoneId, Entry>,
    /// Only segments that some tombstone covers, each with its tombstones in the order of their ids.
    by_segment: HashMap<SegmentId, Vec<Arc<Tombstone>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    tombstone: Arc<Tombstone>,
    covered_at_first: u64,
    covered: u64,
}

/// A tombstone and how far it has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteStatus {
    /// What is deleted.
    pub tombstone: Arc<Tombstone>,
    /// Segments it covered when it was committed.
    pub covered_at_first: u64,
    /// Live segments whose rows it hides now. With none left nothing can bring its rows back.
    pub covered: u64,
}

impl Deletes {
    /// The tombstones that hide rows of a segment; none for most.
    pub fn covering(&self, segment: &SegmentId) -> &[Arc<Tombstone>] {
        self.by_segment.get(segment).map_or(&[], Vec::as_slice)
    }

    /// All tombstones, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = DeleteStatus> {
        self.by_id.values().map(|entry| DeleteStatus {
            tombstone: Arc::clone(&entry.tombstone),
            covered_at_first: entry.covered_at_first,
            covered: entry.covered,
        })
    }

    /// The tombstone of this name.
    pub fn get(&self, id: TombstoneId) -> Option<&Arc<Tombstone>> {
        self.by_id.get(&id).map(|entry| &entry.tombstone)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Adds a tombstone as a checkpoint has it: [`Deletes::cover`] says what it covers.
    pub(super) fn restore(&mut self, tombstone: Tombstone, covered_at_first: u64) {
        let entry = Entry {
            tombstone: Arc::new(tombstone),
            covered_at_first,
            covered: 0,
        };
        self.by_id.insert(entry.tombstone.id, entry);
    }

    /// Lets a tombstone cover a segment.
    pub(super) fn cover(&mut self, segment: &SegmentId, id: TombstoneId) {
        let Some(entry) = self.by_id.get_mut(&id) else { return };
        let list = self.by_segment.entry(segment.clone()).or_default();
        if let Err(at) = list.binary_search_by_key(&id, |t| t.id) {
            list.insert(at, Arc::clone(&entry.tombstone));
            entry.covered += 1;
        }
    }

    fn add(&mut self, tombstone: &Tombstone, live: &[Arc<SegmentMeta>]) {
        self.restore(tombstone.clone(), 0);
        for meta in live.iter().filter(|meta| meta.range.overlaps(&tombstone.range)) {
            self.cover(&meta.id, tombstone.id);
        }
        if let Some(entry) = self.by_id.get_mut(&tombstone.id) {
            entry.covered_at_first = entry.covered;
        }
    }

    fn remove(&mut self, id: TombstoneId) {
        if self.by_id.remove(&id).is_some_and(|entry| entry.covered > 0) {
            self.by_segment.retain(|_, list| {
                list.retain(|t| t.id != id);
                !list.is_empty()
            });
        }
    }

    fn uncover(&mut self, segment: &SegmentId, id: TombstoneId) {
        let Some(list) = self.by_segment.get_mut(segment) else {
            return;
        };
        if let Ok(at) = list.binary_search_by_key(&id, |t| t.id) {
            list.remove(at);
            if let Some(entry) = self.by_id.get_mut(&id) {
                entry.covered = entry.covered.saturating_sub(1);
            }
        }
        if list.is_empty() {
            self.by_segment.remove(segment);
        }
    }
}

/// The tombstones that segments which replace `request.remove` have to inherit: those of the removed segments of one owner,
/// without the applied ones.
pub(super) fn inherited(
    state: &CatalogState,
    request: &CommitRequest,
    owner: &(TenantId, Signal),
) -> BTreeMap<TombstoneId, Arc<Tombstone>> {
    let Some(deletes) = state.deletes.get(owner) else {
        return BTreeMap::new();
    };
    let covering = request.remove.iter().flat_map(|id| deletes.covering(id));
    covering
        .filter(|t| !request.applied.contains(&t.id))
        .map(|t| (t.id, Arc::clone(t)))
        .collect()
}

/// What `request` changes about the tombstones of `next`, in which its segments are already the live ones. `before` is the
/// state it was applied to.
pub(super) fn apply(next: &mut CatalogState, before: &CatalogState, request: &CommitRequest) {
    let touches_covers = !next.deletes.is_empty();
    if touches_covers && !request.remove.is_empty() {
        replace(next, before, request);
    }
    for (id, segment) in &request.clear {
        if let Some(meta) = before.find(segment) {
            let owner = (meta.tenant.clone(), meta.signal);
            change(next, &owner, |deletes| deletes.uncover(segment, *id));
        }
    }
    for tombstone in &request.delete {
        let owner = (tombstone.tenant.clone(), tombstone.signal);
        let live = next.segments.get(&owner).cloned().unwrap_or_default();
        change(next, &owner, |deletes| deletes.add(tombstone, &live));
    }
    for (owner, id) in &request.forget {
        change(next, owner, |deletes| deletes.remove(*id));
    }
}

fn replace(next: &mut CatalogState, before: &CatalogState, request: &CommitRequest) {
    let mut owners: Vec<(TenantId, Signal)> = request
        .remove
        .iter()
        .filter_map(|id| before.find(id))
        .map(|meta| (meta.tenant.clone(), meta.signal))
        .collect();
    owners.sort_unstable();
    owners.dedup();
    for owner in owners.iter().filter(|owner| before.deletes.contains_key(owner)) {
        let inherited = inherited(before, request, owner);
        change(next, owner, |deletes| {
            let own = request
                .add
                .iter()
                .filter(|m| m.tenant == owner.0 && m.signal == owner.1);
            for meta in own {
                let inside = inherited.values().filter(|t| t.range.overlaps(&meta.range));
                inside.for_each(|t| deletes.cover(&meta.id, t.id));
            }
            for segment in &request.remove {
                let ids: Vec<TombstoneId> = deletes.covering(segment).iter().map(|t| t.id).collect();
                ids.into_iter().for_each(|id| deletes.uncover(segment, id));
            }
        });
    }
}

/// Changes the tombstones of one owner.
pub(super) fn change(state: &mut CatalogState, owner: &(TenantId, Signal), change: impl FnOnce(&mut Deletes)) {
    let deletes = state.deletes.entry(owner.clone()).or_default();
    change(Arc::make_mut(deletes));
    if deletes.is_empty() {
        state.deletes.remove(owner);
    }
}
