//! What both writers share: pages gathered into bytes, then the tail put behind them.

use xxhash_rust::xxh3::xxh3_64;

use super::directory::{Chunk, ColumnEntry, ColumnId, PageEntry, PageStats, encode_chunks, encode_directory};
use super::footer::{Footer, Section, SectionId};
use super::label_index;
use super::meta::{SegmentBytes, UnplacedMeta};
use super::series_table::SeriesTableBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SeriesKey, Signal, TenantId, TimeRange};

/// A reader opens a segment by its tail alone where that is no longer; larger sections are read when they are asked for.
const MAX_TAIL_BYTES: u64 = 16 << 20;

/// One encoded column of a page, with the id of its codec.
pub(super) type EncodedColumn = (ColumnId, u8, Vec<u8>);

#[derive(Debug)]
pub(super) struct SegmentBuilder {
    tenant: TenantId,
    signal: Signal,
    level: u8,
    out: Vec<u8>,
    pages: Vec<PageEntry>,
    chunks: Vec<Chunk>,
    table: SeriesTableBuilder,
    series: Vec<Labels>,
    rows: u64,
    raw_bytes: u64,
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
            pages: Vec::new(),
            chunks: Vec::new(),
            table: SeriesTableBuilder::default(),
            series: Vec::new(),
            rows: 0,
            raw_bytes: 0,
            max_tail_bytes: MAX_TAIL_BYTES,
        }
    }

    /// The ordinal of the next series, which must sort after the last.
    pub fn add_series(&mut self, labels: &Labels) -> Result<u32> {
        let ascends = |last: &&Labels| SeriesKey::compare(last, labels).is_lt();
        if let Some(last) = self.series.last().filter(|last| !ascends(last)) {
            let message = format!("series {labels} was written after {last}, which does not sort before it");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let ordinal = self.table.len();
        self.table.push(labels)?;
        self.series.push(labels.clone());
        Ok(ordinal)
    }

    /// Appends a page of `chunks` (in row order; their page number is set here) with its encoded columns.
    pub fn add_page(&mut self, mut chunks: Vec<Chunk>, stats: PageStats, raw_bytes: u64, columns: Vec<EncodedColumn>) {
        let page = self.pages.len() as u32;
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
            return;
        };
        let (first_series, last_series) = (first.series, last.series);
        let start = chunks.iter().map(|c| c.first).min().unwrap_or(0);
        let end = chunks.iter().map(|c| c.last).max().unwrap_or(0);
        let rows = chunks.iter().map(|c| c.rows).sum();
        let mut entries = Vec::with_capacity(columns.len());
        for (id, codec, bytes) in columns {
            entries.push(ColumnEntry {
                id: id as u8,
                codec,
                offset: self.out.len() as u64,
                len: bytes.len() as u32,
                checksum: xxh3_64(&bytes),
            });
            self.out.extend_from_slice(&bytes);
        }
        chunks.iter_mut().for_each(|chunk| chunk.page = page);
        self.chunks.append(&mut chunks);
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
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.out.len() + self.chunks.len() * size_of::<Chunk>()
    }

    /// The segment; `None` where it has no page.
    pub fn finish(mut self) -> Result<Option<SegmentBytes>> {
        let Some(first) = self.pages.first() else {
            return Ok(None);
        };
        let range = self.pages.iter().fold(first.range, |all, page| TimeRange {
            start: all.start.min(page.range.start),
            end: all.end.max(page.range.end),
        });
        let starts: Vec<i64> = self.pages.iter().map(|p| p.range.start).collect();
        let index = label_index::build(&self.series)?;
        let table = std::mem::take(&mut self.table);
        let series = table.len();
        let sections = [
            (SectionId::LabelIndex, index),
            (SectionId::SeriesTable, Some(table.finish()?)),
            (SectionId::Chunks, Some(encode_chunks(&self.chunks, &starts))),
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
        for (id, bytes) in sections {
            let Some(bytes) = bytes else { continue };
            footer.sections.push(Section {
                id: id as u16,
                offset: self.out.len() as u64,
                len: bytes.len() as u64,
                checksum: xxh3_64(&bytes),
            });
            self.out.extend_from_slice(&bytes);
        }
        footer.segment_len = (self.out.len() + footer.encode().len()) as u64;
        footer.tail_len = tail_len(&footer, self.out.len() as u64, self.max_tail_bytes);
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
}

/// The footer and as many whole sections before it as fit.
fn tail_len(footer: &Footer, footer_offset: u64, max_bytes: u64) -> u64 {
    let mut start = footer_offset;
    for section in footer.sections.iter().rev() {
        if footer.segment_len - section.offset > max_bytes {
            break;
        }
        start = section.offset;
    }
    footer.segment_len - start
}
