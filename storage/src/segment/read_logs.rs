//! From log pages to the columns of an answer.

use std::collections::HashMap;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;

use super::bytes::{Broken, Parsed};
use super::directory::{ColumnId, PageStats};
use super::page;
use super::read_samples::offsets;
use super::reader::PageInput;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, TimeRange};
use crate::scan::{LogColumns, LogRows};

/// The columns a read needs.
pub(super) fn wanted(columns: LogColumns) -> &'static [ColumnId] {
    use ColumnId::{Derived, LineLengths, Lines, Metadata, MetadataSets, Times};
    match (columns.lines, columns.metadata) {
        (false, false) => &[Times, LineLengths],
        (false, true) => &[Times, LineLengths, MetadataSets, Metadata, Derived],
        (true, false) => &[Times, LineLengths, Lines],
        (true, true) => &[Times, LineLengths, MetadataSets, Metadata, Derived, Lines],
    }
}

/// Rows of one chunk, cut out of their page.
struct Piece {
    /// Position of the stream among those asked for.
    index: u32,
    first: i64,
    times: Vec<i64>,
    line_lengths: Vec<u32>,
    lines: Vec<u8>,
    metadata: Vec<u32>,
    derived: Vec<u32>,
}

/// Gathers log rows page by page; puts them in the order of streams and times at the end.
pub(super) struct LogAssembler {
    range: TimeRange,
    columns: LogColumns,
    streams: usize,
    pieces: Vec<Piece>,
    sets: Vec<Labels>,
    codes: HashMap<Labels, u32>,
    size_bytes: u64,
}

