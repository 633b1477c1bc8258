//! Builds a segment of log entries.
//!
//! Pages are cut by time first: rows of one hour share a page, streams in their order inside it, so that a query that
//! wants the newest rows can stop early. Each hour's page is open until it holds a megabyte; where a segment spans so many
//! hours that the pages would be slivers, the cut widens to days and then to months.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, BinaryArray};

use super::SegmentBytes;
use super::builder::SegmentBuilder;
use super::directory::{CODEC_LOG_COLUMN, Chunk, ColumnId, PageStats};
use crate::codec::compress::{COMPACTED_LEVEL, FLUSH_LEVEL};
use crate::codec::log_page::{self, LogPageInput};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, NANOS_PER_SECOND, Signal, TenantId};
use crate::scan::LogRows;

/// Lines and metadata of a full page, in bytes.
const MAX_PAGE_BYTES: usize = log_page::TARGET_PAGE_BYTES;
/// Rows of a full page.
const MAX_PAGE_ROWS: usize = log_page::TARGET_PAGE_ROWS;
/// Pages open at one time; bounds what the writer holds. One more widens the cut.
const MAX_OPEN_PAGES: usize = 32;
/// The widths by which pages are cut, in turn: an hour, a day, 32 days, everything.
const CUTS_NS: [i64; 4] = [
    3600 * NANOS_PER_SECOND,
    24 * 3600 * NANOS_PER_SECOND,
    32 * 24 * 3600 * NANOS_PER_SECOND,
    i64::MAX,
];

/// Fed stream by stream in the order of [`crate::model::SeriesKey`], gives the bytes of one segment.
///
/// Rows of more time than fits into memory come era by era instead: streams have numbers that ascend with their order
/// ([`LogSegmentWriter::push_numbered`]), [`LogSegmentWriter::end_era`] starts over with the first one and later rows, and
/// in the end [`LogSegmentWriter::name_stream`] says who they are.
#[derive(Debug)]
pub struct LogSegmentWriter {
    builder: SegmentBuilder,
    zstd_level: i32,
    /// Number of the stream pushed last in this era, where streams have numbers.
    last_number: Option<u32>,
    /// By time divided by the cut.
    open: BTreeMap<i64, OpenPage>,
    cut: usize,
}

#[derive(Debug, Default)]
struct OpenPage {
    chunks: Vec<Chunk>,
    times: Vec<i64>,
    lines: BinaryBuilder,
    sets: Vec<Labels>,
    codes: HashMap<Labels, u32>,
    metadata: Vec<u32>,
    derived: Vec<u32>,
    metadata_bytes: usize,
}

impl LogSegmentWriter {
    /// An empty segment of `tenant`; `level` as in [`super::SegmentMeta::level`]: compacted pages are compressed harder.
    pub fn new(tenant: TenantId, level: u8) -> Self {
        LogSegmentWriter {
            builder: SegmentBuilder::new(tenant, Signal::Logs, level),
            zstd_level: if level == 0 { FLUSH_LEVEL } else { COMPACTED_LEVEL },
            last_number: None,
            open: BTreeMap::new(),
            cut: 0,
        }
    }

    /// All further rows are later than those so far, in every stream.
    pub(crate) fn end_era(&mut self) -> Result<()> {
        self.seal_all()?;
        self.cut = 0;
        self.last_number = None;
        Ok(())
    }

    /// Appends a stream that sorts after the one before, or later rows of the same: rows `range` of `rows`, whose times
    /// never fall and whose lines and metadata are all there. A stream without rows is left out.
    pub fn push_series(&mut self, labels: &Labels, rows: &LogRows, range: Range<usize>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let series = self.builder.add_series(labels)?;
        self.push(series, rows, range)
    }

