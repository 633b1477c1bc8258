//! The catalog in memory: an immutable state per version, and the change that leads to the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::deletes::{self, Deletes};
use super::housekeeping::{self, Housekeeping};
use crate::deletes::{Tombstone, TombstoneId};
use crate::model::{Signal, TenantId, Timestamp};
use crate::object::paths::WriterId;
use crate::segment::{SegmentId, SegmentMeta};

/// The number of a catalog state; 0 is the empty catalog before the first commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CatalogVersion(pub u64);

impl CatalogVersion {
    /// The version after this one.
    pub fn next(self) -> CatalogVersion {
        CatalogVersion(self.0.saturating_add(1))
    }
}

impl fmt::Display for CatalogVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a writer's WAL. Everything before it is in segments; later files and offsets are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WalPosition {
    /// Number of the WAL file.
    pub file: u64,
    /// Byte in the file.
    pub offset: u64,
}

/// What a commit changes. All of it becomes visible at once, or none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Who commits.
    pub writer: WriterId,
    /// Segments that become live. Their bytes must be durable in the bucket.
    pub add: Vec<SegmentMeta>,
    /// Segments that are no longer live, since `add` holds their rows or the rows are not wanted any more.
    pub remove: Vec<SegmentId>,
    /// For (tenant, signal): the writer's WAL records of these rows before the position are no longer needed.
    pub wal_positions: Vec<(TenantId, Signal, WalPosition)>,
    /// Tombstones that hide rows from now on, in every segment of their tenant and signal that is live after `add` and
    /// `remove` and overlaps them in time.
    pub delete: Vec<Tombstone>,
    /// Tombstones that hide no row of the segments in `add` although they covered those in `remove`: their rows were left
    /// out. All others of `remove` are inherited by what replaces it.
    pub applied: Vec<TombstoneId>,
    /// Live segments in which a tombstone has nothing to hide, so that it need not cover them.
    pub clear: Vec<(TombstoneId, SegmentId)>,
    /// Tombstones that go: cancelled, so that their rows are back, or done long ago.
    pub forget: Vec<((TenantId, Signal), TombstoneId)>,
    /// Pending objects that are gone from the bucket.
    pub deleted: Vec<Arc<str>>,
    /// Live segments that could not be read, and what was wrong.
    pub quarantine: Vec<(SegmentId, String)>,
    /// Segments that are whole after all.
    pub release: Vec<SegmentId>,
    /// From now on no commit names a new object that was made before this, see [`CatalogState::orphans_before`].
    pub orphans_before: Option<Timestamp>,
}

impl CommitRequest {
    /// A commit of `writer` that changes nothing yet.
    pub fn new(writer: WriterId) -> Self {
        CommitRequest {
            writer,
            add: Vec::new(),
            remove: Vec::new(),
            wal_positions: Vec::new(),
            delete: Vec::new(),
            applied: Vec::new(),
            clear: Vec::new(),
            forget: Vec::new(),
            deleted: Vec::new(),
            quarantine: Vec::new(),
            release: Vec::new(),
            orphans_before: None,
        }
    }

    fn asks_nothing(&self) -> bool {
        let lists = [
            self.add.len(),
            self.remove.len(),
            self.wal_positions.len(),
            self.delete.len(),
            self.clear.len(),
            self.forget.len(),
            self.deleted.len(),
            self.quarantine.len(),
            self.release.len(),
        ];
        lists.iter().all(|len| *len == 0) && self.orphans_before.is_none()
    }
}

/// One (tenant, signal)'s live segments, in the order of [`SegmentId`].
pub type SegmentList = Arc<Vec<Arc<SegmentMeta>>>;

/// The catalog at one version. Immutable; shared by everybody who reads at this version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CatalogState {
    pub(super) version: CatalogVersion,
    pub(super) segments: BTreeMap<(TenantId, Signal), SegmentList>,
    /// Object path -> its live segments as (offset, end, owner), for the overlap invariant and for removals.
    pub(super) objects: HashMap<Arc<str>, Vec<LiveRange>>,
    pub(super) positions: HashMap<WriterId, HashMap<(TenantId, Signal), WalPosition>>,
    /// Only owners that have a tombstone.
    pub(super) deletes: BTreeMap<(TenantId, Signal), Arc<Deletes>>,
    pub(super) housekeeping: Housekeeping,
}

/// The bytes that one live segment takes in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveRange {
    pub offset: u64,
    pub end: u64,
    pub owner: (TenantId, Signal),
}

impl CatalogState {
    /// The version.
    pub fn version(&self) -> CatalogVersion {
        self.version
    }

    /// Live segments of a tenant's signal.
    pub fn segments(&self, tenant: &TenantId, signal: Signal) -> SegmentList {
        self.segments
            .get(&(tenant.clone(), signal))
            .cloned()
            .unwrap_or_default()
    }

    /// All live segments.
    pub fn all_segments(&self) -> impl Iterator<Item = &Arc<SegmentMeta>> {
        self.segments.values().flat_map(|list| list.iter())
    }

    /// The tombstones of a tenant's signal.
    pub fn deletes(&self, tenant: &TenantId, signal: Signal) -> Arc<Deletes> {
        self.deletes.get(&(tenant.clone(), signal)).cloned().unwrap_or_default()
    }

