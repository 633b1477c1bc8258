//! What compaction, retention and deletion remember between their steps, and what they tell.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use super::Storage;
use super::jobs::planned;
use crate::catalog::CommitRequest;
use crate::compaction::{Depth, Pace};
use crate::model::Timestamp;
use crate::segment::SegmentId;
use crate::wal::LaneKey;

/// First wait after a job failed; doubles with each failure.
const FIRST_WAIT_NS: i64 = 60 * 1_000_000_000;
/// Longest wait after a job failed.
const MAX_WAIT_NS: i64 = 3600 * 1_000_000_000;

/// Touched by one step at a time.
#[derive(Debug, Default)]
pub(crate) struct UpkeepState {
    /// A commit that may or may not have happened: it is settled before anything else, with the same request.
    pub unsettled: Option<Replacement>,
    /// Inputs of jobs that failed: how often, and until when they are left alone.
    pub waiting: HashMap<SegmentId, (u32, Timestamp), ahash::RandomState>,
    /// Segments with enough expired rows to be written again.
    pub rewrites: HashSet<SegmentId, ahash::RandomState>,
    /// Segments that hold rows which deletes have taken away for good.
    pub deleted_from: HashSet<SegmentId, ahash::RandomState>,
    /// For how many retention periods a segment was looked through.
    pub looked_through: HashMap<SegmentId, usize, ahash::RandomState>,
    /// When orphans were looked for.
    pub swept_at: Option<Timestamp>,
    /// When other writers' commits were looked for.
    pub refreshed_at: Option<Timestamp>,
    /// The budget of background work.
    pub pace: Option<Arc<Pace>>,
}

impl UpkeepState {
    /// Leaves the inputs of a failed job alone for a while.
    pub fn wait(&mut self, inputs: impl Iterator<Item = SegmentId>, now: Timestamp) {
        for id in inputs {
            let (failures, until) = self.waiting.entry(id).or_default();
            let wait = FIRST_WAIT_NS.saturating_mul(1 << (*failures).min(20)).min(MAX_WAIT_NS);
            *failures += 1;
            *until = now.saturating_add(wait);
        }
    }

    /// Whether an input of a failed job is left alone.
    pub fn is_waiting(&self, id: &SegmentId, now: Timestamp) -> bool {
        self.waiting.get(id).is_some_and(|(_, until)| now < *until)
    }

    /// Forgets what is not live any more.
    pub fn retain(&mut self, live: impl Fn(&SegmentId) -> bool) {
        self.waiting.retain(|id, _| live(id));
        self.rewrites.retain(|id| live(id));
        self.deleted_from.retain(|id| live(id));
        self.looked_through.retain(|id, _| live(id));
    }
}

/// A commit that takes segments away, with or without others in their place.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub request: CommitRequest,
    pub owners: BTreeSet<LaneKey>,
    /// What is done once it is committed.
    pub report: UpkeepReport,
}

/// What steps of compaction, retention and deletion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepReport {
    /// Compaction rounds that were committed: an object each.
    pub rounds: u64,
    /// Merges in them.
    pub merges: u64,
    /// Segments that were replaced.
    pub segments_in: u64,
    /// Segments that replaced them.
    pub segments_out: u64,
    /// Rows of the replaced segments.
    pub rows_in: u64,
    /// Rows of those that replaced them.
    pub rows_out: u64,
    /// Rows that were left out of them since they had expired; the rest of the difference is what was written twice.
    pub rows_expired: u64,
    /// Stored bytes of the replaced segments.
    pub bytes_in: u64,
    /// Stored bytes of those that replaced them.
    pub bytes_out: u64,
    /// Bytes read from the object store.
    pub bytes_read: u64,
    /// Segments found unreadable and left alone from then on.
    pub quarantined: u64,
    /// Rounds that were dropped since another writer had replaced their segments.
    pub conflicts: u64,
    /// Rounds and deletions that failed and are tried again later.
    pub failures: u64,
    /// The text of the last of them.
    pub last_failure: Option<String>,
    /// Segments dropped by retention.
    pub segments_dropped: u64,
    /// Their rows.
    pub rows_dropped: u64,
    /// Their stored bytes.
    pub bytes_dropped: u64,
    /// Objects deleted after their grace period.
    pub objects_deleted: u64,
    /// Objects deleted that no commit ever named.
    pub orphans_deleted: u64,
}

