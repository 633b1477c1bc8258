//! Builds a segment of metric samples.

use super::SegmentBytes;
use super::builder::SegmentBuilder;
use super::directory::{CODEC_METRIC_PAGE, ColumnId, PageStats};
use super::sample_chunks::NewChunk;
use crate::codec::compress::FLUSH_LEVEL;
use crate::codec::metric_page::{self, ChunkInput};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, METRIC_NAME, Signal, TenantId};

/// Rows at which a page is full: 20 to 90 KB encoded, a tenth of a millisecond to decode.
const MAX_PAGE_SAMPLES: usize = metric_page::TARGET_PAGE_ROWS;
/// Rows from which a page ends with its metric, so that reading one metric reads little of others.
const MIN_PAGE_SAMPLES: usize = 16 << 10;
const _: () = assert!(MIN_PAGE_SAMPLES <= MAX_PAGE_SAMPLES);

/// Bytes of a sample before encoding.
const SAMPLE_BYTES: u64 = 16;

/// Fed series by series in the order of [`crate::model::SeriesKey`], gives the bytes of one segment.
#[derive(Debug)]
pub struct SampleSegmentWriter {
    pub(super) builder: SegmentBuilder,
    chunks: Vec<NewChunk>,
    values: Vec<f64>,
    metric: Option<String>,
    /// Labels without `le` of the bucket pushed last.
    histogram: Option<Labels>,
    /// For each chunk: whether it is the next bucket of the histogram before it.
    buckets: Vec<bool>,
}

impl SampleSegmentWriter {
    /// An empty segment of `tenant`; `level` is how often its rows were compacted (0 from a flush).
    pub fn new(tenant: TenantId, level: u8) -> Self {
        SampleSegmentWriter {
            builder: SegmentBuilder::new(tenant, Signal::Metrics, level),
            chunks: Vec::new(),
            values: Vec::new(),
            metric: None,
            histogram: None,
            buckets: Vec::new(),
        }
    }

    /// Appends a series that sorts after the one before. Times are strictly ascending and as many as values; a series
    /// without rows is left out.
    pub fn push_series(&mut self, labels: &Labels, timestamps: &[i64], values: &[f64]) -> Result<()> {
        let ascending = timestamps.is_sorted_by(|a, b| a < b) && timestamps.last().is_none_or(|t| *t < i64::MAX);
        if timestamps.len() != values.len() || !ascending {
            let message = format!("samples of {labels} are not strictly ascending in time");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        if timestamps.is_empty() {
            return Ok(());
        }
        let metric = labels.get(METRIC_NAME);
        let new_metric = self.metric.as_deref() != metric;
        if new_metric {
            if self.values.len() >= MIN_PAGE_SAMPLES {
                self.seal_page()?;
            }
            self.metric = metric.map(str::to_string);
        }
        let histogram = labels.get("le").map(|_| labels.filtered(|name| name != "le"));
        let next_bucket = histogram.is_some() && self.histogram == histogram;
        self.histogram = histogram;
        let series = self.builder.add_series(labels)?;
        if self.values.len() + timestamps.len() > MAX_PAGE_SAMPLES {
            self.seal_page()?;
        }
        let mut at = 0;
        while at < timestamps.len() {
            let most = (at + MAX_PAGE_SAMPLES).min(timestamps.len());
            let (times, rows) = self.builder.place_times(&timestamps[at..most])?;
            if self.values.len() + rows > MAX_PAGE_SAMPLES {
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
        self.builder.size_bytes() + self.values.capacity() * size_of::<f64>()
    }

    /// The segment, or what of it was not drained; `None` where nothing was pushed.
    pub fn finish(mut self) -> Result<Option<SegmentBytes>> {
        self.seal_page()?;
        self.builder.finish()
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
        let page = metric_page::encode(&inputs, FLUSH_LEVEL)?;
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
