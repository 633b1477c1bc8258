//! Ranged reads of one segment: neighbouring columns are read together, several reads run at once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use xxhash_rust::xxh3::xxh3_64;

use super::ahead::ReadAhead;
use super::bytes::{Broken, Parsed};
use super::cache::ReadCounters;
use super::directory::{ColumnEntry, ColumnId, PageEntry};
use super::meta::SegmentMeta;
use crate::error::Result;
use crate::memory::QueryMemory;
use crate::object::Bucket;
use crate::scan::{ScanContext, ScanStats};

/// Bytes between two wanted columns that are read along rather than asked for apart: about what a round trip costs.
const MAX_GAP_BYTES: u64 = 256 << 10;
/// Bytes of one read; a single larger page is still one read.
const MAX_READ_BYTES: u64 = 8 << 20;
/// Reads under way at one time for one call.
pub(super) const PARALLEL_READS: usize = 4;

/// Reads ranges of a segment for one query.
pub(super) struct Fetcher<'a> {
    pub bucket: &'a Bucket,
    pub meta: &'a SegmentMeta,
    pub scan: &'a ScanContext,
    pub counters: &'a ReadCounters,
    /// For readers that go through the whole segment.
    pub ahead: Option<&'a ReadAhead>,
}

impl Fetcher<'_> {
    /// Exactly these bytes, counted from the segment's first.
    pub async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        if range.end > self.meta.len {
            return Err(Broken("offset beyond the segment").at(self.place()));
        }
        match self.ahead {
            Some(ahead) => ahead.get(range, self.meta.len, |range| self.read(range)).await,
            None => self.read(range).await,
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let base = self.meta.id.offset;
        let bytes = self
            .bucket
            .get_range(&self.meta.id.object, base + range.start..base + range.end)
            .await?;
        for (counter, amount) in [
            (&self.scan.stats.object_requests, 1),
            (&self.scan.stats.object_bytes, bytes.len() as u64),
            (&self.counters.requests, 1),
            (&self.counters.bytes, bytes.len() as u64),
        ] {
            ScanStats::add(counter, amount);
        }
        Ok(bytes)
    }

    pub fn place(&self) -> String {
        self.meta.place()
    }

    /// Counts something damaged that is left out of an answer.
    pub fn count_damage(&self) {
        ScanStats::add(&self.scan.stats.pages_corrupt, 1);
        ScanStats::add(&self.counters.corrupt, 1);
    }
}

/// One read, and the pages it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedRead {
    pub range: Range<u64>,
    pub pages: Vec<u32>,
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
            Some(read) if joins(&read.range, &range) => {
                read.range.end = read.range.end.max(range.end);
                read.pages.push(*page);
            }
            _ => reads.push(PlannedRead {
                range,
                pages: vec![*page],
            }),
        }
    }
    reads
}

fn joins(read: &Range<u64>, next: &Range<u64>) -> bool {
    next.start >= read.start
        && next.start.saturating_sub(read.end) <= MAX_GAP_BYTES
        && next.end - read.start <= MAX_READ_BYTES
}

/// From the first to the last wanted column; the writer puts columns that are read together side by side.
fn columns_range(page: &PageEntry, wanted: &[ColumnId]) -> Option<Range<u64>> {
    let columns = || page.columns.iter().filter(|c| wanted.iter().any(|w| *w as u8 == c.id));
    let start = columns().map(|c| c.offset).min()?;
    let end = columns().map(|c| c.offset + u64::from(c.len)).max()?;
    Some(start..end)
}

/// What a read brought: bytes of the segment from `start` on.
#[derive(Debug)]
pub(super) struct Fetched {
    pub start: u64,
    pub bytes: Bytes,
}

impl Fetched {
    /// A column's bytes, its codec and checksum verified.
    pub fn column(&self, page: &PageEntry, id: ColumnId, codec: u8) -> Parsed<Bytes> {
        let entry: &ColumnEntry = page.column(id).ok_or(Broken("page (a column is missing)"))?;
        let from = entry.offset.checked_sub(self.start).ok_or(Broken("page bounds"))? as usize;
        let end = from.checked_add(entry.len as usize).ok_or(Broken("page bounds"))?;
        if end > self.bytes.len() {
            return Err(Broken("page bounds"));
        }
        let bytes = self.bytes.slice(from..end);
        if xxh3_64(&bytes) != entry.checksum {
            return Err(Broken("page (checksum)"));
        }
        if entry.codec != codec {
            return Err(Broken("page (a codec this garner does not read; run a newer one)"));
        }
        Ok(bytes)
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

/// The bytes of each range: out of the tail where they lie there, otherwise by reads that take neighbours together.
pub(super) async fn read_ranges(fetcher: &Fetcher<'_>, tail: &TailBytes, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let mut out: Vec<Option<Bytes>> = ranges.iter().map(|range| tail.slice(range)).collect();
    let mut wanted: Vec<usize> = (0..ranges.len()).filter(|i| out[*i].is_none()).collect();
    wanted.sort_by_key(|i| ranges[*i].start);
    let mut reads: Vec<(Range<u64>, Vec<usize>)> = Vec::new();
    for i in wanted {
        match reads.last_mut() {
            Some((read, parts)) if joins(read, &ranges[i]) => {
                read.end = read.end.max(ranges[i].end);
                parts.push(i);
            }
            _ => reads.push((ranges[i].clone(), vec![i])),
        }
    }
    let mut fetches = futures::stream::iter(reads)
        .map(|(read, parts)| async move { fetcher.get(read.clone()).await.map(|bytes| (read.start, bytes, parts)) })
        .buffered(PARALLEL_READS);
    while let Some(fetched) = fetches.next().await {
        let (start, bytes, parts) = fetched?;
        for i in parts {
            let read = TailBytes {
                start,
                bytes: bytes.clone(),
            };
            out[i] = read.slice(&ranges[i]);
        }
    }
    let missing = || Broken("bounds of a part").at(fetcher.place());
    out.into_iter().map(|bytes| bytes.ok_or_else(missing)).collect()
}

/// Performs one planned read.
pub(super) async fn fetch(fetcher: Arc<Fetcher<'_>>, read: PlannedRead) -> Result<HeldRead> {
    let held = Held::take(fetcher.scan, read.range.end - read.range.start)?;
    let start = read.range.start;
    let fetched = fetcher.get(read.range).await.map(|bytes| Fetched { start, bytes });
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
            let expected: Vec<PlannedRead> = expected
                .iter()
                .map(|(range, pages)| PlannedRead {
                    range: range.clone(),
                    pages: pages.to_vec(),
                })
                .collect();
            assert_eq!(plan(&pages, which, wanted), expected);
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
