//! A source under tombstones, or with expired rows, as a source of a view: the same rows without the hidden ones.

use std::sync::Arc;

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::entry_filter::EntryRef;
use super::row_filter::{RowFilter, SeriesFilter};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, TimeRange};
use crate::scan::{
    COUNTED_COLUMNS, Held, LogColumns, LogRead, LogRows, LogRowsBuilder, RowBounds, SampleColumns, ScanContext,
    SeriesSource, SetCodes, SourceIdentity, SourceSeries, SourceVolume, VolumeGrid, count_rows,
};

/// The rows of `source` that `filter` leaves, for one view.
///
/// Series that the filter does not touch are passed on as they are, statistics and all. Of touched ones nothing is answered from
/// statistics but bounds and estimates. Label names and values come from the series that are left.
#[derive(Debug)]
pub(crate) struct CoveredSource {
    source: Arc<dyn SeriesSource>,
    filter: RowFilter,
    selected: Mutex<Selected>,
}

/// What selections of this view found. Rows of an ordinal that none of them named are never handed out, since nothing here
/// would know what to hide of them.
#[derive(Debug, Default)]
struct Selected {
    ordinals: RoaringBitmap,
    /// Series that the filter touches.
    touched: HashMap<u32, Labels, ahash::RandomState>,
}

impl CoveredSource {
    pub fn new(source: Arc<dyn SeriesSource>, filter: RowFilter) -> Self {
        CoveredSource {
            source,
            filter,
            selected: Mutex::default(),
        }
    }

    /// Names series that will be read, to callers who know them without selecting.
    pub fn will_read(&self, series: &[SourceSeries]) {
        let mut selected = self.selected.lock();
        for series in series {
            self.remember(&mut selected, series);
        }
    }

    /// Remembers a series; gives what is hidden of it.
    fn remember(&self, selected: &mut Selected, series: &SourceSeries) -> Option<SeriesFilter> {
        selected.ordinals.insert(series.ordinal);
        let filter = self.filter.of_series(&series.labels)?;
        if filter.touches(series.range) {
            let labels = || series.labels.clone();
            selected.touched.entry(series.ordinal).or_insert_with(labels);
        }
        Some(filter)
    }

    /// The filters of those of `ordinals` of which rows in `range` may be hidden, by their position.
    fn touched(&self, ordinals: &[u32], range: TimeRange) -> Result<Vec<(usize, SeriesFilter)>> {
        let selected = self.selected.lock();
        let mut touched = Vec::new();
        for (index, ordinal) in ordinals.iter().enumerate() {
            if let Some(labels) = selected.touched.get(ordinal) {
                let filter = self.filter.of_series(labels).filter(|filter| filter.touches(range));
                touched.extend(filter.map(|filter| (index, filter)));
            } else if !selected.ordinals.contains(*ordinal) {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "rows of a series under a filter were asked for without selecting it",
                ));
            }
        }
        Ok(touched)
    }
}

#[async_trait]
impl SeriesSource for CoveredSource {
    fn time_range(&self) -> TimeRange {
        self.source.time_range()
    }

    fn identity(&self) -> Option<SourceIdentity> {
        // What has expired grows with time.
        if self.filter.hides_expired() {
            return None;
        }
        let mut identity = self.source.identity()?;
        identity.deletes.extend(self.filter.ids());
        Some(identity)
    }

