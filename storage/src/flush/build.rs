//! Builds the object of one flush round.

use std::sync::Arc;

use super::output::{Output, Send};
use super::windows::{HeadRows, MAX_WAITING_BYTES, Pass, runs_by_window, write_windows};
use crate::error::Result;
use crate::head::Head;
use crate::model::{Signal, TenantId, TimeRange, Timestamp};
use crate::scan::{LogColumns, LogRead, ScanStats};
use crate::segment::{LogSegmentWriter, SampleSegmentWriter, SegmentMeta};

/// Line bytes of one stream read from a head at a time, about.
const LINE_BYTES_PER_READ: u64 = 4 << 20;

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

/// Sorts and encodes all rows of `lanes` into segments of the object at `path`, whose bytes go to `send` piece by piece as
/// they are final: what it holds itself does not grow with the rows. CPU work: not for an async thread.
pub fn build<'a>(
    lanes: &[SealedLane],
    path: &Arc<str>,
    now: Timestamp,
    send: &'a mut Send<'a>,
) -> Result<Vec<SegmentMeta>> {
    build_within(lanes, path, now, MAX_WAITING_BYTES, send)
}

/// As [`build`]; windows of one head that wait for the first may hold `max_waiting_bytes`.
pub(super) fn build_within<'a>(
    lanes: &[SealedLane],
    path: &Arc<str>,
    now: Timestamp,
    max_waiting_bytes: usize,
    send: &'a mut Send<'a>,
) -> Result<Vec<SegmentMeta>> {
    let mut out = Output::new(path.clone(), send);
    for lane in lanes {
        for head in &lane.heads {
            let ids = head.series_in_order();
            match lane.signal {
                Signal::Metrics => {
                    let writer = || SampleSegmentWriter::new(lane.tenant.clone(), 0);
                    write_windows(&Samples { head, ids, now }, &writer, now, max_waiting_bytes, &mut out)?;
                }
                Signal::Logs => {
                    let writer = || LogSegmentWriter::new(lane.tenant.clone(), 0);
                    write_windows(&Logs { head, ids, now }, &writer, now, max_waiting_bytes, &mut out)?;
                }
            }
        }
    }
    Ok(out.into_segments())
}

struct Samples<'a> {
    head: &'a Head,
    ids: Vec<u32>,
    now: Timestamp,
}

impl HeadRows<SampleSegmentWriter> for Samples<'_> {
    fn places(&self) -> u32 {
        self.ids.len() as u32
    }

    fn write(&self, places: &[u32], range: TimeRange, pass: &mut Pass<'_, '_, SampleSegmentWriter>) -> Result<()> {
        let ids: Vec<u32> = places.iter().map(|place| self.ids[*place as usize]).collect();
        let rows = self.head.samples_of(&ids, range)?;
        for (at, (place, id)) in places.iter().zip(&ids).enumerate() {
            let labels = self.head.index().labels(*id).unwrap_or_default();
            let samples = rows.samples(at);
            for (window, run) in runs_by_window(samples.timestamps, self.now) {
                if let Some(writer) = pass.writer(*place, window) {
                    writer.push_samples(&labels, &samples.slice(run))?;
                }
            }
        }
        Ok(())
    }

    fn complete(&self, known: &[i64], pass: &mut Pass<'_, '_, SampleSegmentWriter>) {
        for (labels, exemplars) in self.head.exemplars_of(&[], TimeRange::ALL) {
            let times: Vec<i64> = exemplars.iter().map(|e| e.time).collect();
            for (window, run) in runs_by_window(&times, self.now) {
                if let Some(writer) = nearest(known, window).and_then(|window| pass.open_writer(window)) {
                    writer.push_exemplars(&labels, &exemplars[run]);
                }
            }
        }
        // Senders repeat it, so the newest segment is where it is looked for first.
        if let Some(writer) = known.last().and_then(|newest| pass.open_writer(*newest)) {
            writer.add_metadata(&self.head.metadata());
        }
    }
}

/// Of `windows` (ascending) `window`, or the one closest to it: exemplars need not have samples in theirs.
fn nearest(windows: &[i64], window: i64) -> Option<i64> {
    let at = windows.partition_point(|start| *start <= window);
    let before = at.checked_sub(1).and_then(|at| windows.get(at));
    let around = before.into_iter().chain(windows.get(at));
    around.copied().min_by_key(|start| start.abs_diff(window))
}

struct Logs<'a> {
    head: &'a Head,
    ids: Vec<u32>,
    now: Timestamp,
}

impl HeadRows<LogSegmentWriter> for Logs<'_> {
    fn places(&self) -> u32 {
        self.ids.len() as u32
    }

    fn write(&self, places: &[u32], range: TimeRange, pass: &mut Pass<'_, '_, LogSegmentWriter>) -> Result<()> {
        let read = LogRead::from(LogColumns {
            lines: true,
            metadata: true,
        });
        let stats = ScanStats::default();
        for place in places {
            let id = self.ids[*place as usize];
            let labels = self.head.index().labels(id).unwrap_or_default();
            // A stream can be all there is, so it comes in pieces of time.
            for piece in self.head.log_pieces(id, range, LINE_BYTES_PER_READ) {
                let rows = self.head.logs_of(&[id], piece, &read, &stats)?;
                for (window, run) in runs_by_window(&rows.timestamps, self.now) {
                    if let Some(writer) = pass.writer(*place, window) {
                        writer.push_series(&labels, &rows, run)?;
                    }
                }
                pass.settle()?;
            }
        }
        Ok(())
    }

    fn complete(&self, _known: &[i64], _pass: &mut Pass<'_, '_, LogSegmentWriter>) {}
}
