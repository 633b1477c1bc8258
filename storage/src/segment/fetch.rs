//! Ranged reads of one segment: neighbouring columns are read together, several reads run at once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use xxhash_rust::xxh3::xxh3_64;

use super::ahead::ReadAhead;
use super::bytes::{Broken, Parsed};
use super::directory::{ColumnEntry, ColumnId, PageEntry};
use super::meta::SegmentMeta;
use crate::error::{Error, Result};
use crate::memory::QueryMemory;
use crate::object::READ_ALONG_BYTES;
use crate::pieces::{CheckedBytes, Extent, Origin, PARALLEL_READS, PieceCache, coalesce, joins};
use crate::scan::{ScanContext, ScanStats};

/// Reads ranges of a segment for one query.
pub(super) struct Fetcher<'a> {
    pub origin: Origin,
    pub meta: &'a SegmentMeta,
    pub scan: &'a ScanContext,
    /// What was read before. None for readers that go through the whole segment: they would push out what is read again.
    pub pieces: Option<&'a Arc<PieceCache>>,
    /// For readers that go through the whole segment.
    pub ahead: Option<&'a ReadAhead>,
}

impl Fetcher<'_> {
    /// The bytes of each extent, few requests for all of them. They are not verified.
    pub async fn read(&self, extents: &[Extent]) -> Result<Vec<Bytes>> {
        let pieces = self.read_pieces(extents).await?;
        Ok(pieces.into_iter().map(|piece| piece.bytes).collect())
    }

    /// As [`Fetcher::read`], with what is known of each check.
    async fn read_pieces(&self, extents: &[Extent]) -> Result<Vec<CheckedBytes>> {
        if extents
            .iter()
            .any(|e| e.range.end > self.meta.len || e.range.start > e.range.end)
        {
            return Err(Broken("offset beyond the segment").at(self.place()));
        }
        if let Some(pieces) = self.pieces {
            return pieces.read(&self.origin, extents).await;
        }
        let unchecked = |bytes| CheckedBytes { bytes, is_whole: false };
        let mut out = vec![unchecked(Bytes::new()); extents.len()];
        let wanted = (0..extents.len()).filter(|i| !extents[*i].range.is_empty()).collect();
        let mut reads = futures::stream::iter(coalesce(extents, wanted, self.origin.bucket.read_along_bytes()))
            .map(|(read, served)| async move { Ok::<_, Error>((read.start, self.get(read).await?, served)) })
            .buffered(PARALLEL_READS);
        while let Some(read) = reads.next().await {
            let (start, bytes, served) = read?;
            for i in served {
                let range = &extents[i].range;
                out[i] = unchecked(bytes.slice((range.start - start) as usize..(range.end - start) as usize));
            }
        }
        Ok(out)
    }

    /// The bytes of one extent, not verified.
    pub async fn read_one(&self, extent: Extent) -> Result<Bytes> {
        let mut read = self.read(std::slice::from_ref(&extent)).await?;
        read.pop().ok_or_else(|| Broken("bounds of a part").at(self.place()))
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        match self.ahead {
            Some(ahead) => ahead.get(range, self.meta.len, |range| self.origin.get(range)).await,
            None => self.origin.get(range).await,
        }
    }

    pub fn place(&self) -> String {
        self.meta.place()
    }

    /// Counts something damaged that is left out of an answer.
    pub fn count_damage(&self) {
        ScanStats::add(&self.scan.stats.pages_corrupt, 1);
        ScanStats::add(&self.origin.counters.corrupt, 1);
    }
}

/// One read, and the pages it serves.
#[derive(Clone, Debug)]
pub(super) struct PlannedRead {
    pub range: Range<u64>,
    pub pages: Vec<u32>,
    /// The wanted columns of the pages.
    pub columns: Vec<Extent>,
}

