//! Deletes: made, listed, cancelled.

use std::sync::Arc;
use std::time::Duration;

use super::Storage;
use super::lane::Lane;
use super::round::{Selection, run_locked};
use super::shared::Shared;
use crate::catalog::{CommitRequest, DeleteStatus};
use crate::deletes::{RowFilter, Tombstone, TombstoneId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LabelMatcher, Signal, TenantId, TimeRange, Timestamp};

/// How long a delete that has nothing left to hide is still listed.
const KEEP_DONE: Duration = Duration::from_secs(30 * 86_400);

/// What a client wants to be deleted.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Logs or metrics.
    pub signal: Signal,
    /// Series that pass all of them; none means every series.
    pub matchers: Vec<LabelMatcher>,
    /// Only the log entries that this filter matches, in the words of [`super::Components::entry_filters`].
    pub filter: Option<Arc<str>>,
    /// Rows with these times.
    pub range: TimeRange,
    /// The request as its client wrote it, for listings.
    pub query: Arc<str>,
    /// How long it can be cancelled; meanwhile its rows stay on the object store.
    pub cancel_period: Duration,
}

impl Storage {
    /// Hides every row that was acknowledged before the call and that one of `requests` names, in all reads that begin after
    /// it returns. Rows that are acknowledged after it returns are new data, whatever their times; rows that arrive
    /// meanwhile may be either.
    ///
    /// On an error nothing is hidden but exemplars without samples, except that [`ErrorKind::Unavailable`] leaves it open: to
    /// be sent again.
    /// [`ErrorKind::Limit`] where too many deletes of the tenant wait.
    pub async fn create_deletes(&self, tenant: &TenantId, requests: Vec<DeleteRequest>) -> Result<Vec<Arc<Tombstone>>> {
        self.0.check_writable()?;
        let (shared, tenant) = (self.0.clone(), tenant.clone());
        // It goes on to its end even when the caller stops waiting.
        let task = async move { create(&shared, &tenant, requests).await };
        let done = self.0.components.background.spawn(task).await;
        done.map_err(|e| Error::with_source(ErrorKind::Closed, "the runtime stopped", e))?
    }

    /// A tenant's deletes, the latest last; those that were cancelled or are done for long are not among them.
    pub fn deletes(&self, tenant: &TenantId, signal: Signal) -> Vec<DeleteStatus> {
        let mut all: Vec<DeleteStatus> = self.0.catalog.state().deletes(tenant, signal).all().collect();
        all.sort_by_key(|status| (status.tombstone.created_ns, status.tombstone.id));
        all
    }

