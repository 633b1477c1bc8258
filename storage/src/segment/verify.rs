//! Checks of a stored segment that trust nothing but its own checksums: for repair, which reads everything.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use memchr::memmem;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::cache::TailCache;
use super::directory::PageEntry;
use super::footer::{Footer, MAGIC};
use super::meta::{SegmentId, SegmentMeta};
use super::parts::{GROUPS_AT_ONCE, Parts};
use super::reader::SegmentReader;
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryAccountant, QueryMemory};
use crate::model::{Signal, TimeRange};
use crate::object::Bucket;
use crate::scan::{LogColumns, ScanContext, SeriesSource};

/// Bytes at the end of a segment in which its footer fits: a tenant's name and the most sections take less than half.
const FOOTER_WINDOW_BYTES: u64 = 16 << 10;
/// Bytes of one read.
const READ_BYTES: u64 = 8 << 20;
/// Rows decoded at one time, about.
const DECODED_ROWS: u64 = 256 << 10;

/// The segment that ends at byte `end` of `object`, as its own footer tells. `Corrupt` where no footer ends there.
pub(crate) async fn segment_ending_at(bucket: &Bucket, object: &Arc<str>, end: u64) -> Result<SegmentMeta> {
    let start = end.saturating_sub(FOOTER_WINDOW_BYTES);
    let window = bucket.get_range(object, start..end).await?;
    let place = || format!("object {object}, segment that ends at {end}");
    let footer = Footer::decode(&window).map_err(|broken| broken.at(place()))?;
    let offset = end.checked_sub(footer.segment_len).ok_or_else(|| {
        let message = format!("{}: it would begin before the object", place());
        Error::new(ErrorKind::Corrupt, message)
    })?;
    Ok(footer.into_meta(SegmentId {
        object: Arc::clone(object),
        offset,
    }))
}

/// The end of the last footer before byte `end` of `object` that passes its checks, where there is any: how to go on where
/// a segment in the middle of an object is damaged.
pub(crate) async fn last_footer_before(bucket: &Bucket, object: &str, end: u64) -> Result<Option<u64>> {
    let magic_len = MAGIC.len() as u64;
    let mut to = end.saturating_sub(1);
    while to > 0 {
        let from = to.saturating_sub(READ_BYTES);
        let window = bucket.get_range(object, from..to).await?;
        for hit in memmem::rfind_iter(&window, MAGIC) {
            let found = from + hit as u64 + magic_len;
            let start = found.saturating_sub(FOOTER_WINDOW_BYTES);
            let tail = bucket.get_range(object, start..found).await?;
            if Footer::decode(&tail).is_ok_and(|footer| footer.segment_len <= found) {
                return Ok(Some(found));
            }
        }
        // The magic may lie across two windows.
        to = if from == 0 { 0 } else { from + magic_len - 1 };
    }
    Ok(None)
}

/// How thoroughly a segment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Footer and sections: what is needed to open it.
    Tail,
    /// Every checksum, of pages too.
    Checksums,
    /// Every page decoded as well.
    Rows,
}

