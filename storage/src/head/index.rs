//! The series of one (tenant, signal): label sets, the ways to find them, and their order.
//!
//! Ids count up from 0 in order of first sight and are never used twice inside one index. An index is shared by the open
//! head and the sealed heads that began under it; when many of its series have gone idle, a seal starts a new index with
//! the live ones, and the old one goes with its last head.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashTable};
use parking_lot::{RwLock, RwLockReadGuard};

use super::aliases::Aliases;
use super::order::SeriesOrder;
use super::paged::Paged;
use super::pairs::Pairs;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};
use crate::model::{LabelMatcher, Labels};
use crate::scan::LabelInterner;

/// Bytes a series takes besides its labels: alias, entries of two tables, and its slot in a head.
const SERIES_OVERHEAD_BYTES: usize = 128;
/// Bytes a label takes where its pair is known: its number and the entry in the pair's list.
const LABEL_BYTES: usize = 8;
/// Bytes a pair takes besides its text where it is new.
const PAIR_BYTES: usize = 56;

/// See the module docs.
#[derive(Debug)]
pub struct SeriesIndex {
    /// Tells indexes of one process apart, so that ids of two are never mixed up.
    generation: u64,
    inner: RwLock<IndexInner>,
}

#[derive(Debug)]
pub(super) struct IndexInner {
    pub pairs: Pairs,
    aliases: Aliases,
    by_labels: HashTable<u32>,
    hasher: ahash::RandomState,
    /// Numbers of pairs, series by series, in name order.
    labels: Paged<u32>,
    /// Where each series' labels end in `labels`.
    ends: Paged<u32>,
    order: Option<Arc<SeriesOrder>>,
    memory: Reservation,
}

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

impl SeriesIndex {
    /// An index without series.
    pub fn new(accountant: &MemoryAccountant) -> Self {
        SeriesIndex {
            generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed),
            inner: RwLock::new(IndexInner {
                pairs: Pairs::default(),
                aliases: Aliases::default(),
                by_labels: HashTable::new(),
                hasher: ahash::RandomState::new(),
                labels: Paged::default(),
                ends: Paged::default(),
                order: None,
                memory: accountant.reservation(MemoryUse::Head),
            }),
        }
    }

    /// Tells indexes of one process apart.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.inner.read().len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory it takes.
    pub fn size_bytes(&self) -> u64 {
        self.inner.read().memory.bytes()
    }

    /// The series that was registered under `alias`. `guess`, such as the one behind the last that was found, is tried
    /// first.
    pub fn lookup(&self, alias: u128, guess: u32) -> Option<u32> {
        self.inner.read().aliases.find(alias, guess)
    }

    /// The labels of series `id`.
    pub fn labels(&self, id: u32) -> Option<Labels> {
        let inner = self.inner.read();
        ((id as usize) < inner.len()).then(|| inner.labels(id, &mut Vec::new()))
    }

    /// The series of these labels, new where they were never seen, known under `alias` from now on.
    ///
    /// Refused with [`ErrorKind::Unavailable`] where a new series does not fit the memory budget.
    pub fn register(&self, alias: u128, labels: Labels) -> Result<u32> {
        let mut inner = self.inner.write();
        let id = inner.insert(&labels, false)?;
        inner.aliases.insert(alias, id);
        inner.account();
        Ok(id)
    }

    /// The series of these labels, new where they were never seen; takes memory even over the limit, for rows that are
    /// durable already.
    pub fn insert_durable(&self, labels: Labels) -> Result<u32> {
        let mut inner = self.inner.write();
        let id = inner.insert(&labels, true)?;
        inner.account();
        Ok(id)
    }

    /// An index of the series for which `keep` holds, with new ids; their aliases come along.
    pub fn rebuilt(&self, keep: impl Fn(u32) -> bool, accountant: &MemoryAccountant) -> Result<SeriesIndex> {
        let new = SeriesIndex::new(accountant);
        let mut inner = new.inner.write();
        let old = self.inner.read();
        let mut moved: HashMap<u32, u32, ahash::RandomState> = HashMap::default();
        let mut scratch = Vec::new();
        for id in (0..old.len() as u32).filter(|id| keep(*id)) {
            moved.insert(id, inner.insert(&old.labels(id, &mut scratch), true)?);
        }
        for (alias, id) in old.aliases.iter() {
            if let Some(new_id) = moved.get(&id) {
                inner.aliases.insert(alias, *new_id);
            }
        }
        inner.account();
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
        let order = Arc::new(SeriesOrder::extended(known.as_deref(), &inner));
        inner.order = Some(order.clone());
        inner.account();
        order
    }
}