/// The reads for `wanted` columns of `pages`, in the order of the pages.
pub(super) fn plan(all: &[PageEntry], pages: &[u32], wanted: &[ColumnId]) -> Vec<PlannedRead> {
    let mut reads: Vec<PlannedRead> = Vec::new();
    for page in pages {
        let Some(entry) = all.get(*page as usize) else { continue };
        let Some(range) = columns_range(entry, wanted) else {
            continue;
        };
        match reads.last_mut() {
            // What a store reads along is decided when it is asked: here pages are put together that are held together.
            Some(read) if joins(&read.range, &range, READ_ALONG_BYTES) => {
                read.range.end = read.range.end.max(range.end);
                read.pages.push(*page);
                read.columns.extend(columns(entry, wanted));
            }
            _ => reads.push(PlannedRead {
                range,
                pages: vec![*page],
                columns: columns(entry, wanted).collect(),
            }),
        }
    }
    reads
}

fn columns<'a>(page: &'a PageEntry, wanted: &'a [ColumnId]) -> impl Iterator<Item = Extent> + 'a {
    let columns = page.columns.iter();
    columns
        .filter(|c| wanted.iter().any(|w| *w as u8 == c.id))
        .map(|c| Extent::new(c.offset..c.offset + u64::from(c.len), c.checksum))
}

/// From the first to the last wanted column; the writer puts columns that are read together side by side.
fn columns_range(page: &PageEntry, wanted: &[ColumnId]) -> Option<Range<u64>> {
    let start = columns(page, wanted).map(|c| c.range.start).min()?;
    let end = columns(page, wanted).map(|c| c.range.end).max()?;
    Some(start..end)
}

/// What a read brought: columns by their offsets, ascending.
#[derive(Debug)]
pub(super) struct Fetched(Vec<(u64, CheckedBytes)>);

impl Fetched {
    /// A column's bytes, its codec and checksum verified.
    pub fn column(&self, page: &PageEntry, id: ColumnId, codec: u8) -> Parsed<Bytes> {
        let entry: &ColumnEntry = page.column(id).ok_or(Broken("page (a column is missing)"))?;
        let at = self.0.binary_search_by_key(&entry.offset, |(offset, _)| *offset);
        let (_, piece) = at.ok().and_then(|at| self.0.get(at)).ok_or(Broken("page bounds"))?;
        let bytes = &piece.bytes;
        if bytes.len() != entry.len as usize {
            return Err(Broken("page bounds"));
        }
        // Its extent was checked by the same number.
        if !piece.is_whole && xxh3_64(bytes) != entry.checksum {
            return Err(Broken("page (checksum)"));
        }
        if entry.codec != codec {
            return Err(Broken("page (a codec this garner does not read; run a newer one)"));
        }
        Ok(bytes.clone())
    }
}

/// Bytes held on a query's account until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: QueryMemory,
    bytes: u64,
}

impl Held {
    pub fn take(scan: &ScanContext, bytes: u64) -> Result<Held> {
        scan.memory.try_grow(bytes)?;
        Ok(Held {
            memory: scan.memory.clone(),
            bytes,
        })
    }

    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        self.memory.try_grow(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.memory.shrink(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.shrink(self.bytes);
    }
}

/// The bytes of one planned read; held on the query's account while they live.
pub(super) struct HeldRead {
    pub pages: Vec<u32>,
    pub fetched: Result<Fetched>,
    pub _held: Held,
}

/// The end of a segment, read when it was opened.
#[derive(Debug)]
pub(super) struct TailBytes {
    /// Where in the segment it begins.
    pub start: u64,
    pub bytes: Bytes,
}

impl TailBytes {
    /// These bytes, where all of them are in the tail.
    pub fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        (from <= end && end <= self.bytes.len()).then(|| self.bytes.slice(from..end))
    }
}

