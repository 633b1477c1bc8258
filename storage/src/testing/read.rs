//! Everything a tenant can read, as plain rows, to compare with what was written.

use std::sync::Arc;

use arrow_array::Array;
use futures::TryStreamExt;

use crate::error::Result;
use crate::memory::MemoryAccountant;
use crate::model::{Histogram, LabelMatcher, Labels, Signal, TenantId, TimeRange};
use crate::scan::{BatchStream, LogColumns, LogOrder, SampleBatch, ScanContext, SeriesRequest, StoreReader};

/// One log entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The stream.
    pub stream: Labels,
    /// Nanoseconds.
    pub time: i64,
    /// The line.
    pub line: Vec<u8>,
    /// Metadata as sent.
    pub metadata: Labels,
    /// Metadata made by the server.
    pub derived: Labels,
}

/// A scan without limits worth the name.
pub fn scan_context() -> ScanContext {
    ScanContext::new(MemoryAccountant::new(1 << 40).query(1 << 40), Arc::default())
}

/// Batches of all samples of a tenant that pass the matchers.
async fn sample_batches(
    reader: &dyn StoreReader,
    tenant: &TenantId,
    matchers: &[LabelMatcher],
    range: TimeRange,
) -> Result<BatchStream<SampleBatch>> {
    let request = SeriesRequest {
        signal: Signal::Metrics,
        matchers: matchers.to_vec(),
        range,
    };
    let selection = reader.view(tenant)?.select_samples(&request, &scan_context()).await?;
    Ok(selection.scan(0, 1))
}

/// All samples of a tenant that pass the matchers, in the order of series and time.
pub async fn read_samples(
    reader: &dyn StoreReader,
    tenant: &TenantId,
    matchers: &[LabelMatcher],
    range: TimeRange,
) -> Result<Vec<(Labels, i64, f64)>> {
    let mut rows = Vec::new();
    let mut batches = sample_batches(reader, tenant, matchers, range).await?;
    while let Some(batch) = batches.try_next().await? {
        for (at, labels) in batch.series.iter().enumerate() {
            let (times, values) = batch.rows(at);
            rows.extend(times.iter().zip(values).map(|(t, v)| (labels.clone(), *t, *v)));
        }
    }
    Ok(rows)
}

/// One sample with all that belongs to it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The series.
    pub series: Labels,
    /// Nanoseconds.
    pub time: i64,
    /// The value; of a histogram its sum.
    pub value: f64,
    /// The histogram, where it is one.
    pub histogram: Option<Arc<Histogram>>,
    /// Nanoseconds, 0 where unknown.
    pub start_time: i64,
}

impl PartialEq for Sample {
    /// By their bits.
    fn eq(&self, other: &Self) -> bool {
        let histograms = match (&self.histogram, &other.histogram) {
            (Some(a), Some(b)) => a.total_cmp(b).is_eq(),
            (a, b) => a.is_none() && b.is_none(),
        };
        let rest = |s: &Self| (s.series.clone(), s.time, s.value.to_bits(), s.start_time);
        histograms && rest(self) == rest(other)
    }
}

/// As [`read_samples`], with histograms and start times.
pub async fn read_all_of_samples(
    reader: &dyn StoreReader,
    tenant: &TenantId,
    matchers: &[LabelMatcher],
    range: TimeRange,
) -> Result<Vec<Sample>> {
    let mut rows = Vec::new();
    let mut batches = sample_batches(reader, tenant, matchers, range).await?;
    while let Some(batch) = batches.try_next().await? {
        for (at, series) in batch.series.iter().enumerate() {
            let samples = batch.samples(at);
            rows.extend((0..samples.len()).map(|row| {
                let row = samples.row(row);
                Sample {
                    series: series.clone(),
                    time: row.time,
                    value: row.value,
                    histogram: row.histogram.cloned(),
                    start_time: row.start_time,
                }
            }));
        }
    }
    Ok(rows)
}

/// All log entries of a tenant that pass the matchers, sorted.
pub async fn read_entries(
    reader: &dyn StoreReader,
    tenant: &TenantId,
    matchers: &[LabelMatcher],
    range: TimeRange,
) -> Result<Vec<Entry>> {
    let scan = scan_context();
    let request = SeriesRequest {
        signal: Signal::Logs,
        matchers: matchers.to_vec(),
        range,
    };
    let columns = LogColumns {
        lines: true,
        metadata: true,
    };
    let selection = reader.view(tenant)?.select_logs(&request, &scan).await?;
    let mut rows = Vec::new();
    let mut slabs = selection.scan(0, 1, LogOrder::Forward, columns.into());
    while let Some(slab) = slabs.try_next().await? {
        let batch = slab.batch;
        for (at, stream) in batch.streams.iter().enumerate() {
            for row in batch.offsets[at] as usize..batch.offsets[at + 1] as usize {
                let line = batch.lines.as_ref().filter(|lines| !lines.is_empty());
                rows.push(Entry {
                    stream: stream.clone(),
                    time: batch.timestamps[row],
                    line: line.map_or_else(Vec::new, |lines| lines.value(row).to_vec()),
                    metadata: batch.metadata_sets[batch.metadata[row] as usize].clone(),
                    derived: batch.metadata_sets[batch.derived[row] as usize].clone(),
                });
            }
        }
    }
    rows.sort();
    Ok(rows)
}
