//! Removal of objects, the second phase: what the catalog lists as pending, and orphans, after their time.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};

use super::compact::settle_unsettled;
use super::shared::Shared;
use super::step::{Outcome, step};
use super::upkeep::{UpkeepReport, UpkeepState};
use crate::catalog::CommitRequest;
use crate::error::{Error, ErrorKind};
use crate::object::paths;

/// Objects deleted between two commits.
const MAX_DELETIONS: usize = 1000;
/// Deletions under way at one time.
const PARALLEL_DELETIONS: usize = 8;
/// The log line of a step that failed.
const FAILED: &str = "deleting objects failed";

/// Deletes the objects whose grace period is over; `None` where there is none. It goes on to its end even when the caller
/// stops waiting.
pub(super) async fn remove_once(shared: &Arc<Shared>) -> Outcome {
    step(shared, FAILED, |shared, state| remove_pending(shared, state).boxed()).await
}

/// Deletes objects that no commit ever named and none can name any more; `None` where there is none, or it was looked
/// lately.
pub(super) async fn sweep_once(shared: &Arc<Shared>, now_due: bool) -> Outcome {
    step(shared, FAILED, move |shared, state| {
        sweep_orphans(shared, state, now_due).boxed()
    })
    .await
}

async fn remove_pending(shared: &Arc<Shared>, state: &mut UpkeepState) -> Outcome {
    if let Some(report) = settle_unsettled(shared, state).await? {
        return Ok(Some(report));
    }
    let now = shared.components.clock.now();
    let grace = i64::try_from(shared.config.deletion_grace.as_nanos()).unwrap_or(i64::MAX);
    let catalog = shared.catalog.state();
    let due: Vec<Arc<str>> = catalog
        .pending_deletions()
        .filter(|(_, since)| since.saturating_add(grace) <= now)
        .map(|(object, _)| object.clone())
        .take(MAX_DELETIONS)
        .collect();
    if due.is_empty() {
        return Ok(None);
    }
    let (deleted, failure) = delete_all(shared, due).await;
    shared.components.fail_points.pass("remove.objects_deleted").await?;
    let mut report = UpkeepReport {
        objects_deleted: deleted.len() as u64,
        ..failure.as_ref().map(UpkeepReport::failure).unwrap_or_default()
    };
    if deleted.is_empty() {
        // Trying again at once would only fail again.
        return failure.map_or(Ok(None), Err);
    }
    let mut request = CommitRequest::new(shared.writer.clone());
    request.deleted = deleted;
    match shared.catalog.commit(&request).await {
        Ok(_) => {}
        // Another writer struck some of them off; the rest is found again.
        Err(error) if error.kind() == ErrorKind::Invalid => {
            shared.catalog.refresh().await?;
            report.conflicts = 1;
        }
        Err(error) => return Err(error),
    }
    shared.components.fail_points.pass("remove.committed").await?;
    Ok(Some(report))
}

/// Deletes side by side; gives what is gone, and one of the errors of what is not.
async fn delete_all(shared: &Arc<Shared>, objects: Vec<Arc<str>>) -> (Vec<Arc<str>>, Option<Error>) {
    let bucket = &shared.components.bucket;
    let deletions = objects
        .into_iter()
        .map(|object| async move { (bucket.delete(&object).await, object) }.boxed());
    let deletions: Vec<_> = deletions.collect();
    let mut answers = stream::iter(deletions).buffered(PARALLEL_DELETIONS);
    let (mut deleted, mut failure) = (Vec::new(), None);
    while let Some((answer, object)) = answers.next().await {
        match answer {
            Ok(()) => deleted.push(object),
            Err(error) => failure = Some(error),
        }
    }
    (deleted, failure)
}

/// Raises the orphan horizon, then deletes what lies below it and is neither live nor pending.
///
/// The age of an object is what its name says, by the clock of its writer; it only keeps work under way from being undone.
/// That nothing is deleted which somebody still commits is by the horizon: from its commit on, a commit that names an object
/// below it is refused, and one that came before is in the state that the horizon's commit returned.
async fn sweep_orphans(shared: &Arc<Shared>, state: &mut UpkeepState, now_due: bool) -> Outcome {
    let now = shared.components.clock.now();
    let age = i64::try_from(shared.config.orphan_age.as_nanos()).unwrap_or(i64::MAX);
    let lately = state.swept_at.is_some_and(|at| now.saturating_sub(at) < age / 4);
    let horizon = now.saturating_sub(age);
    if (lately && !now_due) || horizon <= shared.catalog.state().orphans_before() {
        return Ok(None);
    }
    let mut request = CommitRequest::new(shared.writer.clone());
    request.orphans_before = Some(horizon);
    let catalog = shared.catalog.commit(&request).await?;
    shared.components.fail_points.pass("sweep.committed").await?;
    let found = shared.components.bucket.list(paths::SEGMENTS_PREFIX, None).await?;
    let is_orphan = |path: &str| {
        let old = paths::segment_created(path).is_some_and(|made| made < horizon);
        old && !catalog.is_object_live(path) && !catalog.is_pending(path)
    };
    let orphans: Vec<Arc<str>> = found
        .into_iter()
        .map(|object| object.path)
        .filter(|path| is_orphan(path))
        .map(Arc::from)
        .collect();
    let count = orphans.len();
    let (deleted, failure) = delete_all(shared, orphans).await;
    shared.components.fail_points.pass("sweep.objects_deleted").await?;
    if let Some(error) = failure.filter(|_| deleted.len() < count) {
        return Err(error);
    }
    state.swept_at = Some(now);
    if deleted.is_empty() {
        return Ok(None);
    }
    tracing::info!(
        objects = deleted.len(),
        "deleted objects that were stored and never committed"
    );
    Ok(Some(UpkeepReport {
        orphans_deleted: deleted.len() as u64,
        ..UpkeepReport::default()
    }))
}
