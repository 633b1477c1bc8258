//! A segment that is read from front to back: what compaction merges.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::ahead::ReadAhead;
use super::directory::ColumnEntry;
use super::meta::SegmentMeta;
use super::parts::Parts;
use super::reader::{SegmentReader, bounds};
use super::series_groups::{SeriesGroup, group_of};
use super::series_table::GROUP_SERIES;
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, Signal, TimeRange};
use crate::object::Bucket;
use crate::scan::{
    LabelInterner, LogRead, LogRows, RowBounds, SampleColumns, ScanContext, ScanStats, SeriesSource, SourceSeries,
};

/// Most bytes of series groups and times that are kept for the series that follow: times are shared by series all over a
/// segment.
const MAX_CACHE_BYTES: u64 = 4 << 20;
/// Opened parts are that much larger than they are stored, about.
const OPENED_FACTOR: u64 = 4;

/// A segment as a source that hands out all of its rows or fails: unlike in an answer, nothing damaged is passed over,
/// since what replaces the segment would lose it for good.
///
/// Holds its tail, windows of its bytes, and some parts; a caller who walks through the series in order reads each page
/// about once.
#[derive(Debug)]
pub(crate) struct WholeSegment {
    reader: SegmentReader,
    tail: Arc<OpenTail>,
    cache_bytes: u64,
    stats: Arc<ScanStats>,
    damage: Mutex<Option<String>>,
}

/// Whether a segment could not be opened or read, and it is the segment that is to blame.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
}

impl WholeSegment {
    /// Opens the segment; `Corrupt` or `NotFound` where it cannot be read.
    pub async fn open(bucket: Bucket, meta: Arc<SegmentMeta>, scan: &ScanContext) -> Result<WholeSegment> {
        let stats = Arc::new(ScanStats::default());
        let own = ScanContext::passing(scan.memory.clone(), Arc::clone(&stats));
        let cache_bytes = MAX_CACHE_BYTES.min(meta.len.saturating_mul(OPENED_FACTOR));
        let reader = SegmentReader::open_whole(bucket, meta, cache_bytes, &own).await?;
        let tail = reader.pinned().cloned().ok_or_else(|| {
            let message = "a segment was opened whole without its tail";
            Error::new(ErrorKind::Internal, message)
        })?;
        Ok(WholeSegment {
            reader,
            tail,
            cache_bytes,
            stats,
            damage: Mutex::default(),
        })
    }

