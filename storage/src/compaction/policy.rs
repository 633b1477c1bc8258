//! Which segments are merged next. Pure: a catalog state in, jobs out.
//!
//! Each segment lies in one window of time (see [`Window`]). A window is *settled* once nothing but late rows can come to it.
//! The segments of a settled window are brought to the window's level in one merge; what comes late is merged among its like
//! first, and with the large rest only once it makes up a quarter of it, so that a row is written a bounded number of times:
//!
//! ```text
//! flushed          0 0 0 0 0 0 0 0 | 0 0 0 0       a window of two hours; eight of a size are merged before it settles
//! settled          1                               everything to level 1
//! a late flush     1 0 → 1 1 → 1                   alone first (it leaves the flush's shared object), then by size
//! two days old     1×12 → 2                        the windows of a day become one
//! thirty days old  2×30 → 3
//! ```
//!
//! So a row is written once by its flush, once or twice at level 1, and once each at levels 2 and 3; and the objects that
//! flushes and earlier levels share among tenants become empty and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::job::Job;
use crate::catalog::CatalogState;
use crate::model::{Signal, TenantId, TimeRange, Timestamp, Window};
use crate::segment::SegmentMeta;

/// Segments below this count as equally small.
const SMALL_BYTES: u64 = 1 << 20;
/// A segment is merged with smaller ones once they together have at least one in so many of its bytes.
const SIZE_RATIO: u64 = 4;
/// Segments of like size that are merged in a window that is not settled.
const MIN_INPUTS_UNSETTLED: usize = 8;

/// What a plan may not exceed.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// How long after its end a window is settled: as long as a head may wait for its flush.
    pub settle: Duration,
    /// Most stored bytes of one job's inputs. Larger segments are denser and fewer; a failure repeats more work.
    pub max_job_bytes: u64,
    /// Most segments of one job: each is read through a window of its own.
    pub max_inputs: usize,
    /// Most series of one job's inputs, counted in each: the index of the new segment is built in memory.
    pub max_job_series: u64,
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicySettings {
            settle: Duration::from_secs(35 * 60),
            max_job_bytes: 2 << 30,
            max_inputs: 40,
            max_job_series: 2_000_000,
        }
    }
}

/// How far compaction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What pays for itself: see the module docs.
    Economical,
    /// Until each window is as few segments as its size allows, settled or not.
    Full,
}

/// All jobs that there are, those of the shortest windows first. They share no segment. `skip` names segments to leave
/// alone; only segments of one `group` are merged with each other.
pub(crate) fn plan(
    state: &CatalogState,
    now: Timestamp,
    settings: &PolicySettings,
    depth: Depth,
    skip: &dyn Fn(&SegmentMeta) -> bool,
    group: &dyn Fn(&SegmentMeta) -> u64,
) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (tenant, signal, segments) in state.by_lane() {
        let planner = LanePlanner {
            tenant,
            signal,
            now,
            settings,
            depth,
            skip,
            group,
        };
        planner.plan(segments, &mut jobs);
    }
    jobs.sort_by_key(|job| job.level);
    jobs
}

struct LanePlanner<'a> {
    tenant: &'a TenantId,
    signal: Signal,
    now: Timestamp,
    settings: &'a PolicySettings,
    depth: Depth,
    skip: &'a dyn Fn(&SegmentMeta) -> bool,
    group: &'a dyn Fn(&SegmentMeta) -> u64,
}

type Segments = Vec<Arc<SegmentMeta>>;

impl LanePlanner<'_> {
    fn plan(&self, segments: &[Arc<SegmentMeta>], jobs: &mut Vec<Job>) {
        let mut windows: BTreeMap<(Timestamp, u8, u64), (Window, Segments)> = BTreeMap::new();
        for meta in segments.iter().filter(|meta| !(self.skip)(meta)) {
            let window = Window::around(meta.range, self.now);
            let key = (window.range.start, window.level, (self.group)(meta));
            let (_, segments) = windows.entry(key).or_insert((window, Vec::new()));
            segments.push(Arc::clone(meta));
        }
        for (window, segments) in windows.into_values() {
            let chosen = match self.depth {
                Depth::Full => segments,
                Depth::Economical if self.is_settled(window.range) => settled_choice(segments, window.level),
                Depth::Economical => size_tier(segments, MIN_INPUTS_UNSETTLED),
            };
            for inputs in self.pack(chosen) {
                if inputs.len() > 1 || inputs.iter().any(|meta| meta.level < window.level) {
                    jobs.push(Job {
                        tenant: self.tenant.clone(),
                        signal: self.signal,
                        level: inputs.iter().map(|m| m.level).max().unwrap_or(0).max(window.level),
                        inputs,
                        deleted: Vec::new(),
                    });
                }
            }
        }
    }

    fn is_settled(&self, window: TimeRange) -> bool {
        let settle = i64::try_from(self.settings.settle.as_nanos()).unwrap_or(i64::MAX);
        window.end.saturating_add(settle) <= self.now
    }

    /// Cuts segments, in the order of time, into runs that one job takes.
    fn pack(&self, mut segments: Segments) -> Vec<Segments> {
        segments.sort_by(|a, b| (a.range.start, &a.id).cmp(&(b.range.start, &b.id)));
        let mut runs: Vec<Segments> = Vec::new();
        let (mut bytes, mut series) = (0u64, 0u64);
        for meta in segments {
            bytes = bytes.saturating_add(meta.len);
            series = series.saturating_add(u64::from(meta.series));
            let fits = bytes <= self.settings.max_job_bytes && series <= self.settings.max_job_series;
            match runs.last_mut() {
                Some(run) if fits && run.len() < self.settings.max_inputs => run.push(meta),
                _ => {
                    (bytes, series) = (meta.len, u64::from(meta.series));
                    runs.push(vec![meta]);
                }
            }
        }
        runs
    }
}

/// Of a settled window: everything below its level together with what is not much larger, or segments of like size.
fn settled_choice(segments: Segments, level: u8) -> Segments {
    let (mut chosen, mut rest): (Segments, Segments) = segments.into_iter().partition(|meta| meta.level < level);
    if chosen.is_empty() {
        return size_tier(rest, 2);
    }
    rest.sort_by_key(|meta| meta.len);
    let mut bytes = total(&chosen);
    for meta in rest {
        if meta.len > bytes.saturating_mul(SIZE_RATIO) {
            break;
        }
        bytes = bytes.saturating_add(meta.len);
        chosen.push(meta);
    }
    chosen
}

/// The smallest segments and, as long as each is not much larger than all before it, the next ones; nothing where they are
/// fewer than `min`.
fn size_tier(mut segments: Segments, min: usize) -> Segments {
    segments.sort_by_key(|meta| meta.len);
    let mut bytes = 0u64;
    let within = segments.iter().take_while(|meta| {
        let fits = meta.len <= SMALL_BYTES.max(bytes.saturating_mul(SIZE_RATIO)) || bytes == 0;
        bytes = bytes.saturating_add(meta.len);
        fits
    });
    let count = within.count();
    segments.truncate(if count < min { 0 } else { count });
    segments
}

fn total(segments: &[Arc<SegmentMeta>]) -> u64 {
    segments.iter().fold(0, |sum, meta| sum.saturating_add(meta.len))
}
