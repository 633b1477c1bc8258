//! Reads one segment: a source of series for scans.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::Mutex;

use super::ahead::ReadAhead;
use super::cache::{Part, PartId, TailCache};
use super::directory::{Chunk, ColumnId, PageStats};
use super::fetch::{Fetcher, Held};
use super::meta::SegmentMeta;
use super::pages::{PageChunk, PageChunks};
use super::parts::{GROUPS_AT_ONCE, Parts};
use super::read_logs::{self, LogAssembler};
use super::read_samples::{SampleAssembler, Times};
use super::series_groups::{group_of, members};
use super::stream_logs;
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MatchOp, MetadataMap, Signal, TimeRange};
use crate::object::Bucket;
use crate::pieces::Origin;
use crate::scan::{
    COUNTED_COLUMNS, LogPages, LogPiece, LogRead, LogRows, RowBounds, SampleColumns, ScanContext, ScanStats,
    SeriesSource, Share, SourceIdentity, SourceSeries, SourceVolume, Volume, VolumeGrid, count_rows, names_of,
    values_of,
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
    /// The tail, where it is kept as long as the reader.
    pinned: Option<Arc<OpenTail>>,
    ahead: Option<ReadAhead>,
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
            pinned: None,
            ahead: None,
        }
    }

    /// Opens the segment for someone who reads all of it, page after page: the tail stays with the reader, other parts in a
    /// cache of its own of `cache_bytes`, so that what is read once does not push out what queries read again.
    pub(super) async fn open_whole(
        bucket: Bucket,
        meta: Arc<SegmentMeta>,
        cache_bytes: u64,
        scan: &ScanContext,
    ) -> Result<Self> {
        let mut reader = SegmentReader::new(bucket, meta, Arc::new(TailCache::own(cache_bytes)));
        reader.ahead = Some(ReadAhead::default());
        reader.pinned = Some(reader.open_tail(scan).await?);
        Ok(reader)
    }

    /// The tail of a reader made by [`SegmentReader::open_whole`].
    pub(super) fn pinned(&self) -> Option<&Arc<OpenTail>> {
        self.pinned.as_ref()
    }

    /// What the catalog knows of the segment.
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }

    pub(super) fn fetcher<'a>(&'a self, scan: &'a ScanContext) -> Fetcher<'a> {
        Fetcher {
            origin: Origin {
                bucket: self.bucket.clone(),
                object: Arc::clone(&self.meta.id.object),
                base: self.meta.id.offset,
                stats: Arc::clone(&scan.stats),
                counters: Arc::clone(self.cache.reads()),
            },
            meta: &self.meta,
            scan,
            pieces: self.cache.pieces(),
            ahead: self.ahead.as_ref(),
        }
    }

    /// The opened tail; `None`, counted and logged, where it is damaged.
    pub(super) async fn tail(&self, scan: &ScanContext) -> Result<Option<Arc<OpenTail>>> {
        match self.open_tail(scan).await {
            Ok(tail) => Ok(Some(tail)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.fetcher(scan).count_damage();
                tracing::warn!(%error, segment = self.meta.place(), "a damaged segment is left out of an answer");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn open_tail(&self, scan: &ScanContext) -> Result<Arc<OpenTail>> {
        if let Some(tail) = &self.pinned {
            return Ok(Arc::clone(tail));
        }
        if let Some(Part::Tail(tail)) = self.cache.get(&self.meta.id, PartId::Tail) {
            return Ok(tail);
        }
        let _opening = self.opening.lock().await;
        if let Some(Part::Tail(tail)) = self.cache.get(&self.meta.id, PartId::Tail) {
            return Ok(tail);
        }
        let _held = Held::take(scan, self.meta.tail_len)?;
        let tail = Arc::new(OpenTail::open(&self.fetcher(scan), &self.meta).await?);
        self.cache
            .insert(&self.meta.id, PartId::Tail, Part::Tail(Arc::clone(&tail)));
        Ok(tail)
    }

    pub(super) fn parts<'a>(&'a self, fetcher: &'a Fetcher<'a>, tail: &'a OpenTail) -> Parts<'a> {
        Parts {
            fetcher,
            tail,
            cache: &self.cache,
        }
    }

    pub(super) fn expect_signal(&self, signal: Signal) -> Result<()> {
        if self.meta.signal == signal {
            return Ok(());
        }
        let message = format!("{} was asked for {}", self.meta.place(), signal.as_str());
        Err(Error::new(ErrorKind::Internal, message))
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

#[async_trait]
impl SeriesSource for SegmentReader {
    fn time_range(&self) -> TimeRange {
        self.meta.range
    }

    fn identity(&self) -> Option<SourceIdentity> {
        Some(SourceIdentity {
            segment: self.meta.id.clone(),
            deletes: Vec::new(),
        })
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
        let fetcher = self.fetcher(scan);
        let parts = self.parts(&fetcher, &tail);
        let found = parts.matching(matchers).await?;
        let mut out = Vec::with_capacity(found.len() as usize);
        let mut scratch = Vec::new();
        let numbers: BTreeSet<u32> = found.iter().map(group_of).collect();
        let numbers: Vec<u32> = numbers.into_iter().collect();
        for batch in numbers.chunks(GROUPS_AT_ONCE) {
            for (number, group) in parts.groups(&batch.iter().copied().collect()).await? {
                for ordinal in members(&found, number) {
                    let (bounds, rows) = match self.meta.signal {
                        Signal::Metrics => bounds(group.chunks.of(ordinal)),
                        Signal::Logs => bounds(tail.chunks_of(ordinal)),
                    };
                    let histograms = tail.side.series(ordinal);
                    let bounds = bounds.into_iter().chain(histograms.map(|(bounds, _)| bounds));
                    let Some(bounds) = bounds.reduce(|a, b| a.union(&b)).filter(|b| b.overlaps(&range)) else {
                        continue;
                    };
                    let labels = group
                        .table
                        .labels(ordinal, &mut scratch, &scan.labels)?
                        .ok_or_else(|| {
                            Error::new(
                                ErrorKind::Corrupt,
                                format!("{}: damaged labels of series {ordinal}", self.meta.place()),
                            )
                        })?;
                    out.push(SourceSeries {
                        labels,
                        ordinal,
                        range: bounds,
                        rows: rows + histograms.map_or(0, |(_, rows)| rows),
                    });
                }
            }
        }
        Ok(out)
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, scan: &ScanContext) -> Result<SampleColumns> {
        self.expect_signal(Signal::Metrics)?;
        let Some(tail) = self.tail(scan).await? else {
            return no_samples(ordinals.len());
        };
        let fetcher = self.fetcher(scan);
        let parts = self.parts(&fetcher, &tail);
        let groups = parts.groups(&ordinals.iter().map(|o| group_of(*o)).collect()).await?;
        let of = |ordinal: &u32| {
            groups
                .get(&group_of(*ordinal))
                .map_or(&[][..], |g| g.chunks.of(*ordinal))
        };
        let all = (0..)
            .zip(ordinals)
            .flat_map(|(index, o)| of(o).iter().map(move |c| (index, *c)));
        let chunks = PageChunks::new(all, range);
        let columns = chunks.runs.iter().flat_map(|(_, own)| own).map(|(_, c)| c.column);
        let time_groups: BTreeSet<u32> = columns.filter_map(|c| tail.time_group_of(c)).collect();
        let heads = parts.time_heads(&time_groups).await?;
        let codes = parts.time_codes(&time_groups).await?;
        let times = Times::new(&tail, heads, codes, scan)?;
        let mut out = SampleAssembler::new(ordinals.len(), range, &groups, times);
        chunks
            .read(Arc::new(self.fetcher(scan)), &tail, &[ColumnId::Samples], |page| {
                let _held = Held::take(scan, u64::from(page.entry.rows) * 16)?;
                out.add(&page)
            })
            .await?;
        tail.side.complete(ordinals, range, &fetcher, out.finish()?).await
    }

    async fn exemplars(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let fetcher = self.fetcher(scan);
        match self.tail(scan).await? {
            Some(tail) => tail.side.exemplars(matchers, range, &fetcher, &tail.bytes).await,
            None => Ok(Vec::new()),
        }
    }

    async fn metric_metadata(&self, scan: &ScanContext) -> Result<MetadataMap> {
        let fetcher = self.fetcher(scan);
        match self.tail(scan).await? {
            Some(tail) => tail.side.metadata(&fetcher, &tail.bytes).await,
            None => Ok(MetadataMap::default()),
        }
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<LogRows> {
        self.expect_signal(Signal::Logs)?;
        let mut out = LogAssembler::new(ordinals.len(), range, read, &scan.stats);
        let Some(tail) = self.tail(scan).await? else {
            return out.finish();
        };
        let chunks = log_chunks(&tail, ordinals, range);
        let mut held = Held::take(scan, 0)?;
        chunks
            .read(Arc::new(self.fetcher(scan)), &tail, read_logs::wanted(read), |page| {
                let _held = Held::take(scan, read_logs::page_bytes(page.entry, read))?;
                let before = out.size_bytes();
                out.add(&page)?;
                held.grow(out.size_bytes() - before)
            })
            .await?;
        out.finish()
    }

    fn streams_logs(&self) -> bool {
        true
    }

    fn stream_logs(
        self: Arc<Self>,
        ordinals: Vec<u32>,
        range: TimeRange,
        read: LogRead,
        share: Share,
        scan: ScanContext,
    ) -> BoxStream<'static, Result<LogPiece>> {
        stream_logs::stream_logs(self, ordinals, range, read, share, scan)
    }

    async fn log_pages(
        self: Arc<Self>,
        ordinals: Vec<u32>,
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<Arc<dyn LogPages>> {
        stream_logs::log_pages(self, &ordinals, range, read, scan).await
    }

    async fn row_bounds(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Option<Vec<RowBounds>>> {
        // Samples are not cut by time.
        if self.meta.signal != Signal::Logs {
            return Ok(None);
        }
        let Some(tail) = self.tail(scan).await? else {
            return Ok(None);
        };
        let chunks = log_chunks(&tail, ordinals, range);
        let runs = chunks.runs.iter();
        let bounds = runs.filter_map(|(page, own)| stream_logs::run_bounds(&tail, *page, own));
        Ok(Some(bounds.collect()))
    }

    async fn log_volumes(&self, ordinals: &[u32], grid: &VolumeGrid, scan: &ScanContext) -> Result<Vec<SourceVolume>> {
        self.expect_signal(Signal::Logs)?;
        let Some(tail) = self.tail(scan).await? else {
            return Ok(Vec::new());
        };
        let mut chunks = log_chunks(&tail, ordinals, grid.range());
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
        let read = COUNTED_COLUMNS.into();
        let mut out = LogAssembler::new(ordinals.len(), grid.range(), &read, &scan.stats);
        let mut held = Held::take(scan, 0)?;
        let wanted = read_logs::wanted(&read);
        chunks
            .read(Arc::new(self.fetcher(scan)), &tail, wanted, |page| {
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
            return self.parts(&self.fetcher(scan), &tail).label_names().await;
        }
        Ok(names_of(&self.select(matchers, range, scan).await?))
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
            return self.parts(&self.fetcher(scan), &tail).label_values(name).await;
        }
        // Series without the label need not be looked at: often none has it.
        let has_it = LabelMatcher::new(name, MatchOp::NotEqual, "")
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let matchers: Vec<LabelMatcher> = matchers.iter().cloned().chain([has_it]).collect();
        Ok(values_of(&self.select(&matchers, range, scan).await?, name))
    }
}

/// Bounds of all chunks of a series, and their rows.
pub(super) fn bounds<C: PageChunk>(chunks: &[C]) -> (Option<TimeRange>, u64) {
    let range = chunks.iter().map(C::range).reduce(|a, b| TimeRange {
        start: a.start.min(b.start),
        end: a.end.max(b.end),
    });
    (range, chunks.iter().map(|c| u64::from(c.rows())).sum())
}

pub(super) fn log_chunks(tail: &OpenTail, ordinals: &[u32], range: TimeRange) -> PageChunks<Chunk> {
    let all = (0..).zip(ordinals);
    let all = all.flat_map(|(index, o)| tail.chunks_of(*o).iter().map(move |c| (index, *c)));
    PageChunks::new(all, range)
}

/// The answer to `series` series of which nothing can be read.
fn no_samples(series: usize) -> Result<SampleColumns> {
    Ok(SampleColumns {
        offsets: vec![0; series + 1],
        ..SampleColumns::default()
    })
}

fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
