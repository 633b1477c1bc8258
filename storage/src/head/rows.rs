//! Rows of one append on their way into WAL and head: columns, series by their id in a [`super::SeriesIndex`].

use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3;

use crate::model::{Labels, TimeRange};

/// Rows of one append.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of metric series.
    Samples(SampleRows),
    /// Of log streams.
    Logs(LogRows),
}

/// Samples in order of arrival; all columns have one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleRows {
    /// Series ids.
    pub series: Vec<u32>,
    /// Nanoseconds.
    pub times: Vec<i64>,
    /// Values.
    pub values: Vec<f64>,
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

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

    /// Series ids of all rows, to be renamed.
    pub fn series_mut(&mut self) -> &mut [u32] {
        match self {
            Rows::Samples(rows) => &mut rows.series,
            Rows::Logs(rows) => &mut rows.series,
        }
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
            Rows::Samples(rows) => rows.times.len() * 24,
            Rows::Logs(rows) => rows.times.len() * 30 + rows.bytes.len() * 3 / 2,
        };
        bytes as u64
    }
}

impl SampleRows {
    /// Adds a sample.
    pub fn push(&mut self, series: u32, time: i64, value: f64) {
        self.series.push(series);
        self.times.push(time);
        self.values.push(value);
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
