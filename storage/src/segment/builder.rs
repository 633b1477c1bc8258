//! What both writers share: pages gathered into bytes, then the tail put behind them.

use std::cmp::Ordering;

use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

use super::directory::{Chunk, ColumnEntry, ColumnId, PageEntry, PageStats, encode_chunks, encode_directory};
use super::footer::{Footer, Section, SectionId};
use super::label_index;
use super::meta::{SegmentBytes, UnplacedMeta};
use super::sample_chunks::{ChunkListBuilder, NewChunk};
use super::series_groups::{GroupEntry, encode_groups, group_of};
use super::series_table::{GROUP_SERIES, SeriesTableBuilder};
use super::side::Blob;
use super::time_columns::{TimeGroupEntry, TimeRef, encode_time_directory};
use super::time_writer::TimeWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SeriesKey, Signal, TenantId, TimeRange};

/// A reader opens a segment by one read of so many bytes at its end: all of a small segment but its pages. Of a large one
/// the rest is read when it is asked for.
const MAX_TAIL_BYTES: u64 = 1 << 20;
/// Time columns wait for the end of the segment, where they are read with the tail, as long as they are no more than this.
const MAX_HELD_TIME_BYTES: usize = 4 << 20;

/// One encoded column of a page, with the id of its codec.
pub(super) type EncodedColumn = (ColumnId, u8, Vec<u8>);

#[derive(Debug)]
pub(super) struct SegmentBuilder {
    tenant: TenantId,
    signal: Signal,
    level: u8,
    out: Vec<u8>,
    /// Bytes already drained.
    drained: u64,
    pages: Vec<PageEntry>,
    /// Of logs, by page.
    chunks: Vec<Chunk>,
    /// Of samples, by series group: those of groups that are complete, and the one that grows.
    lists: Vec<Vec<u8>>,
    open_list: Option<ChunkListBuilder>,
    times: TimeWriter,
    time_groups: Vec<TimeGroupEntry>,
    /// Groups of time columns that are sealed but not yet written.
    held_times: Vec<(TimeGroupEntry, Vec<u8>)>,
    held_time_bytes: usize,
    table: SeriesTableBuilder,
    last_series: Option<Labels>,
    /// While streams are named: the numbers of those that have chunks.
    numbers: Option<RoaringBitmap>,
    rows: u64,
    raw_bytes: u64,
    /// Bounds of what lies outside of pages.
    range: Option<TimeRange>,
    /// [`MAX_TAIL_BYTES`], smaller in tests.
    pub max_tail_bytes: u64,
}

impl SegmentBuilder {
    pub fn new(tenant: TenantId, signal: Signal, level: u8) -> Self {
        SegmentBuilder {
            tenant,
            signal,
            level,
            out: Vec::new(),
            drained: 0,
            pages: Vec::new(),
            chunks: Vec::new(),
            lists: Vec::new(),
            open_list: None,
            times: TimeWriter::default(),
            time_groups: Vec::new(),
            held_times: Vec::new(),
            held_time_bytes: 0,
            table: SeriesTableBuilder::default(),
            last_series: None,
            numbers: None,
            rows: 0,
            raw_bytes: 0,
            range: None,
            max_tail_bytes: MAX_TAIL_BYTES,
        }
    }

    /// The ordinal of a series: the last one, or one that sorts after it.
    pub fn add_series(&mut self, labels: &Labels) -> Result<u32> {
        if let Some(last) = &self.last_series {
            match SeriesKey::compare(last, labels) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(self.table.len() - 1),
                Ordering::Greater => {
                    let message = format!("series {labels} was written after {last}, which does not sort before it");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            }
        }
        let ordinal = self.table.len();
        self.table.push(labels)?;
        self.last_series = Some(labels.clone());
        Ok(ordinal)
    }

    /// Where the first of `times` (strictly ascending, not empty) stand among the time columns, and how many they are, at
    /// least one: a chunk of samples is cut there.
    pub fn place_times(&mut self, times: &[i64]) -> Result<(TimeRef, usize)> {
        let placed = self.times.place(times)?;
        while let Some((entry, bytes)) = self.times.seal_group(false, 0) {
            self.hold_times(entry, bytes);
        }
        if self.held_time_bytes > MAX_HELD_TIME_BYTES {
            self.write_times();
        }
        Ok(placed)
    }

    fn hold_times(&mut self, entry: TimeGroupEntry, bytes: Vec<u8>) {
        self.held_time_bytes += bytes.len();
        self.held_times.push((entry, bytes));
    }

    fn write_times(&mut self) {
        self.held_time_bytes = 0;
        for (mut entry, bytes) in std::mem::take(&mut self.held_times) {
            entry.offset = self.offset();
            self.time_groups.push(entry);
            self.out.extend_from_slice(&bytes);
        }
    }

