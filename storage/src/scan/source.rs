//! The seam inside the store: a source holds series and rows of one tenant and signal (a head, or a segment), and a view
//! merges what several sources answer.
//!
//! A source names a series by its *ordinal*, which means something in that source only. In a segment ordinals rise with
//! [`crate::model::SeriesKey`], so that neighbours in the order of series are neighbours in its pages; a head numbers
//! series as they arrive. A view asks for ordinals in the order in which the source's selection named them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::{
    COUNTED_COLUMNS, HistogramColumn, LogPages, LogRead, OnePage, SampleSink, SampleSlice, ScanContext, SourceIdentity,
    SourceVolume, VolumeGrid, count_rows,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, TimeRange};

/// One series of a source, as [`SeriesSource::select`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeries {
    /// Who it is.
    pub labels: Labels,
    /// Its name in this source.
    pub ordinal: u32,
    /// Bounds of its rows in this source: half open, may be wider than the rows, never narrower.
    pub range: TimeRange,
    /// About how many rows it has in this source, over all of `range`.
    pub rows: u64,
}

/// Samples of the ordinals asked for: those of the `i`-th ordinal lie at `offsets[i] <= row < offsets[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleColumns {
    /// One more than ordinals were asked for, the first 0, never falling.
    pub offsets: Vec<u32>,
    /// Nanoseconds, strictly ascending inside a series.
    pub timestamps: Vec<i64>,
    /// Values, staleness markers included; of histograms their sum.
    pub values: Vec<f64>,
    /// Which rows are native histograms.
    pub histograms: HistogramColumn,
    /// Start times in nanoseconds, 0 where unknown: one a row, or none at all.
    pub start_times: Vec<i64>,
}

impl SampleColumns {
    /// Times and values of the `index`-th ordinal asked for.
    pub fn rows(&self, index: usize) -> (&[i64], &[f64]) {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        (&self.timestamps[range.clone()], &self.values[range])
    }

    /// Keeps the rows that `keep` accepts by position of their series and time; asked once for each row, in order. The
    /// columns must pass [`SampleColumns::check`].
    pub fn retain_rows(&mut self, mut keep: impl FnMut(usize, i64) -> bool) {
        let (mut kept, mut start, mut kept_histograms) = (0, 0, 0);
        let mut histograms = self.histograms.rows.iter().copied().enumerate().peekable();
        let mut moved: Vec<(u32, usize)> = Vec::new();
        for index in 0..self.offsets.len().saturating_sub(1) {
            let end = self.offsets[index + 1] as usize;
            for row in start..end {
                let histogram = histograms.next_if(|(_, at)| *at as usize == row);
                if keep(index, self.timestamps[row]) {
                    self.timestamps[kept] = self.timestamps[row];
                    self.values[kept] = self.values[row];
                    if let Some(start_time) = self.start_times.get(row).copied() {
                        self.start_times[kept] = start_time;
                    }
                    moved.extend(histogram.map(|(from, _)| (kept as u32, from)));
                    kept += 1;
                }
            }
            start = end;
            self.offsets[index + 1] = kept as u32;
        }
        for (row, from) in moved {
            self.histograms.rows[kept_histograms] = row;
            self.histograms.values.swap(kept_histograms, from);
            kept_histograms += 1;
        }
        self.histograms.rows.truncate(kept_histograms);
        self.histograms.values.truncate(kept_histograms);
        self.timestamps.truncate(kept);
        self.values.truncate(kept);
        self.start_times.truncate(kept);
    }

    /// All that is known of the samples of the `index`-th ordinal asked for.
    pub fn samples(&self, index: usize) -> SampleSlice<'_> {
        let (from, to) = (self.offsets[index] as usize, self.offsets[index + 1] as usize);
        self.all().slice(from..to)
    }

    /// The rows of all ordinals.
    pub(crate) fn all(&self) -> SampleSlice<'_> {
        SampleSlice {
            timestamps: &self.timestamps,
            values: &self.values,
            histograms: self.histograms.slice(0..self.timestamps.len() as u32),
            start_times: &self.start_times,
        }
    }

    /// The columns, to append rows.
    pub(crate) fn sink(&mut self) -> SampleSink<'_> {
        SampleSink {
            timestamps: &mut self.timestamps,
            values: &mut self.values,
            histograms: &mut self.histograms,
            start_times: &mut self.start_times,
        }
    }

    /// Heap bytes of the rows.
    pub fn size_bytes(&self) -> usize {
        self.timestamps.len() * 16 + self.start_times.len() * 8 + self.histograms.size_bytes()
    }

    /// Checks what the field docs promise about an answer to `ordinals` ordinals, so that a defective source fails one
    /// query with a clear text instead of the process.
    pub fn check(&self, ordinals: usize) -> Result<()> {
        let rows = self.timestamps.len();
        let starts = self.start_times.is_empty() || self.start_times.len() == rows;
        let histograms = self.histograms.holds(rows);
        if starts && histograms && self.values.len() == rows && offsets_hold(&self.offsets, ordinals, rows) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            "a source answered samples whose columns do not fit together",
        ))
    }
}