impl LogAssembler {
    pub fn new(streams: usize, range: TimeRange, columns: LogColumns) -> Self {
        LogAssembler {
            range,
            columns,
            streams,
            pieces: Vec::new(),
            sets: Vec::new(),
            codes: HashMap::new(),
            size_bytes: 0,
        }
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Appends what is wanted of a page, or nothing of it.
    pub fn add(&mut self, input: &PageInput<'_>) -> Parsed<()> {
        let rows = input.entry.rows;
        let chunk_rows = input.tail.chunk_rows(input.page);
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::Times)?;
        let times = page::decode_times(codec, bytes, chunk_rows, rows)?;
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::LineLengths)?;
        let lengths = page::decode_numbers(codec, bytes, rows)?;
        let (lines, line_starts) = self.decode_lines(input, &lengths)?;
        let (metadata, derived) = self.decode_metadata(input)?;
        for (_, chunk) in input.chunks {
            let own = &times[chunk.row as usize..(chunk.row + chunk.rows) as usize];
            if !own.is_sorted() || own.first() != Some(&chunk.first) || own.last() != Some(&chunk.last) {
                return Err(Broken("time column"));
            }
        }
        for (index, chunk) in input.chunks {
            let (from, to) = (chunk.row as usize, (chunk.row + chunk.rows) as usize);
            let start = from + times[from..to].partition_point(|t| *t < self.range.start);
            let end = from + times[from..to].partition_point(|t| *t < self.range.end);
            if start == end {
                continue;
            }
            let cut = |column: &[u32]| column.get(start..end).map(<[u32]>::to_vec).unwrap_or_default();
            let piece = Piece {
                index: *index,
                first: times[start],
                times: times[start..end].to_vec(),
                line_lengths: lengths[start..end].to_vec(),
                lines: match self.columns.lines {
                    true => lines[line_starts[start]..line_starts[end]].to_vec(),
                    false => Vec::new(),
                },
                metadata: cut(&metadata),
                derived: cut(&derived),
            };
            self.size_bytes += (piece.times.len() * 20 + piece.lines.len()) as u64;
            self.pieces.push(piece);
        }
        Ok(())
    }

    /// The page's lines and where each starts; both empty where lines are not wanted.
    fn decode_lines(&self, input: &PageInput<'_>, lengths: &[u32]) -> Parsed<(Vec<u8>, Vec<usize>)> {
        let PageStats::Logs { line_bytes } = input.entry.stats else {
            return Err(Broken("page directory (not a log page)"));
        };
        let total: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
        if total != line_bytes {
            return Err(Broken("line lengths"));
        }
        if !self.columns.lines {
            return Ok((Vec::new(), Vec::new()));
        }
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::Lines)?;
        let lines = page::decode_lines(codec, bytes, line_bytes)?;
        let mut starts = Vec::with_capacity(lengths.len() + 1);
        let mut at = 0;
        starts.push(0);
        for length in lengths {
            at += *length as usize;
            starts.push(at);
        }
        Ok((lines, starts))
    }

    /// Codes of both metadata columns, in terms of the answer's sets; empty where metadata is not wanted.
    fn decode_metadata(&mut self, input: &PageInput<'_>) -> Parsed<(Vec<u32>, Vec<u32>)> {
        if !self.columns.metadata {
            return Ok((Vec::new(), Vec::new()));
        }
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::MetadataSets)?;
        let sets = page::decode_sets(codec, bytes)?;
        let mut known: Vec<Option<u32>> = vec![None; sets.len()];
        let mut columns = [Vec::new(), Vec::new()];
        for (out, id) in columns.iter_mut().zip([ColumnId::Metadata, ColumnId::Derived]) {
            let (codec, bytes) = input.fetched.column(input.entry, id)?;
            *out = page::decode_numbers(codec, bytes, input.entry.rows)?;
            if out.iter().any(|code| *code as usize >= sets.len()) {
                return Err(Broken("metadata codes"));
            }
        }
        // Only rows that are wanted bring their sets into the answer.
        for (_, chunk) in input.chunks {
            for out in &mut columns {
                for code in &mut out[chunk.row as usize..(chunk.row + chunk.rows) as usize] {
                    let at = *code as usize;
                    *code = match known[at] {
                        Some(known) => known,
                        None => *known[at].insert(self.intern(&sets[at])),
                    };
                }
            }
        }
        let [metadata, derived] = columns;
        Ok((metadata, derived))
    }

    fn intern(&mut self, set: &Labels) -> u32 {
        if let Some(code) = self.codes.get(set) {
            return *code;
        }
        let code = self.sets.len() as u32;
        self.size_bytes += set.size_bytes() as u64 + 64;
        self.sets.push(set.clone());
        self.codes.insert(set.clone(), code);
        code
    }

    pub fn finish(mut self) -> Result<LogRows> {
        // Stable: rows of one nanosecond in two pages stay in page order, which is the order of their arrival.
        self.pieces.sort_by_key(|p| (p.index, p.first));
        let rows: usize = self.pieces.iter().map(|p| p.times.len()).sum();
        let line_bytes: usize = self.pieces.iter().map(|p| p.lines.len()).sum();
        if i32::try_from(line_bytes).is_err() {
            let message = "more than 2 GiB of lines in one read; narrow the time range";
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut counts = vec![0u32; self.streams];
        let mut out = LogRows {
            offsets: Vec::new(),
            timestamps: Vec::with_capacity(rows),
            lines: None,
            line_lengths: Vec::with_capacity(rows),
            metadata_sets: self.sets,
            metadata: Vec::new(),
            derived: Vec::new(),
        };
        let mut lines = BinaryBuilder::with_capacity(rows, line_bytes);
        for piece in &self.pieces {
            counts[piece.index as usize] += piece.times.len() as u32;
            out.timestamps.extend_from_slice(&piece.times);
            out.line_lengths.extend_from_slice(&piece.line_lengths);
            out.metadata.extend_from_slice(&piece.metadata);
            out.derived.extend_from_slice(&piece.derived);
            if self.columns.lines {
                let mut at = 0;
                for length in &piece.line_lengths {
                    let end = at + *length as usize;
                    lines.append_value(&piece.lines[at..end]);
                    at = end;
                }
            }
        }
        out.offsets = offsets(&counts)?;
        out.lines = self.columns.lines.then(|| -> BinaryArray { lines.finish() });
        Ok(out)
    }
}
