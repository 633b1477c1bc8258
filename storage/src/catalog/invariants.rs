//! What every commit must keep true. Each invariant is a function with its reason; [`check`] runs all of them before a
//! delta is written, on the very state the delta will follow.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::deletes::inherited;
use super::state::{CatalogState, CommitRequest};
use crate::deletes::TombstoneId;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Signal, TenantId, TimeRange};
use crate::object::paths;
use crate::segment::{SegmentId, SegmentMeta};

/// A named invariant.
#[derive(Clone, Copy)]
pub struct Invariant {
    /// Its name in errors and tests.
    pub name: &'static str,
    /// Says what breaks it, if anything does.
    pub check: fn(&CatalogState, &CommitRequest) -> Option<String>,
}

/// All invariants, in the order they are checked.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "added_segments_are_sane",
        check: added_segments_are_sane,
    },
    Invariant {
        name: "live_bytes_do_not_overlap",
        check: live_bytes_do_not_overlap,
    },
    Invariant {
        name: "removed_segments_are_live",
        check: removed_segments_are_live,
    },
    Invariant {
        name: "replaced_and_live_are_disjoint",
        check: replaced_and_live_are_disjoint,
    },
    Invariant {
        name: "replacements_invent_no_rows",
        check: replacements_invent_no_rows,
    },
    Invariant {
        name: "wal_positions_never_go_back",
        check: wal_positions_never_go_back,
    },
    Invariant {
        name: "tombstones_are_sane",
        check: tombstones_are_sane,
    },
    Invariant {
        name: "tombstones_reach_what_replaces_their_segments",
        check: tombstones_reach_what_replaces_their_segments,
    },
    Invariant {
        name: "objects_on_their_way_out_hold_nothing_new",
        check: objects_on_their_way_out_hold_nothing_new,
    },
    Invariant {
        name: "deleted_objects_were_pending",
        check: deleted_objects_were_pending,
    },
    Invariant {
        name: "quarantined_segments_are_live",
        check: quarantined_segments_are_live,
    },
];

/// Holds `request` to every invariant on top of `state`.
pub(super) fn check(state: &CatalogState, request: &CommitRequest) -> Result<()> {
    for invariant in INVARIANTS {
        if let Some(broken) = (invariant.check)(state, request) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "catalog commit on version {} of writer {} breaks {}: {broken}",
                    state.version(),
                    request.writer,
                    invariant.name
                ),
            ));
        }
    }
    Ok(())
}

/// A segment has rows, series and bytes, and a time range that is not empty: readers prune by these and open by
/// `tail_len`, so a segment without them would be invisible or unreadable for ever.
fn added_segments_are_sane(_: &CatalogState, request: &CommitRequest) -> Option<String> {
    request.add.iter().find_map(|meta| {
        let reason = if meta.len == 0 || meta.rows == 0 || meta.series == 0 {
            "has no bytes, rows or series"
        } else if meta.range.is_empty() {
            "has an empty time range"
        } else if meta.tail_len == 0 || meta.tail_len > meta.len {
            "has a tail that does not fit"
        } else if meta.rows < u64::from(meta.series) {
            "has fewer rows than series"
        } else if meta.id.offset.checked_add(meta.len).is_none() {
            "ends beyond the largest offset"
        } else if meta.id.object.is_empty() {
            "names no object"
        } else {
            return None;
        };
        Some(format!("segment {} at {} {reason}", meta.id.object, meta.id.offset))
    })
}

/// No byte of an object belongs to two live segments: a byte read for one tenant is never another's, and a segment
/// committed twice (a flush tried again after a lost answer) does not count its rows twice.
fn live_bytes_do_not_overlap(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let mut added: Vec<(&str, u64, u64)> = request
        .add
        .iter()
        .map(|m| (&*m.id.object, m.id.offset, m.id.offset.saturating_add(m.len)))
        .collect();
    added.sort_unstable();
    for pair in added.windows(2) {
        if pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2 {
            return Some(format!("two added segments share byte {} of {}", pair[1].1, pair[1].0));
        }
    }
    for (object, offset, end) in added {
        let mut lives = state.objects.get(object).into_iter().flatten();
        if let Some(live) = lives.find(|l| l.offset < end && offset < l.end) {
            return Some(format!(
                "{object} at {offset} overlaps the live segment at {}",
                live.offset
            ));
        }
    }
    None
}