    /// Appends a page of logs: `chunks` (in row order; their page number is set here) with its encoded columns.
    pub fn add_page(&mut self, mut chunks: Vec<Chunk>, stats: PageStats, raw_bytes: u64, columns: Vec<EncodedColumn>) {
        let page = self.pages.len() as u32;
        let bounds = chunks.iter().map(|c| (c.series, c.first, c.last, c.rows));
        if self.push_page(bounds, stats, raw_bytes, columns).is_none() {
            return;
        }
        chunks.iter_mut().for_each(|chunk| chunk.page = page);
        self.chunks.append(&mut chunks);
    }

    /// Appends a page of samples: `chunks` in the order in which the page has them, with its encoded columns.
    pub fn add_sample_page(
        &mut self,
        chunks: &[NewChunk],
        stats: PageStats,
        raw_bytes: u64,
        columns: Vec<EncodedColumn>,
    ) {
        let page = self.pages.len() as u32;
        let bounds = chunks.iter().map(|c| (c.series, c.first, c.last, c.rows));
        let Some(start) = self.push_page(bounds, stats, raw_bytes, columns) else {
            return;
        };
        for (number, chunk) in (0..).zip(chunks) {
            let group = group_of(chunk.series);
            // Series come in order, so the lists of groups before this one are complete, and far smaller packed.
            while self.lists.len() < group as usize {
                self.lists.push(self.open_list.take().unwrap_or_default().finish());
            }
            let list = self.open_list.get_or_insert_default();
            list.push(chunk, group * GROUP_SERIES as u32, page, start, number);
        }
    }

    /// Appends the columns and the directory's entry of a page of chunks (series, first and last time, rows); gives the
    /// first time of the page.
    fn push_page(
        &mut self,
        chunks: impl Iterator<Item = (u32, i64, i64, u32)>,
        stats: PageStats,
        raw_bytes: u64,
        columns: Vec<EncodedColumn>,
    ) -> Option<i64> {
        let (first_series, last_series, start, end, rows) = chunks.fold(None, |all, (series, first, last, rows)| {
            let (from, to, start, end, sum) = all.unwrap_or((series, series, first, last, 0));
            Some((
                from.min(series),
                to.max(series),
                start.min(first),
                end.max(last),
                sum + rows,
            ))
        })?;
        let mut entries = Vec::with_capacity(columns.len());
        for (id, codec, bytes) in columns {
            entries.push(ColumnEntry {
                id: id as u8,
                codec,
                offset: self.offset(),
                len: bytes.len() as u32,
                checksum: xxh3_64(&bytes),
            });
            self.out.extend_from_slice(&bytes);
        }
        self.rows += u64::from(rows);
        self.raw_bytes += raw_bytes;
        self.pages.push(PageEntry {
            first_series,
            last_series,
            range: TimeRange::closed(start, end),
            rows,
            stats,
            columns: entries,
        });
        Some(start)
    }

    /// Appends bytes that are read on their own, among the pages.
    pub fn append_blob(&mut self, bytes: &[u8]) -> Blob {
        let blob = Blob {
            offset: self.offset(),
            len: bytes.len() as u32,
            checksum: xxh3_64(bytes),
        };
        self.out.extend_from_slice(bytes);
        blob
    }

    /// Counts rows that lie outside of pages.
    pub fn add_rows(&mut self, rows: u64, raw_bytes: u64, range: TimeRange) {
        self.rows += rows;
        self.raw_bytes += raw_bytes;
        self.widen(range);
    }

    /// Makes the segment's range hold `range`.
    pub fn widen(&mut self, range: TimeRange) {
        self.range = Some(self.range.map_or(range, |known| known.union(&range)));
    }

    /// Offset of the next byte written.
    fn offset(&self) -> u64 {
        self.drained + self.out.len() as u64
    }

