//! One memory accountant for the process: head, WAL, caches, background work and queries share its limit.
//!
//! Everything that grows with input holds a [`Reservation`]; dropping it gives the bytes back. A query draws through a
//! [`QueryMemory`], which adds its own cap, so that one query is refused before it can starve the rest.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Who holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryUse {
    /// Recent rows and the series they belong to.
    Head,
    /// Records on their way to the WAL.
    Wal,
    /// Footers, index pieces and pages kept for later queries.
    Cache,
    /// Flush, compaction and other background work.
    Background,
    /// Queries.
    Query,
    /// Patterns of log lines.
    Patterns,
}

impl MemoryUse {
    /// Every use, in the order of [`MemoryAccountant::used_bytes`] indices.
    pub const ALL: [MemoryUse; 6] = [
        MemoryUse::Head,
        MemoryUse::Wal,
        MemoryUse::Cache,
        MemoryUse::Background,
        MemoryUse::Query,
        MemoryUse::Patterns,
    ];

    /// The name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            MemoryUse::Head => "head",
            MemoryUse::Wal => "wal",
            MemoryUse::Cache => "cache",
            MemoryUse::Background => "background",
            MemoryUse::Query => "query",
            MemoryUse::Patterns => "patterns",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[derive(Debug)]
struct Inner {
    limit_bytes: u64,
    total_bytes: AtomicU64,
    used_bytes: [AtomicU64; MemoryUse::ALL.len()],
}

/// The process-wide account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryAccountant(Arc<Inner>);

impl MemoryAccountant {
    /// An account over `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        MemoryAccountant(Arc::new(Inner {
            limit_bytes,
            total_bytes: AtomicU64::new(0),
            used_bytes: Default::default(),
        }))
    }

    /// The limit over all uses.
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes
    }

    /// Bytes held for `usage` now.
    pub fn used_bytes(&self, usage: MemoryUse) -> u64 {
        self.0.used_bytes[usage.index()].load(Ordering::Relaxed)
    }

    /// Bytes held for all uses now.
    pub fn total_bytes(&self) -> u64 {
        self.0.total_bytes.load(Ordering::Relaxed)
    }

    /// An empty reservation that can grow.
    pub fn reservation(&self, usage: MemoryUse) -> Reservation {
        Reservation {
            account: self.clone(),
            usage,
            bytes: 0,
        }
    }

    /// The account of one query, capped at `cap_bytes`.
    pub fn query(&self, cap_bytes: u64) -> QueryMemory {
        self.capped(MemoryUse::Query, cap_bytes)
    }

    /// The account of one piece of background work that reads as a query does, capped at `cap_bytes`.
    pub fn background(&self, cap_bytes: u64) -> QueryMemory {
        self.capped(MemoryUse::Background, cap_bytes)
    }

    fn capped(&self, usage: MemoryUse, cap_bytes: u64) -> QueryMemory {
        QueryMemory(Arc::new(QueryInner {
            account: self.clone(),
            usage,
            cap_bytes,
            used_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        }))
    }

    fn take(&self, usage: MemoryUse, bytes: u64) -> Result<()> {
        let before = self.0.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.0.limit_bytes {
            self.0.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "out of memory budget: {} asked for {bytes} bytes while {before} of memory.limit {} are in use; \
                     try again later or raise memory.limit",
                    usage.as_str(),
                    self.0.limit_bytes
                ),
            ));
        }
        self.0.used_bytes[usage.index()].fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, usage: MemoryUse, bytes: u64) {
        self.0.used_bytes[usage.index()].fetch_sub(bytes, Ordering::Relaxed);
        self.0.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes held for one use; given back on drop.
pub struct Reservation {
    account: MemoryAccountant,
    usage: MemoryUse,
    bytes: u64,
}

impl Reservation {
    /// Takes `bytes` more, or leaves the reservation as it was.
    pub fn try_grow(&mut self, bytes: u64) -> Result<()> {
        self.account.take(self.usage, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes `bytes` more even over the limit: for rows that are already durable and must be served.
    pub fn grow(&mut self, bytes: u64) {
        self.account.0.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.account.0.used_bytes[self.usage.index()].fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Gives `bytes` back, at most what is held.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.account.give(self.usage, bytes);
        self.bytes -= bytes;
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.give(self.usage, self.bytes);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({}: {} bytes)", self.usage.as_str(), self.bytes)
    }
}

#[derive(Debug)]
struct QueryInner {
    account: MemoryAccountant,
    usage: MemoryUse,
    cap_bytes: u64,
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

/// The memory of one query: its own cap inside the process account. Cheap to clone; all clones share the cap.
#[derive(Clone, Debug)]
pub struct QueryMemory(Arc<QueryInner>);

impl QueryMemory {
    /// Takes `bytes`, or refuses with [`ErrorKind::Limit`] (the query's cap) or [`ErrorKind::Unavailable`] (the process).
    pub fn try_grow(&self, bytes: u64) -> Result<()> {
        let used = self
            .0
            .used_bytes
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let refused = if used > self.0.cap_bytes {
            let cap = self.0.cap_bytes;
            let message = match self.0.usage {
                MemoryUse::Query => format!(
                    "the query needs more than limits.max_query_memory ({cap} bytes); narrow its selector or time range"
                ),
                usage => format!("{} work needs more than its {cap} bytes of memory", usage.as_str()),
            };
            Err(Error::new(ErrorKind::Limit, message))
        } else {
            self.0.account.take(self.0.usage, bytes)
        };
        match refused {
            Ok(()) => {
                self.0.peak_bytes.fetch_max(used, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Gives back `bytes` taken before.
    pub fn shrink(&self, bytes: u64) {
        self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.account.give(self.0.usage, bytes);
    }

    /// Most bytes held at one time.
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for QueryInner {
    fn drop(&mut self) {
        // What operators did not give back one by one goes back with the query.
        self.account.give(self.usage, self.used_bytes.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_share_one_limit_and_give_back_on_drop() {
        let account = MemoryAccountant::new(100);
        let mut head = account.reservation(MemoryUse::Head);
        head.try_grow(60).expect("fits");
        let query = account.query(50);
        assert_eq!(query.try_grow(51).map_err(|e| e.kind()), Err(ErrorKind::Limit));
        assert_eq!(query.try_grow(41).map_err(|e| e.kind()), Err(ErrorKind::Unavailable));
        query.try_grow(40).expect("fits");
        assert_eq!((account.total_bytes(), account.used_bytes(MemoryUse::Query)), (100, 40));
        drop(head);
        drop(query);
        assert_eq!(account.total_bytes(), 0);
    }
}
