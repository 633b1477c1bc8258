//! What was asked of the store and what it said, and from that: what a read must, must not and may find.

use std::collections::BTreeMap;
use std::time::Duration;

use garner_storage::deletes::TombstoneId;
use garner_storage::model::{Histogram, Labels, Signal, TenantId, TimeRange};
use garner_storage::testing::histogram;

/// The moment the simulation begins at, ns.
pub const BASE_NS: i64 = 1_735_689_600_000_000_000;
/// Tenant `b` keeps its rows this long; tenant `a` for ever.
pub const RETENTION_B: Duration = Duration::from_secs(20 * 86_400);
/// ... and those of this series only so long.
pub const SHORT_SERIES: &str = "s1";
/// See [`SHORT_SERIES`].
pub const RETENTION_SHORT: Duration = Duration::from_secs(2 * 86_400);

const SERIES: u64 = 5;
const HOUR_NS: i64 = 3_600_000_000_000;

/// A row; everything about it follows from its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub number: u64,
    pub tenant: TenantId,
    pub signal: Signal,
    pub series: String,
    pub time: i64,
}

impl Row {
    pub fn new(number: u64) -> Row {
        let tenant = if number.is_multiple_of(2) { "a" } else { "b" };
        let signal = if (number / 2).is_multiple_of(2) {
            Signal::Metrics
        } else {
            Signal::Logs
        };
        // Most rows are of the last hours, some are backfill of weeks; no two have one time.
        let scattered = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as i64;
        let back = match number % 10 {
            0 => scattered % (40 * 24 * HOUR_NS),
            1 | 2 => scattered % (4 * 24 * HOUR_NS),
            _ => scattered % (3 * HOUR_NS),
        };
        Row {
            number,
            tenant: TenantId::new(tenant).unwrap(),
            signal,
            series: format!("s{}", (number / 4) % SERIES),
            time: BASE_NS - back / 1_000_000 * 1_000_000 + number as i64 * 1_000_000,
        }
    }

    pub fn labels(&self) -> Labels {
        Labels::from_pairs([("__name__", self.series.as_str()), ("job", "simulation")])
    }

    pub fn line(&self) -> String {
        format!("line {} kind-{}", self.number, self.number % 3)
    }

    /// The native histogram that the row is, where it is one: series of either kind and one that has both.
    pub fn histogram(&self) -> Option<Histogram> {
        let is_one = match self.series.as_str() {
            "s4" => true,
            "s3" => self.number.is_multiple_of(3),
            _ => false,
        };
        is_one.then(|| Histogram {
            sum: self.number as f64,
            ..histogram(self.number % 64)
        })
    }

    /// Whether the row's period is over by `now`: reads leave it out from then on.
    fn is_expired(&self, now: i64) -> bool {
        let has_short_period = self.series == SHORT_SERIES && self.is_older(now, RETENTION_SHORT);
        self.tenant.as_str() == "b" && (has_short_period || self.is_older(now, RETENTION_B))
    }

    fn is_older(&self, now: i64, period: Duration) -> bool {
        self.time < now.saturating_sub(period.as_nanos() as i64)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store said that it is done.
    Done,
    /// The store said that nothing happened.
    Refused,
    /// Nobody knows: it is under way, its answer was lost, or a crash came first.
    Unknown,
}

/// When a request was made and answered, by the ledger's count of events.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub begin: u64,
    /// `u64::MAX` while it is under way. A crash ends it.
    pub end: u64,
    pub outcome: Outcome,
}

/// A delete, and what was done to take it back.
#[derive(Clone, Debug)]
pub struct Delete {
    pub tenant: TenantId,
    pub signal: Signal,
    pub series: Option<String>,
    pub needle: Option<String>,
    pub range: TimeRange,
    pub made: Attempt,
    pub id: Option<TombstoneId>,
    pub cancels: Vec<Attempt>,
}

