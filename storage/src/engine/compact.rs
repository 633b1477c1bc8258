//! One compaction round: plan, merge, put, commit, swap. Each arrow is a fail point. Objects of what was replaced stay until
//! their grace period is over (`remove`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hashbrown::HashSet;

use super::jobs::{RoundPlan, memory_cap, next_round};
use super::shared::Shared;
use super::stats::Readiness;
use super::step::{Outcome, step};
use super::upkeep::{Replacement, RoundProgress, UpkeepReport, UpkeepState};
use crate::catalog::CommitRequest;
use crate::compaction::{Depth, Job, MergeContext, MergeFailure, Merged, Pace, merge};
use crate::deletes::TombstoneId;
use crate::error::{Error, ErrorKind, Result};
use crate::retention::RetentionAt;
use crate::segment::SegmentId;

/// Rounds wait while more than so many percent of the memory limit are in use.
const MAX_MEMORY_PERCENT: u64 = 85;

/// Runs one round; `None` where there is nothing to do. It goes on to its end even when the caller stops waiting.
///
/// A job that fails does not come again for a while, so that the others have their turn. Errors are those that concern them
/// all: the bucket or memory is not there, the store closes.
pub(super) async fn compact_once(shared: &Arc<Shared>, depth: Depth, paced: bool) -> Outcome {
    step(shared, "compaction failed", move |shared, state| {
        timed(shared, state, depth, paced).boxed()
    })
    .await
}

async fn timed(shared: &Arc<Shared>, state: &mut UpkeepState, depth: Depth, paced: bool) -> Outcome {
    let begun = shared.components.clock.now();
    let outcome = run(shared, state, depth, paced).await;
    if !matches!(outcome, Ok(None)) {
        // What was held is free, and the next round may be far.
        (shared.components.give_back_memory)();
    }
    let nanos = shared.components.clock.now().saturating_sub(begun);
    let mut totals = shared.upkept.lock();
    totals.running = None;
    totals.compaction_time += Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    outcome
}

async fn run(shared: &Arc<Shared>, state: &mut UpkeepState, depth: Depth, paced: bool) -> Outcome {
    if let Some(report) = settle_unsettled(shared, state).await? {
        return Ok(Some(report));
    }
    let plan = next_round(shared, state, depth);
    let jobs = &plan.jobs;
    if jobs.is_empty() {
        return Ok(None);
    }
    check_memory(shared)?;
    let progress = RoundProgress {
        since: shared.components.clock.now(),
        merges: jobs.len() as u64,
        segments: jobs.iter().map(|job| job.inputs.len() as u64).sum(),
        bytes: jobs.iter().map(Job::bytes).sum(),
    };
    shared.upkept.lock().running = Some(progress);
    shared.components.fail_points.pass("compact.planned").await?;
    match store(shared, state, &plan, paced).await {
        Ok(Some(replacement)) => commit(shared, state, replacement).await.map(Some),
        Ok(None) => Ok(Some(UpkeepReport::default())),
        Err(failure) => failed(shared, state, jobs, failure).await.map(Some),
    }
}

fn check_memory(shared: &Shared) -> Result<()> {
    let accountant = &shared.components.accountant;
    let (used, limit) = (accountant.total_bytes(), accountant.limit_bytes());
    if used / 100 < limit / 100 * MAX_MEMORY_PERCENT / 100 {
        return Ok(());
    }
    shared.upkept.lock().paused += 1;
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("compaction waits for memory: {used} of memory.limit {limit} bytes are in use"),
    ))
}

/// Why a round came to nothing.
enum RoundFailure {
    Merge(MergeFailure),
    Other(Error),
}

impl From<Error> for RoundFailure {
    fn from(error: Error) -> Self {
        RoundFailure::Other(error)
    }
}

