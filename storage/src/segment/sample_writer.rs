//! Builds a segment of metric samples.

use std::sync::Arc;

use super::SegmentBytes;
use super::builder::SegmentBuilder;
use super::directory::{CODEC_METRIC_PAGE, ColumnId, PageStats};
use super::sample_chunks::NewChunk;
use super::side::SideWriter;
use crate::codec::compress::FLUSH_LEVEL;
use crate::codec::metric_page::{self, ChunkInput};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Histogram, Labels, METRIC_NAME, MetadataMap, Signal, TenantId, TimeRange};
use crate::scan::SampleSlice;

/// Rows at which a page is full: 20 to 90 KB encoded, a tenth of a millisecond to decode.
const MAX_PAGE_SAMPLES: usize = metric_page::TARGET_PAGE_ROWS;
/// Rows at which a page is full inside a histogram: a bucket without the one before it in its page is no difference.
const MAX_HISTOGRAM_PAGE_SAMPLES: usize = 2 * MAX_PAGE_SAMPLES;
/// Rows from which a page ends with its metric, so that reading one metric reads little of others.
const MIN_PAGE_SAMPLES: usize = 16 << 10;
const _: () = assert!(MIN_PAGE_SAMPLES <= MAX_PAGE_SAMPLES && MAX_HISTOGRAM_PAGE_SAMPLES <= metric_page::MAX_PAGE_ROWS);

/// Bytes of a sample before encoding.
const SAMPLE_BYTES: u64 = 16;

/// Fed series by series in the order of [`crate::model::SeriesKey`], gives the bytes of one segment.
#[derive(Debug)]
pub struct SampleSegmentWriter {
    pub(super) builder: SegmentBuilder,
    chunks: Vec<NewChunk>,
    values: Vec<f64>,
    metric: Option<String>,
    /// The series pushed last, and the time of its last row.
    last: Option<(u32, i64)>,
    /// Labels without `le` of the bucket pushed last.
    histogram: Option<Labels>,
    /// For each chunk: whether it is the next bucket of the histogram before it.
    buckets: Vec<bool>,
    side: SideWriter,
}

impl SampleSegmentWriter {
    /// An empty segment of `tenant`; `level` as in [`super::SegmentMeta::level`].
    pub fn new(tenant: TenantId, level: u8) -> Self {
        SampleSegmentWriter {
            builder: SegmentBuilder::new(tenant, Signal::Metrics, level),
            chunks: Vec::new(),
            values: Vec::new(),
            metric: None,
            last: None,
            histogram: None,
            buckets: Vec::new(),
            side: SideWriter::default(),
        }
    }

    /// Appends a series of numbers that sorts after the one before, or later rows of the same. Times are strictly ascending
    /// and as many as values; a series without rows is left out.
    pub fn push_series(&mut self, labels: &Labels, timestamps: &[i64], values: &[f64]) -> Result<()> {
        self.push_samples(labels, &SampleSlice::plain(timestamps, values))
    }