impl UpkeepReport {
    /// Adds what another step did.
    pub fn add(&mut self, other: &UpkeepReport) {
        let pairs = [
            (&mut self.rounds, other.rounds),
            (&mut self.merges, other.merges),
            (&mut self.segments_in, other.segments_in),
            (&mut self.segments_out, other.segments_out),
            (&mut self.rows_in, other.rows_in),
            (&mut self.rows_out, other.rows_out),
            (&mut self.rows_expired, other.rows_expired),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.bytes_read, other.bytes_read),
            (&mut self.quarantined, other.quarantined),
            (&mut self.conflicts, other.conflicts),
            (&mut self.failures, other.failures),
            (&mut self.segments_dropped, other.segments_dropped),
            (&mut self.rows_dropped, other.rows_dropped),
            (&mut self.bytes_dropped, other.bytes_dropped),
            (&mut self.objects_deleted, other.objects_deleted),
            (&mut self.orphans_deleted, other.orphans_deleted),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
        if other.last_failure.is_some() {
            self.last_failure.clone_from(&other.last_failure);
        }
    }

    /// That something failed and is tried again later.
    pub(super) fn failure(error: &crate::Error) -> UpkeepReport {
        UpkeepReport {
            failures: 1,
            last_failure: Some(error.to_string()),
            ..UpkeepReport::default()
        }
    }
}

/// A compaction round under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundProgress {
    /// When it began.
    pub since: Timestamp,
    /// Merges in it.
    pub merges: u64,
    /// Segments that are merged.
    pub segments: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// Since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepTotals {
    /// Everything done.
    pub done: UpkeepReport,
    /// Time of compaction rounds.
    pub compaction_time: Duration,
    /// Rounds that were put off since memory was short.
    pub paused: u64,
    /// The round under way.
    pub running: Option<RoundProgress>,
}

/// Where compaction, retention and deletion stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepStatus {
    /// Since the start of the process.
    pub totals: UpkeepTotals,
    /// Merges that would be done now.
    pub planned_merges: u64,
    /// Stored bytes of their inputs.
    pub planned_bytes: u64,
    /// Live segments by level: flushed, then merged for two hours, a day, 30 days.
    pub segments_by_level: [u64; 4],
    /// Their stored bytes.
    pub bytes_by_level: [u64; 4],
    /// Objects with live segments.
    pub live_objects: u64,
    /// Objects that wait for their deletion.
    pub pending_objects: u64,
    /// Since when the first of them waits.
    pub pending_since: Option<Timestamp>,
    /// Segments that could not be read: which, why, since when.
    pub quarantined: Vec<(SegmentId, String, Timestamp)>,
}

impl Storage {
    /// Where compaction, retention and deletion stand.
    pub fn upkeep_status(&self) -> UpkeepStatus {
        let shared = &self.0;
        let state = shared.catalog.state();
        let jobs = planned(shared, &state, Depth::Economical, &|_| false);
        let mut status = UpkeepStatus {
            totals: shared.upkept.lock().clone(),
            planned_merges: jobs.len() as u64,
            planned_bytes: jobs.iter().map(|job| job.bytes()).sum(),
            live_objects: state.object_count() as u64,
            pending_objects: state.pending_deletions().count() as u64,
            pending_since: state.pending_deletions().map(|(_, since)| since).min(),
            ..UpkeepStatus::default()
        };
        for meta in state.all_segments() {
            let level = usize::from(meta.level).min(status.segments_by_level.len() - 1);
            status.segments_by_level[level] += 1;
            status.bytes_by_level[level] += meta.len;
        }
        let quarantined = state.quarantined();
        status.quarantined = quarantined
            .map(|(id, found)| (id.clone(), found.reason.clone(), found.since))
            .collect();
        status
    }
}
