//! Log entries of the streams of one head.
//!
//! A stream is a list of closed blocks and one open block. Closed blocks never change and are shared with readers, so a
//! read copies at most one open block a stream while it keeps appends out.

use std::sync::Arc;

use crate::model::{Labels, TimeRange};

use super::rows::{LogRows, MetadataTable};

/// Line bytes at which a block is closed: what a read may copy per stream under the lock, and what a grown vector wastes.
const MAX_OPEN_BLOCK_BYTES: usize = 128 << 10;
/// Rows at which a block is closed, for streams of tiny lines.
const MAX_OPEN_BLOCK_ROWS: usize = 4096;
/// Bytes a row takes besides its line: time, line end and two metadata codes.
const ROW_BYTES: usize = 20;

/// Entries of every stream of a head, by series id.
#[derive(Debug, Default)]
pub(super) struct LogStore {
    streams: Vec<LogStream>,
    metadata: MetadataTable,
    pub rows: u64,
    pub line_bytes: u64,
}

/// Entries of one stream in order of arrival.
#[derive(Debug, Default)]
pub(super) struct LogStream {
    closed: Vec<Arc<LogBlock>>,
    open: LogBlock,
    first: i64,
    last: i64,
    rows: u64,
}

/// Some entries of one stream in order of arrival.
#[derive(Debug, Default, Clone)]
pub(super) struct LogBlock {
    pub times: Vec<i64>,
    pub line_ends: Vec<u32>,
    pub bytes: Vec<u8>,
    pub metadata: Vec<u32>,
    pub derived: Vec<u32>,
    /// Bounds of `times`.
    first: i64,
    last: i64,
}

impl LogStore {
    /// Adds rows; returns how many bytes the store grew.
    pub fn append(&mut self, rows: &LogRows) -> usize {
        let mut grown = 0;
        if let Some(most) = rows.series.iter().max()
            && self.streams.len() <= *most as usize
        {
            let before = self.streams.capacity();
            self.streams.resize_with(*most as usize + 1, LogStream::default);
            grown += (self.streams.capacity() - before) * size_of::<LogStream>();
        }
        let codes: Vec<u32> = rows
            .metadata_sets
            .iter()
            .map(|set| {
                let (code, bytes) = self.metadata.intern(set);
                grown += bytes;
                code
            })
            .collect();
        let code = |local: u32| codes.get(local as usize).copied().unwrap_or(0);
        for row in 0..rows.times.len() {
            let stream = &mut self.streams[rows.series[row] as usize];
            let (metadata, derived) = (code(rows.metadata[row]), code(rows.derived[row]));
            grown += stream.push(rows.times[row], rows.line(row), metadata, derived);
        }
        self.rows += rows.times.len() as u64;
        self.line_bytes += rows.bytes.len() as u64;
        grown
    }

    pub fn get(&self, id: u32) -> Option<&LogStream> {
        self.streams.get(id as usize).filter(|s| s.rows > 0)
    }

    pub fn metadata_set(&self, code: u32) -> Labels {
        self.metadata.get(code).cloned().unwrap_or_default()
    }
}

impl LogStream {
    fn push(&mut self, time: i64, line: &[u8], metadata: u32, derived: u32) -> usize {
        if self.rows == 0 {
            (self.first, self.last) = (time, time);
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.rows += 1;
        let mut saved = 0;
        let full = self.open.bytes.len() + line.len() > MAX_OPEN_BLOCK_BYTES;
        if !self.open.times.is_empty() && (full || self.open.times.len() >= MAX_OPEN_BLOCK_ROWS) {
            let before = self.open.size_bytes();
            let mut block = std::mem::take(&mut self.open);
            block.shrink();
            saved = before - block.size_bytes();
            self.closed.push(Arc::new(block));
        }
        let before = self.open.size_bytes();
        self.open.push(time, line, metadata, derived);
        // Saving more than one row takes is left out of the account until the head goes: it errs on the safe side.
        (self.open.size_bytes() - before).saturating_sub(saved)
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Blocks that may have rows in `range`, in order of arrival; the open one is copied.
    pub fn blocks(&self, range: TimeRange) -> Vec<Arc<LogBlock>> {
        let mut blocks: Vec<Arc<LogBlock>> = self
            .closed
            .iter()
            .filter(|b| b.range().overlaps(&range))
            .cloned()
            .collect();
        if !self.open.times.is_empty() && self.open.range().overlaps(&range) {
            blocks.push(Arc::new(self.open.clone()));
        }
        blocks
    }
}

impl LogBlock {
    fn push(&mut self, time: i64, line: &[u8], metadata: u32, derived: u32) {
        if self.times.is_empty() {
            (self.first, self.last) = (time, time);
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.times.push(time);
        self.bytes.extend_from_slice(line);
        self.line_ends.push(self.bytes.len() as u32);
        self.metadata.push(metadata);
        self.derived.push(derived);
    }

    fn shrink(&mut self) {
        self.times.shrink_to_fit();
        self.line_ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.metadata.shrink_to_fit();
        self.derived.shrink_to_fit();
    }

    fn size_bytes(&self) -> usize {
        self.times.capacity() * ROW_BYTES + self.bytes.capacity()
    }

    fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    /// The line of row `row`.
    pub fn line(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.line_ends[row - 1] as usize };
        &self.bytes[start..self.line_ends[row] as usize]
    }
}