/// What is removed is live now: of two compactions that replace the same segment only one may win, or its rows would be
/// live twice.
fn removed_segments_are_live(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let mut seen = HashSet::new();
    request.remove.iter().find_map(|id| {
        (state.find(id).is_none() || !seen.insert(id)).then(|| format!("{} at {} is not live", id.object, id.offset))
    })
}

/// Nothing is both added and removed, and what replaces segments belongs to the tenants and signals of those replaced:
/// otherwise a commit would move rows between tenants.
fn replaced_and_live_are_disjoint(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    if request.remove.is_empty() {
        return None;
    }
    let removed: HashSet<_> = request.remove.iter().collect();
    let owners: HashSet<_> = request
        .remove
        .iter()
        .filter_map(|id| state.find(id))
        .map(|meta| (&meta.tenant, meta.signal))
        .collect();
    request.add.iter().find_map(|meta| {
        if removed.contains(&meta.id) {
            return Some(format!(
                "{} at {} is both added and removed",
                meta.id.object, meta.id.offset
            ));
        }
        let foreign = !owners.contains(&(&meta.tenant, meta.signal));
        foreign.then(|| {
            let (tenant, signal) = (&meta.tenant, meta.signal.as_str());
            format!("a replacement adds {signal} of tenant {tenant}, of which nothing is replaced")
        })
    })
}

/// A writer's position only moves forward: WAL files below it may be gone already.
fn wal_positions_never_go_back(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let mut seen = HashSet::new();
    request.wal_positions.iter().find_map(|(tenant, signal, position)| {
        let signal_name = signal.as_str();
        if !seen.insert((tenant, *signal)) {
            return Some(format!("two positions for {signal_name} of tenant {tenant}"));
        }
        let have = state.wal_position(&request.writer, tenant, *signal)?;
        (*position < have)
            .then(|| format!("{signal_name} of tenant {tenant} would go back from {have:?} to {position:?}"))
    })
}

/// A tombstone hides something, is new, and belongs to logs where it has a line filter: samples have no lines, so on metrics
/// it would either hide too much or nothing.
fn tombstones_are_sane(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let mut seen = HashSet::new();
    request.delete.iter().find_map(|tombstone| {
        let known = state
            .deletes(&tombstone.tenant, tombstone.signal)
            .get(tombstone.id)
            .is_some();
        let reason = if tombstone.range.is_empty() {
            "has an empty time range"
        } else if known || !seen.insert(tombstone.id) {
            "is there already"
        } else if tombstone.filter.is_some() && tombstone.signal != Signal::Logs {
            "has a line filter for rows without lines"
        } else {
            return None;
        };
        Some(format!("tombstone {} {reason}", tombstone.id))
    })
}

