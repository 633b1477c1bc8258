//! Rows of one append on their way into WAL and head: columns, series by their id in a [`super::SeriesIndex`].

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3;

use super::exemplars::ExemplarRows;
use crate::model::{Exemplar, Histogram, Labels, MetadataMap, TimeRange};
use crate::scan::HistogramColumn;

/// Rows of one append.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of metric series.
    Samples(SampleRows),
    /// Of log streams.
    Logs(LogRows),
}

/// Samples in order of arrival; the columns of rows have one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleRows {
    /// Series ids.
    pub series: Vec<u32>,
    /// Nanoseconds.
    pub times: Vec<i64>,
    /// Values; of histograms their sum.
    pub values: Vec<f64>,
    /// Which rows are native histograms.
    pub histograms: HistogramColumn,
    /// Start times, 0 where unknown: one a row, or none at all.
    pub start_times: Vec<i64>,
    /// Exemplars that came along; they are no rows.
    pub exemplars: ExemplarRows,
    /// Metric metadata that came along.
    pub metadata: MetadataMap,
}

/// Log entries in order of arrival; all columns but `bytes` and `metadata_sets` have one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogRows {
    /// Series ids.
    pub series: Vec<u32>,
    /// Nanoseconds.
    pub times: Vec<i64>,
    /// Where each line ends in `bytes`; it starts where the one before ends.
    pub line_ends: Vec<u32>,
    /// All lines.
    pub bytes: Vec<u8>,
    /// Metadata as sent: index into `metadata_sets`.
    pub metadata: Vec<u32>,
    /// Metadata made by the server: index into `metadata_sets`.
    pub derived: Vec<u32>,
    /// The distinct metadata sets; the first is the empty one, where there is any row.
    pub metadata_sets: Vec<Labels>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times().len()
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        let more = match self {
            Rows::Samples(rows) => !rows.exemplars.is_empty() || !rows.metadata.is_empty(),
            Rows::Logs(_) => false,
        };
        self.len() == 0 && !more
    }

    /// Times of all rows.
    pub fn times(&self) -> &[i64] {
        match self {
            Rows::Samples(rows) => &rows.times,
            Rows::Logs(rows) => &rows.times,
        }
    }

    /// Series ids of all rows.
    pub fn series(&self) -> &[u32] {
        match self {
            Rows::Samples(rows) => &rows.series,
            Rows::Logs(rows) => &rows.series,
        }
    }

    /// Series ids of all exemplars.
    pub fn exemplar_series(&self) -> &[u32] {
        match self {
            Rows::Samples(rows) => &rows.exemplars.series,
            Rows::Logs(_) => &[],
        }
    }

    /// Series ids of all rows and exemplars, to be renamed.
    pub fn series_mut(&mut self) -> impl Iterator<Item = &mut u32> {
        let (rows, exemplars) = match self {
            Rows::Samples(rows) => (&mut rows.series[..], &mut rows.exemplars.series[..]),
            Rows::Logs(rows) => (&mut rows.series[..], &mut [][..]),
        };
        rows.iter_mut().chain(exemplars)
    }

    /// The smallest half-open range that holds every row.
    pub fn time_range(&self) -> TimeRange {
        let times = self.times();
        match (times.iter().min(), times.iter().max()) {
            (Some(first), Some(last)) => TimeRange::closed(*first, *last),
            _ => TimeRange::new(0, 0),
        }
    }

    /// About how many bytes of head they will take.
    pub fn head_bytes(&self) -> u64 {
        // Growing vectors hold up to twice what is in them; half of that on average.
        let bytes = match self {
            Rows::Samples(rows) => rows.times.len() * 24 + rows.side_bytes(),
            Rows::Logs(rows) => rows.times.len() * 30 + rows.bytes.len() * 3 / 2,
        };
        bytes as u64
    }
}

impl SampleRows {
    /// Makes room for `rows` more.
    pub fn reserve(&mut self, rows: usize) {
        self.series.reserve(rows);
        self.times.reserve(rows);
        self.values.reserve(rows);
    }

