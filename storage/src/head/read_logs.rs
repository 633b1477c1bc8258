//! Reading the log entries of a head: streams sorted by time, entries of one nanosecond in order of arrival, equal ones once.

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use hashbrown::HashMap;

use super::head::{Head, Store};
use super::log_block::LogBlock;
use super::logs::LogPiece;
use super::source::{offset, too_much};
use crate::error::Result;
use crate::model::{Labels, TimeRange};
use crate::scan::{LogColumns, LogRows, dedup};

/// A row: its time, which block, where in it.
type Found = (i64, usize, usize);

/// Collects the rows of one answer, stream by stream.
pub(super) struct LogReader {
    columns: LogColumns,
    rows: LogRows,
    lines: BinaryBuilder,
    line_bytes: usize,
    /// Code in the head → code in the answer.
    codes: HashMap<u32, u32, ahash::RandomState>,
}

impl LogReader {
    pub fn new(columns: LogColumns) -> Self {
        LogReader {
            columns,
            rows: LogRows {
                offsets: vec![0],
                timestamps: Vec::new(),
                lines: None,
                line_lengths: Vec::new(),
                metadata_sets: Vec::new(),
                metadata: Vec::new(),
                derived: Vec::new(),
            },
            lines: BinaryBuilder::new(),
            line_bytes: 0,
            codes: HashMap::default(),
        }
    }

    /// Adds the rows of one stream. Pieces whose times do not overlap, the usual case, are unpacked one after the other.
    pub fn add_stream(&mut self, head: &Head, pieces: Vec<LogPiece>, range: TimeRange) -> Result<()> {
        let mut by_start: Vec<(usize, LogPiece)> = pieces.into_iter().enumerate().collect();
        by_start.sort_by_key(|(_, piece)| piece.range().start);
        let mut run: Vec<(usize, LogPiece)> = Vec::new();
        let mut end = i64::MIN;
        for piece in by_start {
            if piece.1.range().start >= end {
                self.add_run(head, std::mem::take(&mut run), range)?;
            }
            end = end.max(piece.1.range().end);
            run.push(piece);
        }
        self.add_run(head, run, range)?;
        self.rows.offsets.push(offset(self.rows.timestamps.len())?);
        Ok(())
    }

    /// Adds the rows of pieces that overlap each other and no other piece of their stream, with the order of their arrival.
    fn add_run(&mut self, head: &Head, mut pieces: Vec<(usize, LogPiece)>, range: TimeRange) -> Result<()> {
        pieces.sort_unstable_by_key(|(arrival, _)| *arrival);
        let mut blocks = Vec::with_capacity(pieces.len());
        for (_, piece) in &mut pieces {
            blocks.push(match piece {
                LogPiece::Packed(block) => block.unpack_columns()?,
                LogPiece::Open(block) => std::mem::take(block),
            });
        }
        let mut found: Vec<Found> = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            let rows = block
                .times
                .iter()
                .enumerate()
                .filter(|(_, time)| range.contains(**time));
            found.extend(rows.map(|(row, time)| (*time, at, row)));
        }
        if !found.is_sorted_by_key(|(time, ..)| *time) {
            found.sort_by_key(|(time, ..)| *time);
        }
        let times: Vec<i64> = found.iter().map(|(time, ..)| *time).collect();
        let compared = times.windows(2).any(|w| w[0] == w[1]);
        if self.columns.lines || compared {
            for (block, (_, piece)) in blocks.iter_mut().zip(&pieces) {
                if let LogPiece::Packed(packed) = piece {
                    block.bytes = packed.unpack_lines()?;
                }
            }
        }
        let sets = self.learn_codes(head, &blocks, &found, compared);
        let duplicates = dedup::duplicate_entries(&times, |row| {
            let (_, block, at) = found[row];
            let set: &[u8] = sets.get(&blocks[block].metadata[at]).map_or(&[], |s| s.as_bytes());
            (blocks[block].line(at), set)
        });
        let mut skip = duplicates.iter().peekable();
        for (row, (time, block, at)) in found.iter().enumerate() {
            if skip.next_if(|d| **d as usize == row).is_none() {
                self.add_row(*time, &blocks[*block], *at)?;
            }
        }
        Ok(())
    }

    fn add_row(&mut self, time: i64, block: &LogBlock, at: usize) -> Result<()> {
        self.rows.timestamps.push(time);
        self.rows.line_lengths.push(block.line_len(at) as u32);
        if self.columns.lines {
            let line = block.line(at);
            // Arrow's offsets are 31 bits; slabs of a scan stay far below.
            self.line_bytes += line.len();
            if self.line_bytes > i32::MAX as usize {
                return Err(too_much());
            }
            self.lines.append_value(line);
        }
        if self.columns.metadata {
            self.rows.metadata.push(self.codes[&block.metadata[at]]);
            self.rows.derived.push(self.codes[&block.derived[at]]);
        }
        Ok(())
    }

    /// Gives codes of the answer to the head's codes in `found`; returns the sets to compare with, where any must be.
    fn learn_codes(
        &mut self,
        head: &Head,
        blocks: &[LogBlock],
        found: &[Found],
        compared: bool,
    ) -> HashMap<u32, Labels, ahash::RandomState> {
        let mut sets = HashMap::default();
        if !self.columns.metadata && !compared {
            return sets;
        }
        let guard = head.read();
        let Store::Logs(store) = &guard.store else { return sets };
        for (_, block, at) in found {
            let block = &blocks[*block];
            if compared {
                let code = block.metadata[*at];
                sets.entry(code).or_insert_with(|| store.metadata_set(code));
            }
            if self.columns.metadata {
                for code in [block.metadata[*at], block.derived[*at]] {
                    self.codes.entry(code).or_insert_with(|| {
                        self.rows.metadata_sets.push(store.metadata_set(code));
                        self.rows.metadata_sets.len() as u32 - 1
                    });
                }
            }
        }
        sets
    }

    pub fn finish(mut self) -> LogRows {
        if self.columns.lines {
            let lines: BinaryArray = self.lines.finish();
            self.rows.lines = Some(lines);
        }
        self.rows
    }
}
