//! Builds the object of one flush round.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::head::Head;
use crate::model::{Signal, TenantId, TimeRange, Timestamp, Window};
use crate::scan::LogColumns;
use crate::segment::{LogSegmentWriter, SampleSegmentWriter, SegmentBytes, SegmentMeta};

/// Series of samples read from a head at a time: the head is compressed, what is read is not.
const SERIES_PER_READ: usize = 64;

/// Sealed heads of one (tenant, signal).
#[derive(Debug, Clone)]
pub struct SealedLane {
    /// Whose rows.
    pub tenant: TenantId,
    /// Logs or metrics.
    pub signal: Signal,
    /// Oldest first. More than one only after a round failed; each gets segments of its own, which reads and compaction
    /// merge like any others.
    pub heads: Vec<Arc<Head>>,
}

/// The object of a round, not yet stored.
#[derive(Debug)]
pub struct BuiltObject {
    /// Its bytes: the segments one behind the other.
    pub bytes: Vec<u8>,
    /// Its segments.
    pub segments: Vec<SegmentMeta>,
}

/// Sorts and encodes all rows of `lanes` into segments of the object at `path`. CPU work: not for an async thread.
pub fn build(lanes: &[SealedLane], path: &Arc<str>, now: Timestamp) -> Result<BuiltObject> {
    let mut object = BuiltObject {
        bytes: Vec::new(),
        segments: Vec::new(),
    };
    for lane in lanes {
        for head in &lane.heads {
            let segments = match lane.signal {
                Signal::Metrics => sample_segments(&lane.tenant, head, now)?,
                Signal::Logs => log_segments(&lane.tenant, head, now)?,
            };
            for segment in segments {
                let offset = object.bytes.len() as u64;
                object.segments.push(segment.meta.at(path.clone(), offset));
                match object.bytes.is_empty() {
                    // The usual one of a round is not copied.
                    true => object.bytes = segment.bytes,
                    false => object.bytes.extend_from_slice(&segment.bytes),
                }
            }
        }
    }
    Ok(object)
}

fn sample_segments(tenant: &TenantId, head: &Head, now: Timestamp) -> Result<Vec<SegmentBytes>> {
    let mut writers: BTreeMap<i64, SampleSegmentWriter> = BTreeMap::new();
    for ids in head.series_in_order().chunks(SERIES_PER_READ) {
        let rows = head.samples_of(ids, TimeRange::ALL)?;
        for (at, id) in ids.iter().enumerate() {
            let labels = head.index().labels(*id).unwrap_or_default();
            let samples = rows.samples(at);
            for (start, run) in windows(samples.timestamps, now) {
                let writer = writers
                    .entry(start)
                    .or_insert_with(|| SampleSegmentWriter::new(tenant.clone(), 0));
                writer.push_samples(&labels, &samples.slice(run))?;
            }
        }
    }
    for (labels, exemplars) in head.exemplars_of(&[], TimeRange::ALL) {
        let times: Vec<i64> = exemplars.iter().map(|e| e.time).collect();
        for (start, run) in windows(&times, now) {
            if let Some(writer) = nearest(&mut writers, start) {
                writer.push_exemplars(&labels, &exemplars[run]);
            }
        }
    }
    // Senders repeat it, so the newest segment is where it is looked for first.
    if let Some(mut newest) = writers.last_entry() {
        newest.get_mut().add_metadata(&head.metadata());
    }
    let segments = writers.into_values().filter_map(|w| w.finish().transpose());
    segments.collect()
}

/// The writer of the window that begins at `start`, or of the one closest to it: exemplars need not have samples in theirs.
fn nearest(writers: &mut BTreeMap<i64, SampleSegmentWriter>, start: i64) -> Option<&mut SampleSegmentWriter> {
    let distance = |key: &i64| key.abs_diff(start);
    let before = writers.range(..=start).next_back().map(|(key, _)| *key);
    let after = writers.range(start..).next().map(|(key, _)| *key);
    let key = before.into_iter().chain(after).min_by_key(distance)?;
    writers.get_mut(&key)
}

fn log_segments(tenant: &TenantId, head: &Head, now: Timestamp) -> Result<Vec<SegmentBytes>> {
    let columns = LogColumns {
        lines: true,
        metadata: true,
    };
    let mut writers: BTreeMap<i64, LogSegmentWriter> = BTreeMap::new();
    for id in head.series_in_order() {
        let labels = head.index().labels(id).unwrap_or_default();
        let rows = head.logs_of(&[id], TimeRange::ALL, columns)?;
        for (start, run) in windows(&rows.timestamps, now) {
            let writer = writers
                .entry(start)
                .or_insert_with(|| LogSegmentWriter::new(tenant.clone(), 0));
            writer.push_series(&labels, &rows, run)?;
        }
    }
    let segments = writers.into_values().filter_map(|w| w.finish().transpose());
    segments.collect()
}

/// Cuts ascending times into runs of one window each: (start of the window, rows).
fn windows(times: &[i64], now: Timestamp) -> Vec<(i64, std::ops::Range<usize>)> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < times.len() {
        let window = Window::of(times[from], now).range;
        // A run has at least its first row: at the very end of time a window cannot hold it.
        let len = times[from..].partition_point(|t| window.contains(*t)).max(1);
        runs.push((window.start, from..from + len));
        from += len;
    }
    runs
}