    /// Adds a sample.
    pub fn push(&mut self, series: u32, time: i64, value: f64) {
        self.series.push(series);
        self.times.push(time);
        self.values.push(value);
    }

    /// Adds a native histogram.
    pub fn push_histogram(&mut self, series: u32, time: i64, histogram: Arc<Histogram>) {
        let row = self.times.len() as u32;
        self.push(series, time, histogram.sum);
        self.histograms.push(row, histogram);
    }

    /// Tells the start time of the row added last.
    pub fn set_start_time(&mut self, start_time: i64) {
        if start_time != 0 {
            self.start_times.resize(self.times.len(), 0);
            if let Some(last) = self.start_times.last_mut() {
                *last = start_time;
            }
        }
    }

    /// Makes the column of start times as long as the others, where there is one.
    pub fn finish(&mut self) {
        if !self.start_times.is_empty() {
            self.start_times.resize(self.times.len(), 0);
        }
    }

    /// Whether there is nothing but numbers.
    pub fn is_plain(&self) -> bool {
        let rows = self.histograms.is_empty() && self.start_times.is_empty();
        rows && self.exemplars.is_empty() && self.metadata.is_empty()
    }

    /// About how many bytes everything but series, times and values takes.
    pub fn side_bytes(&self) -> usize {
        let exemplars: usize = self.exemplars.exemplars.iter().map(Exemplar::size_bytes).sum();
        self.histograms.size_bytes() + self.start_times.len() * 8 + exemplars + self.metadata.size_bytes()
    }

    /// The rows that are numbers.
    pub fn numbers(&self) -> SampleRows {
        let mut numbers = SampleRows::default();
        let mut histograms = self.histograms.rows.iter().peekable();
        for row in 0..self.times.len() {
            if histograms.next_if(|h| **h as usize == row).is_none() {
                numbers.push(self.series[row], self.times[row], self.values[row]);
            }
        }
        numbers
    }
}

impl LogRows {
    /// The line of row `row`.
    pub fn line(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.line_ends[row - 1] as usize };
        &self.bytes[start..self.line_ends[row] as usize]
    }
}

/// Distinct metadata sets and their codes; code 0 is the empty set.
#[derive(Debug)]
pub struct MetadataTable {
    by_hash: HashMap<u128, u32, ahash::RandomState>,
    sets: Vec<Labels>,
}

impl Default for MetadataTable {
    fn default() -> Self {
        MetadataTable {
            by_hash: HashMap::default(),
            sets: vec![Labels::empty()],
        }
    }
}

impl MetadataTable {
    /// The code of these pairs, which builds a label set only when they are new. Pairs in another order get another code
    /// of an equal set, which costs room and changes nothing.
    pub fn intern_pairs(&mut self, pairs: &[(&str, &str)]) -> u32 {
        if pairs.is_empty() {
            return 0;
        }
        let mut hasher = Xxh3::new();
        for (name, value) in pairs {
            for text in [name, value] {
                hasher.update(&(text.len() as u32).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        let next = self.sets.len() as u32;
        let code = *self.by_hash.entry(hasher.digest128()).or_insert(next);
        if code == next {
            self.sets.push(Labels::from_pairs(pairs.iter().copied()));
        }
        code
    }

    /// The code of this set. Returns it and how many bytes the table grew.
    pub fn intern(&mut self, set: &Labels) -> (u32, usize) {
        if set.is_empty() {
            return (0, 0);
        }
        let next = self.sets.len() as u32;
        let code = *self.by_hash.entry(set.fingerprint()).or_insert(next);
        if code < next {
            return (code, 0);
        }
        self.sets.push(set.clone());
        (code, set.size_bytes() + 64)
    }

    /// The set of `code`.
    pub fn get(&self, code: u32) -> Option<&Labels> {
        self.sets.get(code as usize)
    }

    /// All sets by code.
    pub fn into_sets(self) -> Vec<Labels> {
        self.sets
    }
}