/// What replaces segments inherits their tombstones as a whole. So the tombstones that are not applied cover all replaced
/// segments in their time range or none: otherwise rows that were accepted after a delete would be hidden by it, or deleted
/// ones would be back. A tombstone counts as applied only while it is there: a cancelled one must not take rows with it.
fn tombstones_reach_what_replaces_their_segments(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let removed = request.remove.iter().filter_map(|id| state.find(id));
    let mut by_owner: BTreeMap<(TenantId, Signal), Vec<&Arc<SegmentMeta>>> = BTreeMap::new();
    for meta in removed {
        by_owner
            .entry((meta.tenant.clone(), meta.signal))
            .or_default()
            .push(meta);
    }
    let applied_is_known = |id: &TombstoneId| by_owner.keys().any(|(t, s)| state.deletes(t, *s).get(*id).is_some());
    if let Some(id) = request.applied.iter().find(|id| !applied_is_known(id)) {
        return Some(format!("tombstone {id} was applied, but is not there"));
    }
    let replaces = |owner: &(TenantId, Signal)| request.add.iter().any(|m| m.tenant == owner.0 && m.signal == owner.1);
    by_owner
        .iter()
        .filter(|(owner, _)| replaces(owner))
        .find_map(|(owner, metas)| {
            let deletes = state.deletes(&owner.0, owner.1);
            inherited(state, request, owner).into_values().find_map(|tombstone| {
                let beside = metas.iter().find(|meta| {
                    let covered = deletes.covering(&meta.id).iter().any(|t| t.id == tombstone.id);
                    meta.range.overlaps(&tombstone.range) && !covered
                })?;
                let SegmentId { object, offset } = &beside.id;
                Some(format!(
                    "tombstone {} covers some of the segments that are replaced, but not {object} at {offset}",
                    tombstone.id
                ))
            })
        })
}

/// What replaces segments of a tenant's signal has no more rows than they and lies in their time: compaction merges, leaves
/// out and never makes up.
fn replacements_invent_no_rows(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let mut replaced: HashMap<(&TenantId, Signal), (u64, TimeRange)> = HashMap::new();
    for meta in request.remove.iter().filter_map(|id| state.find(id)) {
        let (rows, range) = replaced.entry((&meta.tenant, meta.signal)).or_insert((0, meta.range));
        *rows = rows.saturating_add(meta.rows);
        range.start = range.start.min(meta.range.start);
        range.end = range.end.max(meta.range.end);
    }
    request.add.iter().find_map(|meta| {
        let (rows, range) = replaced.get_mut(&(&meta.tenant, meta.signal))?;
        let at = || format!("{} at {}", meta.id.object, meta.id.offset);
        if meta.range.start < range.start || meta.range.end > range.end {
            return Some(format!("{} reaches beyond the times of what it replaces", at()));
        }
        match rows.checked_sub(meta.rows) {
            Some(left) => *rows = left,
            None => return Some(format!("{} brings more rows than it replaces", at())),
        }
        None
    })
}

/// A segment is never added to an object that is about to be deleted: one that is pending, or that is old enough to count as
/// an orphan and holds no live segment. Whoever stored it stores it again under another name.
fn objects_on_their_way_out_hold_nothing_new(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    request.add.iter().find_map(|meta| {
        let object = &meta.id.object;
        let made = paths::segment_created(object);
        if state.is_pending(object) {
            Some(format!("{object} waits for its deletion"))
        } else if made.is_some_and(|at| at < state.orphans_before()) && !state.is_object_live(object) {
            Some(format!("{object} was stored too long ago to be named now"))
        } else {
            None
        }
    })
}

/// Only what was pending, and so without live segments, is struck off as deleted; and the orphan horizon only rises.
fn deleted_objects_were_pending(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    if request.orphans_before.is_some_and(|at| at < state.orphans_before()) {
        return Some(format!(
            "the orphan horizon would go back from {}",
            state.orphans_before()
        ));
    }
    let mut objects = request.deleted.iter();
    objects.find_map(|object| (!state.is_pending(object)).then(|| format!("{object} was not waiting for its deletion")))
}

/// A segment is quarantined while it is live, and released only while it is quarantined.
fn quarantined_segments_are_live(state: &CatalogState, request: &CommitRequest) -> Option<String> {
    let place = |id: &SegmentId| format!("{} at {}", id.object, id.offset);
    let gone = |id: &&SegmentId| state.find(id).is_none() || request.remove.contains(id);
    let ids = request.quarantine.iter().map(|(id, _)| id);
    if let Some(id) = ids.clone().find(gone) {
        return Some(format!("{} is not live", place(id)));
    }
    let released = request.release.iter().find(|id| !state.is_quarantined(id));
    released.map(|id| format!("{} is not quarantined", place(id)))
}
