//! From log pages to the columns of an answer: rows are picked where they lie, those that a filter refuses are never copied.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use arrow_array::BinaryArray;
use bytes::Bytes;

use super::directory::{CODEC_LOG_COLUMN, Chunk, ColumnId, PageEntry, PageStats};
use super::pages::PageInput;
use super::read_samples::offsets;
use crate::codec::log_page::{LogPage, line_offsets};
use crate::error::Result;
use crate::model::{Labels, TimeRange};
use crate::scan::{LineFilter, LineSlice, LogRead, LogRows, LogRowsBuilder, LogSink, ScanStats, SetCodes};

/// Memory for the text of pages that a thread keeps from page to page; a page beyond it is rare and pays for its own.
const KEPT_TEXT_BYTES: usize = 4 << 20;

thread_local! {
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The columns a read needs.
pub(super) fn wanted(read: &LogRead) -> &'static [ColumnId] {
    use ColumnId::{Derived, LineLengths, Lines, Metadata, MetadataSets, Times};
    match (read.looks_at_lines(), read.lengths, read.columns.metadata) {
        (false, false, false) => &[Times],
        (false, true, false) => &[Times, LineLengths],
        (false, _, true) => &[Times, LineLengths, MetadataSets, Metadata, Derived],
        (true, _, false) => &[Times, LineLengths, Lines],
        (true, _, true) => &[Times, LineLengths, MetadataSets, Metadata, Derived, Lines],
    }
}

/// Bytes that decoding a page takes, about.
pub(super) fn page_bytes(page: &PageEntry, read: &LogRead) -> u64 {
    let line_bytes = match page.stats {
        PageStats::Logs { line_bytes } if read.looks_at_lines() => line_bytes,
        _ => 0,
    };
    line_bytes + u64::from(page.rows) * 20
}

/// Rows of one chunk among the gathered ones.
struct Piece {
    /// Position of the stream among those asked for.
    index: u32,
    first: i64,
    rows: Range<usize>,
}

/// Gathers log rows page by page; puts them in the order of streams and times at the end.
pub(super) struct LogAssembler<'a> {
    range: TimeRange,
    read: &'a LogRead,
    stats: &'a ScanStats,
    streams: usize,
    pieces: Vec<Piece>,
    out: LogSink,
    codes: HashMap<Labels, u32>,
    selected: Vec<u32>,
    size_bytes: u64,
}

