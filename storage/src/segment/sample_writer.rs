//! Builds a segment of metric samples.

use super::SegmentBytes;
use super::builder::SegmentBuilder;
use super::directory::{CODEC_METRIC_PAGE, Chunk, ColumnId, PageStats};
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
    chunks: Vec<Chunk>,
    times: Vec<i64>,
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
            times: Vec::new(),
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
            if self.times.len() >= MIN_PAGE_SAMPLES {
                self.seal_page()?;
            }
            self.metric = metric.map(str::to_string);
        }
        let histogram = labels.get("le").map(|_| labels.filtered(|name| name != "le"));
        let next_bucket = histogram.is_some() && self.histogram == histogram;
        self.histogram = histogram;
        let series = self.builder.add_series(labels)?;
        if self.times.len() + timestamps.len() > MAX_PAGE_SAMPLES {
            self.seal_page()?;
        }
        for (times, values) in timestamps.chunks(MAX_PAGE_SAMPLES).zip(values.chunks(MAX_PAGE_SAMPLES)) {
            if self.times.len() + times.len() > MAX_PAGE_SAMPLES {
                self.seal_page()?;
            }
            self.chunks.push(Chunk {
                series,
                page: 0,
                row: self.times.len() as u32,
                rows: times.len() as u32,
                first: times[0],
                last: times[times.len() - 1],
            });
            self.buckets.push(next_bucket);
            self.times.extend_from_slice(times);
            self.values.extend_from_slice(values);
        }
        Ok(())
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.builder.size_bytes() + self.times.capacity() * SAMPLE_BYTES as usize
    }

    /// The segment; `None` where nothing was pushed.
    pub fn finish(mut self) -> Result<Option<SegmentBytes>> {
        self.seal_page()?;
        self.builder.finish()
    }

    fn seal_page(&mut self) -> Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let chunks = std::mem::take(&mut self.chunks);
        let buckets = std::mem::take(&mut self.buckets);
        let inputs: Vec<ChunkInput<'_>> = chunks
            .iter()
            .zip(&buckets)
            .map(|(chunk, next_bucket)| {
                let rows = chunk.row as usize..(chunk.row + chunk.rows) as usize;
                ChunkInput {
                    timestamps: &self.times[rows.clone()],
                    values: &self.values[rows],
                    next_bucket: *next_bucket,
                }
            })
            .collect();
        let page = metric_page::encode(&inputs, FLUSH_LEVEL)?;
        let columns = vec![(ColumnId::Samples, CODEC_METRIC_PAGE, page)];
        let raw_bytes = self.times.len() as u64 * SAMPLE_BYTES;
        self.builder.add_page(chunks, stats(&self.values), raw_bytes, columns);
        self.times.clear();
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