    async fn select(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<SourceSeries>> {
        let mut found = self.source.select(matchers, range, scan).await?;
        let mut selected = self.selected.lock();
        found.retain_mut(|series| {
            let Some(filter) = self.remember(&mut selected, series) else {
                return true;
            };
            series.range = filter.trim(series.range);
            !filter.hides_all(series.range.intersect(&range))
        });
        Ok(found)
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, scan: &ScanContext) -> Result<SampleColumns> {
        let touched = self.touched(ordinals, range)?;
        let mut columns = self.source.read_samples(ordinals, range, scan).await?;
        if touched.is_empty() {
            return Ok(columns);
        }
        columns.check(ordinals.len())?;
        let mut touched = touched.iter().peekable();
        columns.retain_rows(|index, time| {
            while touched.next_if(|(own, _)| *own < index).is_some() {}
            !touched
                .peek()
                .is_some_and(|(own, filter)| *own == index && filter.hides_sample(time))
        });
        Ok(columns)
    }

    async fn read_logs(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<LogRows> {
        let touched = self.touched(ordinals, range)?;
        // A filter looks at the whole entry, whatever the query wants of it.
        let looks = touched.iter().any(|(_, filter)| filter.reads_entries(range));
        let whole = read.whole_rows();
        let asked = if looks { &whole } else { read };
        let rows = self.source.read_logs(ordinals, range, asked, scan).await?;
        if touched.is_empty() {
            return Ok(rows);
        }
        rows.check(ordinals.len(), asked)?;
        let mut held = Held::new(&scan.memory);
        held.set(rows.size_bytes())?;
        leave_out(&rows, read.columns, touched)
    }

    async fn exemplars(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let mut found = self.source.exemplars(matchers, range, scan).await?;
        for (labels, exemplars) in &mut found {
            if let Some(filter) = self.filter.of_series(labels) {
                exemplars.retain(|exemplar| !filter.hides_sample(exemplar.time));
            }
        }
        found.retain(|(_, exemplars)| !exemplars.is_empty());
        Ok(found)
    }

    async fn metric_metadata(&self, scan: &ScanContext) -> Result<MetadataMap> {
        self.source.metric_metadata(scan).await
    }

    async fn row_bounds(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        scan: &ScanContext,
    ) -> Result<Option<Vec<RowBounds>>> {
        self.source.row_bounds(ordinals, range, scan).await
    }

    async fn log_volumes(&self, ordinals: &[u32], grid: &VolumeGrid, scan: &ScanContext) -> Result<Vec<SourceVolume>> {
        let touched: Vec<usize> = self
            .touched(ordinals, grid.range())?
            .into_iter()
            .map(|(i, _)| i)
            .collect();
        if touched.is_empty() {
            return self.source.log_volumes(ordinals, grid, scan).await;
        }
        let is_touched = |index: &usize| touched.binary_search(index).is_ok();
        let others: Vec<usize> = (0..ordinals.len()).filter(|i| !is_touched(i)).collect();
        let named = |indices: &[usize]| indices.iter().map(|i| ordinals[*i]).collect::<Vec<u32>>();
        let rename = |volume: SourceVolume, indices: &[usize]| SourceVolume {
            index: indices.get(volume.index as usize).map_or(u32::MAX, |i| *i as u32),
            ..volume
        };
        let own = named(&touched);
        let read = COUNTED_COLUMNS.into();
        let rows = self.read_logs(&own, grid.range(), &read, scan).await?;
        rows.check(own.len(), &read)?;
        let counted = count_rows(&rows, grid);
        let mut volumes: Vec<SourceVolume> = counted.into_iter().map(|v| rename(v, &touched)).collect();
        if !others.is_empty() {
            let known = self.source.log_volumes(&named(&others), grid, scan).await?;
            volumes.extend(known.into_iter().map(|v| rename(v, &others)));
            volumes.sort_by_key(|volume| volume.index);
        }
        Ok(volumes)
    }
}

/// The rows that are not hidden, with the columns asked for.
fn leave_out(rows: &LogRows, columns: LogColumns, touched: Vec<(usize, SeriesFilter)>) -> Result<LogRows> {
    let empty = Labels::empty();
    let set = |codes: &[u32], row: usize| {
        let code = codes.get(row).copied().unwrap_or(u32::MAX);
        rows.metadata_sets.get(code as usize).unwrap_or(&empty)
    };
    let mut out = LogRowsBuilder::new(columns);
    let mut codes = SetCodes::default();
    let mut touched = touched.into_iter().peekable();
    for (index, bounds) in rows.offsets.windows(2).enumerate() {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        let Some((_, mut filter)) = touched.next_if(|(own, _)| *own == index) else {
            out.append(rows, start..end, &mut codes)?;
            out.end_stream()?;
            continue;
        };
        let mut hides = |row: usize| {
            filter.hides_entry(EntryRef {
                time: rows.timestamps[row],
                line: rows.lines.as_ref().map(|lines| lines.value(row)).unwrap_or_default(),
                metadata: set(&rows.metadata, row),
                derived: set(&rows.derived, row),
            })
        };
        let mut from = start;
        for row in start..end {
            if hides(row) {
                out.append(rows, from..row, &mut codes)?;
                from = row + 1;
            }
        }
        out.append(rows, from..end, &mut codes)?;
        out.end_stream()?;
    }
    out.finish()
}
