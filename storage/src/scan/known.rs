//! Scans of series whose place in each source is known beforehand: what merges whole segments, by the very code that
//! answers queries.

use std::sync::Arc;

use super::log_scan::MergedLogs;
use super::sample_scan::MergedSamples;
use super::selection::{Part, Selection};
use super::{BatchStream, LogColumns, LogOrder, LogSelection, LogSlab, SampleBatch, SampleSelection, ScanContext};
use super::{SeriesSource, SourceSeries};
use crate::error::Result;
use crate::model::{Labels, TimeRange};

/// Series of several sources, collected one by one in the order of [`crate::model::SeriesKey`].
#[derive(Debug)]
pub(crate) struct KnownSeries(Selection);

impl KnownSeries {
    /// None yet; only rows inside `range` will come out. Sources stand newest first.
    pub fn new(sources: &[Arc<dyn SeriesSource>], range: TimeRange, scan: &ScanContext) -> Self {
        KnownSeries(Selection::empty(sources.to_vec(), range, scan))
    }

    /// Adds a series that sorts after the one before, and where it is: (source, ordinal, bounds and number of its rows
    /// there), newest source first.
    pub fn push(&mut self, labels: &Labels, places: impl Iterator<Item = (u32, u32, TimeRange, u64)>) {
        let within = self.0.range;
        let parts = places.map(|(source, ordinal, range, rows)| {
            let series = SourceSeries {
                labels: Labels::empty(),
                ordinal,
                range,
                rows,
            };
            Part::of(source, &series, within)
        });
        self.0.push(labels, parts);
    }

    /// Accounts for what was collected, so that it is held while it is scanned.
    fn finish(mut self) -> Result<Arc<Selection>> {
        self.0.account()?;
        Ok(Arc::new(self.0))
    }

    /// The samples, series by series.
    pub fn samples(self) -> Result<BatchStream<SampleBatch>> {
        Ok(MergedSamples(self.finish()?).scan(0, 1))
    }

    /// The log entries with all their columns, stream by stream.
    pub fn logs(self) -> Result<BatchStream<LogSlab>> {
        let columns = LogColumns {
            lines: true,
            metadata: true,
        };
        Ok(MergedLogs(self.finish()?).scan(0, 1, LogOrder::Streams, columns.into()))
    }
}
