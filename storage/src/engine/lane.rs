//! One (tenant, signal): the gate between appends and seals, the heads, and the segments.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::error::Result;
use crate::head::{Head, SeriesIndex};
use crate::memory::MemoryAccountant;
use crate::model::{Signal, TenantId};
use crate::scan::SeriesSource;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Lane {
    pub tenant: TenantId,
    pub signal: Signal,
    /// Appends hold the read side from begin to visible; a seal holds the write side while it swaps heads. Whoever holds
    /// it must not begin another append on the same lane: a waiting seal would stop both.
    pub gate: Arc<tokio::sync::RwLock<()>>,
    view: ArcSwap<LaneView>,
    /// Taken to change `view`.
    changes: Mutex<()>,
}

/// What a read of a lane sees; immutable but for rows that come to `open`.
#[derive(Debug, Clone)]
pub(crate) struct LaneView {
    pub open: Arc<Head>,
    /// Oldest first.
    pub sealed: Vec<SealedHead>,
    pub segments: Vec<Arc<dyn SeriesSource>>,
}

/// A head that waits for its segments.
#[derive(Debug, Clone)]
pub(crate) struct SealedHead {
    pub head: Arc<Head>,
    /// WAL position: every record of the lane below it has its rows in this head or before, none at or above it has.
    pub position: u64,
}

impl Lane {
    pub fn new(tenant: TenantId, signal: Signal, accountant: &MemoryAccountant) -> Self {
        let index = Arc::new(SeriesIndex::new(accountant));
        let open = Arc::new(Head::new(signal, index, accountant));
        Lane {
            tenant,
            signal,
            gate: Arc::default(),
            view: ArcSwap::from_pointee(LaneView {
                open,
                sealed: Vec::new(),
                segments: Vec::new(),
            }),
            changes: Mutex::new(()),
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

    /// Replaces the open head by an empty one and returns whether it had rows. The caller holds the gate's write side;
    /// `position` is the WAL position of the next record.
    pub fn seal(&self, position: u64, accountant: &MemoryAccountant) -> Result<bool> {
        let view = self.view();
        if view.open.is_empty() {
            return Ok(false);
        }
        let index = self.next_index(&view, accountant)?;
        let open = Arc::new(Head::new(self.signal, index, accountant));
        self.change(|view| {
            let head = std::mem::replace(&mut view.open, open);
            view.sealed.push(SealedHead { head, position });
        });
        Ok(true)
    }

    /// The index of the next head: the present one, or a new one without the series that had rows neither in this head
    /// nor in the one before, where they are at least a quarter.
    fn next_index(&self, view: &LaneView, accountant: &MemoryAccountant) -> Result<Arc<SeriesIndex>> {
        let index = view.open.index();
        let previous = view.sealed.last().map(|s| &s.head);
        let previous = previous.filter(|head| head.index().generation() == index.generation());
        let live = |id: u32| view.open.has_rows(id) || previous.is_some_and(|head| head.has_rows(id));
        let series = index.len() as u32;
        let idle = (0..series).filter(|id| !live(*id)).count();
        if idle * 4 < series as usize || idle == 0 {
            return Ok(index.clone());
        }
        Ok(Arc::new(index.rebuilt(live, accountant)?))
    }
}
