//! Reads one segment: a source of series for scans.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use roaring::RoaringBitmap;
use tokio::sync::Mutex;

use super::cache::TailCache;
use super::directory::{Chunk, ColumnId, PageEntry, PageStats};
use super::fetch::{self, Fetched, Fetcher, Held, PARALLEL_READS};
use super::meta::SegmentMeta;
use super::read_logs::{self, LogAssembler};
use super::read_samples::SampleAssembler;
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LabelMatcher, Signal, TimeRange};
use crate::object::Bucket;
use crate::scan::{
    COUNTED_COLUMNS, LogColumns, LogRows, RowBounds, SampleColumns, ScanContext, ScanStats, SeriesSource, SourceSeries,
    SourceVolume, Volume, VolumeGrid, count_rows,
};

/// A live segment as a source. Making one costs nothing: its tail is read at the first question, and kept in the cache.
///
/// A page that fails its checks is left out of answers, counted in [`ScanStats::pages_corrupt`] and logged; so is a whole
/// segment whose tail does. An object that is gone is an error: nothing but a defect removes what the catalog names.
pub struct SegmentReader {
    bucket: Bucket,
    meta: Arc<SegmentMeta>,
    cache: Arc<TailCache>,
    /// Held while the tail is read, so that questions that come at one time read it once.
    opening: Mutex<()>,
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentReader({})", self.meta.place())
    }
}

impl SegmentReader {
    /// A reader of the segment that `meta` names.
    pub fn new(bucket: Bucket, meta: Arc<SegmentMeta>, cache: Arc<TailCache>) -> Self {
        SegmentReader {
            bucket,
            meta,
            cache,
            opening: Mutex::new(()),
        }
    }

