//! Opened tails, kept for later queries within a byte limit.

use crate::memory::MemoryAccountant;

/// Parsed tails of segments by object and offset. Share by `Arc` among all readers of a process.
#[derive(Debug)]
pub struct TailCache {
    _account: MemoryAccountant,
    _max_bytes: u64,
}

impl TailCache {
    /// A cache of at most `max_bytes`, accounted as `Cache`.
    pub fn new(account: MemoryAccountant, max_bytes: u64) -> Self {
        TailCache {
            _account: account,
            _max_bytes: max_bytes,
        }
    }
}
