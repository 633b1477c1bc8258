//! The label sets of one query, each held once however many heads and segments have it.

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::Held;
use crate::error::Result;
use crate::memory::QueryMemory;
use crate::model::Labels;

/// Tables that are locked apart, so that sources decoded side by side seldom wait for each other.
const SHARDS: usize = 16;
/// Bytes that a label set takes besides its text: its place in the table, and the counts of its allocation.
const ENTRY_BYTES: usize = 48;

/// See the module docs. Cheap to clone; clones share the sets.
///
/// A tenant's segments mostly hold the same series, so a query over forty of them decodes each label set forty times; kept
/// once, the copies are gone as soon as they are decoded, and equal sets are found equal by their address. Sets stay until
/// the query ends: work that goes through more series than it may hold, such as compaction, does without.
#[derive(Clone, Default)]
pub struct LabelInterner(Option<Arc<Inner>>);

struct Inner {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    sets: HashTable<Labels>,
    memory: Held,
    bytes: usize,
}

impl LabelInterner {
    /// Keeps sets on the account of a query.
    pub fn new(memory: &QueryMemory) -> Self {
        let shard = || {
            Mutex::new(Shard {
                sets: HashTable::new(),
                memory: Held::new(memory),
                bytes: 0,
            })
        };
        LabelInterner(Some(Arc::new(Inner {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| shard()),
        })))
    }

    /// Keeps nothing: each set is made anew.
    pub fn none() -> Self {
        LabelInterner(None)
    }

    /// Whether label sets are on the interner's account.
    pub fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// The set of these canonical bytes; `make` makes it where it is new. An error where it does not fit the query's memory.
    pub(crate) fn get(&self, bytes: &[u8], make: impl FnOnce() -> Option<Labels>) -> Result<Option<Labels>> {
        let Some(inner) = &self.0 else {
            return Ok(make());
        };
        let hash = inner.hasher.hash_one(bytes);
        // The table takes its own bits from the top and the bottom.
        let Some(shard) = inner.shards.get((hash >> 32) as usize % SHARDS) else {
            return Ok(make());
        };
        let mut shard = shard.lock();
        if let Some(known) = shard.sets.find(hash, |set| set.as_bytes() == bytes) {
            return Ok(Some(known.clone()));
        }
        let Some(new) = make() else {
            return Ok(None);
        };
        let grown = shard.bytes + new.size_bytes() + ENTRY_BYTES;
        shard.memory.set(grown)?;
        shard.bytes = grown;
        let rehash = |set: &Labels| inner.hasher.hash_one(set.as_bytes());
        shard.sets.insert_unique(hash, new.clone(), rehash);
        Ok(Some(new))
    }

    /// Number of sets kept.
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .flat_map(|inner| &inner.shards)
            .map(|s| s.lock().sets.len())
            .sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for LabelInterner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelInterner({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::memory::MemoryAccountant;

    #[test]
    fn equal_sets_are_one_and_on_the_account_until_the_query_ends() {
        let accountant = MemoryAccountant::new(10_000);
        let memory = accountant.query(10_000);
        let interner = LabelInterner::new(&memory);
        let set = |i: usize| Labels::from_pairs([("host", format!("h{i}").as_str())]);
        let get = |i: usize| {
            let labels = set(i);
            interner.get(labels.as_bytes(), || Some(labels.clone()))
        };
        let first = get(1).unwrap().unwrap();
        let again = get(1).unwrap().unwrap();
        assert!(std::ptr::eq(first.as_bytes(), again.as_bytes()));
        assert_ne!(get(2).unwrap().unwrap(), first);
        assert_eq!((interner.len(), interner.get(b"x", || None).unwrap()), (2, None));
        let used = memory.peak_bytes();
        assert!(used >= 2 * set(1).size_bytes() as u64, "{used}");
        // What does not fit is refused and not kept.
        let refused = (3..1000).find(|i| get(*i).is_err()).unwrap();
        assert_eq!(interner.len(), refused - 1);
        drop(interner);
        assert_eq!(accountant.total_bytes(), 0);
        let none = LabelInterner::none();
        let made = none.get(first.as_bytes(), || Some(set(1))).unwrap().unwrap();
        assert!(made == first && !std::ptr::eq(made.as_bytes(), first.as_bytes()) && none.is_empty());
    }
}
