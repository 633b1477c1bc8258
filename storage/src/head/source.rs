//! Reading a head: it is a [`SeriesSource`] like a segment, open or sealed.
//!
//! A series' ordinal is its id in the index. Ids follow arrival, not the order of series, so any order of ordinals is
//! answered as it was asked.

use async_trait::async_trait;
use hashbrown::HashSet;

use super::head::{Head, Store};
use super::logs::LogPiece;
use super::read_logs::LogReader;
use super::samples::ReadScratch;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, SeriesKey, TimeRange};
use crate::scan::{LabelInterner, LogRead, LogRows, SampleColumns, ScanContext, ScanStats, SeriesSource, SourceSeries};

/// Series read under one hold of the lock, so that a large read lets appends through in between.
const MAX_SERIES_PER_LOCK: usize = 1024;
/// Selections up to this size are sorted by comparing labels; larger ones by the index's cached order.
const MAX_SORTED_BY_LABELS: usize = 256;

#[async_trait]
impl SeriesSource for Head {
    fn time_range(&self) -> TimeRange {
        self.read().range
    }

    async fn select(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>> {
        self.select_now(matchers, range, &scan.labels)
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, _scan: &ScanContext) -> Result<SampleColumns> {
        self.samples_of(ordinals, range)
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<LogRows> {
        self.logs_of(ordinals, range, read, &scan.stats)
    }

    async fn exemplars(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        _scan: &ScanContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(self.exemplars_of(matchers, range))
    }

    async fn metric_metadata(&self, _scan: &ScanContext) -> Result<MetadataMap> {
        Ok(self.read().side.metadata.clone())
    }

    async fn label_names(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        _scan: &ScanContext,
    ) -> Result<Vec<String>> {
        let ids = self.index().matching(matchers);
        let index = self.index().read();
        let head = self.read();
        let mut names: HashSet<&str, ahash::RandomState> = HashSet::default();
        for id in ids.into_iter().filter(|id| head.overlaps(*id, range)) {
            let numbers = index.pairs_of(id).filter_map(|pair| index.pairs.name_number(pair));
            names.extend(numbers.map(|number| index.pairs.name(number)));
        }
        Ok(sorted(names))
    }

    async fn label_values(
        &self,
        name: &str,
        matchers: &[LabelMatcher],
        range: TimeRange,
        _scan: &ScanContext,
    ) -> Result<Vec<String>> {
        if !matchers.is_empty() {
            let ids = self.index().matching(matchers);
            let index = self.index().read();
            let head = self.read();
            let ids = ids.into_iter().filter(|id| head.overlaps(*id, range));
            let number = index.pairs.number_of_name(name);
            return Ok(sorted(ids.filter_map(|id| index.value(id, number?)).collect()));
        }
        let index = self.index().read();
        let head = self.read();
        let values = index.pairs.values(name);
        let live = values.filter(|(_, list)| list.iter().any(|id| head.overlaps(id, range)));
        let mut values: Vec<String> = live.map(|(value, _)| value.to_string()).collect();
        values.sort_unstable();
        Ok(values)
    }
}

fn sorted(texts: HashSet<&str, ahash::RandomState>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().map(str::to_string).collect();
    texts.sort_unstable();
    texts
}

impl Head {
    /// Ids of the series with rows, in the order of series.
    pub fn series_in_order(&self) -> Vec<u32> {
        let order = self.index().order();
        let head = self.read();
        order.sorted.iter().copied().filter(|id| head.is_live(*id)).collect()
    }

    /// Samples of the series `ids`, as [`SeriesSource::read_samples`].
    pub fn samples_of(&self, ids: &[u32], range: TimeRange) -> Result<SampleColumns> {
        let mut columns = SampleColumns {
            offsets: Vec::with_capacity(ids.len() + 1),
            ..SampleColumns::default()
        };
        columns.offsets.push(0);
        let mut scratch = ReadScratch::default();
        for chunk in ids.chunks(MAX_SERIES_PER_LOCK) {
            let head = self.read();
            for id in chunk {
                let from = columns.timestamps.len();
                if let Store::Samples(store) = &head.store
                    && let Some(series) = store.get(*id)
                {
                    series.read(range, &mut columns.timestamps, &mut columns.values, &mut scratch);
                }
                head.side.complete(*id, range, from, &mut columns)?;
                columns.offsets.push(offset(columns.timestamps.len())?);
            }
        }
        Ok(columns)
    }

    /// Exemplars, as [`SeriesSource::exemplars`].
    pub fn exemplars_of(&self, matchers: &[LabelMatcher], range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        let ids: Vec<u32> = self.read().side.exemplars.iter().map(|(id, _)| id).collect();
        let mut found = Vec::new();
        for id in ids {
            let labels = self.index().labels(id).unwrap_or_default();
            if matchers.iter().all(|m| m.matches_labels(&labels)) {
                let exemplars = self.read().side.exemplars.get(id, range).to_vec();
                found.push((labels, exemplars));
            }
        }
        found.retain(|(_, exemplars)| !exemplars.is_empty());
        found
    }

    /// Metric metadata, as [`SeriesSource::metric_metadata`].
    pub fn metadata(&self) -> MetadataMap {
        self.read().side.metadata.clone()
    }

    /// Entries of the streams `ids`, as [`SeriesSource::read_logs`].
    pub fn logs_of(&self, ids: &[u32], range: TimeRange, read: &LogRead, stats: &ScanStats) -> Result<LogRows> {
        let mut reader = LogReader::new(read, stats);
        for chunk in ids.chunks(MAX_SERIES_PER_LOCK) {
            let streams: Vec<Vec<LogPiece>> = {
                let head = self.read();
                let pieces = |id: &u32| match &head.store {
                    Store::Logs(store) => store.get(*id).map_or_else(Vec::new, |s| s.pieces(range)),
                    Store::Samples(_) => Vec::new(),
                };
                chunk.iter().map(pieces).collect()
            };
            for pieces in streams {
                reader.add_stream(self, pieces, range)?;
            }
        }
        reader.finish()
    }

    /// Ranges of time in which the entries of stream `id` inside `range` come in pieces of about `bytes` bytes of lines.
    pub fn log_pieces(&self, id: u32, range: TimeRange, bytes: u64) -> Vec<TimeRange> {
        match &self.read().store {
            Store::Logs(store) => store.get(id).map_or_else(Vec::new, |stream| stream.cut(range, bytes)),
            Store::Samples(_) => Vec::new(),
        }
    }

    fn select_now(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        interner: &LabelInterner,
    ) -> Result<Vec<SourceSeries>> {
        let ids = self.index().matching(matchers);
        let mut found: Vec<SourceSeries> = {
            let index = self.index().read();
            let head = self.read();
            let mut scratch = Vec::new();
            let series = ids.into_iter().filter_map(|id| {
                let (bounds, rows) = head.series(id).filter(|(bounds, _)| bounds.overlaps(&range))?;
                let labels = index.interned_labels(id, &mut scratch, interner);
                Some(labels.map(|labels| SourceSeries {
                    labels,
                    ordinal: id,
                    range: bounds,
                    rows,
                }))
            });
            series.collect::<Result<_>>()?
        };
        if found.len() <= MAX_SORTED_BY_LABELS {
            found.sort_by_cached_key(|series| SeriesKey(series.labels.clone()));
        } else {
            let order = self.index().order();
            found.sort_unstable_by_key(|series| order.rank[series.ordinal as usize]);
        }
        Ok(found)
    }
}

pub(super) fn offset(rows: usize) -> Result<u32> {
    u32::try_from(rows).map_err(|_| too_much())
}

fn too_much() -> Error {
    Error::new(
        ErrorKind::Limit,
        "one read of recent rows holds more than 2^32 rows or 2 GB of lines; narrow the time range",
    )
}
