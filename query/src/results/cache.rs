//! [`ResultCache`]: answers by key, the least recently used one leaves first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use garner_storage::memory::{MemoryAccountant, MemoryUse, Reservation};
use garner_storage::scan::{Fingerprint, SeriesRequest};
use parking_lot::Mutex;

use super::key::ResultKey;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::output::{QueryOutput, QueryStats, Value};

/// A result larger than this part of the budget is not kept: it would push out too many others.
const MAX_SHARE: u64 = 8;
/// What an entry costs beside what it holds.
const ENTRY_BYTES: usize = 400;

/// A result, and what it rests on.
#[derive(Debug)]
pub(crate) struct KeptResult {
    /// The reads of its evaluation.
    pub reads: Vec<(SeriesRequest, Fingerprint)>,
    pub value: Value,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// Rows that were read for it, bytes of them, and memory that it took.
    pub rows: u64,
    pub bytes: u64,
    pub peak_memory_bytes: u64,
}

impl KeptResult {
    /// The answer, for a query that has cost `stats` so far.
    pub fn output(&self, stats: QueryStats) -> QueryOutput {
        QueryOutput {
            value: self.value.clone(),
            warnings: self.warnings.clone(),
            infos: self.infos.clone(),
            stats: QueryStats {
                rows: self.rows,
                bytes: self.bytes,
                peak_memory_bytes: self.peak_memory_bytes,
                result_cache_hits: 1,
                ..stats
            },
        }
    }

    fn size_bytes(&self) -> usize {
        let reads = self.reads.iter().map(|(request, fingerprint)| {
            let matchers = request.matchers.iter().map(|m| m.name().len() + m.value().len() + 64);
            matchers.sum::<usize>() + size_of::<SeriesRequest>() + fingerprint.size_bytes()
        });
        let texts = self.warnings.iter().chain(&self.infos).map(|text| text.len() + 24);
        reads.sum::<usize>() + texts.sum::<usize>() + self.value.size_bytes()
    }
}

/// What the cache holds and did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// Queries that were answered from it.
    pub hits: u64,
    /// Queries that it had no exact answer for.
    pub misses: u64,
    /// Answers in it.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Exact results of earlier queries. See the module docs.
#[derive(Debug)]
pub struct ResultCache {
    account: MemoryAccountant,
    max_bytes: u64,
    entries: Mutex<Entries>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Arc<ResultKey>, Entry>,
    by_use: BTreeMap<u64, Arc<ResultKey>>,
    bytes: u64,
    tick: u64,
}

#[derive(Debug)]
struct Entry {
    result: Arc<KeptResult>,
    held: Reservation,
    used: u64,
}

impl ResultCache {
    /// A cache of at most `max_bytes`, on the account as `Cache`; `None` where it may hold nothing.
    pub fn new(account: MemoryAccountant, max_bytes: u64) -> Option<Self> {
        (max_bytes > 0).then(|| ResultCache {
            account,
            max_bytes,
            entries: Mutex::default(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
        })
    }

    /// What it holds and did.
    pub fn counts(&self) -> ResultCounts {
        let entries = self.entries.lock();
        ResultCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: entries.by_key.len() as u64,
            bytes: entries.bytes,
        }
    }

    /// What is kept under `key`, exact or not.
    pub(crate) fn get(&self, key: &ResultKey) -> Option<Arc<KeptResult>> {
        let mut guard = self.entries.lock();
        let entries = &mut *guard;
        let entry = entries.by_key.get_mut(key)?;
        entries.tick += 1;
        if let Some(key) = entries.by_use.remove(&entry.used) {
            entries.by_use.insert(entries.tick, key);
        }
        entry.used = entries.tick;
        Some(Arc::clone(&entry.result))
    }

    /// Whether what is kept under `key` is what `query` would give now: each of its reads finds the same rows. What is not
    /// is dropped.
    pub(crate) async fn is_exact(
        &self,
        key: &ResultKey,
        kept: &Arc<KeptResult>,
        query: &QueryContext,
    ) -> Result<bool, QueryError> {
        let exact = is_exact(kept, query).await?;
        if exact {
            self.hits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.remove(key, kept);
        }
        Ok(exact)
    }

    /// Counts a query that is evaluated.
    pub(crate) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what `query` gave, where nothing can change it but what its reads' fingerprints tell.
    pub(crate) fn keep(&self, key: ResultKey, query: &QueryContext, output: &QueryOutput) {
        if output.value.size_bytes() as u64 > self.max_bytes / MAX_SHARE {
            return;
        }
        let Some(reads) = query.reads() else { return };
        // What rests on no segment costs next to nothing to evaluate.
        if output.stats.pages_corrupt > 0 || reads.iter().all(|(_, fingerprint)| fingerprint.is_empty()) {
            return;
        }
        let result = KeptResult {
            reads,
            value: output.value.clone(),
            warnings: output.warnings.clone(),
            infos: output.infos.clone(),
            rows: output.stats.rows,
            bytes: output.stats.bytes,
            peak_memory_bytes: output.stats.peak_memory_bytes,
        };
        self.insert(key, result);
    }

    /// Keeps a result in place of an older one of that key, unless it is too large or the process is short of memory even
    /// without older entries.
    pub(super) fn insert(&self, key: ResultKey, result: KeptResult) {
        let bytes = (ENTRY_BYTES + 2 * key.size_bytes() + result.size_bytes()) as u64;
        if bytes > self.max_bytes / MAX_SHARE {
            return;
        }
        let key = Arc::new(key);
        let mut entries = self.entries.lock();
        entries.remove(&key);
        while entries.bytes + bytes > self.max_bytes {
            entries.evict_one();
        }
        let mut held = self.account.reservation(MemoryUse::Cache);
        while held.try_grow(bytes).is_err() {
            if !entries.evict_one() {
                return;
            }
        }
        entries.tick += 1;
        let used = entries.tick;
        entries.bytes += bytes;
        entries.by_use.insert(used, Arc::clone(&key));
        let result = Arc::new(result);
        entries.by_key.insert(key, Entry { result, held, used });
    }

    /// Drops what is kept under `key` where it is `result`: it is not exact any more.
    fn remove(&self, key: &ResultKey, result: &Arc<KeptResult>) {
        let mut entries = self.entries.lock();
        if entries.by_key.get(key).is_some_and(|e| Arc::ptr_eq(&e.result, result)) {
            entries.remove(key);
        }
    }
}

async fn is_exact(kept: &KeptResult, query: &QueryContext) -> Result<bool, QueryError> {
    for (request, before) in &kept.reads {
        if query.view().fingerprint(request, query.scan()).await?.as_ref() != Some(before) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Entries {
    fn remove(&mut self, key: &ResultKey) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.held.bytes());
        }
    }

    fn evict_one(&mut self) -> bool {
        let Some(key) = self.by_use.first_key_value().map(|(_, key)| Arc::clone(key)) else {
            return false;
        };
        self.remove(&key);
        true
    }
}