impl<'a> LogAssembler<'a> {
    pub fn new(streams: usize, range: TimeRange, read: &'a LogRead, stats: &'a ScanStats) -> Self {
        LogAssembler {
            range,
            read,
            stats,
            streams,
            pieces: Vec::new(),
            out: LogSink::new(read.columns),
            codes: HashMap::new(),
            selected: Vec::new(),
            size_bytes: 0,
        }
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Appends what is wanted of a page, or nothing of it.
    pub fn add(&mut self, input: &PageInput<'_, Chunk>) -> Result<()> {
        let mut page = Page {
            input,
            rows: input.tail.chunk_rows(input.page),
            times: None,
        };
        let runs = page.wanted(self.range)?;
        match &self.read.filter {
            None => self.add_runs(&mut page, &runs),
            Some(filter) => TEXT.with_borrow_mut(|memory| {
                let added = self.add_selected(&mut page, &runs, &**filter, memory);
                if memory.capacity() > KEPT_TEXT_BYTES {
                    *memory = Vec::new();
                }
                added
            }),
        }
    }

    /// All rows of these runs.
    fn add_runs(&mut self, page: &mut Page<'_>, runs: &[(u32, Range<usize>)]) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        // Everything is decoded before anything is kept: a page comes whole or not at all.
        let lengths = if self.read.lengths || self.read.columns.lines {
            page.open(ColumnId::LineLengths)?.lengths()?
        } else {
            Vec::new()
        };
        let lines = match self.read.columns.lines {
            true => Some(page.open(ColumnId::Lines)?.lines(&lengths)?),
            false => None,
        };
        let mut metadata = self.metadata(page)?;
        let times = page.times()?;
        for (index, run) in runs {
            let from = self.out.len();
            self.out.times(times[run.clone()].iter().copied());
            if self.read.lengths {
                self.out.lengths(lengths[run.clone()].iter().copied());
            }
            self.push_piece(*index, from);
        }
        // Runs that follow each other are one.
        let mut at = 0;
        while let Some((_, first)) = runs.get(at) {
            let mut run = first.clone();
            at += 1;
            while let Some((_, next)) = runs.get(at).filter(|(_, next)| next.start == run.end) {
                run.end = next.end;
                at += 1;
            }
            if let Some(lines) = &lines {
                self.size_bytes += text_len(lines, &run);
                self.out.lines(lines, run.clone())?;
            }
            if let Some(metadata) = &mut metadata {
                self.push_codes(metadata, run);
            }
        }
        Ok(())
    }

    /// Those rows of these runs whose line passes.
    fn add_selected(
        &mut self,
        page: &mut Page<'_>,
        runs: &[(u32, Range<usize>)],
        filter: &dyn LineFilter,
        memory: &mut Vec<u8>,
    ) -> Result<()> {
        let lines = page.open(ColumnId::Lines)?;
        let text = lines.text(memory)?;
        let whole = runs.iter().map(|(_, run)| run.len()).sum::<usize>() == page.row_count();
        if whole && !filter.may_pass(text) {
            ScanStats::add(&self.stats.rows, page.row_count() as u64);
            ScanStats::add(&self.stats.bytes, text.len() as u64);
            return Ok(());
        }
        let lengths = page.open(ColumnId::LineLengths)?.lengths()?;
        let line_offsets = line_offsets(&lengths, text.len())?;
        let mut selected = std::mem::take(&mut self.selected);
        selected.clear();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((_, first)) = runs.get(at) {
            let mut run = first.clone();
            at += 1;
            while let Some((_, next)) = runs.get(at).filter(|(_, next)| next.start == run.end) {
                run.end = next.end;
                at += 1;
            }
            let slice = LineSlice {
                data: text,
                offsets: &line_offsets[run.start..=run.end],
            };
            ScanStats::add(&self.stats.rows, run.len() as u64);
            ScanStats::add(&self.stats.bytes, slice.text().len() as u64);
            filter.select(slice, &mut found);
            selected.extend(found.iter().map(|row| *row + run.start as u32));
        }
        let kept = self.keep(page, runs, &selected, &lengths, (text, &line_offsets));
        self.selected = selected;
        kept
    }

    fn keep(
        &mut self,
        page: &mut Page<'_>,
        runs: &[(u32, Range<usize>)],
        selected: &[u32],
        lengths: &[u32],
        (text, line_offsets): (&[u8], &[i32]),
    ) -> Result<()> {
        if selected.is_empty() {
            return Ok(());
        }
        let mut metadata = self.metadata(page)?;
        let times = page.times()?;
        let mut rest = selected;
        for (index, run) in runs {
            let end = rest.partition_point(|row| (*row as usize) < run.end);
            let (own, more) = rest.split_at(end);
            rest = more;
            let from = self.out.len();
            self.out.times(own.iter().map(|row| times[*row as usize]));
            if self.read.lengths {
                self.out.lengths(own.iter().map(|row| lengths[*row as usize]));
            }
            self.push_piece(*index, from);
        }
        for row in selected {
            let row = *row as usize;
            if self.read.columns.lines {
                let bounds = (line_offsets[row] as usize, line_offsets[row + 1] as usize);
                self.size_bytes += (bounds.1 - bounds.0) as u64;
                self.out.line(&text[bounds.0..bounds.1])?;
            }
            if let Some(metadata) = &mut metadata {
                self.push_codes(metadata, row..row + 1);
            }
        }
        Ok(())
    }

    /// Names the rows from `from` on, where there are any.
    fn push_piece(&mut self, index: u32, from: usize) {
        let rows = from..self.out.len();
        if let Some(first) = self.out.timestamps().get(from) {
            self.size_bytes += rows.len() as u64 * 20;
            self.pieces.push(Piece {
                index,
                first: *first,
                rows,
            });
        }
    }

    /// The page's metadata, where it is asked for. Sets get their number in the answer once a wanted row has them.
    fn metadata(&self, page: &Page<'_>) -> Result<Option<Metadata>> {
        if !self.read.columns.metadata {
            return Ok(None);
        }
        let columns = [ColumnId::MetadataSets, ColumnId::Metadata, ColumnId::Derived];
        let (sets, codes) = page.open_all(&columns)?.metadata()?;
        Ok(Some(Metadata {
            numbers: vec![None; sets.len()],
            sets,
            codes,
        }))
    }

    fn push_codes(&mut self, metadata: &mut Metadata, rows: Range<usize>) {
        let Metadata { sets, codes, numbers } = metadata;
        for (kind, column) in codes.iter().enumerate() {
            for code in &column[rows.clone()] {
                let at = *code as usize;
                let number = match numbers[at] {
                    Some(number) => number,
                    None => *numbers[at].insert(self.intern(&sets[at])),
                };
                match kind {
                    0 => self.out.metadata(number),
                    _ => self.out.derived(number),
                }
            }
        }
    }

    fn intern(&mut self, set: &Labels) -> u32 {
        if let Some(code) = self.codes.get(set) {
            return *code;
        }
        let code = self.out.add_set(set.clone());
        self.size_bytes += set.size_bytes() as u64 + 64;
        self.codes.insert(set.clone(), code);
        code
    }

    pub fn finish(mut self) -> Result<LogRows> {
        let rows = self.out.finish()?;
        let mut counts = vec![0u32; self.streams];
        for piece in &self.pieces {
            counts[piece.index as usize] += piece.rows.len() as u32;
        }
        let offsets = offsets(&counts)?;
        let key = |piece: &Piece| (piece.index, piece.first);
        if self.pieces.is_sorted_by_key(key) {
            return Ok(LogRows { offsets, ..rows });
        }
        // Stable: rows of one nanosecond in two pages stay in page order, which is the order of their arrival.
        self.pieces.sort_by_key(key);
        let mut out = LogRowsBuilder::new(self.read.columns);
        let mut codes = SetCodes::default();
        for piece in self.pieces {
            out.append(&rows, piece.rows, &mut codes)?;
        }
        Ok(LogRows {
            offsets,
            ..out.finish()?
        })
    }
}

/// A page's columns, decoded when they are needed.
struct Page<'a> {
    input: &'a PageInput<'a, Chunk>,
    rows: &'a [u32],
    times: Option<Vec<i64>>,
}

