//! From log pages to the columns of an answer.

use std::collections::HashMap;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, BinaryArray};
use bytes::Bytes;

use super::directory::{CODEC_LOG_COLUMN, Chunk, ColumnId};
use super::pages::PageInput;
use super::read_samples::offsets;

use crate::codec::log_page::LogPage;
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
    pub fn add(&mut self, input: &PageInput<'_, Chunk>) -> Result<()> {
        let mut page = self.decode(input)?;
        if self.columns.metadata {
            self.rename_sets(input.chunks, &mut page);
        }
        for (index, chunk) in input.chunks {
            let (from, to) = (chunk.row as usize, (chunk.row + chunk.rows) as usize);
            let times = &page.timestamps[from..to];
            let start = from + times.partition_point(|t| *t < self.range.start);
            let end = from + times.partition_point(|t| *t < self.range.end);
            if start == end {
                continue;
            }
            let cut = |column: &[u32]| column.get(start..end).map(<[u32]>::to_vec).unwrap_or_default();
            let lines = page.lines.as_ref().map(|lines| lines.slice(start, end - start));
            let piece = Piece {
                index: *index,
                first: page.timestamps[start],
                times: page.timestamps[start..end].to_vec(),
                line_lengths: page.line_lengths[start..end].to_vec(),
                lines: lines.map_or_else(Vec::new, |lines| line_bytes(&lines).to_vec()),
                metadata: cut(&page.metadata),
                derived: cut(&page.derived),
            };
            self.size_bytes += (piece.times.len() * 20 + piece.lines.len()) as u64;
            self.pieces.push(piece);
        }
        Ok(())
    }

    /// The page's rows, as many as the directory says.
    fn decode(&self, input: &PageInput<'_, Chunk>) -> Result<LogRows> {
        let column = |wanted: bool, id: ColumnId| match wanted {
            true => input.fetched.column(input.entry, id, CODEC_LOG_COLUMN),
            false => Ok(Bytes::new()),
        };
        let LogColumns { lines, metadata } = self.columns;
        let parts = [
            column(true, ColumnId::Times)?,
            column(true, ColumnId::LineLengths)?,
            column(lines, ColumnId::Lines)?,
            column(metadata, ColumnId::MetadataSets)?,
            column(metadata, ColumnId::Metadata)?,
            column(metadata, ColumnId::Derived)?,
        ];
        let page = LogPage::from_parts(input.tail.chunk_rows(input.page), parts)?;
        Ok(page.decode(self.columns)?)
    }

    /// Turns the codes of wanted rows into those of the answer's sets; only these rows bring their sets along.
    fn rename_sets(&mut self, chunks: &[(u32, Chunk)], page: &mut LogRows) {
        let mut known: Vec<Option<u32>> = vec![None; page.metadata_sets.len()];
        for (_, chunk) in chunks {
            for codes in [&mut page.metadata, &mut page.derived] {
                for code in &mut codes[chunk.row as usize..(chunk.row + chunk.rows) as usize] {
                    let at = *code as usize;
                    *code = match known[at] {
                        Some(known) => known,
                        None => *known[at].insert(self.intern(&page.metadata_sets[at])),
                    };
                }
            }
        }
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

/// The bytes of all values of a slice of lines.
fn line_bytes(lines: &BinaryArray) -> &[u8] {
    let offsets = lines.value_offsets();
    let (first, last) = (offsets[0], offsets[lines.len()]);
    &lines.value_data()[first as usize..last as usize]
}