    /// The tombstones of all tenants.
    pub fn all_deletes(&self) -> impl Iterator<Item = &Arc<Deletes>> {
        self.deletes.values()
    }

    /// The live segments of each tenant and signal that has any.
    pub fn by_lane(&self) -> impl Iterator<Item = (&TenantId, Signal, &SegmentList)> {
        self.segments
            .iter()
            .map(|((tenant, signal), list)| (tenant, *signal, list))
    }

    /// Number of live segments.
    pub fn segment_count(&self) -> usize {
        self.segments.values().map(|list| list.len()).sum()
    }

    /// Whether the object holds a live segment.
    pub fn is_object_live(&self, object: &str) -> bool {
        self.objects.contains_key(object)
    }

    /// Number of objects that hold live segments.
    pub fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// Where replay of `writer`'s WAL starts for a tenant's signal; `None` where it never committed one.
    pub fn wal_position(&self, writer: &WriterId, tenant: &TenantId, signal: Signal) -> Option<WalPosition> {
        self.positions.get(writer)?.get(&(tenant.clone(), signal)).copied()
    }

    /// All positions of a writer.
    pub fn wal_positions(&self, writer: &WriterId) -> impl Iterator<Item = (&TenantId, Signal, WalPosition)> {
        let of_writer = self.positions.get(writer).into_iter().flatten();
        of_writer.map(|((tenant, signal), position)| (tenant, *signal, *position))
    }

    /// The live segment of this id.
    pub fn find(&self, id: &SegmentId) -> Option<&Arc<SegmentMeta>> {
        let live = self.objects.get(&id.object)?.iter().find(|l| l.offset == id.offset)?;
        let list = self.segments.get(&live.owner)?;
        list.iter().find(|meta| meta.id == *id)
    }

    /// Whether this state already holds everything `request` asks for: it was applied before, and its answer was lost.
    pub(super) fn holds(&self, request: &CommitRequest) -> bool {
        let added = request
            .add
            .iter()
            .all(|meta| self.find(&meta.id).is_some_and(|live| **live == *meta));
        let positioned = request.wal_positions.iter().all(|(tenant, signal, position)| {
            self.wal_position(&request.writer, tenant, *signal)
                .is_some_and(|have| have >= *position)
        });
        let removed = request.remove.iter().all(|id| self.find(id).is_none());
        let known = |tombstone: &Tombstone| {
            self.deletes(&tombstone.tenant, tombstone.signal)
                .get(tombstone.id)
                .is_some_and(|known| **known == *tombstone)
        };
        let deleted = request.delete.iter().all(known);
        let covers = |id: &TombstoneId, segment: &SegmentId| {
            let of_owner = self.find(segment).map(|meta| self.deletes(&meta.tenant, meta.signal));
            of_owner.is_some_and(|deletes| deletes.covering(segment).iter().any(|t| t.id == *id))
        };
        let cleared = !request.clear.iter().any(|(id, segment)| covers(id, segment));
        let gone = |((tenant, signal), id): &((TenantId, Signal), TombstoneId)| {
            self.deletes(tenant, *signal).get(*id).is_none()
        };
        let forgotten = request.forget.iter().all(gone);
        let kept = housekeeping::holds(self, request);
        added && positioned && removed && deleted && cleared && forgotten && kept && !request.asks_nothing()
    }

    /// The state after `request`, which was checked against every invariant or was read from a stored delta, and was
    /// committed at the time `at`.
    pub(crate) fn apply(&self, request: &CommitRequest, at: Timestamp) -> CatalogState {
        let mut next = self.clone();
        next.version = self.version.next();
        let mut touched: BTreeMap<(TenantId, Signal), Vec<Arc<SegmentMeta>>> = BTreeMap::new();
        let mut removed: HashSet<&SegmentId> = HashSet::new();
        for id in &request.remove {
            let Some(lives) = next.objects.get_mut(&id.object) else {
                continue;
            };
            if let Some(at) = lives.iter().position(|l| l.offset == id.offset) {
                let live = lives.swap_remove(at);
                touched.entry(live.owner).or_default();
                removed.insert(id);
            }
            if lives.is_empty() {
                next.objects.remove(&id.object);
            }
        }
        for meta in &request.add {
            let owner = (meta.tenant.clone(), meta.signal);
            next.objects
                .entry(Arc::clone(&meta.id.object))
                .or_default()
                .push(LiveRange {
                    offset: meta.id.offset,
                    end: meta.id.offset.saturating_add(meta.len),
                    owner: owner.clone(),
                });
            touched.entry(owner).or_default().push(Arc::new(meta.clone()));
        }
        for (owner, added) in touched {
            let old = next.segments.get(&owner).cloned().unwrap_or_default();
            let kept = old.iter().filter(|meta| !removed.contains(&meta.id)).cloned();
            let mut list: Vec<_> = kept.chain(added).collect();
            list.sort_by(|a, b| a.id.cmp(&b.id));
            if list.is_empty() {
                next.segments.remove(&owner);
            } else {
                next.segments.insert(owner, Arc::new(list));
            }
        }
        if !request.wal_positions.is_empty() {
            let positions = next.positions.entry(request.writer.clone()).or_default();
            for (tenant, signal, position) in &request.wal_positions {
                positions.insert((tenant.clone(), *signal), *position);
            }
        }
        deletes::apply(&mut next, self, request);
        housekeeping::apply(&mut next, request, at);
        next
    }
}