    /// Takes a delete back: rows it hid are in all reads that begin after this returns.
    ///
    /// [`ErrorKind::NotFound`] where there is none of this name. [`ErrorKind::Invalid`] where its cancel period is over;
    /// with `force`, rows that are not yet gone for good come back even then.
    pub async fn cancel_delete(&self, tenant: &TenantId, signal: Signal, id: TombstoneId, force: bool) -> Result<()> {
        self.0.check_writable()?;
        let shared = &self.0;
        let deletes = shared.catalog.state().deletes(tenant, signal);
        let found = deletes
            .get(id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no delete {id}")))?;
        if found.is_final(shared.components.clock.now()) && !force {
            let message = format!("the cancel period of delete {id} is over");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut request = CommitRequest::new(shared.writer.clone());
        request.forget.push(((tenant.clone(), signal), id));
        shared.catalog.commit(&request).await?;
        if let Some(lane) = shared.lane(tenant, signal) {
            lane.change(|view| shared.refresh_segments(&lane, view));
        }
        Ok(())
    }
}

async fn create(shared: &Arc<Shared>, tenant: &TenantId, requests: Vec<DeleteRequest>) -> Result<Vec<Arc<Tombstone>>> {
    for request in &requests {
        check(shared, request)?;
    }
    // One at a time, and never beside a flush: rows that are sealed after ours must not be covered.
    let mut state = shared.round.lock().await;
    let mut signals: Vec<Signal> = requests.iter().map(|request| request.signal).collect();
    signals.sort_unstable();
    signals.dedup();
    check_room(shared, tenant, &signals, requests.len())?;
    let lanes: Vec<Arc<Lane>> = signals.iter().filter_map(|s| shared.lane(tenant, *s)).collect();
    let now = shared.components.clock.now();
    let selection = Selection::Deleting(lanes.clone(), exemplar_filter(shared, tenant, &requests, now)?);
    run_locked(shared, &mut state, selection).await?;
    let fail_points = &shared.components.fail_points;
    fail_points.pass("delete.flushed").await?;

    let now = shared.components.clock.now();
    let mut commit = CommitRequest::new(shared.writer.clone());
    for request in requests {
        let id = next_id(shared, (tenant, request.signal), now);
        commit.delete.push(tombstone(tenant, request, id, now));
    }
    commit.forget = done_long_ago(shared, tenant, &signals, now);
    if let Err(error) = shared.catalog.commit(&commit).await {
        // It may have happened all the same, and shows in the state that the next commit reads.
        state.doubtful = error.kind() == ErrorKind::Unavailable;
        return Err(error);
    }
    fail_points.pass("delete.committed").await?;
    for lane in &lanes {
        lane.change(|view| shared.refresh_segments(lane, view));
    }
    let ids: Vec<String> = commit.delete.iter().map(|t| t.id.to_string()).collect();
    tracing::info!(%tenant, ids = ids.join(","), "deleted rows are hidden from now on");
    Ok(commit.delete.into_iter().map(Arc::new).collect())
}

/// What the requests hide of exemplars that no segment will hold: those come with no sample, and no tombstone covers them.
/// They cannot be brought back, so only deletes that nobody can cancel hide them.
fn exemplar_filter(
    shared: &Shared,
    tenant: &TenantId,
    requests: &[DeleteRequest],
    now: Timestamp,
) -> Result<RowFilter> {
    let hiding = requests
        .iter()
        .filter(|request| request.signal == Signal::Metrics && request.cancel_period.is_zero());
    let named = hiding.map(|request| Arc::new(tombstone(tenant, request.clone(), TombstoneId(0), now)));
    RowFilter::new(&named.collect::<Vec<_>>(), &*shared.components.entry_filters)
}

fn check(shared: &Shared, request: &DeleteRequest) -> Result<()> {
    let invalid = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
    if request.range.is_empty() {
        return invalid("a delete's time range is empty");
    }
    let Some(text) = &request.filter else { return Ok(()) };
    if request.signal != Signal::Logs {
        return invalid("samples have no lines that a delete could filter");
    }
    shared.components.entry_filters.compile(text).map(drop)
}

/// Each pending delete costs every read of the segments it covers.
fn check_room(shared: &Shared, tenant: &TenantId, signals: &[Signal], more: usize) -> Result<()> {
    let (state, now) = (shared.catalog.state(), shared.components.clock.now());
    let pending = |signal: &Signal| {
        let deletes = state.deletes(tenant, *signal);
        deletes
            .all()
            .filter(|d| d.covered > 0 || !d.tombstone.is_final(now))
            .count()
    };
    let (pending, max) = (
        signals.iter().map(pending).sum::<usize>(),
        shared.config.max_pending_deletes,
    );
    if pending.saturating_add(more) <= max {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Limit,
        format!(
            "{pending} deletes of tenant {tenant} still wait to be carried out and deletes.max_pending is {max}; delete more \
             with one selector, or try again after the next compaction"
        ),
    ))
}

fn done_long_ago(
    shared: &Shared,
    tenant: &TenantId,
    signals: &[Signal],
    now: Timestamp,
) -> Vec<((TenantId, Signal), TombstoneId)> {
    let state = shared.catalog.state();
    let keep_ns = i64::try_from(KEEP_DONE.as_nanos()).unwrap_or(i64::MAX);
    let mut done = Vec::new();
    for signal in signals {
        let deletes = state.deletes(tenant, *signal);
        let old = deletes.all().filter(|d| {
            let over = d.tombstone.is_final(now) && now.saturating_sub(d.tombstone.created_ns) > keep_ns;
            d.covered == 0 && over
        });
        done.extend(old.map(|d| ((tenant.clone(), *signal), d.tombstone.id)));
    }
    done
}

fn tombstone(tenant: &TenantId, request: DeleteRequest, id: TombstoneId, now: Timestamp) -> Tombstone {
    let period_ns = i64::try_from(request.cancel_period.as_nanos()).unwrap_or(i64::MAX);
    Tombstone {
        id,
        tenant: tenant.clone(),
        signal: request.signal,
        matchers: request.matchers,
        filter: request.filter,
        range: request.range,
        query: request.query,
        created_ns: now,
        cancel_until_ns: now.saturating_add(period_ns),
    }
}

/// A name that no listed delete has, nor any other but for a chance of one in 2^64.
fn next_id(shared: &Shared, owner: (&TenantId, Signal), now: Timestamp) -> TombstoneId {
    let known = shared.catalog.state().deletes(owner.0, owner.1);
    loop {
        let text = format!("{}-{now}-{}", shared.writer, shared.next_number());
        let id = TombstoneId(xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
        if known.get(id).is_none() {
            return id;
        }
    }
}
