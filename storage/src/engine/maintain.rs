//! The task that compacts, expires and deletes, and the same steps on demand.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Storage;
use super::compact::{compact_once, refresh};
use super::remove::{remove_once, sweep_once};
use super::retain::retain_once;
use super::shared::Shared;
use super::stats::Readiness;
use super::upkeep::UpkeepReport;
use crate::compaction::Depth;
use crate::error::{Error, ErrorKind, Result};

/// How often the task looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Waits after failed cycles double from `LOOK_EVERY` up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// How often other writers' commits are looked for: well below any grace period, so that no view of ours is older than one.
const REFRESH_EVERY_NS: i64 = 60 * 1_000_000_000;

/// Starts the task. It ends with the store.
pub(super) fn start(shared: &Arc<Shared>) {
    if shared.config.background_upkeep {
        let background = shared.components.background.clone();
        background.spawn(run(Arc::downgrade(shared)));
    }
}

/// Holds the store only while it works, so that a store that is dropped without close goes.
async fn run(shared: Weak<Shared>) {
    let mut wait = LOOK_EVERY;
    loop {
        tokio::time::sleep(wait).await;
        let Some(shared) = shared.upgrade() else { return };
        if *shared.readiness.borrow() != Readiness::Ready {
            return;
        }
        wait = match cycle(&shared).await {
            Ok(_) => LOOK_EVERY,
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(_) => (wait * 2).min(MAX_BACKOFF),
        };
    }
}

/// Everything that is due, until nothing is.
async fn cycle(shared: &Arc<Shared>) -> Result<UpkeepReport> {
    let mut report = UpkeepReport::default();
    refresh_if_due(shared).await?;
    while let Some(step) = retain_once(shared).await? {
        report.add(&step);
    }
    while let Some(step) = compact_once(shared, Depth::Economical, true).await? {
        report.add(&step);
        check_open(shared)?;
        refresh_if_due(shared).await?;
    }
    while let Some(step) = remove_once(shared).await? {
        report.add(&step);
    }
    if let Some(step) = sweep_once(shared, false).await? {
        report.add(&step);
    }
    Ok(report)
}

async fn refresh_if_due(shared: &Arc<Shared>) -> Result<()> {
    let mut state = shared.upkeep.lock().await;
    let now = shared.components.clock.now();
    if state
        .refreshed_at
        .is_some_and(|at| now.saturating_sub(at) < REFRESH_EVERY_NS)
    {
        return Ok(());
    }
    refresh(shared).await?;
    state.refreshed_at = Some(now);
    Ok(())
}

fn check_open(shared: &Shared) -> Result<()> {
    match *shared.readiness.borrow() {
        Readiness::Closed => Err(Error::new(ErrorKind::Closed, "the store closes")),
        _ => Ok(()),
    }
}

impl Storage {
    /// One compaction round: merges what comes first in the plan. `None` where there is nothing to do. Not held back by
    /// `compaction_bytes_per_second`.
    pub async fn compact_once(&self, depth: Depth) -> Result<Option<UpkeepReport>> {
        self.0.check_writable()?;
        compact_once(&self.0, depth, false).await
    }

    /// Begins to remove for good what deletes hide that cannot be cancelled any more, with all else that is due, and returns
    /// at once. Asked again meanwhile, it goes through all once more.
    pub fn clean_deletes(&self) -> Result<()> {
        self.0.check_writable()?;
        if self.0.asked_for_upkeep.fetch_add(1, Ordering::AcqRel) > 0 {
            return Ok(());
        }
        let shared = self.0.clone();
        self.0.components.background.spawn(async move {
            loop {
                let seen = shared.asked_for_upkeep.load(Ordering::Acquire);
                if let Err(error) = cycle(&shared).await {
                    tracing::warn!(%error, "deleted rows are not all removed yet; the next cycle goes on with them");
                    shared.asked_for_upkeep.store(0, Ordering::Release);
                    return;
                }
                let counter = &shared.asked_for_upkeep;
                if counter
                    .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
                {
                    return;
                }
            }
        });
        Ok(())
    }

    /// One step of retention: drops segments that have expired, or looks through some for expired series, which compaction
    /// then leaves out. `None` where there is nothing to do.
    pub async fn retain_once(&self) -> Result<Option<UpkeepReport>> {
        self.0.check_writable()?;
        retain_once(&self.0).await
    }

    /// Deletes objects whose grace period is over. `None` where there is none.
    pub async fn remove_once(&self) -> Result<Option<UpkeepReport>> {
        self.0.check_writable()?;
        remove_once(&self.0).await
    }

    /// Deletes objects that were stored and never committed. `None` where there is none.
    pub async fn sweep_once(&self) -> Result<Option<UpkeepReport>> {
        self.0.check_writable()?;
        sweep_once(&self.0, true).await
    }

    /// Takes over what other writers of the bucket committed.
    pub async fn refresh(&self) -> Result<()> {
        self.0.check_writable()?;
        refresh(&self.0).await
    }

    /// Expires, compacts to [`Depth::Full`] and deletes until nothing is left to do. What failed alone is counted in the
    /// report and comes again later. It goes on to its end even when the caller stops waiting.
    pub async fn compact_all(&self) -> Result<UpkeepReport> {
        self.0.check_writable()?;
        let shared = self.0.clone();
        let task = self.0.components.background.spawn(async move {
            let mut report = UpkeepReport::default();
            while let Some(step) = retain_once(&shared).await? {
                report.add(&step);
            }
            while let Some(step) = compact_once(&shared, Depth::Full, false).await? {
                report.add(&step);
                check_open(&shared)?;
            }
            while let Some(step) = remove_once(&shared).await? {
                report.add(&step);
            }
            Ok(report)
        });
        let stopped = |e| Error::with_source(ErrorKind::Closed, "the runtime stopped", e);
        task.await.map_err(stopped)?
    }
}