/// Log entries of the ordinals asked for: those of the `i`-th ordinal lie at `offsets[i] <= row < offsets[i + 1]`.
#[derive(Clone, Debug)]
pub struct LogRows {
    /// One more than ordinals were asked for, the first 0, never falling.
    pub offsets: Vec<u32>,
    /// Nanoseconds, never falling inside a stream; entries of one nanosecond in the order of their arrival.
    pub timestamps: Vec<i64>,
    /// Lines; `None` where they were not asked for.
    pub lines: Option<BinaryArray>,
    /// Length of each line in bytes; empty where it was not asked for.
    pub line_lengths: Vec<u32>,
    /// The distinct structured metadata sets. Where metadata was not asked for, this and the two columns below are empty.
    pub metadata_sets: Vec<Labels>,
    /// Per row: index into `metadata_sets` of what the client sent.
    pub metadata: Vec<u32>,
    /// Per row: index into `metadata_sets` of what the server derived (`detected_level`).
    pub derived: Vec<u32>,
}

impl Default for LogRows {
    /// No rows, of no ordinal, and times alone.
    fn default() -> Self {
        LogRows {
            offsets: vec![0],
            timestamps: Vec::new(),
            lines: None,
            line_lengths: Vec::new(),
            metadata_sets: Vec::new(),
            metadata: Vec::new(),
            derived: Vec::new(),
        }
    }
}

impl LogRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        let lines = self.lines.as_ref().map_or(0, |l| l.value_data().len() + 4 * l.len());
        let sets: usize = self.metadata_sets.iter().map(|l| l.size_bytes() + 24).sum();
        self.timestamps.len() * 12 + (self.metadata.len() + self.derived.len()) * 4 + lines + sets
    }

    /// Checks what the field docs promise about an answer to `ordinals` ordinals, see [`SampleColumns::check`].
    pub fn check(&self, ordinals: usize, read: &LogRead) -> Result<()> {
        let rows = self.timestamps.len();
        let columns = read.columns;
        let lines = match &self.lines {
            Some(lines) => lines.len() == rows,
            None => !columns.lines,
        };
        let lengths = self.line_lengths.len() == rows || (self.line_lengths.is_empty() && !read.lengths);
        let sets = self.metadata_sets.len();
        let codes = |codes: &[u32]| codes.len() == rows && codes.iter().all(|c| (*c as usize) < sets);
        let metadata = !columns.metadata || (codes(&self.metadata) && codes(&self.derived));
        if lines && metadata && lengths && offsets_hold(&self.offsets, ordinals, rows) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            "a source answered log rows whose columns do not fit together",
        ))
    }
}

fn offsets_hold(offsets: &[u32], ordinals: usize, rows: usize) -> bool {
    offsets.len() == ordinals + 1 && offsets[0] == 0 && offsets[ordinals] as usize == rows && offsets.is_sorted()
}

/// Time bounds and size of a piece of a source (a page), from statistics: what log scans cut their slabs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowBounds {
    /// Bounds of the rows, half open.
    pub range: TimeRange,
    /// About how many rows.
    pub rows: u64,
    /// About how many bytes of lines.
    pub bytes: u64,
}

/// Some rows of some of the ordinals asked for.
#[derive(Clone, Debug)]
pub struct LogPiece {
    /// Positions of the ordinals among those asked for, each once; some may have no rows.
    pub indexes: Vec<u32>,
    /// Their rows, as an answer to a question for these ordinals.
    pub rows: LogRows,
}

/// One of several about equal shares of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which.
    pub number: usize,
    /// Of how many, at least 1.
    pub of: usize,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { number: 0, of: 1 };

    /// Whether item `i` of a list is in this share, where all items are alike.
    pub fn has(&self, i: u32) -> bool {
        i as usize % self.of.max(1) == self.number
    }

    /// Whether an item is in this share that lies at `before..` of a total of `total`.
    pub fn holds(&self, before: u64, total: u64) -> bool {
        let number = u128::from(before) * self.of.max(1) as u128 / u128::from(total.max(1));
        number.min(self.of.max(1) as u128 - 1) as usize == self.number
    }
}

/// Rows of one tenant and signal that a view can merge with others: a head, or a segment.
///
/// Answers do not change while a source lives, except that an open head gains rows; a head answers each call from what
/// was committed when the call began. What a source holds only while it reads it accounts to `scan.memory` itself; what
/// it returns is accounted by the caller.
#[async_trait]
pub trait SeriesSource: Send + Sync + Debug {
    /// Bounds of all its rows. A view asks nothing else of a source that does not overlap a request.
    fn time_range(&self) -> TimeRange;

