//! One (tenant, signal): the gate between appends and seals, the heads, and the segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::follow::Followers;
use super::live::LiveSegments;
use crate::catalog::WalPosition;
use crate::deletes::RowFilter;
use crate::error::Result;
use crate::head::{Head, SampleRows, SeriesIndex};
use crate::memory::MemoryAccountant;
use crate::model::{Signal, TenantId, TimeRange, Timestamp};
use crate::wal::LaneKey;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Lane {
    pub tenant: TenantId,
    pub signal: Signal,
    /// Appends hold the read side from begin to visible; a seal holds the write side while it swaps heads. Whoever holds
    /// it must not begin another append on the same lane: a waiting seal would stop both.
    pub gate: Arc<tokio::sync::RwLock<()>>,
    /// `tenant` and `signal` as WAL and catalog name them.
    pub key: LaneKey,
    /// Who is handed each append; of logs only.
    pub followers: Arc<Followers>,
    view: ArcSwap<LaneView>,
    /// Taken to change `view`.
    changes: Mutex<()>,
    /// Ids with rows in the head before the open one, under the index of this generation.
    live_before: Mutex<Option<(u64, RoaringBitmap)>>,
    opened_at: AtomicI64,
    /// Where the log stood when all that the lane had in it before was in segments or behind it.
    passed: Mutex<Option<WalPosition>>,
}

/// What a read of a lane sees; immutable but for rows that come to `open`.
#[derive(Debug, Clone)]
pub(crate) struct LaneView {
    pub open: Arc<Head>,
    /// Oldest first.
    pub sealed: Vec<SealedHead>,
    pub segments: LiveSegments,
}

/// A head that waits for its segments.
#[derive(Debug, Clone)]
pub(crate) struct SealedHead {
    pub head: Arc<Head>,
    /// WAL position: every record of the lane below it has its rows in this head or before, none at or above it has.
    pub position: WalPosition,
}

impl Lane {
    pub fn new(tenant: TenantId, signal: Signal, accountant: &MemoryAccountant, now: Timestamp) -> Self {
        let index = Arc::new(SeriesIndex::new(accountant));
        let open = Arc::new(Head::new(signal, index, accountant));
        Lane {
            key: (tenant.clone(), signal),
            tenant,
            signal,
            gate: Arc::default(),
            followers: Arc::default(),
            view: ArcSwap::from_pointee(LaneView {
                open,
                sealed: Vec::new(),
                segments: LiveSegments::default(),
            }),
            changes: Mutex::new(()),
            live_before: Mutex::default(),
            opened_at: AtomicI64::new(now),
            passed: Mutex::default(),
        }
    }

    /// What a read that begins now sees.
    pub fn view(&self) -> Arc<LaneView> {
        self.view.load_full()
    }

    /// Changes the view in one swap.
    pub fn change(&self, change: impl FnOnce(&mut LaneView)) {
        let _one_at_a_time = self.changes.lock();
        let mut view = LaneView::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }

    /// When the open head was begun.
    pub fn opened_at(&self) -> Timestamp {
        self.opened_at.load(Ordering::Relaxed)
    }

    /// Replaces the open head by an empty one and returns whether it had rows. One without rows that has exemplars or
    /// metadata stays, see [`Lane::loose`]. The caller holds the gate's write side;
    /// `position` is the WAL position of the next record.
    pub fn seal(&self, position: WalPosition, accountant: &MemoryAccountant, now: Timestamp) -> Result<bool> {
        let view = self.view();
        if view.open.is_empty() && (view.open.has_loose() || view.open.index().is_empty()) {
            return Ok(false);
        }
        let index = self.next_index(&view, accountant)?;
        let open = Arc::new(Head::new(self.signal, index, accountant));
        let had_rows = !view.open.is_empty();
        self.change(|view| {
            let head = std::mem::replace(&mut view.open, open);
            if had_rows {
                view.sealed.push(SealedHead { head, position });
            }
        });
        self.opened_at.store(now, Ordering::Relaxed);
        Ok(had_rows)
    }

    /// Position that the catalog may note although no head was sealed at it.
    pub fn passed(&self) -> Option<WalPosition> {
        *self.passed.lock()
    }

    /// What an open head without rows carries into the next one but for exemplars that `deleted` hides, with that head;
    /// `None` where there is nothing. The caller holds the gate's write side, brings the rows there and then calls
    /// [`Lane::renew`].
    pub fn loose(&self, accountant: &MemoryAccountant, deleted: &RowFilter) -> Result<Option<(Arc<Head>, SampleRows)>> {
        let view = self.view();
        if !view.open.is_empty() || !view.open.has_loose() {
            return Ok(None);
        }
        let index = self.next_index(&view, accountant)?;
        let head = Arc::new(Head::new(self.signal, index, accountant));
        let mut rows = SampleRows {
            metadata: view.open.metadata(),
            ..SampleRows::default()
        };
        for (labels, mut exemplars) in view.open.exemplars_of(&[], TimeRange::ALL) {
            if let Some(filter) = deleted.of_series(&labels) {
                exemplars.retain(|exemplar| !filter.hides_sample(exemplar.time));
            }
            if exemplars.is_empty() {
                continue;
            }
            let id = head.index().insert_durable(labels)?;
            exemplars.into_iter().for_each(|e| rows.exemplars.push(id, e));
        }
        Ok(Some((head, rows)))
    }

    /// Goes on with `head`, in which all is that the open head had. That lies in the log behind `position`.
    pub fn renew(&self, head: Arc<Head>, position: WalPosition, now: Timestamp) {
        self.change(|view| view.open = head);
        *self.passed.lock() = Some(position);
        self.opened_at.store(now, Ordering::Relaxed);
    }

    /// The index of the next head: the present one, or, where a quarter or more of its series had rows neither in this
    /// head nor in the one before, a new one without those.
    fn next_index(&self, view: &LaneView, accountant: &MemoryAccountant) -> Result<Arc<SeriesIndex>> {
        let index = view.open.index();
        let series = index.len() as u32;
        let live = view.open.live_series();
        let mut before = self.live_before.lock();
        let kept = match &*before {
            Some((generation, live_before)) if *generation == index.generation() => &live | live_before,
            _ => live.clone(),
        };
        let idle = u64::from(series) - kept.len();
        if idle == 0 || idle * 4 < u64::from(series) {
            *before = Some((index.generation(), live));
            return Ok(index.clone());
        }
        // Ids change with the index; the series that were live only before this head count as live once more.
        *before = None;
        Ok(Arc::new(index.rebuilt(|id| kept.contains(id), accountant)?))
    }
}