/// Merges the jobs and puts their object in the bucket. `None` where nothing is to be committed.
async fn store(
    shared: &Arc<Shared>,
    state: &mut UpkeepState,
    plan: &RoundPlan,
    paced: bool,
) -> Result<Option<Replacement>, RoundFailure> {
    let components = &shared.components;
    let pace = pace(shared, state, paced);
    let retention = shared.retention();
    let path = shared.new_object_path();
    let mut writer = components.bucket.writer(&path);
    let context = MergeContext {
        bucket: &components.bucket,
        memory: components.accountant.background(memory_cap(shared)),
        pace: &pace,
        retention: &retention,
        is_stopped: &|| *shared.readiness.borrow() == Readiness::Closed,
        give_back_memory: components.give_back_memory,
    };
    let merged = match merge(&context, &plan.jobs, &mut writer).await {
        Ok(merged) => merged,
        Err(failure) => {
            writer.abort().await;
            return Err(RoundFailure::Merge(failure));
        }
    };
    if let Err(error) = components.fail_points.pass("compact.merged").await {
        writer.abort().await;
        return Err(error.into());
    }
    if !merged.segments.is_empty() {
        writer.finish().await?;
    }
    components.fail_points.pass("compact.object_put").await?;
    Ok(Some(replacement(shared, plan, merged)))
}

fn pace(shared: &Shared, state: &mut UpkeepState, paced: bool) -> Arc<Pace> {
    let new = |rate| Arc::new(Pace::new(shared.components.clock.clone(), rate));
    match paced {
        false => new(0),
        true => {
            let rate = shared.config.compaction_bytes_per_second;
            state.pace.get_or_insert_with(|| new(rate)).clone()
        }
    }
}

fn replacement(shared: &Shared, plan: &RoundPlan, merged: Merged) -> Replacement {
    let jobs = &plan.jobs;
    let mut request = CommitRequest::new(shared.writer.clone());
    request.applied = plan.applied.clone();
    let inputs = || jobs.iter().flat_map(|job| &job.inputs);
    request.remove = inputs().map(|meta| meta.id.clone()).collect();
    let report = UpkeepReport {
        rounds: 1,
        merges: jobs.len() as u64,
        segments_in: inputs().count() as u64,
        segments_out: merged.segments.len() as u64,
        rows_in: jobs.iter().map(Job::rows).sum(),
        rows_out: merged.segments.iter().map(|meta| meta.rows).sum(),
        rows_expired: merged.rows_expired,
        bytes_in: jobs.iter().map(Job::bytes).sum(),
        bytes_out: merged.segments.iter().map(|meta| meta.len).sum(),
        bytes_read: merged.bytes_read,
        ..UpkeepReport::default()
    };
    request.add = merged.segments;
    Replacement {
        request,
        owners: jobs.iter().map(|job| (job.tenant.clone(), job.signal)).collect(),
        report,
    }
}

/// Commits a replacement whose object is stored, and swaps the views of its lanes.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    state: &mut UpkeepState,
    replacement: Replacement,
) -> Result<UpkeepReport> {
    let (committed, swapped) = match replacement.report.rounds {
        0 => ("retain.committed", "retain.swapped"),
        _ => ("compact.committed", "compact.swapped"),
    };
    if let Err(error) = shared.catalog.commit(&replacement.request).await {
        return match error.kind() {
            // It may have happened: the next step begins with the same request.
            ErrorKind::Unavailable => {
                state.unsettled = Some(replacement);
                Err(error)
            }
            ErrorKind::Invalid => conflicted(shared, state, &replacement, error).await,
            _ => Err(error),
        };
    }
    // A failure stands for a commit whose answer was lost.
    if let Err(error) = shared.components.fail_points.pass(committed).await {
        state.unsettled = Some(replacement);
        return Err(error);
    }
    for (tenant, signal) in &replacement.owners {
        if let Some(lane) = shared.lane(tenant, *signal) {
            lane.change(|view| shared.refresh_segments(&lane, view));
        }
    }
    let removed: HashSet<&SegmentId, ahash::RandomState> = replacement.request.remove.iter().collect();
    shared.tails.retain(|id| !removed.contains(id));
    shared.components.fail_points.pass(swapped).await?;
    let report = replacement.report;
    tracing::info!(
        merges = report.merges,
        segments_in = report.segments_in,
        segments_out = report.segments_out,
        rows_in = report.rows_in,
        rows_out = report.rows_out,
        bytes_in = report.bytes_in,
        bytes_out = report.bytes_out,
        segments_dropped = report.segments_dropped,
        "replaced segments"
    );
    Ok(report)
}

/// Finds out what became of a commit whose answer was lost.
pub(super) async fn settle_unsettled(shared: &Arc<Shared>, state: &mut UpkeepState) -> Result<Option<UpkeepReport>> {
    match state.unsettled.take() {
        Some(replacement) => commit(shared, state, replacement).await.map(Some),
        None => Ok(None),
    }
}