    /// What tells its rows from those of every other source, now and later. `None` where rows may still come, or nothing is
    /// known.
    fn identity(&self) -> Option<SourceIdentity> {
        None
    }

    /// Series that pass all matchers and whose bounds overlap `range`, in the order of [`crate::model::SeriesKey`].
    async fn select(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>>;

    /// Samples of `ordinals` (each once, in the order of the selection) inside `range`, one per time: a source resolves its own duplicates
    /// (by [`super::dedup`]).
    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, scan: &ScanContext) -> Result<SampleColumns>;

    /// Log entries of `ordinals` (each once, in the order of the selection) inside `range` whose line passes the filter, equal
    /// entries once: a source resolves its own duplicates (by [`super::dedup`]). Columns not asked for may be left out. The
    /// source counts the rows that a filter looked at.
    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<LogRows>;

    /// Whether [`SeriesSource::stream_logs`] reads piece by piece in bounded memory.
    fn streams_logs(&self) -> bool {
        false
    }

    /// As [`SeriesSource::read_logs`], piece by piece as rows lie in the source, and only a share of them. Rows of one
    /// stream in one piece are in order, pieces are not.
    fn stream_logs(
        self: Arc<Self>,
        ordinals: Vec<u32>,
        range: TimeRange,
        read: LogRead,
        share: Share,
        scan: ScanContext,
    ) -> BoxStream<'static, Result<LogPiece>>
    where
        Self: 'static,
    {
        let indexes: Vec<u32> = (0..ordinals.len() as u32).filter(|i| share.has(*i)).collect();
        let answer = async move {
            let own: Vec<u32> = indexes.iter().map(|i| ordinals[*i as usize]).collect();
            let rows = self.read_logs(&own, range, &read, &scan).await?;
            rows.check(own.len(), &read)?;
            Ok(LogPiece { indexes, rows })
        };
        stream::once(answer).boxed()
    }

    /// The pages in which rows of `ordinals` (each once, in the order of the selection) lie, none of them read yet: where
    /// the source knows no better, one with all rows.
    async fn log_pages(
        self: Arc<Self>,
        ordinals: Vec<u32>,
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<Arc<dyn LogPages>>
    where
        Self: 'static,
    {
        Ok(Arc::new(OnePage::new(self, ordinals, range, read, scan)))
    }

    /// Bounds of the pieces in which rows of `ordinals` lie, where the source knows finer ones than
    /// [`SourceSeries::range`]. Reads no page.
    async fn row_bounds(
        &self,
        _ordinals: &[u32],
        _range: TimeRange,
        _scan: &ScanContext,
    ) -> Result<Option<Vec<RowBounds>>> {
        Ok(None)
    }

    /// Entries and bytes of `ordinals` by the cells of `grid`; cells without entries are absent. Reads everything but the
    /// lines where it knows no better.
    async fn log_volumes(&self, ordinals: &[u32], grid: &VolumeGrid, scan: &ScanContext) -> Result<Vec<SourceVolume>> {
        let read = COUNTED_COLUMNS.into();
        let rows = self.read_logs(ordinals, grid.range(), &read, scan).await?;
        rows.check(ordinals.len(), &read)?;
        Ok(count_rows(&rows, grid))
    }

    /// Exemplars inside `range` of the series that pass all matchers. A series can come more than once, and so can an
    /// exemplar.
    async fn exemplars(
        &self,
        _matchers: &[LabelMatcher],
        _range: TimeRange,
        _scan: &ScanContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(Vec::new())
    }

    /// Metric metadata that came with the source's rows.
    async fn metric_metadata(&self, _scan: &ScanContext) -> Result<MetadataMap> {
        Ok(MetadataMap::default())
    }

    /// Names of labels on the series that [`SeriesSource::select`] finds, sorted, each once.
    async fn label_names(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<String>> {
        Ok(names_of(&self.select(matchers, range, scan).await?))
    }

    /// Values of label `name` on the series that [`SeriesSource::select`] finds, sorted, each once.
    async fn label_values(
        &self,
        name: &str,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<String>> {
        Ok(values_of(&self.select(matchers, range, scan).await?, name))
    }
}

/// Names of labels on `series`, sorted, each once.
pub fn names_of(series: &[SourceSeries]) -> Vec<String> {
    let names: BTreeSet<&str> = series.iter().flat_map(|s| s.labels.iter().map(|(n, _)| n)).collect();
    names.into_iter().map(str::to_string).collect()
}

/// Values of label `name` on `series`, sorted, each once.
pub fn values_of(series: &[SourceSeries], name: &str) -> Vec<String> {
    let values: BTreeSet<&str> = series.iter().filter_map(|s| s.labels.get(name)).collect();
    values.into_iter().map(str::to_string).collect()
}