/// The bytes of each extent: out of the tail where they lie there whole, otherwise by reads that take neighbours together.
pub(super) async fn read_parts(fetcher: &Fetcher<'_>, tail: &TailBytes, parts: &[Extent]) -> Result<Vec<Bytes>> {
    let whole = |part: &Extent| tail.slice(&part.range).filter(|bytes| part.is_whole(bytes));
    let mut out: Vec<Option<Bytes>> = parts.iter().map(whole).collect();
    let (missing, wanted): (Vec<usize>, Vec<Extent>) = (0..parts.len())
        .filter(|i| out[*i].is_none())
        .map(|i| (i, parts[i].clone()))
        .unzip();
    for (i, bytes) in missing.into_iter().zip(fetcher.read(&wanted).await?) {
        out[i] = Some(bytes);
    }
    let missing = || Broken("bounds of a part").at(fetcher.place());
    out.into_iter().map(|bytes| bytes.ok_or_else(missing)).collect()
}

/// Performs one planned read.
pub(super) async fn fetch(fetcher: Arc<Fetcher<'_>>, read: PlannedRead) -> Result<HeldRead> {
    let held = Held::take(fetcher.scan, read.range.end - read.range.start)?;
    let fetched = fetcher.read_pieces(&read.columns).await.map(|pieces| {
        let offsets = read.columns.iter().map(|column| column.range.start);
        let mut columns: Vec<(u64, CheckedBytes)> = offsets.zip(pieces).collect();
        columns.sort_unstable_by_key(|(offset, _)| *offset);
        Fetched(columns)
    });
    Ok(HeldRead {
        pages: read.pages,
        fetched,
        _held: held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TimeRange;
    use crate::object::READ_ALONG_BYTES as MAX_GAP_BYTES;
    use crate::pieces::MAX_READ_BYTES;
    use crate::segment::directory::PageStats;

    fn page(columns: &[(ColumnId, u64, u32)]) -> PageEntry {
        PageEntry {
            first_series: 0,
            last_series: 0,
            range: TimeRange::new(0, 1),
            rows: 1,
            stats: PageStats::Logs { line_bytes: 0 },
            columns: columns
                .iter()
                .map(|(id, offset, len)| ColumnEntry {
                    id: *id as u8,
                    codec: 1,
                    offset: *offset,
                    len: *len,
                    checksum: 0,
                })
                .collect(),
        }
    }

    #[test]
    fn neighbours_are_read_together() {
        use ColumnId::{Lines, Times};
        let (gap, far) = (MAX_GAP_BYTES, 2 * MAX_GAP_BYTES);
        let pages = [
            page(&[(Times, 0, 10), (Lines, 10, 90)]),
            page(&[(Times, 100, 10), (Lines, 110, 10)]),
            page(&[(Times, 120 + gap, 10), (Lines, 130 + gap, far as u32)]),
            page(&[
                (Times, 130 + gap + far, 10),
                (Lines, 140 + gap + far, MAX_READ_BYTES as u32),
            ]),
        ];
        let check = |wanted: &[ColumnId], which: &[u32], expected: &[(Range<u64>, &[u32])]| {
            let reads = plan(&pages, which, wanted);
            let reads: Vec<(Range<u64>, &[u32])> = reads.iter().map(|r| (r.range.clone(), &r.pages[..])).collect();
            assert_eq!(reads, expected);
        };
        check(&[Times], &[0, 1], &[(0..110, &[0, 1])]);
        check(&[Times], &[1, 2], &[(100..110, &[1]), (120 + gap..130 + gap, &[2])]);
        check(&[Times, Lines], &[0, 1, 2], &[(0..130 + gap + far, &[0, 1, 2])]);
        check(
            &[Times],
            &[2, 3],
            &[(120 + gap..130 + gap, &[2]), (130 + gap + far..140 + gap + far, &[3])],
        );
        let end = 140 + gap + far + MAX_READ_BYTES;
        check(
            &[Lines],
            &[2, 3],
            &[(130 + gap..130 + gap + far, &[2]), (140 + gap + far..end, &[3])],
        );
        check(&[ColumnId::Samples], &[0, 1], &[]);
    }
}
