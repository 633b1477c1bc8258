//! Reading a head: it is a [`SeriesSource`] like a segment, open or sealed.
//!
//! A series' ordinal is its id in the index. Ids follow arrival, not the order of series, so any order of ordinals is
//! answered as it was asked.

use std::sync::Arc;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use async_trait::async_trait;
use hashbrown::{HashMap, HashSet};

use super::head::{Head, Store};
use super::logs::LogBlock;
use super::samples::ReadScratch;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, SeriesKey, TimeRange};
use crate::scan::{LogColumns, LogRows, SampleColumns, ScanContext, SeriesSource, SourceSeries, dedup};

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
        _scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>> {
        Ok(self.select_now(matchers, range))
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, _scan: &ScanContext) -> Result<SampleColumns> {
        self.samples_of(ordinals, range)
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        columns: LogColumns,
        _scan: &ScanContext,
    ) -> Result<LogRows> {
        self.logs_of(ordinals, range, columns)
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
        Ok(sorted(live.map(|(value, _)| value).collect()))
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
    pub fn logs_of(&self, ids: &[u32], range: TimeRange, columns: LogColumns) -> Result<LogRows> {
        let mut reader = LogReader::new(columns);
        for chunk in ids.chunks(MAX_SERIES_PER_LOCK) {
            let blocks: Vec<Vec<Arc<LogBlock>>> = {
                let head = self.read();
                let blocks = |id: &u32| match &head.store {
                    Store::Logs(store) => store.get(*id).map_or_else(Vec::new, |s| s.blocks(range)),
                    Store::Samples(_) => Vec::new(),
                };
                chunk.iter().map(blocks).collect()
            };
            for blocks in blocks {
                reader.add_stream(self, &blocks, range)?;
            }
        }
        Ok(reader.finish())
    }

    fn select_now(&self, matchers: &[LabelMatcher], range: TimeRange) -> Vec<SourceSeries> {
        let ids = self.index().matching(matchers);
        let mut found: Vec<SourceSeries> = {
            let index = self.index().read();
            let head = self.read();
            let mut scratch = Vec::new();
            let series = ids.into_iter().filter_map(|id| {
                let (bounds, rows) = head.series(id).filter(|(bounds, _)| bounds.overlaps(&range))?;
                Some(SourceSeries {
                    labels: index.labels(id, &mut scratch),
                    ordinal: id,
                    range: bounds,
                    rows,
                })
            });
            series.collect()
        };
        if found.len() <= MAX_SORTED_BY_LABELS {
            found.sort_by_cached_key(|series| SeriesKey(series.labels.clone()));
        } else {
            let order = self.index().order();
            found.sort_unstable_by_key(|series| order.rank[series.ordinal as usize]);
        }
        found
    }
}

/// Collects the rows of one answer, stream by stream.
struct LogReader {
    columns: LogColumns,
    rows: LogRows,
    lines: BinaryBuilder,
    line_bytes: usize,
    /// Code in the head → code in the answer.
    codes: HashMap<u32, u32, ahash::RandomState>,
}

impl LogReader {
    fn new(columns: LogColumns) -> Self {
        LogReader {
            columns,
            rows: LogRows {
                offsets: vec![0],
                timestamps: Vec::new(),
                lines: None,
                line_lengths: Vec::new(),
                metadata_sets: Vec::new(),
                metadata: Vec::new(),
                derived: Vec::new(),
            },
            lines: BinaryBuilder::new(),
            line_bytes: 0,
            codes: HashMap::default(),
        }
    }

    /// Adds the rows of one stream: sorted by time, entries of one nanosecond in order of arrival, equal ones once.
    fn add_stream(&mut self, head: &Head, blocks: &[Arc<LogBlock>], range: TimeRange) -> Result<()> {
        let mut found: Vec<(i64, &LogBlock, usize)> = Vec::new();
        for block in blocks {
            let rows = block.times.iter().enumerate();
            found.extend(
                rows.filter(|(_, t)| range.contains(**t))
                    .map(|(row, t)| (*t, &**block, row)),
            );
        }
        if !found.is_sorted_by_key(|(time, ..)| *time) {
            found.sort_by_key(|(time, ..)| *time);
        }
        let times: Vec<i64> = found.iter().map(|(time, ..)| *time).collect();
        let sets = self.learn_codes(head, &found, has_equal_times(&times));
        let duplicates = dedup::duplicate_entries(&times, |row| {
            let (_, block, at) = found[row];
            let set: &[u8] = sets.get(&block.metadata[at]).map_or(&[], |s| s.as_bytes());
            (block.line(at), set)
        });
        let mut skip = duplicates.iter().peekable();
        for (row, (time, block, at)) in found.iter().enumerate() {
            if skip.next_if(|d| **d as usize == row).is_some() {
                continue;
            }
            let line = block.line(*at);
            self.rows.timestamps.push(*time);
            self.rows.line_lengths.push(line.len() as u32);
            if self.columns.lines {
                // Arrow's offsets are 31 bits; slabs of a scan stay far below.
                self.line_bytes += line.len();
                if self.line_bytes > i32::MAX as usize {
                    return Err(too_much());
                }
                self.lines.append_value(line);
            }
            if self.columns.metadata {
                self.rows.metadata.push(self.codes[&block.metadata[*at]]);
                self.rows.derived.push(self.codes[&block.derived[*at]]);
            }
        }
        self.rows.offsets.push(offset(self.rows.timestamps.len())?);
        Ok(())
    }

    /// Gives codes of the answer to the head's codes in `found`; returns the sets to compare with, where any must be.
    fn learn_codes(
        &mut self,
        head: &Head,
        found: &[(i64, &LogBlock, usize)],
        compared: bool,
    ) -> HashMap<u32, Labels, ahash::RandomState> {
        let mut sets = HashMap::default();
        if !self.columns.metadata && !compared {
            return sets;
        }
        let guard = head.read();
        let Store::Logs(store) = &guard.store else { return sets };
        for (_, block, at) in found {
            if compared {
                let code = block.metadata[*at];
                sets.entry(code).or_insert_with(|| store.metadata_set(code));
            }
            if self.columns.metadata {
                for code in [block.metadata[*at], block.derived[*at]] {
                    self.codes.entry(code).or_insert_with(|| {
                        self.rows.metadata_sets.push(store.metadata_set(code));
                        self.rows.metadata_sets.len() as u32 - 1
                    });
                }
            }
        }
        sets
    }

    fn finish(mut self) -> LogRows {
        if self.columns.lines {
            let lines: BinaryArray = self.lines.finish();
            self.rows.lines = Some(lines);
        }
        self.rows
    }
}

fn offset(rows: usize) -> Result<u32> {
    u32::try_from(rows).map_err(|_| too_much())
}

fn too_much() -> Error {
    Error::new(
        ErrorKind::Limit,
        "one read of recent rows holds more than 2^32 rows or 2 GB of lines; narrow the time range",
    )
}

fn has_equal_times(sorted: &[i64]) -> bool {
    sorted.windows(2).any(|w| w[0] == w[1])
}
