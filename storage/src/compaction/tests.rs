//! Merging real segments: memory does not grow with them, and pages are read about once.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::BinaryArray;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use tokio::runtime::Handle;

use super::merge::{MergeContext, merge};
use super::{Job, Pace};
use crate::memory::{MemoryAccountant, QueryMemory};
use crate::model::{Labels, Signal, TenantId, TimeRange};
use crate::object::{Bucket, RetryPolicy};
use crate::retention::{RetentionAt, RetentionSettings};
use crate::scan::{LogRows, MergedView, SampleSlice, SeriesRequest, SeriesSource, StoreView};
use crate::segment::{LogSegmentWriter, SampleSegmentWriter, SegmentMeta, SegmentReader, TailCache};
use crate::testing::{ManualClock, scan_context};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

fn bucket() -> Bucket {
    Bucket::new(
        Arc::new(InMemory::new()),
        "",
        Handle::current(),
        RetryPolicy::default(),
        1,
    )
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

async fn put(bucket: &Bucket, name: &str, segment: crate::segment::SegmentBytes) -> Arc<SegmentMeta> {
    bucket.put(name, segment.bytes.into()).await.unwrap();
    Arc::new(segment.meta.at(name.into(), 0))
}

/// Merges the inputs; gives the new segment, the most bytes held, and the bytes read from the store.
async fn merged(bucket: &Bucket, signal: Signal, inputs: Vec<Arc<SegmentMeta>>) -> (SegmentMeta, u64, u64) {
    let memory: QueryMemory = MemoryAccountant::new(1 << 40).background(1 << 40);
    let pace = Pace::new(Arc::new(ManualClock::new(0)), 0);
    let retention = RetentionAt {
        settings: Arc::new(RetentionSettings::default()),
        now: 0,
    };
    let context = MergeContext {
        bucket,
        memory: memory.clone(),
        pace: &pace,
        retention: &retention,
        is_stopped: &|| false,
        give_back_memory: || (),
    };
    let job = Job {
        tenant: tenant(),
        signal,
        inputs,
        level: 1,
        deleted: Vec::new(),
    };
    let mut writer = bucket.writer("merged");
    let merged = merge(&context, &[job], &mut writer).await.unwrap();
    writer.finish().await.unwrap();
    let [segment] = merged.segments.try_into().unwrap();
    (segment, memory.peak_bytes(), merged.bytes_read)
}

/// A number that looks random (splitmix64, public domain).
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Samples that hardly compress: `inputs` segments side by side in time.
async fn samples(bucket: &Bucket, inputs: i64, series: i64, rows: i64) -> Vec<Arc<SegmentMeta>> {
    let mut metas = Vec::new();
    for input in 0..inputs {
        let mut writer = SampleSegmentWriter::new(tenant(), 0);
        for s in 0..series {
            let labels = Labels::from_pairs([("__name__", "m"), ("s", &format!("{s:05}"))]);
            let times: Vec<i64> = (0..rows).map(|r| (input * rows + r) * SECOND).collect();
            let noise = |t: &i64| f64::from_bits(0x3ff0_0000_0000_0000 | (mixed((*t + s) as u64) >> 12));
            let values: Vec<f64> = times.iter().map(noise).collect();
            writer.push_series(&labels, &times, &values).unwrap();
        }
        metas.push(put(bucket, &format!("in{input}"), writer.finish().unwrap().unwrap()).await);
    }
    metas
}

#[tokio::test]
async fn memory_for_samples_does_not_grow_with_the_segments() {
    let mut peaks = Vec::new();
    for rows in [4_000, 12_000] {
        let bucket = bucket();
        let inputs = samples(&bucket, 3, 100, rows).await;
        let bytes: u64 = inputs.iter().map(|meta| meta.len).sum();
        let (segment, peak, read) = merged(&bucket, Signal::Metrics, inputs).await;
        assert_eq!((segment.rows, segment.series), (3 * 100 * rows as u64, 100));
        assert!(
            read < bytes * 5 / 4,
            "read {read} of {bytes} bytes: pages are read about once"
        );
        peaks.push((peak, bytes));
    }
    let [(small, _), (large, bytes)] = [peaks[0], peaks[1]];
    assert!(large < small * 5 / 4, "{peaks:?}");
    assert!(bytes > 20 << 20, "{peaks:?}");
}

/// All samples of these segments together, in order: series, time, value, start time.
async fn rows(bucket: &Bucket, metas: &[Arc<SegmentMeta>]) -> Vec<(Labels, i64, u64, i64)> {
    let cache = Arc::new(TailCache::new(MemoryAccountant::new(1 << 30), 1 << 30));
    let reader = |meta: &Arc<SegmentMeta>| -> Arc<dyn SeriesSource> {
        Arc::new(SegmentReader::new(bucket.clone(), Arc::clone(meta), cache.clone()))
    };
    let view = MergedView::new(metas.iter().map(reader).collect(), Vec::new());
    let request = SeriesRequest {
        signal: Signal::Metrics,
        matchers: Vec::new(),
        range: TimeRange::ALL,
    };
    let selection = view.select_samples(&request, &scan_context()).await.unwrap();
    let mut rows = Vec::new();
    let mut batches = selection.scan(0, 1);
    while let Some(batch) = batches.try_next().await.unwrap() {
        for (index, labels) in batch.series.iter().enumerate() {
            let samples = batch.samples(index);
            let row = |row: usize| {
                let sample = samples.row(row);
                (labels.clone(), sample.time, sample.value.to_bits(), sample.start_time)
            };
            rows.extend((0..samples.len()).map(row));
        }
    }
    rows
}

#[tokio::test]
async fn start_times_of_a_series_that_comes_in_pieces_stay_with_their_rows() {
    let bucket = bucket();
    let mut inputs = Vec::new();
    for input in 0..2i64 {
        let mut writer = SampleSegmentWriter::new(tenant(), 0);
        for name in ["a", "b", "c"] {
            let labels = Labels::from_pairs([("__name__", name)]);
            let count = if name == "b" { 300_000 } else { 10 };
            let times: Vec<i64> = (0..count).map(|r| (r * 2 + input) * SECOND).collect();
            let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
            // Known, unknown and known again, over the bounds of pieces.
            let start = |t: &i64| match t / SECOND {
                0..200_000 => 5,
                250_000..400_000 => 7,
                500_000.. => 9,
                _ => 0,
            };
            let starts: Vec<i64> = times.iter().map(start).collect();
            let samples = SampleSlice {
                start_times: &starts,
                ..SampleSlice::plain(&times, &values)
            };
            writer.push_samples(&labels, &samples).unwrap();
        }
        inputs.push(put(&bucket, &format!("in{input}"), writer.finish().unwrap().unwrap()).await);
    }
    let before = rows(&bucket, &inputs).await;
    let (segment, ..) = merged(&bucket, Signal::Metrics, inputs).await;
    let after = rows(&bucket, &[Arc::new(segment)]).await;
    assert_eq!((before.len(), after.len()), (600_040, 600_040));
    assert!(before == after);
}

#[tokio::test]
async fn a_series_of_millions_of_rows_comes_in_pieces() {
    let bucket = bucket();
    let inputs = samples(&bucket, 2, 1, 2_000_000).await;
    let (segment, peak, _) = merged(&bucket, Signal::Metrics, inputs).await;
    assert_eq!((segment.rows, segment.series), (4_000_000, 1));
    // The rows alone are 64 MB.
    assert!(peak < 52 << 20, "{peak}");
}

/// Lines that hardly compress: `inputs` segments of `hours` each, all over the same time.
async fn logs(bucket: &Bucket, inputs: i64, hours: i64, streams: i64, rows_an_hour: i64) -> Vec<Arc<SegmentMeta>> {
    let mut metas = Vec::new();
    for input in 0..inputs {
        let mut writer = LogSegmentWriter::new(tenant(), 0);
        for s in 0..streams {
            let labels = Labels::from_pairs([("app", &format!("{s:05}"))]);
            let rows = hours * rows_an_hour;
            let times: Vec<i64> = (0..rows).map(|r| r * HOUR / rows_an_hour + input).collect();
            let line = |t: &i64| -> Vec<u8> {
                (0..100)
                    .map(|i| mixed(*t as u64 ^ mixed((s * 100 + i) as u64)) as u8)
                    .collect()
            };
            let lines: BinaryArray = times.iter().map(|t| Some(line(t))).collect();
            let rows = LogRows {
                offsets: vec![0, rows as u32],
                line_lengths: vec![100; rows as usize],
                lines: Some(lines),
                metadata_sets: vec![Labels::empty()],
                metadata: vec![0; rows as usize],
                derived: vec![0; rows as usize],
                timestamps: times,
            };
            writer.push_series(&labels, &rows, 0..rows.len()).unwrap();
        }
        metas.push(put(bucket, &format!("in{input}"), writer.finish().unwrap().unwrap()).await);
    }
    metas
}

#[tokio::test]
async fn memory_for_logs_does_not_grow_with_the_segments() {
    let mut peaks = Vec::new();
    for hours in [2, 10] {
        let bucket = bucket();
        let inputs = logs(&bucket, 3, hours, 20, 400).await;
        let bytes: u64 = inputs.iter().map(|meta| meta.len).sum();
        let (segment, peak, read) = merged(&bucket, Signal::Logs, inputs.clone()).await;
        assert_eq!((segment.rows, segment.series), (3 * hours as u64 * 20 * 400, 20));
        peaks.push((peak, bytes, read));
        // What was merged lies in the order of time: reading it again for a longer window reads each page about once.
        let (again, _, read) = merged(&bucket, Signal::Logs, vec![Arc::new(segment.clone())]).await;
        assert_eq!(again.rows, segment.rows);
        assert!(read < segment.len * 5 / 4, "read {read} of {} bytes", segment.len);
    }
    let [(small, ..), (large, bytes, _)] = [peaks[0], peaks[1]];
    assert!(large < small * 2, "{peaks:?}");
    assert!(bytes > 20 << 20, "{peaks:?}");
}
