//! Opened tails and other parts of segments, kept for later queries within a byte limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::label_lookup::LabelDictionary;
use super::meta::SegmentId;
use super::series_groups::SeriesGroup;
use super::tail::OpenTail;
use super::time_columns::{TimeCodes, TimeHeads};
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};
use crate::pieces::{PieceCache, ReadCounters};

/// Names a part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PartId {
    Tail,
    Group(u32),
    TimeHeads(u32),
    TimeCodes(u32),
    /// Of which label.
    Dictionary(u32),
    /// Of which label, which block.
    Postings(u32, u32),
}

/// A part, opened.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Tail(Arc<OpenTail>),
    Group(Arc<SeriesGroup>),
    TimeHeads(Arc<TimeHeads>),
    TimeCodes(TimeCodes),
    Dictionary(Arc<LabelDictionary>),
    Postings(Bytes),
}

impl Part {
    /// Heap bytes held, about.
    fn size_bytes(&self) -> usize {
        /// What an entry costs beside its part.
        const ENTRY_BYTES: usize = 200;
        ENTRY_BYTES
            + match self {
                Part::Tail(tail) => tail.size_bytes(),
                Part::Group(group) => group.size_bytes(),
                Part::TimeHeads(heads) => heads.size_bytes(),
                Part::TimeCodes(codes) => codes.size_bytes(),
                Part::Dictionary(dictionary) => dictionary.size_bytes(),
                Part::Postings(bytes) => bytes.len(),
            }
    }
}

/// Opened parts of segments by object and offset; the least recently used one leaves first. Share by `Arc` among all
/// readers of a process. Segments are immutable and their ids never reused, so nothing here can be stale.
#[derive(Debug)]
pub struct TailCache {
    account: MemoryAccountant,
    max_bytes: u64,
    entries: Mutex<Entries>,
    reads: Arc<ReadCounters>,
    /// Below: bytes as they lie in objects.
    pieces: Option<Arc<PieceCache>>,
}

type Key = (SegmentId, PartId);

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    bytes: u64,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    part: Part,
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
            reads: Arc::default(),
            pieces: None,
        }
    }

    /// Readers that share this also share `pieces`.
    pub fn with_pieces(mut self, pieces: Option<Arc<PieceCache>>) -> Self {
        self.pieces = pieces;
        self
    }

    /// What keeps the bytes of what is read.
    pub fn pieces(&self) -> Option<&Arc<PieceCache>> {
        self.pieces.as_ref()
    }

    /// What the readers that share this did so far.
    pub fn reads(&self) -> &Arc<ReadCounters> {
        &self.reads
    }

    /// A cache for one reader who goes through a segment; what it may hold is accounted by that reader.
    pub(super) fn own(max_bytes: u64) -> Self {
        TailCache::new(MemoryAccountant::new(u64::MAX), max_bytes)
    }

    pub(super) fn get(&self, segment: &SegmentId, part: PartId) -> Option<Part> {
        let mut guard = self.entries.lock();
        let entries = &mut *guard;
        let key = (segment.clone(), part);
        let entry = entries.by_id.get_mut(&key)?;
        entries.tick += 1;
        entries.by_use.remove(&entry.used);
        entries.by_use.insert(entries.tick, key);
        entry.used = entries.tick;
        Some(entry.part.clone())
    }

    /// Keeps `part`, unless it is too large for the limit or the process is short of memory even without older entries.
    pub(super) fn insert(&self, segment: &SegmentId, id: PartId, part: Part) {
        let bytes = part.size_bytes() as u64;
        if bytes > self.max_bytes {
            return;
        }
        let key = (segment.clone(), id);
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
        entries.remove(&key);
        entries.tick += 1;
        let used = entries.tick;
        entries.bytes += bytes;
        entries.by_use.insert(used, key.clone());
        entries.by_id.insert(
            key,
            Entry {
                part,
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
        let dead: Vec<Key> = entries.by_id.keys().filter(|(id, _)| !live(id)).cloned().collect();
        dead.iter().for_each(|id| entries.remove(id));
    }
}

impl Entries {
    fn remove(&mut self, id: &Key) {
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
