//! Nanoseconds as the float seconds of query languages.

use garner_storage::model::NANOS_PER_MILLI;

/// Seconds of a time or duration. Whole milliseconds, which is what Prometheus has, are divided as it divides them.
#[inline]
pub fn seconds(ns: i64) -> f64 {
    if ns % NANOS_PER_MILLI == 0 {
        (ns / NANOS_PER_MILLI) as f64 / 1000.0
    } else {
        ns as f64 / 1e9
    }
}