    /// As [`LogSegmentWriter::push_series`], of a stream whose name is told later: its number is that of the one before, or
    /// greater. All streams of a segment are pushed in one of the two ways.
    pub(crate) fn push_numbered(&mut self, number: u32, rows: &LogRows, range: Range<usize>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if self.last_number.is_some_and(|last| last > number) {
            let message = format!("log rows of stream {number} come after those of a later one");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        self.last_number = Some(number);
        self.push(number, rows, range)
    }

    /// No more rows come; those pushed by number are named next.
    pub(crate) fn begin_names(&mut self) -> Result<()> {
        self.seal_all()?;
        self.builder.begin_names();
        Ok(())
    }

    /// Says who the stream of this number is. All are named, in ascending order; those without rows are left out.
    pub(crate) fn name_stream(&mut self, number: u32, labels: &Labels) -> Result<()> {
        self.builder.name_stream(number, labels)
    }

    /// Appends rows of the stream of this ordinal or number.
    fn push(&mut self, series: u32, rows: &LogRows, range: Range<usize>) -> Result<()> {
        let internal = |reason: &str| Error::new(ErrorKind::Internal, format!("log rows of stream {series} {reason}"));
        let complete = range.end <= rows.len() && rows.metadata.len() == rows.len() && rows.derived.len() == rows.len();
        let lines = rows
            .lines
            .as_ref()
            .filter(|lines| complete && lines.len() == rows.len());
        let lines = lines.ok_or_else(|| internal("come without lines or metadata"))?;
        let times = &rows.timestamps[range.clone()];
        if !times.is_sorted() || times[times.len() - 1] == i64::MAX {
            return Err(internal("fall in time"));
        }
        let mut at = range.start;
        while at < range.end {
            // Rows up to the next cut go to one page.
            let slot = self.slot(rows.timestamps[at])?;
            let cut = CUTS_NS[self.cut];
            let run = rows.timestamps[at..range.end].partition_point(|t| t.div_euclid(cut) == slot);
            let page = self.open.entry(slot).or_default();
            let taken = page.append(series, rows, lines, at..at + run)?;
            if page.is_full()
                && let Some(page) = self.open.remove(&slot)
            {
                page.seal(&mut self.builder, self.zstd_level)?;
            }
            at += taken;
        }
        Ok(())
    }

    /// The page that a row of this time goes to; widens the cut where one more page would be too many.
    fn slot(&mut self, time: i64) -> Result<i64> {
        let slot = time.div_euclid(CUTS_NS[self.cut]);
        if self.open.contains_key(&slot) || self.open.len() < MAX_OPEN_PAGES || self.cut + 1 == CUTS_NS.len() {
            return Ok(slot);
        }
        self.cut += 1;
        self.seal_all()?;
        Ok(time.div_euclid(CUTS_NS[self.cut]))
    }

    /// Takes the bytes of the segment that are final, so that they can be sent while more streams are pushed: their place
    /// is behind those taken before, and [`LogSegmentWriter::finish`] gives the rest.
    pub fn drain(&mut self) -> Vec<u8> {
        self.builder.drain()
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.builder.size_bytes()
            + self
                .open
                .values()
                .map(|p| p.raw_bytes() + p.times.len() * 20)
                .sum::<usize>()
    }

    /// The segment, or what of it was not drained; `None` where nothing was pushed.
    pub fn finish(mut self) -> Result<Option<SegmentBytes>> {
        self.seal_all()?;
        self.builder.finish(Vec::new())
    }

    fn seal_all(&mut self) -> Result<()> {
        for page in std::mem::take(&mut self.open).into_values() {
            page.seal(&mut self.builder, self.zstd_level)?;
        }
        Ok(())
    }
}

impl OpenPage {
    fn raw_bytes(&self) -> usize {
        self.lines.values_slice().len() + self.metadata_bytes
    }

    fn is_full(&self) -> bool {
        self.raw_bytes() >= MAX_PAGE_BYTES || self.times.len() >= MAX_PAGE_ROWS
    }

    /// Takes rows from the front of `range` until it is full; gives how many, at least one.
    fn append(&mut self, series: u32, rows: &LogRows, lines: &BinaryArray, range: Range<usize>) -> Result<usize> {
        let first_row = self.times.len();
        let mut taken = 0;
        let mut last = [(u32::MAX, 0u32); 2];
        for row in range.clone() {
            if taken > 0 && self.is_full() {
                break;
            }
            let line = lines.value(row);
            self.times.push(rows.timestamps[row]);
            self.lines.append_value(line);
            let mut codes = [0; 2];
            for (kind, input) in [rows.metadata[row], rows.derived[row]].into_iter().enumerate() {
                // Neighbouring rows mostly carry the same set; only a change is looked up.
                if last[kind].0 != input {
                    last[kind] = (input, self.code(rows, input)?);
                }
                codes[kind] = last[kind].1;
                self.metadata_bytes += self.sets[codes[kind] as usize].size_bytes();
            }
            self.metadata.push(codes[0]);
            self.derived.push(codes[1]);
            taken += 1;
        }
        self.chunks.push(Chunk {
            series,
            page: 0,
            row: first_row as u32,
            rows: taken as u32,
            first: self.times[first_row],
            last: self.times[self.times.len() - 1],
        });
        Ok(taken)
    }

    fn code(&mut self, rows: &LogRows, input: u32) -> Result<u32> {
        let set = rows
            .metadata_sets
            .get(input as usize)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a log row names a metadata set that is not there"))?;
        if let Some(code) = self.codes.get(set) {
            return Ok(*code);
        }
        let code = self.sets.len() as u32;
        self.sets.push(set.clone());
        self.codes.insert(set.clone(), code);
        Ok(code)
    }

    /// Columns in the order in which queries need them, so that those that are read together are neighbours and the lines,
    /// the largest, come last.
    fn seal(mut self, builder: &mut SegmentBuilder, zstd_level: i32) -> Result<()> {
        let raw_bytes = self.raw_bytes() as u64;
        let chunk_rows: Vec<u32> = self.chunks.iter().map(|c| c.rows).collect();
        let lines = self.lines.finish();
        let input = LogPageInput {
            chunk_rows: &chunk_rows,
            timestamps: &self.times,
            lines: &lines,
            metadata_sets: &self.sets,
            metadata: &self.metadata,
            derived: &self.derived,
        };
        let [times, lengths, line_bytes, sets, metadata, derived] = log_page::encode_apart(&input, zstd_level)?;
        let columns = [
            (ColumnId::Times, times),
            (ColumnId::LineLengths, lengths),
            (ColumnId::MetadataSets, sets),
            (ColumnId::Metadata, metadata),
            (ColumnId::Derived, derived),
            (ColumnId::Lines, line_bytes),
        ];
        let columns = columns.map(|(id, bytes)| (id, CODEC_LOG_COLUMN, bytes)).into();
        let stats = PageStats::Logs {
            line_bytes: lines.value_data().len() as u64,
        };
        builder.add_page(self.chunks, stats, raw_bytes, columns);
        Ok(())
    }
}
