//! What lowering must know of a query besides its text.

use garner_storage::model::{NANOS_PER_MILLI, Timestamp};

use crate::promql::ast::At;

/// Times of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowerRequest {
    /// First step, nanoseconds.
    pub start_ns: Timestamp,
    /// End as it was asked for, nanoseconds; at an instant the same as the start.
    pub end_ns: Timestamp,
    /// Distance of steps, nanoseconds; 0 at an instant.
    pub step_ns: i64,
    /// Whether a range of steps was asked for: its result must have values at steps, so be a vector or a scalar.
    pub is_range: bool,
    /// Step of subqueries that name none, nanoseconds.
    pub default_subquery_step_ns: i64,
    /// What the calls around a part read of native histograms.
    pub(super) reads: HistogramReads,
}

/// What is read of native histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HistogramReads {
    /// Whole histograms.
    #[default]
    Whole,
    /// Counts and sums, as long as nothing around or inside needs buckets.
    Counts,
    /// Buckets, whatever is inside.
    Buckets,
}

impl LowerRequest {
    /// An instant query.
    pub fn instant(time_ns: Timestamp, default_subquery_step_ns: i64) -> Self {
        LowerRequest {
            start_ns: time_ns,
            end_ns: time_ns,
            step_ns: 0,
            is_range: false,
            default_subquery_step_ns,
            reads: HistogramReads::Whole,
        }
    }

    /// A range query.
    pub fn range(start_ns: Timestamp, end_ns: Timestamp, step_ns: i64, default_subquery_step_ns: i64) -> Self {
        LowerRequest {
            start_ns,
            end_ns,
            step_ns,
            is_range: true,
            default_subquery_step_ns,
            reads: HistogramReads::Whole,
        }
    }

    /// The same for what stands inside of a call that reads counts and sums only (prometheus promql/engine.go,
    /// `detectHistogramStatsDecoding`).
    pub(super) fn reading_counts(&self) -> Self {
        let reads = match self.reads {
            HistogramReads::Whole | HistogramReads::Counts => HistogramReads::Counts,
            HistogramReads::Buckets => HistogramReads::Buckets,
        };
        LowerRequest { reads, ..*self }
    }

    /// The same for what stands inside of something that needs buckets.
    pub(super) fn reading_buckets(&self) -> Self {
        LowerRequest {
            reads: HistogramReads::Buckets,
            ..*self
        }
    }

    /// Whether a selector's histograms need no buckets.
    pub(super) fn counts_only(&self) -> bool {
        self.reads == HistogramReads::Counts
    }

    /// The time of an `@` modifier, nanoseconds.
    pub(super) fn at_ns(&self, at: At) -> Timestamp {
        match at {
            At::Millis(millis) => millis.saturating_mul(NANOS_PER_MILLI),
            At::Start => self.start_ns,
            At::End => self.end_ns,
        }
    }

    /// `step()` in seconds; an instant has none.
    pub(super) fn step_seconds(&self) -> f64 {
        self.step_ns as f64 / 1e9
    }

    /// `range()` in seconds.
    pub(super) fn range_seconds(&self) -> f64 {
        self.end_ns.saturating_sub(self.start_ns) as f64 / 1e9
    }
}