impl Page<'_> {
    fn row_count(&self) -> usize {
        self.input.entry.rows as usize
    }

    fn open(&self, column: ColumnId) -> Result<LogPage> {
        self.open_all(&[column])
    }

    /// The page with these columns, as many rows as the directory says.
    fn open_all(&self, columns: &[ColumnId]) -> Result<LogPage> {
        use ColumnId::{Derived, LineLengths, Lines, Metadata, MetadataSets, Times};
        let mut parts: [Bytes; 6] = Default::default();
        let order = [Times, LineLengths, Lines, MetadataSets, Metadata, Derived];
        for (part, id) in parts.iter_mut().zip(order) {
            if columns.contains(&id) {
                *part = self.input.fetched.column(self.input.entry, id, CODEC_LOG_COLUMN)?;
            }
        }
        Ok(LogPage::from_parts(self.rows, parts)?)
    }

    fn times(&mut self) -> Result<&[i64]> {
        if self.times.is_none() {
            self.times = Some(self.open(ColumnId::Times)?.times()?);
        }
        Ok(self.times.as_deref().unwrap_or_default())
    }

    /// The rows inside `range` of each chunk that is asked for, in the order of the page. Times are looked at only where
    /// the range cuts a chunk.
    fn wanted(&mut self, range: TimeRange) -> Result<Vec<(u32, Range<usize>)>> {
        let mut runs = Vec::with_capacity(self.input.chunks.len());
        for (index, chunk) in self.input.chunks {
            let (from, to) = (chunk.row as usize, (chunk.row + chunk.rows) as usize);
            let run = if range.start <= chunk.first && chunk.last < range.end {
                from..to
            } else {
                let times = &self.times()?[from..to];
                let start = from + times.partition_point(|t| *t < range.start);
                start..from + times.partition_point(|t| *t < range.end)
            };
            if !run.is_empty() {
                runs.push((*index, run));
            }
        }
        runs.sort_unstable_by_key(|(_, run)| run.start);
        Ok(runs)
    }
}

/// Structured metadata of a page.
struct Metadata {
    sets: Vec<Labels>,
    codes: [Vec<u32>; 2],
    /// Of each set its number in the answer, once a wanted row has it.
    numbers: Vec<Option<u32>>,
}

fn text_len(lines: &BinaryArray, rows: &Range<usize>) -> u64 {
    let offsets = lines.value_offsets();
    (offsets[rows.end] - offsets[rows.start]) as u64
}
