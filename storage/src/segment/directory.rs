//! The page directory and the chunks: which rows lie where. See FORMAT.md, "Page directory" and "Chunks".

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_varint, put_zigzag, unpack};
use crate::model::TimeRange;

/// Most rows of a page; writers cut at a fraction of it. Bounds what a damaged directory can make a reader allocate.
pub(super) const MAX_PAGE_ROWS: u32 = 1 << 20;
/// Fewest bytes a page takes in the encoded directory.
const MIN_ENTRY_BYTES: usize = 10;

/// The columns of pages. Readers pass over ids they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ColumnId {
    Samples = 1,
    Times = 2,
    LineLengths = 3,
    MetadataSets = 4,
    Metadata = 5,
    Derived = 6,
    Lines = 7,
}

/// Codec of [`ColumnId::Samples`]: a page of `codec::metric_page`.
pub(super) const CODEC_METRIC_PAGE: u8 = 1;
/// Codec of the columns of log pages: one column of `codec::log_page`.
pub(super) const CODEC_LOG_COLUMN: u8 = 2;

/// One column of a page: contiguous bytes that can be read alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnEntry {
    pub id: u8,
    pub codec: u8,
    /// From the segment's first byte.
    pub offset: u64,
    pub len: u32,
    pub checksum: u64,
}

/// What is known of a page's rows without reading it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PageStats {
    /// Over the values that are not NaN (so without staleness markers).
    Samples {
        min: f64,
        max: f64,
        sum: f64,
        count: u64,
    },
    Logs {
        line_bytes: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PageEntry {
    pub first_series: u32,
    pub last_series: u32,
    pub range: TimeRange,
    pub rows: u32,
    pub stats: PageStats,
    pub columns: Vec<ColumnEntry>,
}

impl PageEntry {
    pub fn column(&self, id: ColumnId) -> Option<&ColumnEntry> {
        self.columns.iter().find(|c| c.id == id as u8)
    }
}

/// Rows of one series in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub series: u32,
    pub page: u32,
    /// First row in the page.
    pub row: u32,
    pub rows: u32,
    /// Times of the first and the last row.
    pub first: i64,
    pub last: i64,
}

impl Chunk {
    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }
}

pub(super) fn encode_directory(pages: &[PageEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, pages.len() as u64);
    for page in pages {
        out.push(match page.stats {
            PageStats::Samples { .. } => 1,
            PageStats::Logs { .. } => 2,
        });
        put_varint(&mut out, u64::from(page.first_series));
        put_varint(&mut out, u64::from(page.last_series - page.first_series));
        put_zigzag(&mut out, page.range.start);
        put_varint(&mut out, page.range.end.wrapping_sub(page.range.start) as u64);
        put_varint(&mut out, u64::from(page.rows));
        match page.stats {
            PageStats::Samples { min, max, sum, count } => {
                for value in [min, max, sum] {
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                }
                put_varint(&mut out, count);
            }
            PageStats::Logs { line_bytes } => put_varint(&mut out, line_bytes),
        }
        out.push(page.columns.len() as u8);
        put_varint(&mut out, page.columns.first().map_or(0, |c| c.offset));
        for column in &page.columns {
            out.push(column.id);
            out.push(column.codec);
            put_varint(&mut out, u64::from(column.len));
            out.extend_from_slice(&column.checksum.to_le_bytes());
        }
    }
    pack(&out, 1)
}

/// `pages_end` bounds where columns may lie; `series` the ordinals.
pub(super) fn decode_directory(bytes: &[u8], pages_end: u64, series: u32) -> Parsed<Vec<PageEntry>> {
    const WHAT: &str = "page directory";
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(MIN_ENTRY_BYTES)?;
    let mut pages = Vec::with_capacity(count);
    for _ in 0..count {
        pages.push(decode_page(&mut cursor, pages_end, series)?);
    }
    cursor.end()?;
    Ok(pages)
}

