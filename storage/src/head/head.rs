//! The rows of one (tenant, signal) between two seals.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;

use super::index::SeriesIndex;
use super::logs::LogStore;
use super::rows::Rows;
use super::samples::SampleStore;
use super::side::SideStore;
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};
use crate::model::{MetadataRef, Signal, TimeRange, Timestamp};

/// See the module docs. Open or sealed is decided by who holds it: the engine appends to at most one head per (tenant,
/// signal).
#[derive(Debug)]
pub struct Head {
    index: Arc<SeriesIndex>,
    rows: RwLock<HeadRows>,
    /// Bytes of `rows`. The index accounts for itself.
    memory: Mutex<Reservation>,
}

#[derive(Debug)]
pub(super) struct HeadRows {
    pub store: Store,
    pub side: SideStore,
    /// Bounds of all rows; empty while there is none.
    pub range: TimeRange,
    /// When the first row came.
    since: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) enum Store {
    Samples(SampleStore),
    Logs(LogStore),
}

/// Size and age of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStats {
    /// Rows in it.
    pub rows: u64,
    /// Bytes of lines in it; 0 for metrics.
    pub line_bytes: u64,
    /// Bytes of memory it takes.
    pub memory_bytes: u64,
    /// When its first row came; `None` while it is empty.
    pub since: Option<Timestamp>,
    /// Bounds of its rows.
    pub range: TimeRange,
}

impl Head {
    /// An empty head over the series of `index`.
    pub fn new(signal: Signal, index: Arc<SeriesIndex>, accountant: &MemoryAccountant) -> Self {
        let store = match signal {
            Signal::Metrics => Store::Samples(SampleStore::default()),
            Signal::Logs => Store::Logs(LogStore::default()),
        };
        Head {
            index,
            rows: RwLock::new(HeadRows {
                store,
                side: SideStore::default(),
                range: TimeRange::new(0, 0),
                since: None,
            }),
            memory: Mutex::new(accountant.reservation(MemoryUse::Head)),
        }
    }

    /// The series that ids in rows name.
    pub fn index(&self) -> &Arc<SeriesIndex> {
        &self.index
    }

    /// Adds rows of the head's signal, all of them visible at once. They must be durable already: memory is taken even
    /// over the limit.
    pub fn append(&self, rows: &Rows, now: Timestamp) {
        if rows.is_empty() {
            return;
        }
        let added = rows.time_range();
        let mut guard = self.rows.write();
        let head = &mut *guard;
        let grown = match (&mut head.store, rows) {
            (Store::Samples(store), Rows::Samples(rows)) => {
                let side = head.side.append(rows, store);
                let numbers = match &rows.histograms {
                    none if none.is_empty() => store.append(rows),
                    _ => store.append(&rows.numbers()),
                };
                (side + numbers) as i64
            }
            (Store::Logs(store), Rows::Logs(rows)) => store.append(rows),
            // The types of SampleAppend and LogAppend, and replay's check of a record's signal, keep this from happening.
            _ => return,
        };
        if !rows.times().is_empty() {
            head.range = match head.since {
                None => added,
                Some(_) => TimeRange::new(head.range.start.min(added.start), head.range.end.max(added.end)),
            };
            head.since.get_or_insert(now);
        }
        drop(guard);
        let mut memory = self.memory.lock();
        match u64::try_from(grown) {
            Ok(bytes) => memory.grow(bytes),
            Err(_) => memory.shrink(grown.unsigned_abs()),
        }
    }

    /// Whether no row came yet. Exemplars and metadata may have, see [`Head::has_loose`].
    pub fn is_empty(&self) -> bool {
        self.rows.read().since.is_none()
    }

    /// Whether exemplars or metadata came.
    pub fn has_loose(&self) -> bool {
        self.rows.read().side.has_loose()
    }

    /// Number of exemplars.
    pub fn exemplar_count(&self) -> usize {
        self.rows.read().side.exemplars.count
    }

    /// Whether this metadata of `metric` came already.
    pub fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        self.rows.read().side.metadata.has(metric, metadata)
    }

    /// How many metrics have metadata, and how many different ones `metric` has.
    pub fn metadata_counts(&self, metric: &str) -> (usize, usize) {
        let head = self.rows.read();
        (head.side.metadata.len(), head.side.metadata.of(metric).len())
    }

    /// Size and age.
    pub fn stats(&self) -> HeadStats {
        let memory_bytes = self.memory.lock().bytes();
        let head = self.rows.read();
        let (rows, line_bytes) = match &head.store {
            Store::Samples(store) => (store.rows + head.side.histograms.rows, 0),
            Store::Logs(store) => (store.rows, store.line_bytes),
        };
        HeadStats {
            rows,
            line_bytes,
            memory_bytes,
            since: head.since,
            range: head.range,
        }
    }

    /// Ids of the series with rows here.
    pub fn live_series(&self) -> RoaringBitmap {
        let series = self.index.len() as u32;
        let head = self.rows.read();
        (0..series).filter(|id| head.is_live(*id)).collect()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, HeadRows> {
        self.rows.read()
    }
}

impl HeadRows {
    /// Bounds and number of rows of series `id`; `None` where it has none.
    pub fn series(&self, id: u32) -> Option<(TimeRange, u64)> {
        match &self.store {
            Store::Samples(store) => {
                let numbers = store.get(id).map(|s| (s.range(), s.rows()));
                match (numbers, self.side.series(id)) {
                    (Some((a, m)), Some((b, n))) => Some((a.union(&b), m + n)),
                    (numbers, histograms) => numbers.or(histograms),
                }
            }
            Store::Logs(store) => store.get(id).map(|s| (s.range(), s.rows())),
        }
    }

    /// Whether series `id` has rows.
    pub fn is_live(&self, id: u32) -> bool {
        match &self.store {
            Store::Samples(store) => store.get(id).is_some() || self.side.series(id).is_some(),
            Store::Logs(store) => store.get(id).is_some(),
        }
    }

    /// Whether series `id` may have a row inside `range`.
    pub fn overlaps(&self, id: u32, range: TimeRange) -> bool {
        self.series(id).is_some_and(|(bounds, _)| bounds.overlaps(&range))
    }
}