    /// What the catalog knows of the segment.
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }

    fn fetcher<'a>(&'a self, scan: &'a ScanContext) -> Fetcher<'a> {
        Fetcher {
            bucket: &self.bucket,
            meta: &self.meta,
            scan,
        }
    }

    /// The opened tail; `None`, counted and logged, where it is damaged.
    async fn tail(&self, scan: &ScanContext) -> Result<Option<Arc<OpenTail>>> {
        match self.open_tail(scan).await {
            Ok(tail) => Ok(Some(tail)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                ScanStats::add(&scan.stats.pages_corrupt, 1);
                tracing::warn!(%error, segment = self.meta.place(), "a damaged segment is left out of an answer");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn open_tail(&self, scan: &ScanContext) -> Result<Arc<OpenTail>> {
        if let Some(tail) = self.cache.get(&self.meta.id) {
            return Ok(tail);
        }
        let _opening = self.opening.lock().await;
        if let Some(tail) = self.cache.get(&self.meta.id) {
            return Ok(tail);
        }
        let _held = Held::take(scan, self.meta.tail_len)?;
        let tail = Arc::new(OpenTail::open(&self.fetcher(scan), &self.meta).await?);
        self.cache.insert(&self.meta.id, &tail);
        Ok(tail)
    }

    fn expect_signal(&self, signal: Signal) -> Result<()> {
        if self.meta.signal == signal {
            return Ok(());
        }
        let message = format!("{} was asked for {}", self.meta.place(), signal.as_str());
        Err(Error::new(ErrorKind::Internal, message))
    }

    /// Reads `wanted` columns of the pages that `chunks` lie in and hands each page to `take`, in page order. A page that
    /// `take` or the store finds damaged is passed over.
    async fn read_pages(
        &self,
        tail: &OpenTail,
        chunks: &PageChunks,
        wanted: &[ColumnId],
        scan: &ScanContext,
        mut take: impl FnMut(PageInput<'_>) -> Result<()>,
    ) -> Result<()> {
        let pages: Vec<u32> = chunks.runs.iter().map(|(page, _)| *page).collect();
        ScanStats::add(&scan.stats.pages_skipped, chunks.skipped);
        let fetcher = Arc::new(self.fetcher(scan));
        let reads = fetch::plan(&tail.pages, &pages, wanted);
        let mut fetches = futures::stream::iter(reads)
            .map(|read| fetch::fetch(Arc::clone(&fetcher), read))
            .buffered(PARALLEL_READS);
        let mut runs = chunks.runs.iter().peekable();
        while let Some(read) = fetches.next().await {
            let read = read?;
            for page in &read.pages {
                while runs.next_if(|(p, _)| p < page).is_some() {}
                let (Some(entry), Some((_, own))) = (tail.pages.get(*page as usize), runs.next_if(|(p, _)| p == page))
                else {
                    continue;
                };
                let taken = match &read.fetched {
                    Ok(fetched) => take(PageInput {
                        tail,
                        page: *page,
                        entry,
                        fetched,
                        chunks: own,
                    }),
                    Err(error) => Err(Error::new(error.kind(), error.to_string())),
                };
                match taken {
                    Ok(()) => ScanStats::add(&scan.stats.pages, 1),
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        ScanStats::add(&scan.stats.pages_corrupt, 1);
                        tracing::warn!(%error, segment = self.meta.place(), page, "a damaged page is left out of an answer");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// One page on its way into an answer.
pub(super) struct PageInput<'a> {
    pub tail: &'a OpenTail,
    pub page: u32,
    pub entry: &'a PageEntry,
    pub fetched: &'a Fetched,
    /// The chunks wanted, with the position of their series among those asked for.
    pub chunks: &'a [(u32, Chunk)],
}

/// The chunks of a read, by page.
struct PageChunks {
    runs: Vec<(u32, Vec<(u32, Chunk)>)>,
    /// Pages that hold series asked for, but no time of theirs.
    skipped: u64,
}

fn chunks_by_page(tail: &OpenTail, ordinals: &[u32], range: TimeRange) -> PageChunks {
    let mut wanted: Vec<(u32, Chunk)> = Vec::new();
    let mut skipped = BTreeSet::new();
    for (index, ordinal) in ordinals.iter().enumerate() {
        for chunk in tail.chunks_of(*ordinal) {
            if chunk.range().overlaps(&range) {
                wanted.push((index as u32, *chunk));
            } else {
                skipped.insert(chunk.page);
            }
        }
    }
    wanted.sort_by_key(|(index, chunk)| (chunk.page, *index));
    let mut runs: Vec<(u32, Vec<(u32, Chunk)>)> = Vec::new();
    for (index, chunk) in wanted {
        skipped.remove(&chunk.page);
        match runs.last_mut() {
            Some((page, own)) if *page == chunk.page => own.push((index, chunk)),
            _ => runs.push((chunk.page, vec![(index, chunk)])),
        }
    }
    PageChunks {
        runs,
        skipped: skipped.len() as u64,
    }
}

/// What a page holds, where its statistics tell: a page of one stream inside one cell. Pages that streams share tell only
/// the bytes of all. Metadata counts with its size in the store.
fn known_volume(tail: &OpenTail, page: u32, own: &[(u32, Chunk)], grid: &VolumeGrid) -> Option<SourceVolume> {
    let ([(index, chunk)], Some(entry)) = (own, tail.pages.get(page as usize)) else {
        return None;
    };
    let PageStats::Logs { line_bytes } = entry.stats else {
        return None;
    };
    let cell = grid.cell_around(chunk.range())?;
    let metadata_bytes: u64 = [ColumnId::MetadataSets, ColumnId::Metadata]
        .iter()
        .filter_map(|id| entry.column(*id))
        .map(|column| u64::from(column.len))
        .sum();
    (chunk.rows == entry.rows).then_some(SourceVolume {
        index: *index,
        cell,
        volume: Volume {
            rows: u64::from(chunk.rows),
            bytes: line_bytes + metadata_bytes,
        },
    })
}

/// Ordinals that pass all matchers.
fn matching(tail: &OpenTail, matchers: &[LabelMatcher]) -> RoaringBitmap {
    if let Some(index) = &tail.index {
        match index.select(matchers) {
            Ok(found) => return found,
            Err(error) => tracing::warn!(%error, "label index cannot be read; matching without it"),
        }
    }
    tail.table.select(matchers)
}

#[async_trait]
impl SeriesSource for SegmentReader {
    fn time_range(&self) -> TimeRange {
        self.meta.range
    }

    async fn select(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>> {
        if !self.meta.range.overlaps(&range) {
            return Ok(Vec::new());
        }
        ScanStats::add(&scan.stats.segments, 1);
        let Some(tail) = self.tail(scan).await? else {
            return Ok(Vec::new());
        };
        let found = matching(&tail, matchers);
        let mut out = Vec::with_capacity(found.len() as usize);
        let mut scratch = Vec::new();
        for ordinal in found {
            let chunks = tail.chunks_of(ordinal);
            let bounds = chunks.iter().map(Chunk::range).reduce(|a, b| TimeRange {
                start: a.start.min(b.start),
                end: a.end.max(b.end),
            });
            let Some(bounds) = bounds.filter(|b| b.overlaps(&range)) else {
                continue;
            };
            let labels = tail.table.labels(ordinal, &mut scratch).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: damaged labels of series {ordinal}", self.meta.place()),
                )
            })?;
            out.push(SourceSeries {
                labels,
                ordinal,
                range: bounds,
                rows: chunks.iter().map(|c| u64::from(c.rows)).sum(),
            });
        }
        Ok(out)
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, scan: &ScanContext) -> Result<SampleColumns> {
        self.expect_signal(Signal::Metrics)?;
        let mut out = SampleAssembler::new(ordinals.len(), range);
        let Some(tail) = self.tail(scan).await? else {
            return out.finish();
        };
        let chunks = chunks_by_page(&tail, ordinals, range);
        let wanted = [ColumnId::Samples];
        self.read_pages(&tail, &chunks, &wanted, scan, |page| {
            let _held = Held::take(scan, u64::from(page.entry.rows) * 16)?;
            out.add(&page)
        })
        .await?;
        out.finish()
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        columns: LogColumns,
        scan: &ScanContext,
    ) -> Result<LogRows> {
        self.expect_signal(Signal::Logs)?;
        let mut out = LogAssembler::new(ordinals.len(), range, columns);
        let Some(tail) = self.tail(scan).await? else {
            return out.finish();
        };
        let chunks = chunks_by_page(&tail, ordinals, range);
        let mut held = Held::take(scan, 0)?;
        self.read_pages(&tail, &chunks, read_logs::wanted(columns), scan, |page| {
            let line_bytes = match page.entry.stats {
                PageStats::Logs { line_bytes } if columns.lines => line_bytes,
                _ => 0,
            };
            let _held = Held::take(scan, line_bytes + u64::from(page.entry.rows) * 20)?;
            let before = out.size_bytes();
            out.add(&page)?;
            held.grow(out.size_bytes() - before)
        })
        .await?;
        out.finish()
    }

    async fn row_bounds(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Option<Vec<RowBounds>>> {
        let Some(tail) = self.tail(scan).await? else {
            return Ok(None);
        };
        let chunks = chunks_by_page(&tail, ordinals, range);
        let bounds = chunks.runs.iter().filter_map(|(page, own)| {
            let entry = tail.pages.get(*page as usize)?;
            let rows: u64 = own.iter().map(|(_, c)| u64::from(c.rows)).sum();
            let page_bytes = match entry.stats {
                PageStats::Logs { line_bytes } => line_bytes,
                PageStats::Samples { .. } => u64::from(entry.rows) * 16,
            };
            Some(RowBounds {
                range: TimeRange {
                    start: own.iter().map(|(_, c)| c.range().start).min()?,
                    end: own.iter().map(|(_, c)| c.range().end).max()?,
                },
                rows,
                // The share of the page's bytes that falls to these rows.
                bytes: (u128::from(page_bytes) * u128::from(rows) / u128::from(entry.rows)) as u64,
            })
        });
        Ok(Some(bounds.collect()))
    }

    async fn log_volumes(&self, ordinals: &[u32], grid: &VolumeGrid, scan: &ScanContext) -> Result<Vec<SourceVolume>> {
        self.expect_signal(Signal::Logs)?;
        let Some(tail) = self.tail(scan).await? else {
            return Ok(Vec::new());
        };
        let mut chunks = chunks_by_page(&tail, ordinals, grid.range());
        let mut volumes = Vec::new();
        chunks
            .runs
            .retain(|(page, own)| match known_volume(&tail, *page, own, grid) {
                Some(volume) => {
                    volumes.push(volume);
                    chunks.skipped += 1;
                    false
                }
                None => true,
            });
        let mut out = LogAssembler::new(ordinals.len(), grid.range(), COUNTED_COLUMNS);
        let mut held = Held::take(scan, 0)?;
        self.read_pages(&tail, &chunks, read_logs::wanted(COUNTED_COLUMNS), scan, |page| {
            let _held = Held::take(scan, u64::from(page.entry.rows) * 20)?;
            let before = out.size_bytes();
            out.add(&page)?;
            held.grow(out.size_bytes() - before)
        })
        .await?;
        volumes.extend(count_rows(&out.finish()?, grid));
        volumes.sort_unstable_by_key(|v| (v.index, v.cell));
        Ok(volumes)
    }

    async fn label_names(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<String>> {
        if matchers.is_empty() && covers(range, self.meta.range) {
            let Some(tail) = self.tail(scan).await? else {
                return Ok(Vec::new());
            };
            let names: BTreeSet<&str> = tail.table.names().collect();
            return Ok(names.into_iter().map(str::to_string).collect());
        }
        let series = self.select(matchers, range, scan).await?;
        let names: BTreeSet<&str> = series.iter().flat_map(|s| s.labels.iter().map(|(n, _)| n)).collect();
        Ok(names.into_iter().map(str::to_string).collect())
    }

    async fn label_values(
        &self,
        name: &str,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<String>> {
        if matchers.is_empty() && covers(range, self.meta.range) {
            let Some(tail) = self.tail(scan).await? else {
                return Ok(Vec::new());
            };
            let values: BTreeSet<&str> = tail.table.values(name).collect();
            return Ok(values.into_iter().map(str::to_string).collect());
        }
        let series = self.select(matchers, range, scan).await?;
        let values: BTreeSet<&str> = series.iter().filter_map(|s| s.labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_string).collect())
    }
}

fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