    /// What the catalog knows of it.
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        self.reader.meta()
    }

    /// Heap bytes held at most, about.
    pub fn size_bytes(&self) -> u64 {
        self.tail.size_bytes() as u64 + ReadAhead::max_bytes(self.meta().len) + self.cache_bytes
    }

    /// Bytes read from the object store so far.
    pub fn bytes_read(&self) -> u64 {
        self.stats.object_bytes.load(Ordering::Relaxed)
    }

    /// What was found damaged, once a read failed by it.
    pub fn damage(&self) -> Option<String> {
        self.damage.lock().clone()
    }

    /// The series from ordinal `from` on, in their order: those of the same group, at most `max`. Empty behind the last.
    pub async fn series_from(&self, from: u32, max: u32, scan: &ScanContext) -> Result<Vec<SourceSeries>> {
        let group_end = (group_of(from) + 1).saturating_mul(GROUP_SERIES as u32);
        let end = from.saturating_add(max).min(group_end).min(self.meta().series);
        if from >= end {
            return Ok(Vec::new());
        }
        let found = self.read_series(from..end, scan).await;
        self.checked(found)
    }

    async fn read_series(&self, ordinals: Range<u32>, scan: &ScanContext) -> Result<Vec<SourceSeries>> {
        let own = self.own(scan);
        let fetcher = self.reader.fetcher(&own);
        let parts = self.reader.parts(&fetcher, &self.tail);
        let group = self.group(&parts, group_of(ordinals.start)).await?;
        let mut scratch = Vec::new();
        let mut out = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            let (range, rows) = match self.meta().signal {
                Signal::Metrics => bounds(group.chunks.of(ordinal)),
                Signal::Logs => bounds(self.tail.chunks_of(ordinal)),
            };
            let (Some(range), rows) = self.with_histograms(ordinal, range, rows) else {
                continue;
            };
            out.push(SourceSeries {
                labels: self.labels(&group, ordinal, &mut scratch)?,
                ordinal,
                range,
                rows,
            });
        }
        Ok(out)
    }

    /// The label sets of these series (ascending).
    pub async fn labels_of(&self, ordinals: &[u32], scan: &ScanContext) -> Result<Vec<Labels>> {
        let found = self.read_labels(ordinals, scan).await;
        self.checked(found)
    }

    async fn read_labels(&self, ordinals: &[u32], scan: &ScanContext) -> Result<Vec<Labels>> {
        let own = self.own(scan);
        let fetcher = self.reader.fetcher(&own);
        let parts = self.reader.parts(&fetcher, &self.tail);
        let mut scratch = Vec::new();
        let mut out = Vec::with_capacity(ordinals.len());
        for neighbours in ordinals.chunk_by(|a, b| group_of(*a) == group_of(*b)) {
            let group = self.group(&parts, group_of(neighbours[0])).await?;
            for ordinal in neighbours {
                out.push(self.labels(&group, *ordinal, &mut scratch)?);
            }
        }
        Ok(out)
    }

    async fn group(&self, parts: &Parts<'_>, number: u32) -> Result<Arc<SeriesGroup>> {
        let mut groups = parts.groups(&[number].into()).await?;
        groups
            .remove(&number)
            .ok_or_else(|| self.damaged(format!("series group {number}")))
    }

    fn labels(&self, group: &SeriesGroup, ordinal: u32, scratch: &mut Vec<u8>) -> Result<Labels> {
        let labels = group.table.labels(ordinal, scratch, &LabelInterner::none())?;
        labels.ok_or_else(|| self.damaged(format!("labels of series {ordinal}")))
    }

    fn damaged(&self, what: String) -> Error {
        let message = format!("{}: damaged {what}", self.meta().place());
        Error::new(ErrorKind::Corrupt, message)
    }

    /// Bounds and number of the rows of a stream of logs in `era`, across whose bounds no page reaches.
    pub fn bounds_in(&self, ordinal: u32, era: TimeRange) -> Option<(TimeRange, u64)> {
        let chunks = self.tail.chunks_of(ordinal);
        let from = chunks.partition_point(|c| c.first < era.start);
        let inside = chunks[from..].iter().take_while(|c| c.first < era.end);
        inside.fold(None, |all: Option<(TimeRange, u64)>, chunk| {
            let (range, rows) = (chunk.range(), u64::from(chunk.rows));
            Some(match all {
                None => (range, rows),
                Some((sofar, n)) => (TimeRange::new(sofar.start, sofar.end.max(range.end)), n + rows),
            })
        })
    }

    /// Times and stored bytes of the pages.
    pub fn pages(&self) -> impl Iterator<Item = (TimeRange, u64)> {
        let bytes = |columns: &[ColumnEntry]| columns.iter().map(|c| u64::from(c.len)).sum();
        self.tail
            .pages
            .iter()
            .map(move |page| (page.range, bytes(&page.columns)))
    }

    /// Bounds and number of the rows of a series, of which those in pages are given.
    fn with_histograms(&self, ordinal: u32, range: Option<TimeRange>, rows: u64) -> (Option<TimeRange>, u64) {
        match self.tail.side.series(ordinal) {
            Some((own, more)) => (Some(range.map_or(own, |range| range.union(&own))), rows + more),
            None => (range, rows),
        }
    }

    fn own(&self, scan: &ScanContext) -> ScanContext {
        ScanContext::passing(scan.memory.clone(), Arc::clone(&self.stats))
    }

    /// Remembers damage: an error of the segment's, or something that was passed over.
    fn checked<T>(&self, answer: Result<T>) -> Result<T> {
        let passed_over = self.stats.pages_corrupt.load(Ordering::Relaxed);
        let answer = answer.and_then(|answer| match passed_over {
            0 => Ok(answer),
            n => Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: {n} of its pages or parts cannot be read", self.meta().place()),
            )),
        });
        if let Err(error) = answer.as_ref()
            && is_damage(error)
        {
            self.damage.lock().get_or_insert_with(|| error.to_string());
        }
        answer
    }
}

#[async_trait]
impl SeriesSource for WholeSegment {
    fn time_range(&self) -> TimeRange {
        self.reader.time_range()
    }

    async fn select(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>> {
        self.checked(self.reader.select(matchers, range, &self.own(scan)).await)
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, scan: &ScanContext) -> Result<SampleColumns> {
        self.checked(self.reader.read_samples(ordinals, range, &self.own(scan)).await)
    }

    async fn exemplars(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        self.checked(self.reader.exemplars(matchers, range, &self.own(scan)).await)
    }

    async fn metric_metadata(&self, scan: &ScanContext) -> Result<MetadataMap> {
        self.checked(self.reader.metric_metadata(&self.own(scan)).await)
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<LogRows> {
        let rows = self.reader.read_logs(ordinals, range, read, &self.own(scan)).await;
        self.checked(rows)
    }

    async fn row_bounds(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Option<Vec<RowBounds>>> {
        self.checked(self.reader.row_bounds(ordinals, range, &self.own(scan)).await)
    }
}
