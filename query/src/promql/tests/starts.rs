//! What start times of samples change: `rate` and its family where they are asked to look, and `start_timestamp`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use garner_storage::model::{BucketSpan, Histogram, Labels, STALE_NAN_BITS};

use super::asking::{self, At};
use super::show;
use crate::context::PromqlSettings;
use crate::engine::EngineLimits;
use crate::output::QueryOutput;
use crate::testing::{TestSample, TestStore};

const MINUTE: i64 = 60_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn histogram() -> Histogram {
    Histogram {
        count: 4.0,
        sum: 8.0,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![3.0, 1.0],
        ..Histogram::default()
    }
}

/// Samples every minute from 2 m to 6 m, each counted since the one before it unless the name says otherwise.
fn store() -> TestStore {
    let mut store = TestStore::new();
    let named = |name: &str| Labels::from_pairs([("__name__", name)]);
    for at in 2..=6 {
        let time = at * MINUTE;
        let float = |value: f64, start_ns: i64| TestSample {
            value,
            histogram: None,
            start_ns,
        };
        let native = |start_ns| TestSample {
            value: 8.0,
            histogram: Some(Arc::new(histogram())),
            start_ns,
        };
        let before = time - MINUTE;
        store
            .push_sample(&named("delta_total"), time, float(60.0, before))
            .push_sample(&named("plain_total"), time, float(60.0, 0))
            .push_sample(&named("overlapping_total"), time, float(60.0, before - MINUTE))
            .push_sample(&named("native"), time, native(before));
        let gap = if at == 4 { f64::from_bits(STALE_NAN_BITS) } else { 60.0 };
        store.push_sample(&named("gap_total"), time, float(gap, before));
        if at == 6 {
            store
                .push_sample(&named("young_total"), time, float(3.0, time - 30 * SECOND))
                .push_sample(&named("young_native"), time, native(time - 30 * SECOND));
        }
        let mixed = if at < 4 { float(60.0, before) } else { native(before) };
        store.push_sample(&named("mixed"), time, mixed);
    }
    store
}

fn ask(query: &str, use_start_timestamps: bool, range: bool) -> QueryOutput {
    let limits = EngineLimits {
        promql: PromqlSettings {
            use_start_timestamps,
            ..PromqlSettings::default()
        },
        ..EngineLimits::default()
    };
    let end = 6 * MINUTE;
    let at = match range {
        true => At::Range {
            start: end - MINUTE,
            end,
            step: MINUTE,
        },
        false => At::Time(end),
    };
    asking::ask(store(), limits, query, at).unwrap()
}

/// At 6 m, with a look at starts and without.
fn check(query: &str, with: &str, without: &str) {
    let shown = |looks| show(&ask(query, looks, false).value);
    assert_eq!((&*shown(true), &*shown(false)), (with, without), "{query}");
}

#[test]
fn starts_tell_of_resets_where_they_are_looked_at() {
    check("increase(delta_total[5m])", "{} 300", "{} 0");
    check("rate(delta_total[5m])", "{} 1", "{} 0");
    check("irate(delta_total[5m])", "{} 1", "{} 0");
    check("resets(delta_total[5m])", "{} 4", "{} 0");
    check("resets(delta_total[2m] anchored)", "{} 2", "{} 0");
    check("increase(plain_total[5m])", "{} 0", "{} 0");
    check("increase(young_total[5m])", "{} 3", "");
    check("resets(gap_total[5m])", "{} 3", "{} 0");
    // Changes and anchored rates do not look, and points of a subquery have no starts.
    check("changes(delta_total[5m])", "{} 0", "{} 0");
    check("increase(delta_total[4m] anchored)", "{} 0", "{} 0");
    check("increase(delta_total[5m:1m])", "{} 0", "{} 0");
}

#[test]
fn starts_tell_of_resets_of_histograms_too() {
    check("histogram_count(increase(native[5m]))", "{} 20", "{} 0");
    check("histogram_sum(rate(native[5m]) * 60)", "{} 8", "{} 0");
    check("histogram_count(irate(native[5m]) * 60)", "{} 4", "{} 0");
    check("resets(native[5m])", "{} 4", "{} 0");
    check("histogram_count(increase(young_native[5m]))", "{} 4", "");
    // The change of kind is one reset.
    check("resets(mixed[5m])", "{} 4", "{} 1");
    check("resets(mixed[3m] anchored)", "{} 3", "{} 1");
}

#[test]
fn start_timestamp_tells_starts() {
    // Where starts are not looked at, none is known.
    let known = |query: &str, expected: &str| check(query, expected, "");
    known("start_timestamp(delta_total)", "{} 300");
    known("start_timestamp((native))", "{} 300");
    known("start_timestamp(plain_total)", "{} 0");
    known("start_timestamp(delta_total offset 1m)", "{} 240");
    known("start_timestamp(delta_total @ 240 offset 1m)", "{} 180");
    known("start_timestamp(delta_total + 1)", "");
    known("start_timestamp(absent_total)", "");
}

#[test]
fn starts_before_the_sample_before_are_warned_of() {
    let warned = |query: &str, range| ask(query, true, range).warnings;
    let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \
                \"overlapping_total\"";
    assert_eq!(
        warned("increase(overlapping_total[5m])", false),
        [format!("{text} (1:10)")]
    );
    assert_eq!(
        warned("rate(overlapping_total[5m])", true),
        [format!("{text} (2 occurrences) (1:6)")]
    );
    for silent in [
        "irate(overlapping_total[5m])",
        "rate(delta_total[5m])",
        "rate(native[5m])",
    ] {
        assert_eq!(warned(silent, false), [""; 0], "{silent}");
    }
}
