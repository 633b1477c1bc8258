//! Times: `i64` nanoseconds since the Unix epoch, ranges half open. Milliseconds and closed ends live at the edge.

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch; negative before it.
pub type Timestamp = i64;

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The bit pattern of Prometheus' staleness marker (prometheus `model/value/value.go`, `StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether `value` is Prometheus' staleness marker; other NaNs are ordinary values.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Nanoseconds in `[start, end)`; empty where `end <= start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub start: Timestamp,
    /// First nanosecond after.
    pub end: Timestamp,
}

impl TimeRange {
    /// All times that can be stored. `i64::MAX` itself is never a row's time.
    pub const ALL: TimeRange = TimeRange {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// `[start, end)`.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        TimeRange { start, end }
    }

    /// `[first, last]`, saturating at the last representable nanosecond.
    pub fn closed(first: Timestamp, last: Timestamp) -> Self {
        TimeRange {
            start: first,
            end: last.saturating_add(1),
        }
    }

    /// Whether no time lies inside.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// The smallest range that holds both.
    pub fn union(&self, other: &TimeRange) -> TimeRange {
        TimeRange::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// Whether `time` lies inside.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether a row at some time in both ranges is possible.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.start < other.end && other.start < self.end && !self.is_empty() && !other.is_empty()
    }

    /// The times inside both.
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}
