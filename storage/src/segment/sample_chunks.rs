//! Which rows of a segment of metrics lie where: the chunks of one series group. See FORMAT.md, "Series groups".

use std::collections::HashMap;
use std::ops::Range;

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_slice, put_varint, put_zigzag, unpack};
use super::directory::{MAX_PAGE_ROWS, PageEntry};
use super::time_columns::{Run, TimeHead, TimeRef};
use crate::model::TimeRange;

const WHAT: &str = "chunk list";
/// The values of each chunk, in streams one after the other, so that what is alike lies side by side.
const STREAMS: usize = 6;
const SERIES: usize = 0;
const PAGES: usize = 1;
const NUMBERS: usize = 2;
const COLUMNS: usize = 3;
const RUNS: usize = 4;
const BOUNDS: usize = 5;

/// A chunk to write.
#[derive(Clone, Debug)]
pub(super) struct NewChunk {
    pub series: u32,
    pub rows: u32,
    /// Times of the first and the last row.
    pub first: i64,
    pub last: i64,
    pub times: TimeRef,
}

/// Rows of one series in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleChunk {
    pub series: u32,
    pub page: u32,
    /// Which chunk of its page it is.
    pub number: u32,
    pub rows: u32,
    pub first: i64,
    pub last: i64,
    /// The time column its times are in.
    pub column: u32,
    /// Its rows of the column as a range of the group's runs; [`WHOLE`] for all.
    runs: (u32, u32),
}

const WHOLE: (u32, u32) = (u32::MAX, u32::MAX);

impl SampleChunk {
    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }
}

/// What the streams are relative to.
#[derive(Debug, Default)]
struct Before {
    series: u32,
    page: u32,
    column: u32,
    /// The number that the next chunk of a page is expected to have.
    next_number: HashMap<u32, u32>,
}

/// The chunks of one group while they are written.
#[derive(Debug, Default)]
pub(super) struct ChunkListBuilder {
    count: u64,
    before: Before,
    streams: [Vec<u8>; STREAMS],
}

impl ChunkListBuilder {
    /// Appends the `number`-th chunk of `page`, whose first time is `page_start`. `group_first` is the ordinal of the
    /// group's first series.
    pub fn push(&mut self, chunk: &NewChunk, group_first: u32, page: u32, page_start: i64, number: u32) {
        let (streams, before) = (&mut self.streams, &mut self.before);
        let series = chunk.series - group_first;
        put_zigzag(&mut streams[SERIES], i64::from(series) - i64::from(before.series));
        put_zigzag(&mut streams[PAGES], i64::from(page) - i64::from(before.page));
        let expected = before.next_number.insert(page, number + 1).unwrap_or(0);
        put_zigzag(&mut streams[NUMBERS], i64::from(number) - i64::from(expected));
        let column = chunk.times.column;
        put_zigzag(&mut streams[COLUMNS], i64::from(column) - i64::from(before.column));
        (before.series, before.page, before.column) = (series, page, column);
        put_varint(&mut streams[RUNS], chunk.times.runs.len() as u64);
        if !chunk.times.runs.is_empty() {
            for run in &chunk.times.runs {
                put_varint(&mut streams[RUNS], u64::from(run.skip));
                put_varint(&mut streams[RUNS], u64::from(run.len));
            }
            put_varint(&mut streams[BOUNDS], chunk.first.wrapping_sub(page_start) as u64);
            put_varint(&mut streams[BOUNDS], chunk.last.wrapping_sub(chunk.first) as u64);
        }
        self.count += 1;
    }

    pub fn size_bytes(&self) -> usize {
        self.streams.iter().map(Vec::capacity).sum()
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.count);
        self.streams.iter().for_each(|stream| put_slice(&mut out, stream));
        pack(&out, 3)
    }
}

/// The chunks of a group, decoded. Those that have a whole column get their bounds by [`SampleChunks::set_bounds`].
#[derive(Debug, Default)]
pub(super) struct SampleChunks {
    first_series: u32,
    /// Sorted by series, time and page.
    chunks: Vec<SampleChunk>,
    runs: Vec<Run>,
    /// One more than series: where each one's chunks start.
    starts: Vec<u32>,
}

