//! One flush round: seal, build, put, commit, swap, truncate. Each arrow is a fail point.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::lane::Lane;
use super::log_again::log_again;
use super::shared::Shared;
use super::stats::FlushSummary;
use crate::catalog::CommitRequest;
use crate::deletes::RowFilter;
use crate::error::{Error, ErrorKind, Result};
use crate::flush::{SealedLane, build};
use crate::memory::MemoryUse;
use crate::object::ObjectWriter;
use crate::segment::SegmentMeta;

/// Pieces of an object between the thread that builds it and the bucket.
const MAX_PIECES_WAITING: usize = 2;

/// What rounds hand on to the next.
#[derive(Debug, Default)]
pub(crate) struct RoundState {
    /// A round whose commit may or may not have happened: it is settled before anything else, with the same request.
    unsettled: Option<Round>,
    /// Whether a delete may have been committed without our knowing: the views have to follow the catalog.
    pub doubtful: bool,
}

/// A round whose object is stored.
#[derive(Debug)]
struct Round {
    request: CommitRequest,
    /// Lanes, and how many of their sealed heads are in it.
    lanes: Vec<(Arc<Lane>, usize)>,
    rows: u64,
    bytes: u64,
}

/// Which heads a round seals; it takes every head that is sealed already.
pub(super) enum Selection {
    All,
    Lanes(Vec<Arc<Lane>>),
    /// For a delete, with what it hides.
    Deleting(Vec<Arc<Lane>>, RowFilter),
}

/// Runs one round. It goes on to its end even when the caller stops waiting.
pub(super) async fn flush_round(shared: &Arc<Shared>, selection: Selection) -> Result<FlushSummary> {
    let owned = shared.clone();
    let round = shared
        .components
        .background
        .spawn(async move { run(&owned, selection).await });
    let stopped = |e| Error::with_source(ErrorKind::Closed, "the runtime stopped", e);
    round.await.map_err(stopped)?
}

async fn run(shared: &Arc<Shared>, selection: Selection) -> Result<FlushSummary> {
    let mut state = shared.round.lock().await;
    let begun = shared.components.clock.now();
    let outcome = run_locked(shared, &mut state, selection).await;
    let nanos = shared.components.clock.now().saturating_sub(begun);
    let counters = &shared.counters;
    counters
        .flush_nanos
        .fetch_add(u64::try_from(nanos).unwrap_or(0), Ordering::Relaxed);
    match &outcome {
        Ok(summary) if summary.heads > 0 => {
            counters.flushes.fetch_add(1, Ordering::Relaxed);
            counters.rows_flushed.fetch_add(summary.rows, Ordering::Relaxed);
            tracing::info!(
                heads = summary.heads,
                segments = summary.segments,
                rows = summary.rows,
                bytes = summary.bytes,
                wal_files_removed = summary.wal_files_removed,
                "flushed"
            );
            // The heads are gone: nobody waits for this, and the next flush is far.
            let give_back = shared.components.give_back_memory;
            drop(shared.components.background.spawn_blocking(give_back));
        }
        Ok(_) => {}
        Err(error) => {
            counters.flush_errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "flush failed; its rows stay in memory and in the WAL");
        }
    }
    outcome
}

/// The round itself; `state` is locked while it runs.
pub(super) async fn run_locked(
    shared: &Arc<Shared>,
    state: &mut RoundState,
    selection: Selection,
) -> Result<FlushSummary> {
    let mut summary = FlushSummary::default();
    if state.doubtful {
        follow_catalog(shared).await?;
        state.doubtful = false;
    }
    if let Some(round) = state.unsettled.take() {
        settle(shared, state, round, &mut summary).await?;
    }
    seal(shared, selection).await?;
    let fail_points = &shared.components.fail_points;
    fail_points.pass("flush.sealed").await?;
    if let Some(round) = store(shared, &mut summary).await? {
        fail_points.pass("flush.object_put").await?;
        settle(shared, state, round, &mut summary).await?;
    }
    truncate(shared, &mut summary).await?;
    Ok(summary)
}

/// Reads what was committed, and brings every view up to it.
async fn follow_catalog(shared: &Arc<Shared>) -> Result<()> {
    shared.catalog.refresh().await?;
    for lane in shared.all_lanes() {
        lane.change(|view| shared.refresh_segments(&lane, view));
    }
    Ok(())
}

/// Seals the open heads of the selection. Waits for appends that are under way.
async fn seal(shared: &Arc<Shared>, selection: Selection) -> Result<()> {
    let (lanes, due) = match selection {
        Selection::All => (shared.all_lanes(), None),
        Selection::Lanes(lanes) => (lanes, Some(RowFilter::default())),
        Selection::Deleting(lanes, deleted) => (lanes, Some(deleted)),
    };
    for lane in lanes {
        let _gate = lane.gate.write().await;
        let now = shared.components.clock.now();
        if let Some(deleted) = &due {
            log_again(shared, &lane, now, deleted).await?;
        }
        lane.seal(shared.wal_position(), &shared.components.accountant, now)?;
    }
    Ok(())
}