impl IndexInner {
    /// Number of series.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Numbers of the label pairs of series `id`, in name order; none where there is no such series.
    pub fn pairs_of(&self, id: u32) -> impl Iterator<Item = u32> {
        let end = self.ends.get(id as usize).map_or(0, |end| *end as usize);
        let start = match (id as usize).checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(end, |end| *end as usize),
            None => 0,
        };
        (start..end).filter_map(|at| self.labels.get(at).copied())
    }

    /// The labels of series `id`, empty where there is no such series. `scratch` saves an allocation.
    pub fn labels(&self, id: u32, scratch: &mut Vec<u8>) -> Labels {
        Labels::from_pair_bytes(self.pairs_of(id).map(|pair| self.pairs.bytes(pair)), scratch)
    }

    /// As [`IndexInner::labels`], where `interner` has the set, that.
    pub fn interned_labels(&self, id: u32, scratch: &mut Vec<u8>, interner: &LabelInterner) -> Result<Labels> {
        if !interner.keeps() {
            return Ok(self.labels(id, scratch));
        }
        scratch.clear();
        self.pairs_of(id)
            .for_each(|pair| scratch.extend_from_slice(self.pairs.bytes(pair)));
        let make = || Some(self.labels(id, &mut Vec::new()));
        Ok(interner.get(scratch, make)?.unwrap_or_default())
    }

    /// The value that series `id` has for a name, by the name's number; `None` where it has none.
    pub fn value(&self, id: u32, name: u32) -> Option<&str> {
        let pair = self
            .pairs_of(id)
            .find(|pair| self.pairs.name_number(*pair) == Some(name))?;
        Some(self.pairs.value(pair))
    }

    /// Whether series `id` passes `matcher`.
    pub fn passes(&self, id: u32, matcher: &LabelMatcher) -> bool {
        let value = self
            .pairs
            .number_of_name(matcher.name())
            .and_then(|name| self.value(id, name));
        matcher.matches(value.unwrap_or(""))
    }

    fn insert(&mut self, labels: &Labels, durable: bool) -> Result<u32> {
        if let Some(known) = self.find(labels) {
            return Ok(known);
        }
        let id = u32::try_from(self.len()).map_err(|_| full())?;
        let count = labels.pair_bytes().count();
        let end = u32::try_from(self.labels.len() + count).map_err(|_| full())?;
        let new = labels.pair_bytes().filter(|pair| self.pairs.find(pair).is_none());
        let expected =
            new.map(|pair| pair.len() + PAIR_BYTES).sum::<usize>() + count * LABEL_BYTES + SERIES_OVERHEAD_BYTES;
        if durable {
            self.memory.grow(expected as u64);
        } else {
            self.memory.try_grow(expected as u64)?;
        }
        for pair in labels.pair_bytes() {
            let number = self.pairs.insert(pair, id);
            self.labels.push(number);
        }
        self.ends.push(end);
        // Taken out, since growing it asks the rest for hashes.
        let mut table = std::mem::take(&mut self.by_labels);
        let hash = self.hash_of(id);
        table.insert_unique(hash, id, |id| self.hash_of(*id));
        self.by_labels = table;
        Ok(id)
    }

    /// The series of these labels.
    fn find(&self, labels: &Labels) -> Option<u32> {
        let mut hash = self.hasher.hash_one(());
        for pair in labels.pair_bytes() {
            hash = self.mix(hash, self.pairs.find(pair)?);
        }
        let same = |id: &u32| {
            self.pairs_of(*id)
                .map(|pair| self.pairs.bytes(pair))
                .eq(labels.pair_bytes())
        };
        self.by_labels.find(hash, same).copied()
    }

    /// Label sets are hashed by the numbers of their pairs, which say the same and are at hand when the table grows.
    fn hash_of(&self, id: u32) -> u64 {
        self.pairs_of(id)
            .fold(self.hasher.hash_one(()), |hash, pair| self.mix(hash, pair))
    }

    fn mix(&self, hash: u64, pair: u32) -> u64 {
        self.hasher.hash_one((hash, pair))
    }

    /// Sets the account to what is held.
    fn account(&mut self) {
        let held = self.size_bytes() as u64;
        let accounted = self.memory.bytes();
        if held > accounted {
            self.memory.grow(held - accounted);
        } else {
            self.memory.shrink(accounted - held);
        }
    }

    fn size_bytes(&self) -> usize {
        self.pairs.size_bytes()
            + self.aliases.size_bytes()
            + self.by_labels.allocation_size()
            + self.labels.size_bytes()
            + self.ends.size_bytes()
            + self.order.as_ref().map_or(0, |order| order.size_bytes())
    }

    fn fresh_order(&self) -> Option<Arc<SeriesOrder>> {
        self.order.as_ref().filter(|order| order.len() == self.len()).cloned()
    }
}

fn full() -> Error {
    Error::new(
        ErrorKind::Limit,
        "a tenant can have at most 2^32 series and labels of series between two flushes",
    )
}