    /// Takes the bytes written so far; those taken later continue them, and [`SegmentBuilder::finish`] gives the rest.
    pub fn drain(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.out);
        self.drained += bytes.len() as u64;
        bytes
    }

    /// As given to [`SegmentBuilder::new`].
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Heap bytes held, about. What was written and not drained is most of it; the rest grows with series, not with rows.
    pub fn size_bytes(&self) -> usize {
        let lists: usize = self.lists.iter().map(Vec::len).sum();
        let open_list = self.open_list.as_ref().map_or(0, ChunkListBuilder::size_bytes);
        let chunks = self.chunks.len() * size_of::<Chunk>() + lists + open_list;
        let columns: usize = self.pages.iter().map(|p| p.columns.len()).sum();
        let pages = self.pages.len() * size_of::<PageEntry>() + columns * size_of::<ColumnEntry>();
        self.out.len() + chunks + pages + self.times.size_bytes() + self.held_time_bytes + self.table.size_bytes()
    }

    /// Streams that pages of logs were added for by numbers of the caller's are named next.
    pub fn begin_names(&mut self) {
        self.numbers = Some(self.chunks.iter().map(|chunk| chunk.series).collect());
    }

    /// Says who the stream of this number is; numbers ascend. One that no page holds is left out.
    pub fn name_stream(&mut self, number: u32, labels: &Labels) -> Result<()> {
        if self.numbers.as_ref().is_some_and(|held| held.contains(number)) {
            self.add_series(labels)?;
        }
        Ok(())
    }

    /// Puts ordinals in the place of numbers: streams got theirs in the same order.
    fn resolve_numbers(&mut self) -> Result<()> {
        let Some(held) = self.numbers.take() else { return Ok(()) };
        if held.len() != u64::from(self.table.len()) {
            let message = format!("{} of {} streams were named", self.table.len(), held.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let ordinal = |number: u32| (held.rank(number) - 1) as u32;
        for chunk in &mut self.chunks {
            chunk.series = ordinal(chunk.series);
        }
        for page in &mut self.pages {
            page.first_series = ordinal(page.first_series);
            page.last_series = ordinal(page.last_series);
        }
        Ok(())
    }

    /// The rest of the segment, with `side` sections before the others; `None` where it has no row.
    pub fn finish(mut self, side: Vec<(SectionId, Vec<u8>)>) -> Result<Option<SegmentBytes>> {
        self.resolve_numbers()?;
        let ranges = self.pages.iter().map(|page| page.range).chain(self.range);
        let Some(range) = ranges.reduce(|a, b| a.union(&b)).filter(|_| self.rows > 0) else {
            return Ok(None);
        };
        let series = self.table.len();
        let parts_start = self.offset();
        let (index, groups) = self.write_groups()?;
        while let Some((entry, bytes)) = self.times.seal_group(true, 0) {
            self.hold_times(entry, bytes);
        }
        self.write_times();
        let starts: Vec<i64> = self.pages.iter().map(|p| p.range.start).collect();
        let is_logs = self.signal == Signal::Logs;
        let sections = [
            (SectionId::LabelIndex, index),
            (
                SectionId::TimeColumns,
                (!is_logs).then(|| encode_time_directory(&self.time_groups)),
            ),
            (SectionId::SeriesGroups, Some(encode_groups(&groups))),
            (SectionId::Chunks, is_logs.then(|| encode_chunks(&self.chunks, &starts))),
            (SectionId::PageDirectory, Some(encode_directory(&self.pages))),
        ];
        let mut footer = Footer {
            tenant: self.tenant.clone(),
            signal: self.signal,
            level: self.level,
            range,
            rows: self.rows,
            series,
            raw_bytes: self.raw_bytes,
            segment_len: 0,
            tail_len: 0,
            sections: Vec::new(),
        };
        let side = side.into_iter().map(|(id, bytes)| (id, Some(bytes)));
        for (id, bytes) in side.chain(sections) {
            let Some(bytes) = bytes else { continue };
            footer.sections.push(Section {
                id: id as u16,
                offset: self.offset(),
                len: bytes.len() as u64,
                checksum: xxh3_64(&bytes),
            });
            self.out.extend_from_slice(&bytes);
        }
        let footer_len = footer.encode().len() as u64;
        footer.segment_len = self.offset() + footer_len;
        footer.tail_len = (footer.segment_len - parts_start)
            .min(self.max_tail_bytes)
            .max(footer_len);
        self.out.extend_from_slice(&footer.encode());
        Ok(Some(SegmentBytes {
            meta: UnplacedMeta {
                tenant: self.tenant,
                signal: self.signal,
                len: footer.segment_len,
                tail_len: footer.tail_len,
                range,
                rows: self.rows,
                series,
                raw_bytes: self.raw_bytes,
                level: self.level,
            },
            bytes: self.out,
        }))
    }

    /// Writes the parts of the label index and the series groups; gives their sections.
    fn write_groups(&mut self) -> Result<(Option<Vec<u8>>, Vec<GroupEntry>)> {
        let tables = std::mem::take(&mut self.table).finish()?;
        let mut first = 0;
        let mut messages = Vec::with_capacity(tables.len());
        for (series, table) in &tables {
            messages.push((first, *series, table.as_slice()));
            first += series;
        }
        let index = label_index::build(&messages, self.offset(), &mut self.out)?;
        self.lists.extend(self.open_list.take().map(ChunkListBuilder::finish));
        let mut lists = std::mem::take(&mut self.lists).into_iter();
        let mut groups = Vec::new();
        for (first, series, table) in messages {
            let list = lists.next().unwrap_or_default();
            groups.push(GroupEntry::new(first, series, self.offset(), table, &list));
            self.out.extend_from_slice(table);
            self.out.extend_from_slice(&list);
        }
        Ok((index, groups))
    }
}
