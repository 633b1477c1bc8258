//! How rows arrive from a scan: columns, with the series a run of rows belongs to named once.

use arrow_array::BinaryArray;

use super::{HistogramColumn, HistogramSlice, LogRead, SampleSink, SampleSlice};
use crate::model::Labels;

/// Samples of whole series: row `i` of series `s` lies at `offsets[s] <= i < offsets[s + 1]`.
///
/// Inside a series times are strictly ascending nanoseconds; equal times of several sources have been resolved to one
/// sample. Series come in the order of [`crate::model::SeriesKey`], each in exactly one batch of one partition.
#[derive(Debug, Clone, Default)]
pub struct SampleBatch {
    /// One label set a series.
    pub series: Vec<Labels>,
    /// `series.len() + 1` row offsets, the first 0.
    pub offsets: Vec<u32>,
    /// Nanoseconds.
    pub timestamps: Vec<i64>,
    /// Values, staleness markers included (see [`crate::model::is_stale`]); of histograms their sum.
    pub values: Vec<f64>,
    /// Which rows are native histograms. Empty where there is none, which costs nothing.
    pub histograms: HistogramColumn,
    /// When the counting of each row began, nanoseconds, 0 where unknown. Empty where no row of the batch has one.
    pub start_times: Vec<i64>,
}

impl SampleBatch {
    /// Times and values of series `index`.
    pub fn rows(&self, index: usize) -> (&[i64], &[f64]) {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        (&self.timestamps[range.clone()], &self.values[range])
    }

    /// Which rows of series `index` are histograms, counted from its first row.
    pub fn histograms(&self, index: usize) -> HistogramSlice<'_> {
        self.histograms.slice(self.offsets[index]..self.offsets[index + 1])
    }

    /// Start times of series `index`, one a row; empty where no row of the batch has one.
    pub fn start_times(&self, index: usize) -> &[i64] {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        self.start_times.get(range).unwrap_or(&[])
    }

    /// All that is known of the rows of series `index`.
    pub fn samples(&self, index: usize) -> SampleSlice<'_> {
        let (timestamps, values) = self.rows(index);
        SampleSlice {
            timestamps,
            values,
            histograms: self.histograms(index),
            start_times: self.start_times(index),
        }
    }

    /// The columns, to append the rows of one more series.
    pub(crate) fn sink(&mut self) -> SampleSink<'_> {
        SampleSink {
            timestamps: &mut self.timestamps,
            values: &mut self.values,
            histograms: &mut self.histograms,
            start_times: &mut self.start_times,
        }
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.timestamps.len() * 16
            + self.start_times.len() * 8
            + self.histograms.size_bytes()
            + self.series.iter().map(|l| l.size_bytes() + 24).sum::<usize>()
    }
}

/// Log entries of one slab of time, grouped by stream: rows of stream `s` lie at `offsets[s] <= i < offsets[s + 1]`,
/// in ascending time. Entries that several sources hold (same stream, time, line, metadata as sent) stand once.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// One label set a stream, in the order of [`crate::model::SeriesKey`].
    pub streams: Vec<Labels>,
    /// `streams.len() + 1` row offsets, the first 0.
    pub offsets: Vec<u32>,
    /// Nanoseconds.
    pub timestamps: Vec<i64>,
    /// Lines as bytes (not always UTF-8); `None` where they were not asked for.
    pub lines: Option<BinaryArray>,
    /// Length of each line in bytes; empty where it was not asked for.
    pub line_lengths: Vec<u32>,
    /// The distinct structured metadata sets of the batch. Empty where metadata was not asked for.
    pub metadata_sets: Vec<Labels>,
    /// Per row: index into `metadata_sets` of what the client sent.
    pub metadata: Vec<u32>,
    /// Per row: index into `metadata_sets` of what the server derived (`detected_level`).
    pub derived: Vec<u32>,
}

impl Default for LogBatch {
    /// No rows, and times alone.
    fn default() -> Self {
        LogBatch {
            streams: Vec::new(),
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

impl LogBatch {
    /// No rows, in the columns that `read` asks for.
    pub fn empty(read: &LogRead) -> Self {
        LogBatch {
            lines: read
                .columns
                .lines
                .then(|| BinaryArray::from_iter_values(std::iter::empty::<&[u8]>())),
            ..LogBatch::default()
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }
}