    /// As [`SampleSegmentWriter::push_series`], of samples with all that can belong to them.
    pub fn push_samples(&mut self, labels: &Labels, samples: &SampleSlice<'_>) -> Result<()> {
        let SampleSlice { timestamps, values, .. } = *samples;
        let ascending = timestamps.is_sorted_by(|a, b| a < b) && timestamps.last().is_none_or(|t| *t < i64::MAX);
        if timestamps.len() != values.len() || !ascending {
            let message = format!("samples of {labels} are not strictly ascending in time");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        if timestamps.is_empty() {
            return Ok(());
        }
        let series = self.builder.add_series(labels)?;
        let before = self.last.filter(|(last, _)| *last == series);
        if before.is_some_and(|(_, time)| time >= timestamps[0]) {
            let message = format!("samples of {labels} from {} on come too late", timestamps[0]);
            return Err(Error::new(ErrorKind::Internal, message));
        }
        self.last = timestamps.last().map(|time| (series, *time));
        let continued = before.is_some();
        if samples.histograms.is_empty() {
            self.push_numbers(series, labels, (timestamps, values), continued)?;
        } else {
            self.push_mixed(series, labels, samples, continued)?;
        }
        if continued || !samples.start_times.is_empty() {
            let builder = &mut self.builder;
            self.side
                .push_start_times(series, timestamps, samples.start_times, &mut |bytes| {
                    builder.append_blob(bytes)
                });
        }
        Ok(())
    }

    /// Appends exemplars of a series, which need not have samples here.
    pub fn push_exemplars(&mut self, labels: &Labels, exemplars: &[Exemplar]) {
        let builder = &mut self.builder;
        self.side
            .push_exemplars(labels, exemplars, &mut |bytes| builder.append_blob(bytes));
    }

    /// Adds metric metadata.
    pub fn add_metadata(&mut self, metadata: &MetadataMap) {
        self.side.add_metadata(metadata);
    }

    /// Appends a series of which some samples are histograms.
    fn push_mixed(&mut self, series: u32, labels: &Labels, samples: &SampleSlice<'_>, continued: bool) -> Result<()> {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let (mut histogram_times, mut histograms): (Vec<i64>, Vec<Arc<Histogram>>) = (Vec::new(), Vec::new());
        let mut raw_bytes = 0;
        for row in 0..samples.len() {
            match samples.histograms.get(row) {
                Some(histogram) => {
                    raw_bytes += (histogram.size_bytes() + 8) as u64;
                    histogram_times.push(samples.timestamps[row]);
                    histograms.push(histogram.clone());
                }
                None => {
                    times.push(samples.timestamps[row]);
                    values.push(samples.values[row]);
                }
            }
        }
        if let (Some(first), Some(last)) = (histogram_times.first(), histogram_times.last()) {
            let range = TimeRange::closed(*first, *last);
            self.builder.add_rows(histogram_times.len() as u64, raw_bytes, range);
        }
        let builder = &mut self.builder;
        self.side
            .push_histograms(series, &histogram_times, &histograms, &mut |bytes| {
                builder.append_blob(bytes)
            })?;
        if times.is_empty() {
            return Ok(());
        }
        self.push_numbers(series, labels, (&times, &values), continued)
    }

    /// Appends the numbers of a series; `continued` where earlier ones of it were pushed before.
    fn push_numbers(
        &mut self,
        series: u32,
        labels: &Labels,
        (timestamps, values): (&[i64], &[f64]),
        continued: bool,
    ) -> Result<()> {
        let metric = labels.get(METRIC_NAME);
        let new_metric = self.metric.as_deref() != metric;
        if new_metric {
            if self.values.len() >= MIN_PAGE_SAMPLES {
                self.seal_page()?;
            }
            self.metric = metric.map(str::to_string);
        }
        let histogram = labels.get("le").map(|_| labels.filtered(|name| name != "le"));
        let next_bucket = !continued && histogram.is_some() && self.histogram == histogram;
        self.histogram = histogram;
        let full = if next_bucket {
            MAX_HISTOGRAM_PAGE_SAMPLES
        } else {
            MAX_PAGE_SAMPLES
        };
        if self.values.len() + timestamps.len() > full {
            self.seal_page()?;
        }
        let mut at = 0;
        while at < timestamps.len() {
            let most = (at + MAX_PAGE_SAMPLES).min(timestamps.len());
            let (times, rows) = self.builder.place_times(&timestamps[at..most])?;
            if self.values.len() + rows > full {
                self.seal_page()?;
            }
            self.chunks.push(NewChunk {
                series,
                rows: rows as u32,
                first: timestamps[at],
                last: timestamps[at + rows - 1],
                times,
            });
            self.buckets.push(next_bucket);
            self.values.extend_from_slice(&values[at..at + rows]);
            at += rows;
        }
        Ok(())
    }

    /// Takes the bytes of the segment that are final, so that they can be sent while more series are pushed: their place
    /// is behind those taken before, and [`SampleSegmentWriter::finish`] gives the rest.
    pub fn drain(&mut self) -> Vec<u8> {
        self.builder.drain()
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.builder.size_bytes() + self.values.capacity() * size_of::<f64>() + self.side.size_bytes()
    }

    /// The segment, or what of it was not drained; `None` where no sample was pushed.
    pub fn finish(mut self) -> Result<Option<SegmentBytes>> {
        self.seal_page()?;
        if let Some(range) = self.side.exemplar_range() {
            self.builder.widen(range);
        }
        let builder = &mut self.builder;
        let side = self.side.finish(&mut |bytes| builder.append_blob(bytes))?;
        self.builder.finish(side)
    }

    fn seal_page(&mut self) -> Result<()> {
        if self.values.is_empty() {
            return Ok(());
        }
        let chunks = std::mem::take(&mut self.chunks);
        let buckets = std::mem::take(&mut self.buckets);
        let mut rest = self.values.as_slice();
        let mut inputs: Vec<ChunkInput<'_>> = Vec::with_capacity(chunks.len());
        for (chunk, next_bucket) in chunks.iter().zip(&buckets) {
            let (values, behind) = rest.split_at(chunk.rows as usize);
            rest = behind;
            inputs.push(ChunkInput {
                values,
                next_bucket: *next_bucket,
            });
        }
        // What a flush writes is soon read to be compacted; what compaction writes stays.
        let page = match self.builder.level() {
            0 => metric_page::encode(&inputs, FLUSH_LEVEL)?,
            _ => metric_page::encode_smallest(&inputs, FLUSH_LEVEL)?,
        };
        let columns = vec![(ColumnId::Samples, CODEC_METRIC_PAGE, page)];
        let raw_bytes = self.values.len() as u64 * SAMPLE_BYTES;
        self.builder
            .add_sample_page(&chunks, stats(&self.values), raw_bytes, columns);
        self.values.clear();
        Ok(())
    }
}

/// Statistics over what is not NaN; of nothing, infinities the wrong way round.
fn stats(values: &[f64]) -> PageStats {
    let (mut min, mut max, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0);
    for value in values.iter().copied().filter(|v| !v.is_nan()) {
        min = value.min(min);
        max = value.max(max);
        sum += value;
        count += 1;
    }
    PageStats::Samples { min, max, sum, count }
}
