//! Opened tails, kept for later queries within a byte limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::meta::SegmentId;
use super::tail::OpenTail;
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};

/// Parsed tails of segments by object and offset; the least recently used one leaves first. Share by `Arc` among all
/// readers of a process. Segments are immutable and their ids never reused, so nothing here can be stale.
#[derive(Debug)]
pub struct TailCache {
    account: MemoryAccountant,
    max_bytes: u64,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<SegmentId, Entry>,
    by_use: BTreeMap<u64, SegmentId>,
    bytes: u64,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    tail: Arc<OpenTail>,
    reservation: Reservation,
    used: u64,
}

impl TailCache {
    /// A cache of at most `max_bytes`, accounted as `Cache`.
    pub fn new(account: MemoryAccountant, max_bytes: u64) -> Self {
        TailCache {
            account,
            max_bytes,
            entries: Mutex::default(),
        }
    }

    pub(super) fn get(&self, id: &SegmentId) -> Option<Arc<OpenTail>> {
        let mut guard = self.entries.lock();
        let entries = &mut *guard;
        let entry = entries.by_id.get_mut(id)?;
        entries.tick += 1;
        entries.by_use.remove(&entry.used);
        entries.by_use.insert(entries.tick, id.clone());
        entry.used = entries.tick;
        Some(Arc::clone(&entry.tail))
    }

    /// Keeps `tail`, unless it is too large for the limit or the process is short of memory even without older entries.
    pub(super) fn insert(&self, id: &SegmentId, tail: &Arc<OpenTail>) {
        let bytes = tail.size_bytes() as u64;
        if bytes > self.max_bytes {
            return;
        }
        let mut entries = self.entries.lock();
        while entries.bytes + bytes > self.max_bytes {
            entries.evict_one();
        }
        let mut reservation = self.account.reservation(MemoryUse::Cache);
        while reservation.try_grow(bytes).is_err() {
            if !entries.evict_one() {
                return;
            }
        }
        entries.remove(id);
        entries.tick += 1;
        let used = entries.tick;
        entries.bytes += bytes;
        entries.by_use.insert(used, id.clone());
        entries.by_id.insert(
            id.clone(),
            Entry {
                tail: Arc::clone(tail),
                reservation,
                used,
            },
        );
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> u64 {
        self.entries.lock().bytes
    }

    /// Drops what is not live any more.
    pub fn retain(&self, live: impl Fn(&SegmentId) -> bool) {
        let mut entries = self.entries.lock();
        let dead: Vec<SegmentId> = entries.by_id.keys().filter(|id| !live(id)).cloned().collect();
        dead.iter().for_each(|id| entries.remove(id));
    }
}

impl Entries {
    fn remove(&mut self, id: &SegmentId) {
        if let Some(entry) = self.by_id.remove(id) {
            self.by_use.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.reservation.bytes());
        }
    }

    fn evict_one(&mut self) -> bool {
        let Some(id) = self.by_use.first_key_value().map(|(_, id)| id.clone()) else {
            return false;
        };
        self.remove(&id);
        true
    }
}