/// Builds the object of all sealed heads and puts it in the bucket. `None` where no head is sealed and no position moved.
async fn store(shared: &Arc<Shared>, summary: &mut FlushSummary) -> Result<Option<Round>> {
    let mut request = CommitRequest::new(shared.writer.clone());
    let mut lanes = Vec::new();
    let mut sealed = Vec::new();
    for lane in shared.all_lanes() {
        let view = lane.view();
        let sealed_at = view.sealed.last().map(|sealed| sealed.position);
        let known = shared.committed(&lane.key);
        let Some(position) = sealed_at.or(lane.passed().filter(|passed| known < Some(*passed))) else {
            continue;
        };
        request.wal_positions.push((lane.tenant.clone(), lane.signal, position));
        if view.sealed.is_empty() {
            continue;
        }
        sealed.push(SealedLane {
            tenant: lane.tenant.clone(),
            signal: lane.signal,
            heads: view.sealed.iter().map(|s| s.head.clone()).collect(),
        });
        lanes.push((lane, view.sealed.len()));
    }
    if request.wal_positions.is_empty() {
        return Ok(None);
    }
    let now = shared.components.clock.now();
    let path = shared.new_object_path();
    let (segments, bytes) = put_object(shared, sealed, path, now).await?;
    if bytes > 0 {
        summary.objects += 1;
    }
    let rows = segments.iter().map(|m| m.rows).sum();
    request.add = segments;
    Ok(Some(Round {
        request,
        lanes,
        rows,
        bytes,
    }))
}

/// Builds the object on a thread of its own and sends it to the bucket meanwhile, so that it is never whole in memory. Gives
/// its segments and bytes; without segments there is no object.
async fn put_object(
    shared: &Arc<Shared>,
    sealed: Vec<SealedLane>,
    path: Arc<str>,
    now: i64,
) -> Result<(Vec<SegmentMeta>, u64)> {
    let mut writer = shared.components.bucket.writer(&path);
    let (sender, mut pieces) = mpsc::channel::<(Vec<u8>, usize)>(MAX_PIECES_WAITING);
    let building = shared.components.background.spawn_blocking(move || {
        let mut send = |bytes: Vec<u8>, held: usize| {
            let given_up = |_| Error::new(ErrorKind::Unavailable, "the object of the flush was given up");
            if bytes.is_empty() {
                return Ok(());
            }
            sender.blocking_send((bytes, held)).map_err(given_up)
        };
        build(&sealed, &path, now, &mut send)
    });
    let written = write_pieces(shared, &mut writer, &mut pieces).await;
    // Where nobody takes further pieces, building them ends.
    drop(pieces);
    let failed = |e| Error::with_source(ErrorKind::Internal, "building segments failed", e);
    let built = building.await.map_err(failed).flatten();
    let segments = match written.and(built) {
        Ok(segments) => segments,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    if let Err(error) = shared.components.fail_points.pass("flush.built").await {
        writer.abort().await;
        return Err(error);
    }
    let bytes = match segments.is_empty() {
        true => 0,
        false => writer.finish().await?,
    };
    Ok((segments, bytes))
}

async fn write_pieces(
    shared: &Shared,
    writer: &mut ObjectWriter,
    pieces: &mut mpsc::Receiver<(Vec<u8>, usize)>,
) -> Result<()> {
    let mut memory = shared.components.accountant.reservation(MemoryUse::Background);
    while let Some((bytes, held)) = pieces.recv().await {
        // It is there already, and getting rid of it frees far more.
        let sent = writer.len() + bytes.len() as u64;
        let now = held as u64 + bytes.len() as u64 + sent.min(ObjectWriter::MAX_HELD_BYTES);
        memory.grow(now.saturating_sub(memory.bytes()));
        memory.shrink(memory.bytes().saturating_sub(now));
        writer.write(&bytes).await?;
    }
    Ok(())
}

/// Commits a stored round and swaps the views of its lanes.
async fn settle(shared: &Arc<Shared>, state: &mut RoundState, round: Round, summary: &mut FlushSummary) -> Result<()> {
    let ids = || round.request.add.iter().map(|meta| meta.id.clone());
    // Whoever else changes a view meanwhile leaves these out: their rows are in the sealed heads.
    shared.arriving.lock().extend(ids());
    if let Err(error) = shared.catalog.commit(&round.request).await {
        // Unavailable: it may have happened. Anything else: it did not, and the heads go into another object.
        if error.kind() == ErrorKind::Unavailable {
            state.unsettled = Some(round);
        } else {
            shared.arriving.lock().clear();
        }
        return Err(error);
    }
    // From here to the swaps nothing else may fail: the catalog has the rows, and the heads have them too. A failure
    // stands for a commit whose answer was lost.
    if let Err(error) = shared.components.fail_points.pass("flush.committed").await {
        state.unsettled = Some(round);
        return Err(error);
    }
    for (lane, heads) in &round.lanes {
        lane.change(|view| {
            shared.arrived(lane, &round.request.add);
            shared.refresh_segments(lane, view);
            view.sealed.drain(..*heads);
        });
        summary.heads += *heads as u64;
    }
    summary.segments += round.request.add.len() as u64;
    summary.rows += round.rows;
    summary.bytes += round.bytes;
    shared.components.fail_points.pass("flush.swapped").await
}

/// Removes the WAL files that are not needed any more.
async fn truncate(shared: &Arc<Shared>, summary: &mut FlushSummary) -> Result<()> {
    let fail_points = &shared.components.fail_points;
    fail_points.pass("flush.before_truncate").await?;
    let owned = shared.clone();
    let removed = shared
        .components
        .background
        .spawn_blocking(move || match owned.wal.get() {
            Some(wal) => wal.truncate(&|lane| owned.committed(lane)),
            None => Ok(0),
        });
    let failed = |e| Error::with_source(ErrorKind::Internal, "removing WAL files failed", e);
    summary.wal_files_removed += removed.await.map_err(failed)??;
    fail_points.pass("flush.truncated").await
}
