//! Native histograms of the series of one head, beside its numbers: coded one against the other as they come, since one of
//! them takes as much room as a hundred numbers.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::codec::histogram_bytes::{HistogramReader, HistogramWriter};
use crate::error::Result;
use crate::model::{Histogram, TimeRange};
use crate::scan::{HistogramColumn, SampleColumns, SampleRow};

use super::rows::SampleRows;

/// Bytes a series takes besides its rows: its place in the map.
const SERIES_OVERHEAD_BYTES: usize = 48;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct HistogramStore {
    series: HashMap<u32, HistogramSeries, ahash::RandomState>,
    pub rows: u64,
}

/// Histograms of one series in order of arrival.
#[derive(Debug)]
pub(super) struct HistogramSeries {
    times: Vec<i64>,
    bytes: Vec<u8>,
    writer: HistogramWriter,
    /// Whether times do not strictly ascend, so that reads must sort and resolve.
    unsorted: bool,
    first: i64,
    last: i64,
}

impl HistogramStore {
    /// Adds the histograms of `rows`; returns how many bytes the store grew.
    pub fn append(&mut self, rows: &SampleRows) -> usize {
        let HistogramColumn { rows: at, values } = &rows.histograms;
        let mut grown = 0;
        for (row, histogram) in at.iter().zip(values) {
            let (id, time) = (rows.series[*row as usize], rows.times[*row as usize]);
            let series = self.series.entry(id).or_insert_with(|| {
                grown += size_of::<HistogramSeries>() + SERIES_OVERHEAD_BYTES;
                HistogramSeries::new(time)
            });
            let before = series.heap_bytes();
            series.push(time, histogram);
            // What a writer remembers follows the histogram before, which may have been larger.
            grown += series.heap_bytes().saturating_sub(before);
        }
        self.rows += at.len() as u64;
        grown
    }

    pub fn get(&self, id: u32) -> Option<&HistogramSeries> {
        self.series.get(&id)
    }
}

impl HistogramSeries {
    fn new(time: i64) -> Self {
        HistogramSeries {
            times: Vec::new(),
            bytes: Vec::new(),
            writer: HistogramWriter::default(),
            unsorted: false,
            first: time,
            last: time,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.times.capacity() * 8 + self.bytes.capacity() + self.writer.size_bytes()
    }

    fn push(&mut self, time: i64, histogram: &Histogram) {
        self.unsorted |= !self.times.is_empty() && time <= self.last;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.times.push(time);
        self.writer.push(histogram, &mut self.bytes);
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    pub fn rows(&self) -> u64 {
        self.times.len() as u64
    }

    pub fn has(&self, time: i64) -> bool {
        match self.unsorted {
            true => self.times.contains(&time),
            false => self.times.binary_search(&time).is_ok(),
        }
    }

    /// The histograms inside `range`, strictly ascending in time.
    pub fn read(&self, range: TimeRange) -> Result<SampleColumns> {
        let mut reader = HistogramReader::new(&self.bytes);
        let mut found: Vec<(i64, Arc<Histogram>)> = Vec::new();
        for time in &self.times {
            let histogram = reader.read()?;
            if range.contains(*time) {
                found.push((*time, Arc::new(histogram.clone())));
            }
        }
        if self.unsorted {
            found.sort_by(|(s, a), (t, b)| s.cmp(t).then_with(|| b.total_cmp(a)));
            found.dedup_by_key(|(time, _)| *time);
        }
        let mut columns = SampleColumns::default();
        for (time, histogram) in &found {
            columns.sink().push(SampleRow {
                time: *time,
                value: histogram.sum,
                histogram: Some(histogram),
                start_time: 0,
            });
        }
        Ok(columns)
    }
}
