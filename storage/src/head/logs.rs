//! Log entries of the streams of one head.
//!
//! A stream is a list of packed blocks and one open block. Packed blocks never change and are shared with readers, so a
//! read copies at most one open block a stream while it keeps appends out.

use std::sync::Arc;

use crate::model::{Labels, TimeRange};

use super::log_block::{LogBlock, PackScratch, PackedBlock};
use super::rows::{LogRows, MetadataTable};

/// Line bytes at which a block is packed: what a read may copy per stream under the lock, and what a grown vector wastes.
const MAX_OPEN_BLOCK_BYTES: usize = 64 << 10;
/// Rows at which a block is packed, for streams of tiny lines.
const MAX_OPEN_BLOCK_ROWS: usize = 4096;

/// Entries of every stream of a head, by series id.
#[derive(Debug, Default)]
pub(super) struct LogStore {
    streams: Vec<LogStream>,
    metadata: MetadataTable,
    scratch: PackScratch,
    /// Bytes of all open blocks.
    open_bytes: usize,
    /// Bytes of everything else.
    bytes: usize,
    pub rows: u64,
    pub line_bytes: u64,
}

/// Entries of one stream in order of arrival.
#[derive(Debug, Default)]
pub(super) struct LogStream {
    packed: Vec<Arc<PackedBlock>>,
    open: LogBlock,
    first: i64,
    last: i64,
    rows: u64,
}

/// Some rows of a stream, as a read finds them.
#[derive(Debug)]
pub(super) enum LogPiece {
    Packed(Arc<PackedBlock>),
    Open(LogBlock),
}

impl LogPiece {
    /// Bounds of the rows.
    pub fn range(&self) -> TimeRange {
        match self {
            LogPiece::Packed(block) => block.range(),
            LogPiece::Open(block) => block.range(),
        }
    }
}

impl LogStore {
    /// Adds rows; returns by how many bytes the store grew, or shrank.
    pub fn append(&mut self, rows: &LogRows) -> i64 {
        let before = self.bytes + self.open_bytes;
        if let Some(most) = rows.series.iter().max()
            && self.streams.len() <= *most as usize
        {
            let before = self.streams.capacity();
            self.streams.resize_with(*most as usize + 1, LogStream::default);
            self.bytes += (self.streams.capacity() - before) * size_of::<LogStream>();
        }
        let mut codes = Vec::with_capacity(rows.metadata_sets.len());
        for set in &rows.metadata_sets {
            let (code, bytes) = self.metadata.intern(set);
            self.bytes += bytes;
            codes.push(code);
        }
        let code = |local: u32| codes.get(local as usize).copied().unwrap_or(0);
        for row in 0..rows.times.len() {
            let stream = &mut self.streams[rows.series[row] as usize];
            let open = stream.open.size_bytes();
            if let Some(packed) = stream.make_room(rows.line(row).len(), &mut self.scratch) {
                self.bytes += packed;
            }
            let (metadata, derived) = (code(rows.metadata[row]), code(rows.derived[row]));
            stream.push(rows.times[row], rows.line(row), metadata, derived);
            self.open_bytes = self.open_bytes + stream.open.size_bytes() - open;
        }
        self.rows += rows.times.len() as u64;
        self.line_bytes += rows.bytes.len() as u64;
        (self.bytes + self.open_bytes) as i64 - before as i64
    }

    pub fn get(&self, id: u32) -> Option<&LogStream> {
        self.streams.get(id as usize).filter(|s| s.rows > 0)
    }

    pub fn metadata_set(&self, code: u32) -> Labels {
        self.metadata.get(code).cloned().unwrap_or_default()
    }
}

impl LogStream {
    /// Packs the open block where a line of `len` bytes does not fit any more; returns how many bytes that takes.
    fn make_room(&mut self, len: usize, scratch: &mut PackScratch) -> Option<usize> {
        let full = self.open.bytes.len() + len > MAX_OPEN_BLOCK_BYTES || self.open.times.len() >= MAX_OPEN_BLOCK_ROWS;
        if self.open.times.is_empty() || !full {
            return None;
        }
        let before = self.packed.capacity();
        // The next one begins small: a stream that has gone quiet shall not hold what a busy one needs.
        let block = Arc::new(std::mem::take(&mut self.open).pack(scratch));
        let bytes = block.size_bytes();
        self.packed.push(block);
        Some(bytes + (self.packed.capacity() - before) * size_of::<Arc<PackedBlock>>())
    }

    fn push(&mut self, time: i64, line: &[u8], metadata: u32, derived: u32) {
        if self.rows == 0 {
            (self.first, self.last) = (time, time);
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.rows += 1;
        self.open.push(time, line, metadata, derived);
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Consecutive ranges that hold all rows inside `range`, each of about `bytes` bytes of lines; rows of one time are never
    /// apart.
    pub fn cut(&self, range: TimeRange, bytes: u64) -> Vec<TimeRange> {
        let per_block = MAX_OPEN_BLOCK_BYTES as u64;
        let all = self.packed.iter().map(|block| block.range());
        let mut starts: Vec<i64> = all.filter(|own| own.overlaps(&range)).map(|own| own.start).collect();
        starts.sort_unstable();
        let mut cuts: Vec<i64> = starts
            .into_iter()
            .step_by((bytes / per_block).max(1) as usize)
            .collect();
        cuts.retain(|cut| *cut > range.start);
        cuts.dedup();
        let mut ranges = Vec::with_capacity(cuts.len() + 1);
        let mut from = range.start;
        for to in cuts.into_iter().chain([range.end]) {
            ranges.push(TimeRange::new(from, to));
            from = to;
        }
        ranges
    }

    /// Pieces that may have rows in `range`, in order of arrival; the open block is copied.
    pub fn pieces(&self, range: TimeRange) -> Vec<LogPiece> {
        let packed = self.packed.iter().filter(|block| block.range().overlaps(&range));
        let mut pieces: Vec<LogPiece> = packed.cloned().map(LogPiece::Packed).collect();
        if !self.open.times.is_empty() && self.open.range().overlaps(&range) {
            pieces.push(LogPiece::Open(self.open.clone()));
        }
        pieces
    }
}