fn decode_page(cursor: &mut Cursor<'_>, pages_end: u64, series: u32) -> Parsed<PageEntry> {
    let broken = cursor.broken();
    let kind = cursor.u8()?;
    let first_series = cursor.varint_u32()?;
    let last_series = first_series.checked_add(cursor.varint_u32()?).ok_or(broken)?;
    let start = cursor.zigzag()?;
    let range = TimeRange::new(start, start.wrapping_add(cursor.varint()? as i64));
    let rows = cursor.varint_u32()?;
    if last_series >= series || range.is_empty() || rows == 0 || rows > MAX_PAGE_ROWS {
        return Err(broken);
    }
    let stats = match kind {
        1 => PageStats::Samples {
            min: cursor.f64()?,
            max: cursor.f64()?,
            sum: cursor.f64()?,
            count: cursor.varint()?,
        },
        2 => PageStats::Logs {
            line_bytes: cursor.varint()?,
        },
        _ => {
            return Err(Broken(
                "page directory (a kind of page this garner does not read; run a newer one)",
            ));
        }
    };
    let column_count = cursor.u8()?;
    let mut offset = cursor.varint()?;
    let mut columns = Vec::with_capacity(usize::from(column_count));
    for _ in 0..column_count {
        let (id, codec, len) = (cursor.u8()?, cursor.u8()?, cursor.varint_u32()?);
        let checksum = cursor.u64()?;
        columns.push(ColumnEntry {
            id,
            codec,
            offset,
            len,
            checksum,
        });
        offset = offset.checked_add(u64::from(len)).ok_or(broken)?;
    }
    if offset > pages_end {
        return Err(broken);
    }
    Ok(PageEntry {
        first_series,
        last_series,
        range,
        rows,
        stats,
        columns,
    })
}

/// `chunks` by page: those of page 0 in row order, then page 1 ...; `starts` are the pages' first times.
pub(super) fn encode_chunks(chunks: &[Chunk], starts: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = chunks;
    for (page, start) in starts.iter().enumerate() {
        let n = rest.iter().take_while(|c| c.page as usize == page).count();
        let (own, next) = rest.split_at(n);
        rest = next;
        put_varint(&mut out, n as u64);
        let mut series = 0;
        for chunk in own {
            put_varint(&mut out, u64::from(chunk.series - series));
            series = chunk.series;
            put_varint(&mut out, u64::from(chunk.rows));
            put_varint(&mut out, chunk.first.wrapping_sub(*start) as u64);
            put_varint(&mut out, chunk.last.wrapping_sub(chunk.first) as u64);
        }
    }
    pack(&out, 1)
}

/// The chunks of a segment, decoded.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Sorted by series and time.
    pub by_series: Vec<Chunk>,
    /// Rows of each chunk, page by page in row order.
    rows_by_page: Vec<u32>,
    /// One more than pages: where each one's chunks start in `rows_by_page`.
    page_starts: Vec<u32>,
}

impl Chunks {
    /// How many rows each chunk of a page has, in row order.
    pub fn rows_of_page(&self, page: u32) -> &[u32] {
        let at = page as usize;
        match (self.page_starts.get(at), self.page_starts.get(at + 1)) {
            (Some(start), Some(end)) => &self.rows_by_page[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.by_series.len() * size_of::<Chunk>() + (self.rows_by_page.len() + self.page_starts.len()) * 4
    }
}

/// The chunks of `pages`, checked to fill each page and stay in its bounds.
pub(super) fn decode_chunks(bytes: &[u8], pages: &[PageEntry]) -> Parsed<Chunks> {
    const WHAT: &str = "chunks";
    let broken = Broken(WHAT);
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    // A chunk takes at least four bytes, so the capacity is bounded by what was read.
    let mut chunks: Vec<Chunk> = Vec::with_capacity(raw.len() / 4);
    let mut page_starts = vec![0];
    for (number, page) in pages.iter().enumerate() {
        let count = cursor.count(4)?;
        let (mut series, mut row) = (0u32, 0u32);
        for _ in 0..count {
            series = series.checked_add(cursor.varint_u32()?).ok_or(broken)?;
            let rows = cursor.varint_u32()?;
            let first = page.range.start.wrapping_add(cursor.varint()? as i64);
            let last = first.wrapping_add(cursor.varint()? as i64);
            let inside = page.range.contains(first) && page.range.contains(last) && first <= last;
            if rows == 0 || !inside || series < page.first_series || series > page.last_series {
                return Err(broken);
            }
            chunks.push(Chunk {
                series,
                page: number as u32,
                row,
                rows,
                first,
                last,
            });
            row = row.checked_add(rows).ok_or(broken)?;
        }
        if row != page.rows {
            return Err(broken);
        }
        page_starts.push(chunks.len() as u32);
    }
    cursor.end()?;
    let rows_by_page = chunks.iter().map(|c| c.rows).collect();
    chunks.sort_by_key(|c| (c.series, c.first, c.page));
    Ok(Chunks {
        by_series: chunks,
        rows_by_page,
        page_starts,
    })
}
