//! What the catalog knows of a segment: enough to prune it, and to open it with one exact ranged read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Signal, TenantId, TimeRange};

/// Names a segment: no two live segments share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentId {
    /// Path of the object below the bucket's prefix.
    pub object: Arc<str>,
    /// First byte of the segment inside the object.
    pub offset: u64,
}

/// One segment: where its bytes are and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// Whose rows these are.
    pub tenant: TenantId,
    /// Logs or metrics.
    pub signal: Signal,
    /// Object and offset.
    pub id: SegmentId,
    /// Bytes of the segment, pages to footer.
    pub len: u64,
    /// Bytes at its end that a reader fetches to open it: the footer, directories, and what else fits.
    pub tail_len: u64,
    /// Bounds of its rows, half open.
    pub range: TimeRange,
    /// Samples or log entries.
    pub rows: u64,
    /// Series.
    pub series: u32,
    /// Bytes of the rows before encoding: 16 a sample; lines and metadata of logs.
    pub raw_bytes: u64,
    /// The length of windows its rows were compacted for: 0 from a flush, then 1, 2, 3 for 2 hours, a day, 30 days.
    pub level: u8,
}

/// A finished segment in memory, not yet placed in an object.
#[derive(Clone, Debug)]
pub struct SegmentBytes {
    /// The bytes, to be appended to an object behind those that the writer was drained of.
    pub bytes: Vec<u8>,
    /// Everything but the place.
    pub meta: UnplacedMeta,
}

/// A [`SegmentMeta`] without object and offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnplacedMeta {
    /// See [`SegmentMeta::tenant`].
    pub tenant: TenantId,
    /// See [`SegmentMeta::signal`].
    pub signal: Signal,
    /// See [`SegmentMeta::len`].
    pub len: u64,
    /// See [`SegmentMeta::tail_len`].
    pub tail_len: u64,
    /// See [`SegmentMeta::range`].
    pub range: TimeRange,
    /// See [`SegmentMeta::rows`].
    pub rows: u64,
    /// See [`SegmentMeta::series`].
    pub series: u32,
    /// See [`SegmentMeta::raw_bytes`].
    pub raw_bytes: u64,
    /// See [`SegmentMeta::level`].
    pub level: u8,
}

impl UnplacedMeta {
    /// The segment at `offset` of `object`.
    pub fn at(self, object: Arc<str>, offset: u64) -> SegmentMeta {
        SegmentMeta {
            tenant: self.tenant,
            signal: self.signal,
            id: SegmentId { object, offset },
            len: self.len,
            tail_len: self.tail_len,
            range: self.range,
            rows: self.rows,
            series: self.series,
            raw_bytes: self.raw_bytes,
            level: self.level,
        }
    }
}

impl SegmentMeta {
    /// Where the segment is, for messages.
    pub(crate) fn place(&self) -> String {
        format!("segment {} at offset {}", self.id.object, self.id.offset)
    }
}
