//! What the next compaction round does: the policy's jobs, segments with rows that have expired or were deleted, and what of
//! their rows deletes have taken away.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use super::shared::Shared;
use super::upkeep::UpkeepState;
use crate::catalog::CatalogState;
use crate::compaction::{Depth, Job, PolicySettings, plan};
use crate::deletes::{RowFilter, Tombstone, TombstoneId};
use crate::error::Result;
use crate::model::Timestamp;
use crate::retention::half_expired;
use crate::segment::{SegmentId, SegmentMeta};

/// Stored bytes of small jobs that share an object: a thousand quiet tenants cost one PUT and one commit.
const ROUND_BYTES: u64 = 64 << 20;
/// Jobs of one round.
const MAX_ROUND_JOBS: usize = 1000;
/// A round may hold one in so many bytes of the memory limit.
const MEMORY_FRACTION: u64 = 4;
/// Bytes that one series of an input takes at most, about: an entry in the index of the new segment for each label whose
/// values are all different, the place of a stream of logs and the directory of its pages. Usually it is a tenth.
const SERIES_BYTES: u64 = 256;
/// Bytes that one input takes beside that, at most: windows, shared times, its end.
const INPUT_BYTES: u64 = 16 << 20;
/// Inputs that are merged at one time where memory allows.
const MAX_INPUTS: u64 = 40;
/// Fewer make no progress worth the name.
const MIN_INPUTS: u64 = 4;
/// How long after the longest flush age a window is settled.
const SETTLE_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The work of one round.
#[derive(Debug, Default)]
pub(super) struct RoundPlan {
    pub jobs: Vec<Job>,
    /// Deletes whose rows are left out of all that the jobs write.
    pub applied: Vec<TombstoneId>,
}

/// Most memory of one round.
pub(super) fn memory_cap(shared: &Shared) -> u64 {
    shared.components.accountant.limit_bytes() / MEMORY_FRACTION
}

/// The policy's jobs, leaving alone what `skip` names.
pub(super) fn planned(
    shared: &Shared,
    state: &CatalogState,
    depth: Depth,
    skip: &dyn Fn(&SegmentId) -> bool,
) -> Vec<Job> {
    let config = &shared.config;
    let settings = PolicySettings {
        settle: config.metrics_flush_age.max(config.logs_flush_age) + SETTLE_MARGIN,
        max_inputs: (memory_cap(shared) / INPUT_BYTES).clamp(MIN_INPUTS, MAX_INPUTS) as usize,
        max_job_series: memory_cap(shared) / 2 / SERIES_BYTES,
        ..PolicySettings::default()
    };
    let now = shared.components.clock.now();
    let arriving = shared.arriving.lock().clone();
    let leave_alone = |meta: &SegmentMeta| {
        // A flush's segments are merged once the views have them.
        state.is_quarantined(&meta.id) || arriving.contains(&meta.id) || skip(&meta.id)
    };
    // What replaces segments inherits the deletes that can still be cancelled, so only segments under the same ones are
    // merged.
    let group = |meta: &SegmentMeta| {
        let deletes = state.deletes(&meta.tenant, meta.signal);
        let pending = deletes.covering(&meta.id).iter().filter(|t| !t.is_final(now));
        let ids: Vec<u8> = pending.flat_map(|t| t.id.0.to_le_bytes()).collect();
        xxh3_64(&ids)
    };
    plan(state, now, &settings, depth, &leave_alone, &group)
}

/// The first job and, as long as they are small, the ones after it. Jobs whose deletes cannot be read wait.
pub(super) fn next_round(shared: &Shared, upkeep: &mut UpkeepState, depth: Depth) -> RoundPlan {
    let state = shared.catalog.state();
    upkeep.retain(|id| state.find(id).is_some());
    let now = shared.components.clock.now();
    let mut jobs = planned(shared, &state, depth, &|id| upkeep.is_waiting(id, now));
    jobs.extend(rewrites(shared, &state, upkeep, &jobs));
    let mut filters = Filters::default();
    let mut plan = RoundPlan::default();
    let mut bytes = 0u64;
    for mut job in jobs {
        bytes = bytes.saturating_add(job.bytes());
        let full = bytes > ROUND_BYTES || plan.jobs.len() >= MAX_ROUND_JOBS;
        if !plan.jobs.is_empty() && full {
            break;
        }
        match filters.of(shared, &state, &job, now) {
            Ok(deleted) => job.deleted = deleted,
            Err(error) => {
                tracing::error!(%error, "a delete cannot be read; the segments it covers are not merged for now");
                upkeep.wait(job.inputs.iter().map(|meta| meta.id.clone()), now);
                continue;
            }
        }
        plan.jobs.push(job);
    }
    plan.applied = filters.applied.into_iter().collect();
    plan.applied.sort_unstable();
    plan
}

/// Segments that no merge takes and that are worth writing again without some of their rows.
fn rewrites(shared: &Shared, state: &CatalogState, upkeep: &UpkeepState, merges: &[Job]) -> Vec<Job> {
    let now = shared.components.clock.now();
    let arriving = shared.arriving.lock().clone();
    let taken: HashSet<&SegmentId, ahash::RandomState> =
        merges.iter().flat_map(|job| &job.inputs).map(|meta| &meta.id).collect();
    let retention = shared.retention();
    let mut jobs = Vec::new();
    for (tenant, signal, segments) in state.by_lane() {
        let cutoff = retention.cutoff_of_all(tenant, signal);
        for meta in segments.iter() {
            let expired = half_expired(meta, cutoff) || upkeep.rewrites.contains(&meta.id);
            if !expired && !upkeep.deleted_from.contains(&meta.id) {
                continue;
            }
            let left_alone = state.is_quarantined(&meta.id) || upkeep.is_waiting(&meta.id, now);
            if !left_alone && !taken.contains(&meta.id) && !arriving.contains(&meta.id) {
                jobs.push(Job {
                    tenant: tenant.clone(),
                    signal,
                    inputs: vec![Arc::clone(meta)],
                    level: meta.level,
                    deleted: Vec::new(),
                });
            }
        }
    }
    jobs
}

/// What deletes that cannot be cancelled any more take away; each set of them is compiled once.
#[derive(Default)]
struct Filters {
    by_ids: HashMap<Vec<TombstoneId>, RowFilter, ahash::RandomState>,
    applied: HashSet<TombstoneId, ahash::RandomState>,
}

impl Filters {
    /// For each input of the job.
    fn of(
        &mut self,
        shared: &Shared,
        state: &CatalogState,
        job: &Job,
        now: Timestamp,
    ) -> Result<Vec<Option<RowFilter>>> {
        let deletes = state.deletes(&job.tenant, job.signal);
        let mut found = Vec::with_capacity(job.inputs.len());
        let mut applied = Vec::new();
        for meta in &job.inputs {
            let covering = deletes.covering(&meta.id).iter();
            let tombstones: Vec<Arc<Tombstone>> = covering.filter(|t| t.is_final(now)).cloned().collect();
            if tombstones.is_empty() {
                found.push(None);
                continue;
            }
            let ids: Vec<TombstoneId> = tombstones.iter().map(|t| t.id).collect();
            applied.extend_from_slice(&ids);
            let filter = match self.by_ids.get(&ids) {
                Some(known) => known.clone(),
                None => {
                    let new = RowFilter::new(&tombstones, &*shared.components.entry_filters)?;
                    self.by_ids.entry(ids).or_insert(new).clone()
                }
            };
            found.push(Some(filter));
        }
        self.applied.extend(applied);
        Ok(found)
    }
}
