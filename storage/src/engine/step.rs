//! One step of compaction, retention or deletion: one at a time, to its end even when the caller stops waiting, and counted.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::shared::Shared;
use super::upkeep::{UpkeepReport, UpkeepState};
use crate::error::{Error, ErrorKind, Result};

/// What a step did; `None` where there was nothing to do.
pub(super) type Outcome = Result<Option<UpkeepReport>>;

/// Runs `act` once no other step runs. `failed` is the log line of a failure, which is tried again later.
pub(super) async fn step<F>(shared: &Arc<Shared>, failed: &'static str, act: F) -> Outcome
where
    F: for<'a> FnOnce(&'a Arc<Shared>, &'a mut UpkeepState) -> BoxFuture<'a, Outcome> + Send + 'static,
{
    let owned = shared.clone();
    let step = shared.components.background.spawn(async move {
        let mut state = owned.upkeep.lock().await;
        let outcome = act(&owned, &mut state).await;
        let mut totals = owned.upkept.lock();
        match &outcome {
            Ok(Some(report)) => totals.done.add(report),
            Ok(None) => {}
            Err(error) => {
                totals.done.add(&UpkeepReport::failure(error));
                tracing::warn!(%error, "{failed}; it is tried again later");
            }
        }
        outcome
    });
    let stopped = |e| Error::with_source(ErrorKind::Closed, "the runtime stopped", e);
    step.await.map_err(stopped)?
}