impl SampleChunks {
    /// The list of the group of `series`; chunks are of `pages`.
    pub fn decode(bytes: &[u8], series: Range<u32>, pages: &[PageEntry]) -> Parsed<SampleChunks> {
        let broken = Broken(WHAT);
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let mut cursor = Cursor::new(&raw, WHAT);
        let count = usize::try_from(cursor.varint()?).map_err(|_| broken)?;
        let mut streams = [Cursor::new(&[], WHAT), Cursor::new(&[], WHAT), Cursor::new(&[], WHAT)];
        for stream in &mut streams {
            *stream = Cursor::new(cursor.slice()?, WHAT);
        }
        let [mut of_series, mut of_pages, mut of_numbers] = streams;
        let mut of_columns = Cursor::new(cursor.slice()?, WHAT);
        let mut of_runs = Cursor::new(cursor.slice()?, WHAT);
        let mut of_bounds = Cursor::new(cursor.slice()?, WHAT);
        cursor.end()?;
        // Each chunk takes a byte of most streams.
        if count > raw.len() {
            return Err(broken);
        }
        let add = |to: u32, delta: i64| i64::from(to).checked_add(delta).and_then(|n| u32::try_from(n).ok());
        let mut before = Before::default();
        let mut out = SampleChunks {
            first_series: series.start,
            chunks: Vec::with_capacity(count),
            ..SampleChunks::default()
        };
        for _ in 0..count {
            before.series = add(before.series, of_series.zigzag()?).ok_or(broken)?;
            before.page = add(before.page, of_pages.zigzag()?).ok_or(broken)?;
            before.column = add(before.column, of_columns.zigzag()?).ok_or(broken)?;
            let page = pages.get(before.page as usize).ok_or(broken)?;
            let expected = before.next_number.get(&before.page).copied().unwrap_or(0);
            let number = add(expected, of_numbers.zigzag()?)
                .filter(|n| *n < page.rows)
                .ok_or(broken)?;
            before.next_number.insert(before.page, number + 1);
            let own = series.start.checked_add(before.series).ok_or(broken)?;
            if !series.contains(&own) || own < page.first_series || own > page.last_series {
                return Err(broken);
            }
            let mut chunk = SampleChunk {
                series: own,
                page: before.page,
                number,
                rows: 0,
                first: page.range.start,
                last: page.range.start,
                column: before.column,
                runs: WHOLE,
            };
            let runs = of_runs.count(2)?;
            if runs > 0 {
                let from = out.runs.len() as u32;
                for _ in 0..runs {
                    let run = Run {
                        skip: of_runs.varint_u32()?,
                        len: of_runs.varint_u32()?,
                    };
                    chunk.rows = chunk.rows.checked_add(run.len).ok_or(broken)?;
                    out.runs.push(run);
                }
                chunk.runs = (from, out.runs.len() as u32);
                chunk.first = page.range.start.wrapping_add(of_bounds.varint()? as i64);
                chunk.last = chunk.first.wrapping_add(of_bounds.varint()? as i64);
                check(&chunk, page)?;
            }
            out.chunks.push(chunk);
        }
        for stream in [of_series, of_pages, of_numbers, of_columns, of_runs, of_bounds] {
            stream.end()?;
        }
        out.starts = vec![0; series.len() + 1];
        Ok(out)
    }

    /// The columns named, some more than once.
    pub fn columns(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().map(|c| c.column)
    }

    /// Takes rows and bounds of chunks that have a whole column from its head, and puts each series' chunks in time order.
    /// Chunks without a sound head are left out; says how many.
    pub fn set_bounds<'h>(&mut self, pages: &[PageEntry], head: impl Fn(u32) -> Option<&'h TimeHead>) -> usize {
        let before = self.chunks.len();
        self.chunks.retain_mut(|chunk| {
            let Some(column) = head(chunk.column) else {
                return false;
            };
            if chunk.runs == WHOLE {
                (chunk.rows, chunk.first, chunk.last) = (column.rows, column.first, column.last);
            }
            pages
                .get(chunk.page as usize)
                .is_some_and(|page| check(chunk, page).is_ok())
        });
        self.chunks.sort_by_key(|c| (c.series, c.first, c.page));
        self.starts.fill(0);
        for chunk in &self.chunks {
            self.starts[(chunk.series - self.first_series) as usize + 1] += 1;
        }
        for at in 1..self.starts.len() {
            self.starts[at] += self.starts[at - 1];
        }
        before - self.chunks.len()
    }

    /// The chunks of a series in time order; none for an ordinal of another group.
    pub fn of(&self, ordinal: u32) -> &[SampleChunk] {
        let Some(at) = ordinal.checked_sub(self.first_series) else {
            return &[];
        };
        match (self.starts.get(at as usize), self.starts.get(at as usize + 1)) {
            (Some(start), Some(end)) => &self.chunks[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Which rows of its column a chunk has; empty for all.
    pub fn runs(&self, chunk: &SampleChunk) -> &[Run] {
        let (from, to) = (chunk.runs.0 as usize, chunk.runs.1 as usize);
        self.runs.get(from..to).unwrap_or(&[])
    }

    pub fn size_bytes(&self) -> usize {
        self.chunks.len() * size_of::<SampleChunk>() + self.runs.len() * size_of::<Run>() + self.starts.len() * 4
    }
}

fn check(chunk: &SampleChunk, page: &PageEntry) -> Parsed<()> {
    let inside = page.range.contains(chunk.first) && page.range.contains(chunk.last) && chunk.first <= chunk.last;
    if inside && chunk.rows > 0 && chunk.rows <= page.rows.min(MAX_PAGE_ROWS) {
        return Ok(());
    }
    Err(Broken(WHAT))
}