/// The commit was refused: another writer replaced an input, and our work is dropped.
async fn conflicted(
    shared: &Arc<Shared>,
    state: &mut UpkeepState,
    replacement: &Replacement,
    error: Error,
) -> Result<UpkeepReport> {
    refresh(shared).await?;
    let now = shared.catalog.state();
    let objects: BTreeSet<&Arc<str>> = replacement.request.add.iter().map(|meta| &meta.id.object).collect();
    for object in objects.into_iter().filter(|object| !now.is_object_live(object)) {
        // It was not committed, and what we leave here is an orphan that is swept later.
        if let Err(error) = shared.components.bucket.delete(object).await {
            tracing::debug!(%error, "the object of a dropped merge stays for now");
        }
    }
    let request = &replacement.request;
    let gone = request.remove.iter().any(|id| now.find(id).is_none());
    let known = |id: &TombstoneId| {
        replacement
            .owners
            .iter()
            .any(|(t, s)| now.deletes(t, *s).get(*id).is_some())
    };
    if gone || !request.applied.iter().all(known) {
        tracing::info!(%error, "segments were replaced by another writer, or a delete was taken back, during a merge");
        return Ok(UpkeepReport {
            conflicts: 1,
            ..UpkeepReport::default()
        });
    }
    // Nobody else is to blame: trying the same again at once would go on for ever.
    tracing::error!(%error, "the catalog refuses a merge; its segments are left alone for a while");
    state.wait(
        replacement.request.remove.iter().cloned(),
        shared.components.clock.now(),
    );
    Ok(UpkeepReport::failure(&error))
}

/// A job failed: what of its inputs is damaged is quarantined, everything else waits.
async fn failed(
    shared: &Arc<Shared>,
    state: &mut UpkeepState,
    jobs: &[Job],
    failure: RoundFailure,
) -> Result<UpkeepReport> {
    let now = shared.components.clock.now();
    let (error, failed, damaged) = match failure {
        RoundFailure::Merge(failure) => (failure.error, jobs.get(failure.job), failure.damaged),
        RoundFailure::Other(error) => (error, jobs.first(), Vec::new()),
    };
    if !damaged.is_empty() {
        return quarantine(shared, damaged).await;
    }
    if error.kind() != ErrorKind::Closed {
        let inputs = failed.into_iter().flat_map(|job| &job.inputs);
        state.wait(inputs.map(|meta| meta.id.clone()), now);
    }
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Closed => Err(error),
        _ => {
            tracing::error!(%error, "a merge failed; its segments are left alone for a while");
            Ok(UpkeepReport::failure(&error))
        }
    }
}

/// Leaves segments that cannot be read alone from now on.
async fn quarantine(shared: &Arc<Shared>, damaged: Vec<(SegmentId, String)>) -> Result<UpkeepReport> {
    // An object that is gone may have been replaced by another writer and deleted since.
    refresh(shared).await?;
    let state = shared.catalog.state();
    let mut request = CommitRequest::new(shared.writer.clone());
    request.quarantine = damaged;
    request
        .quarantine
        .retain(|(id, _)| state.find(id).is_some() && !state.is_quarantined(id));
    let quarantined = request.quarantine.len() as u64;
    if quarantined == 0 {
        return Ok(UpkeepReport {
            conflicts: 1,
            ..UpkeepReport::default()
        });
    }
    shared.catalog.commit(&request).await?;
    for (id, reason) in &request.quarantine {
        tracing::error!(
            object = &*id.object,
            offset = id.offset,
            reason,
            "a segment cannot be read; it is left out of compaction, and what can be read of it is still answered"
        );
    }
    Ok(UpkeepReport {
        quarantined,
        ..UpkeepReport::default()
    })
}

/// Takes over what other writers committed.
pub(super) async fn refresh(shared: &Arc<Shared>) -> Result<()> {
    shared.catalog.refresh().await?;
    shared.refresh_all_segments()
}

impl Shared {
    /// What has expired now.
    pub fn retention(&self) -> RetentionAt {
        RetentionAt {
            settings: self.config.retention.clone(),
            now: self.components.clock.now(),
        }
    }
}
