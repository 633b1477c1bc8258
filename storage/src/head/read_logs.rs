//! Reading the log entries of a head: streams sorted by time, entries of one nanosecond in order of arrival, equal ones once.

use hashbrown::HashMap;

use super::head::{Head, Store};
use super::log_block::LogBlock;
use super::logs::LogPiece;
use crate::error::Result;
use crate::model::{Labels, TimeRange};
use crate::scan::{LineSlice, LogRead, LogRows, LogSink, ScanStats, dedup};

/// A row: its time, which block, where in it.
type Found = (i64, u32, u32);

/// Collects the rows of one answer, stream by stream.
pub(super) struct LogReader<'a> {
    read: &'a LogRead,
    stats: &'a ScanStats,
    out: LogSink,
    /// Code in the head → code in the answer.
    codes: HashMap<u32, u32, ahash::RandomState>,
    /// What passed the filter in one block.
    selected: Vec<u32>,
    line_offsets: Vec<i32>,
}

impl<'a> LogReader<'a> {
    pub fn new(read: &'a LogRead, stats: &'a ScanStats) -> Self {
        LogReader {
            read,
            stats,
            out: LogSink::new(read.columns),
            codes: HashMap::default(),
            selected: Vec::new(),
            line_offsets: Vec::new(),
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
        self.out.end_stream()
    }

    /// Adds the rows of pieces that overlap each other and no other piece of their stream, with the order of their arrival.
    fn add_run(&mut self, head: &Head, mut pieces: Vec<(usize, LogPiece)>, range: TimeRange) -> Result<()> {
        pieces.sort_unstable_by_key(|(arrival, _)| *arrival);
        let mut blocks = Vec::with_capacity(pieces.len());
        let mut found: Vec<Found> = Vec::new();
        for (_, piece) in &mut pieces {
            let mut block = match piece {
                LogPiece::Packed(block) => block.unpack_columns()?,
                LogPiece::Open(block) => std::mem::take(block),
            };
            if self.read.filter.is_some()
                && let LogPiece::Packed(packed) = piece
            {
                block.bytes = packed.unpack_lines()?;
            }
            self.find(&block, blocks.len() as u32, range, &mut found);
            blocks.push(block);
        }
        if found.is_empty() {
            return Ok(());
        }
        if !found.is_sorted_by_key(|(time, ..)| *time) {
            found.sort_by_key(|(time, ..)| *time);
        }
        let compared = found.windows(2).any(|w| w[0].0 == w[1].0);
        if self.read.filter.is_none() && (self.read.columns.lines || compared) {
            for (block, (_, piece)) in blocks.iter_mut().zip(&pieces) {
                if let LogPiece::Packed(packed) = piece {
                    block.bytes = packed.unpack_lines()?;
                }
            }
        }
        let sets = self.learn_codes(head, &blocks, &found, compared);
        let duplicates = if compared {
            let times: Vec<i64> = found.iter().map(|(time, ..)| *time).collect();
            dedup::duplicate_entries(&times, |row| {
                let (_, block, at) = found[row];
                let (block, at) = (&blocks[block as usize], at as usize);
                let set: &[u8] = sets.get(&block.metadata[at]).map_or(&[], |s| s.as_bytes());
                (block.line(at), set)
            })
        } else {
            Vec::new()
        };
        let mut skip = duplicates.iter().peekable();
        // Neighbouring rows mostly carry the same sets; only a change is looked up.
        let mut last = [(u32::MAX, 0); 2];
        for (row, (time, block, at)) in found.iter().enumerate() {
            if skip.next_if(|d| **d as usize == row).is_none() {
                self.add_row(*time, &blocks[*block as usize], *at as usize, &mut last)?;
            }
        }
        Ok(())
    }

    /// Appends the rows of a block that are wanted.
    fn find(&mut self, block: &LogBlock, number: u32, range: TimeRange, found: &mut Vec<Found>) {
        let inside = |row: &u32| range.contains(block.times[*row as usize]);
        let rows = 0..block.times.len() as u32;
        let named = |row: u32| (block.times[row as usize], number, row);
        let Some(filter) = &self.read.filter else {
            found.extend(rows.filter(inside).map(named));
            return;
        };
        self.line_offsets.clear();
        self.line_offsets.push(0);
        self.line_offsets.extend(block.line_ends.iter().map(|end| *end as i32));
        let lines = LineSlice {
            data: &block.bytes,
            offsets: &self.line_offsets,
        };
        let whole = range.start <= block.range().start && block.range().end <= range.end;
        let (looked_at, bytes) = if whole {
            (block.times.len(), block.bytes.len())
        } else {
            let lengths = rows.filter(inside).map(|row| block.line_len(row as usize));
            lengths.fold((0, 0), |(rows, bytes), len| (rows + 1, bytes + len))
        };
        ScanStats::add(&self.stats.rows, looked_at as u64);
        ScanStats::add(&self.stats.bytes, bytes as u64);
        self.selected.clear();
        if filter.may_pass(&block.bytes) {
            filter.select(lines, &mut self.selected);
        }
        found.extend(self.selected.iter().copied().filter(inside).map(named));
    }

    fn add_row(&mut self, time: i64, block: &LogBlock, at: usize, last: &mut [(u32, u32); 2]) -> Result<()> {
        self.out.times([time]);
        if self.read.lengths {
            self.out.lengths([block.line_len(at) as u32]);
        }
        if self.read.columns.lines {
            self.out.line(block.line(at))?;
        }
        if self.read.columns.metadata {
            let mut code = |kind: usize, code: u32| {
                if last[kind].0 != code {
                    last[kind] = (code, self.codes[&code]);
                }
                last[kind].1
            };
            let (metadata, derived) = (code(0, block.metadata[at]), code(1, block.derived[at]));
            self.out.metadata(metadata);
            self.out.derived(derived);
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
        if !self.read.columns.metadata && !compared {
            return sets;
        }
        let guard = head.read();
        let Store::Logs(store) = &guard.store else { return sets };
        let mut last = (u32::MAX, u32::MAX);
        for (_, block, at) in found {
            let (block, at) = (&blocks[*block as usize], *at as usize);
            let both = (block.metadata[at], block.derived[at]);
            if both == last {
                continue;
            }
            last = both;
            if compared {
                sets.entry(both.0).or_insert_with(|| store.metadata_set(both.0));
            }
            if self.read.columns.metadata {
                for code in [both.0, both.1] {
                    let add = || self.out.add_set(store.metadata_set(code));
                    self.codes.entry(code).or_insert_with(add);
                }
            }
        }
        sets
    }

    pub fn finish(self) -> Result<LogRows> {
        self.out.finish()
    }
}
