//! Exemplars: single observations that stand for what a series counted.

use super::{Labels, Timestamp};

/// An exemplar of a series (prometheus `model/exemplar/exemplar.go`).
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Names what was observed, mostly a trace.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// Nanoseconds.
    pub time: Timestamp,
}

impl Exemplar {
    /// Order by time, then value and labels; only equal exemplars are equal.
    pub fn total_cmp(&self, other: &Self) -> std::cmp::Ordering {
        let values = self.value.total_cmp(&other.value);
        let labels = || self.labels.as_bytes().cmp(other.labels.as_bytes());
        self.time.cmp(&other.time).then(values).then_with(labels)
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.labels.size_bytes()
    }
}
