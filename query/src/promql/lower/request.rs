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
        }
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