/// What is wrong with a segment, a text for each fault; none where it is whole. An error says that the store did not answer.
pub(crate) async fn verify(
    bucket: &Bucket,
    meta: &Arc<SegmentMeta>,
    depth: Depth,
    memory: &QueryMemory,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<Vec<String>> {
    let mut checker = Checker {
        bucket,
        meta,
        memory,
        advance,
        faults: Vec::new(),
    };
    match checker.run(depth).await {
        Err(error) if error.kind() == ErrorKind::Corrupt => checker.faults.push(error.to_string()),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    Ok(checker.faults)
}

struct Checker<'a> {
    bucket: &'a Bucket,
    meta: &'a Arc<SegmentMeta>,
    memory: &'a QueryMemory,
    advance: &'a (dyn Fn(u64) + Sync),
    faults: Vec<String>,
}

impl Checker<'_> {
    async fn run(&mut self, depth: Depth) -> Result<()> {
        let end = self.meta.id.offset + self.meta.len;
        let found = segment_ending_at(self.bucket, &self.meta.id.object, end).await?;
        if found != **self.meta {
            let message = format!("the footer tells of another segment than the catalog: {found:?}");
            self.faults.push(message);
            return Ok(());
        }
        let start = end.saturating_sub(FOOTER_WINDOW_BYTES).max(self.meta.id.offset);
        let window = self.bucket.get_range(&self.meta.id.object, start..end).await?;
        let footer = Footer::decode(&window).map_err(|broken| broken.at(self.meta.place()))?;
        self.sections(&footer).await?;
        // What no section can tell: whether they fit together.
        let scan = ScanContext::passing(self.memory.clone(), Arc::default());
        let cache = Arc::new(TailCache::new(MemoryAccountant::new(u64::MAX >> 1), u64::MAX >> 1));
        let reader = SegmentReader::new(self.bucket.clone(), Arc::clone(self.meta), cache);
        let tail = reader.open_tail(&scan).await?;
        if depth >= Depth::Checksums {
            self.columns(&tail.pages).await?;
            self.parts(&reader, &tail, &scan).await?;
        }
        if depth >= Depth::Rows && self.faults.is_empty() {
            self.rows(&reader, &scan).await?;
        }
        Ok(())
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let base = self.meta.id.offset;
        let bytes = self
            .bucket
            .get_range(&self.meta.id.object, base + range.start..base + range.end)
            .await?;
        (self.advance)(bytes.len() as u64);
        Ok(bytes)
    }

    /// Every section that the footer names, known or not.
    async fn sections(&mut self, footer: &Footer) -> Result<()> {
        for section in &footer.sections {
            let mut hasher = Xxh3::new();
            let (mut at, end) = (section.offset, section.offset + section.len);
            while at < end {
                let to = end.min(at + READ_BYTES);
                hasher.update(&self.read(at..to).await?);
                at = to;
            }
            if hasher.digest() != section.checksum {
                self.faults.push(format!("section {}: checksum", section.id));
            }
        }
        Ok(())
    }

    /// Every column of every page, known or not.
    async fn columns(&mut self, pages: &[PageEntry]) -> Result<()> {
        let mut columns: Vec<(u64, u32, u64, usize, u8)> = Vec::new();
        for (number, page) in pages.iter().enumerate() {
            let own = page.columns.iter();
            columns.extend(own.map(|c| (c.offset, c.len, c.checksum, number, c.id)));
        }
        columns.sort_unstable();
        let mut rest = columns.as_slice();
        while let Some((start, ..)) = rest.first() {
            let start = *start;
            let fits = |(offset, len, ..): &&(u64, u32, u64, usize, u8)| offset + u64::from(*len) <= start + READ_BYTES;
            let count = rest.iter().take_while(fits).count().max(1);
            let (run, next) = rest.split_at(count);
            rest = next;
            let end = run.iter().map(|(offset, len, ..)| offset + u64::from(*len)).max();
            let bytes = self.read(start..end.unwrap_or(start)).await?;
            for (offset, len, checksum, page, id) in run {
                let from = (offset - start) as usize;
                let whole = bytes
                    .get(from..from + *len as usize)
                    .is_some_and(|column| xxh3_64(column) == *checksum);
                if !whole {
                    self.faults.push(format!("page {page}, column {id}: checksum"));
                }
            }
        }
        Ok(())
    }

    /// What the tail names beside sections and pages: series groups, time columns and the label index.
    async fn parts(&mut self, reader: &SegmentReader, tail: &OpenTail, scan: &ScanContext) -> Result<()> {
        let nothing_kept = TailCache::new(MemoryAccountant::new(0), 0);
        let fetcher = reader.fetcher(scan);
        let parts = Parts {
            fetcher: &fetcher,
            tail,
            cache: &nothing_kept,
        };
        let count = |len: usize| (0..len as u32).collect::<Vec<u32>>();
        let corrupt = || scan.stats.pages_corrupt.load(Ordering::Relaxed);
        let before = corrupt();
        for some in count(tail.groups.len()).chunks(GROUPS_AT_ONCE) {
            parts.groups(&some.iter().copied().collect()).await?;
        }
        let groups = corrupt();
        if groups > before {
            self.faults
                .push(format!("{} series groups cannot be read", groups - before));
        }
        for some in count(tail.time_groups.len()).chunks(GROUPS_AT_ONCE) {
            let some = some.iter().copied().collect();
            parts.time_heads(&some).await?;
            parts.time_codes(&some).await?;
        }
        if corrupt() > groups {
            let lost = corrupt() - groups;
            self.faults
                .push(format!("{lost} groups of time columns cannot be read"));
        }
        if let Some(labels) = &tail.index {
            let damaged = parts.damaged_pieces(labels).await?;
            if damaged > 0 {
                self.faults
                    .push(format!("{damaged} pieces of the label index: checksum"));
            }
        }
        for blob in tail.side.blobs(&fetcher, &tail.bytes).await? {
            match blob.fetch(&fetcher).await {
                Ok(bytes) => (self.advance)(bytes.len() as u64),
                Err(error) if error.kind() == ErrorKind::Corrupt => self.faults.push(format!(
                    "blob of histograms, start times or exemplars at {}: checksum",
                    blob.offset
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Every row, as reads decode it.
    async fn rows(&mut self, reader: &SegmentReader, scan: &ScanContext) -> Result<()> {
        const ALL_COLUMNS: LogColumns = LogColumns {
            lines: true,
            metadata: true,
        };
        let mut rows = 0;
        let rows_each = self.meta.rows / u64::from(self.meta.series.max(1));
        let series = (DECODED_ROWS / rows_each.max(1)).max(1) as usize;
        let ordinals: Vec<u32> = (0..self.meta.series).collect();
        for some in ordinals.chunks(series) {
            rows += match self.meta.signal {
                Signal::Metrics => reader.read_samples(some, TimeRange::ALL, scan).await?.timestamps.len(),
                Signal::Logs => reader
                    .read_logs(some, TimeRange::ALL, &ALL_COLUMNS.into(), scan)
                    .await?
                    .len(),
            };
        }
        reader.exemplars(&[], TimeRange::ALL, scan).await?;
        reader.metric_metadata(scan).await?;
        let corrupt = scan.stats.pages_corrupt.load(Ordering::Relaxed);
        if corrupt > 0 {
            self.faults
                .push(format!("{corrupt} pages pass their checksums but cannot be decoded"));
        } else if rows as u64 != self.meta.rows {
            self.faults
                .push(format!("{rows} rows can be read, {} should be there", self.meta.rows));
        }
        Ok(())
    }
}
