//! Where the bytes of a segment come from, and the counting of what they cost.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::piece::PieceKey;
use crate::error::Result;
use crate::object::Bucket;
use crate::scan::ScanStats;

/// What all readers of a process asked the object store for, and what they found damaged.
#[derive(Debug, Default)]
pub struct ReadCounters {
    /// Requests.
    pub requests: AtomicU64,
    /// Bytes that came back.
    pub bytes: AtomicU64,
    /// Pages and segments that were left out of answers.
    pub corrupt: AtomicU64,
}

/// One segment in the object store, for one query.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub bucket: Bucket,
    pub object: Arc<str>,
    /// Where in the object the segment begins.
    pub base: u64,
    /// Of the query.
    pub stats: Arc<ScanStats>,
    pub counters: Arc<ReadCounters>,
}

impl Origin {
    /// Exactly these bytes, counted from the segment's first, by one request.
    pub async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        let (start, end) = (self.base + range.start, self.base + range.end);
        let bytes = self.bucket.get_range(&self.object, start..end).await?;
        for (counter, amount) in [
            (&self.stats.object_requests, 1),
            (&self.stats.object_bytes, bytes.len() as u64),
            (&self.counters.requests, 1),
            (&self.counters.bytes, bytes.len() as u64),
        ] {
            ScanStats::add(counter, amount);
        }
        Ok(bytes)
    }

    pub(super) fn key(&self, range: &Range<u64>) -> PieceKey {
        PieceKey {
            object: Arc::clone(&self.object),
            start: self.base + range.start,
            end: self.base + range.end,
        }
    }
}