impl Delete {
    fn names(&self, row: &Row) -> bool {
        self.tenant == row.tenant
            && self.signal == row.signal
            && self.series.as_ref().is_none_or(|s| *s == row.series)
            && self.needle.as_ref().is_none_or(|n| row.line().contains(n.as_str()))
            && self.range.contains(row.time)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Must,
    MustNot,
    May,
}

/// A read's place among the events, and the clock before and after it.
#[derive(Clone, Copy, Debug)]
pub struct ReadSpan {
    pub begin: u64,
    pub end: u64,
    pub now_begin: i64,
    pub now_end: i64,
}

/// Everything that was asked so far.
#[derive(Debug, Default)]
pub struct Ledger {
    event: u64,
    pub rows: BTreeMap<u64, Vec<Attempt>>,
    pub deletes: Vec<Delete>,
}

impl Ledger {
    /// The next event's number.
    pub fn tick(&mut self) -> u64 {
        self.event += 1;
        self.event
    }

    pub fn begin(&mut self) -> Attempt {
        Attempt {
            begin: self.tick(),
            end: u64::MAX,
            outcome: Outcome::Unknown,
        }
    }

    /// The process is gone: what was under way is over, with an outcome that nobody knows.
    pub fn crash(&mut self) {
        let now = self.tick();
        let attempts = self.rows.values_mut().flatten();
        let deletes = self
            .deletes
            .iter_mut()
            .flat_map(|d| d.cancels.iter_mut().chain([&mut d.made]));
        attempts
            .chain(deletes)
            .filter(|a| a.end == u64::MAX)
            .for_each(|a| a.end = now);
    }

    /// Compares what a read found with what it should have; the complaint, if any. `found` holds how often each number of
    /// the tenant and signal came.
    pub fn judge(
        &self,
        tenant: &TenantId,
        signal: Signal,
        found: &BTreeMap<u64, u32>,
        span: ReadSpan,
    ) -> Option<String> {
        for (number, times) in found {
            if *times != 1 {
                return Some(format!("row {number} of {tenant} was read {times} times"));
            }
            if !self.rows.contains_key(number) {
                return Some(format!("row {number} of {tenant} was never written"));
            }
        }
        for (number, attempts) in &self.rows {
            let row = Row::new(*number);
            if row.tenant != *tenant || row.signal != signal {
                continue;
            }
            let verdict = self.verdict(&row, attempts, span);
            let present = found.contains_key(number);
            if (present && verdict == Verdict::MustNot) || (!present && verdict == Verdict::Must) {
                let what = if present { "was read" } else { "is missing" };
                let deletes: Vec<&Delete> = self.deletes.iter().filter(|d| d.names(&row)).collect();
                return Some(format!("{row:?} {what} at {span:?}: {attempts:?}, deletes {deletes:?}"));
            }
        }
        None
    }

    fn verdict(&self, row: &Row, attempts: &[Attempt], span: ReadSpan) -> Verdict {
        if row.is_expired(span.now_begin) || attempts.iter().all(|a| a.begin > span.end) {
            return Verdict::MustNot;
        }
        let acknowledged = attempts
            .iter()
            .any(|a| a.outcome == Outcome::Done && a.end <= span.begin);
        let mut certain = acknowledged && !row.is_expired(span.now_end);
        for delete in self.deletes.iter().filter(|d| d.names(row)) {
            match hides(delete, attempts, span) {
                Verdict::Must => return Verdict::MustNot,
                Verdict::May => certain = false,
                Verdict::MustNot => {}
            }
        }
        if certain { Verdict::Must } else { Verdict::May }
    }
}

/// Whether a delete that names a row hides it from a read.
fn hides(delete: &Delete, attempts: &[Attempt], span: ReadSpan) -> Verdict {
    let made = delete.made;
    let is_new_data = attempts
        .iter()
        .any(|a| a.outcome == Outcome::Done && a.begin >= made.end && a.end <= span.begin);
    let taken_back = delete
        .cancels
        .iter()
        .any(|c| c.outcome == Outcome::Done && c.end <= span.begin);
    if made.outcome == Outcome::Refused || made.begin >= span.end || is_new_data || taken_back {
        return Verdict::MustNot;
    }
    let in_force = made.outcome == Outcome::Done && made.end <= span.begin;
    let never_cancelled = delete
        .cancels
        .iter()
        .all(|c| c.outcome == Outcome::Refused || c.begin >= span.end);
    let all_before = attempts
        .iter()
        .filter(|a| a.begin < span.end)
        .all(|a| a.end <= made.begin);
    match in_force && never_cancelled && all_before {
        true => Verdict::Must,
        false => Verdict::May,
    }
}
