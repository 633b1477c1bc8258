//! The series of one (tenant, signal): label sets, the ways to find them, and their order.
//!
//! Ids count up from 0 in order of first sight and are never used twice inside one index. An index is shared by the open
//! head and the sealed heads that began under it; when many of its series have gone idle, a seal starts a new index with
//! the live ones, and the old one goes with its last head.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockReadGuard};

use super::postings::Postings;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};
use crate::model::{Labels, SeriesKey};

/// Aliases kept per series on average, plus [`MIN_ALIASES`]. A sender that shuffles its labels makes a new alias with each
/// request; beyond this all are forgotten, and its labels are parsed again.
const MAX_ALIASES_PER_SERIES: usize = 4;
/// Aliases that are always allowed.
const MIN_ALIASES: usize = 1024;
/// Bytes a series takes besides its labels and postings: entries of the three maps and the row slot of a head.
const SERIES_OVERHEAD_BYTES: usize = 200;

/// See the module docs.
#[derive(Debug)]
pub struct SeriesIndex {
    /// Tells indexes of one process apart, so that ids of two are never mixed up.
    generation: u64,
    inner: RwLock<IndexInner>,
}

#[derive(Debug)]
pub(super) struct IndexInner {
    by_alias: HashMap<u128, u32, ahash::RandomState>,
    by_fingerprint: HashMap<u128, u32, ahash::RandomState>,
    pub labels: Vec<Labels>,
    pub postings: Postings,
    order: Option<Arc<SeriesOrder>>,
    memory: Reservation,
}

/// Ranks of the first `rank.len()` series in the order of [`SeriesKey`].
#[derive(Debug)]
pub(super) struct SeriesOrder {
    /// Position of each id.
    pub rank: Vec<u32>,
    /// Ids in order.
    pub sorted: Vec<u32>,
}

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

impl SeriesIndex {
    /// An index without series.
    pub fn new(accountant: &MemoryAccountant) -> Self {
        Self::from_inner(IndexInner {
            by_alias: HashMap::default(),
            by_fingerprint: HashMap::default(),
            labels: Vec::new(),
            postings: Postings::default(),
            order: None,
            memory: accountant.reservation(MemoryUse::Head),
        })
    }

    fn from_inner(inner: IndexInner) -> Self {
        SeriesIndex {
            generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed),
            inner: RwLock::new(inner),
        }
    }

    /// Tells indexes of one process apart.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.inner.read().labels.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory it takes.
    pub fn size_bytes(&self) -> u64 {
        self.inner.read().memory.bytes()
    }

    /// The series that was registered under `alias`.
    pub fn lookup(&self, alias: u128) -> Option<u32> {
        self.inner.read().by_alias.get(&alias).copied()
    }

    /// The labels of series `id`.
    pub fn labels(&self, id: u32) -> Option<Labels> {
        self.inner.read().labels.get(id as usize).cloned()
    }

    /// The series of these labels, new where they were never seen, known under `alias` from now on.
    ///
    /// Refused with [`ErrorKind::Unavailable`] where a new series does not fit the memory budget.
    pub fn register(&self, alias: u128, labels: Labels) -> Result<u32> {
        let mut inner = self.inner.write();
        let id = inner.insert(labels, false)?;
        let max_aliases = inner.labels.len() * MAX_ALIASES_PER_SERIES + MIN_ALIASES;
        if inner.by_alias.len() >= max_aliases {
            inner.by_alias.clear();
        }
        inner.by_alias.insert(alias, id);
        Ok(id)
    }

    /// The series of these labels, new where they were never seen; takes memory even over the limit, for rows that are
    /// durable already.
    pub fn insert_durable(&self, labels: Labels) -> Result<u32> {
        self.inner.write().insert(labels, true)
    }

    /// An index of the series for which `keep` holds, with new ids; their aliases come along.
    pub fn rebuilt(&self, keep: impl Fn(u32) -> bool, accountant: &MemoryAccountant) -> Result<SeriesIndex> {
        let new = SeriesIndex::new(accountant);
        let mut inner = new.inner.write();
        let old = self.inner.read();
        let mut moved: HashMap<u32, u32, ahash::RandomState> = HashMap::default();
        for (id, labels) in old.labels.iter().enumerate() {
            let id = id as u32;
            if keep(id) {
                moved.insert(id, inner.insert(labels.clone(), true)?);
            }
        }
        for (alias, id) in &old.by_alias {
            if let Some(new_id) = moved.get(id) {
                inner.by_alias.insert(*alias, *new_id);
            }
        }
        drop(inner);
        drop(old);
        Ok(new)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, IndexInner> {
        self.inner.read()
    }

    /// The order of all series that exist now; kept until there are more.
    pub(super) fn order(&self) -> Arc<SeriesOrder> {
        {
            let inner = self.inner.read();
            if let Some(order) = inner.fresh_order() {
                return order;
            }
        }
        let mut inner = self.inner.write();
        if let Some(order) = inner.fresh_order() {
            return order;
        }
        let known = inner.order.take();
        let order = Arc::new(SeriesOrder::extended(known.as_deref(), &inner.labels));
        inner.order = Some(order.clone());
        order
    }
}

impl IndexInner {
    fn insert(&mut self, labels: Labels, durable: bool) -> Result<u32> {
        let fingerprint = labels.fingerprint();
        if let Some(id) = self.by_fingerprint.get(&fingerprint) {
            return Ok(*id);
        }
        let id = u32::try_from(self.labels.len()).map_err(|_| {
            Error::new(
                ErrorKind::Limit,
                "a tenant can have at most 2^32 series between two flushes",
            )
        })?;
        // Postings of pairs never seen before take about the bytes of the labels again.
        let expected = (labels.size_bytes() * 2 + SERIES_OVERHEAD_BYTES) as u64;
        if durable {
            self.memory.grow(expected);
        } else {
            self.memory.try_grow(expected)?;
        }
        let taken = (self.postings.insert(id, &labels) + labels.size_bytes() + SERIES_OVERHEAD_BYTES) as u64;
        if taken > expected {
            self.memory.grow(taken - expected);
        } else {
            self.memory.shrink(expected - taken);
        }
        self.by_fingerprint.insert(fingerprint, id);
        self.labels.push(labels);
        Ok(id)
    }

    fn fresh_order(&self) -> Option<Arc<SeriesOrder>> {
        self.order
            .as_ref()
            .filter(|order| order.rank.len() == self.labels.len())
            .cloned()
    }
}

impl SeriesOrder {
    /// Sorts the series that `known` lacks and merges them in, so that a few new series do not cost a whole sort.
    fn extended(known: Option<&SeriesOrder>, labels: &[Labels]) -> SeriesOrder {
        let old: &[u32] = known.map_or(&[], |k| &k.sorted);
        let mut fresh: Vec<(SeriesKey, u32)> = (old.len()..labels.len())
            .map(|id| (SeriesKey(labels[id].clone()), id as u32))
            .collect();
        fresh.sort_unstable();
        let mut sorted = Vec::with_capacity(labels.len());
        let mut rest = old;
        for (key, id) in &fresh {
            let before = rest.partition_point(|old_id| SeriesKey(labels[*old_id as usize].clone()) < *key);
            sorted.extend_from_slice(&rest[..before]);
            sorted.push(*id);
            rest = &rest[before..];
        }
        sorted.extend_from_slice(rest);
        let mut rank = vec![0; labels.len()];
        for (position, id) in sorted.iter().enumerate() {
            rank[*id as usize] = position as u32;
        }
        SeriesOrder { rank, sorted }
    }
}
