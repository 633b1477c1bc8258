//! Tables of what retention drops and writes again.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::plan::*;
use super::rules::*;
use crate::catalog::{CatalogState, CommitRequest};
use crate::model::{LabelMatcher, MatchOp, Signal, TenantId, TimeRange};
use crate::object::paths::WriterId;
use crate::segment::{SegmentId, SegmentMeta};

const DAY: i64 = 24 * 3_600_000_000_000;
const NOW: i64 = 20_000 * DAY;

fn segment(number: usize, tenant: &str, signal: Signal, days: (i64, i64), len: u64) -> SegmentMeta {
    SegmentMeta {
        tenant: TenantId::new(tenant).unwrap(),
        signal,
        id: SegmentId {
            object: format!("o{number}").into(),
            offset: 0,
        },
        len,
        tail_len: 1,
        range: TimeRange::new(NOW - days.0 * DAY, NOW - days.1 * DAY),
        rows: 100,
        series: 10,
        raw_bytes: len * 10,
        level: 1,
    }
}

fn days(days: u64) -> RetentionRules {
    RetentionRules {
        period: Duration::from_secs(days * 24 * 3600),
        streams: Vec::new(),
    }
}

/// Numbers of the segments that go: expired ones, then those over the limit.
fn dropped(settings: RetentionSettings, segments: &[SegmentMeta]) -> (Vec<String>, Vec<String>) {
    let mut request = CommitRequest::new(WriterId::new("w").unwrap());
    request.add = segments.to_vec();
    let state = CatalogState::default().apply(&request, NOW);
    let retention = RetentionAt {
        settings: Arc::new(settings),
        now: NOW,
    };
    let drops = drops(&state, &retention);
    let names = |list: &[Arc<SegmentMeta>]| list.iter().map(|m| m.id.object.to_string()).collect();
    (names(&drops.expired), names(&drops.over_limit))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

#[test]
fn segments_go_once_all_of_their_rows_have_expired() {
    let segments = [
        segment(0, "a", Signal::Logs, (10, 8), 10),
        segment(1, "a", Signal::Logs, (8, 7), 10),
        segment(2, "a", Signal::Logs, (8, 6), 10),
        segment(3, "a", Signal::Metrics, (10, 8), 10),
        segment(4, "b", Signal::Logs, (10, 8), 10),
    ];
    let check = |settings: RetentionSettings, expected: &[&str]| {
        assert_eq!(dropped(settings, &segments), (owned(expected), owned(&[])));
    };
    check(RetentionSettings::default(), &[]);
    let week = || [days(7), RetentionRules::default()];
    check(
        RetentionSettings {
            defaults: week(),
            ..Default::default()
        },
        &["o0", "o1", "o4"],
    );
    check(
        RetentionSettings {
            defaults: week(),
            tenants: [(TenantId::new("b").unwrap(), [days(0), days(0)])]
                .into_iter()
                .collect(),
            ..Default::default()
        },
        &["o0", "o1"],
    );
    // A rule that keeps some series longer keeps the segment.
    let mut rules = week();
    rules[0].streams.push(StreamRule {
        matchers: vec![LabelMatcher::new("app", MatchOp::Equal, "audit").unwrap()],
        priority: 1,
        period: Duration::from_secs(9 * 24 * 3600),
    });
    check(
        RetentionSettings {
            defaults: rules,
            ..Default::default()
        },
        &[],
    );
}

#[test]
fn over_the_limit_of_bytes_the_oldest_go_whoever_has_them() {
    let segments = [
        segment(0, "a", Signal::Logs, (3, 2), 10),
        segment(1, "b", Signal::Metrics, (9, 4), 20),
        segment(2, "c", Signal::Logs, (5, 3), 30),
        segment(3, "c", Signal::Logs, (99, 98), 1000),
    ];
    let check = |limit: u64, expected: &[&str]| {
        let settings = RetentionSettings {
            defaults: [days(30), days(0)],
            max_store_bytes: limit,
            ..Default::default()
        };
        assert_eq!(
            dropped(settings, &segments),
            (owned(&["o3"]), owned(expected)),
            "{limit}"
        );
    };
    check(0, &[]);
    check(60, &[]);
    check(59, &["o1"]);
    check(39, &["o1", "o2"]);
    check(1, &["o1", "o2", "o0"]);
}

#[test]
fn segments_are_written_again_when_it_pays() {
    let check = |range: (i64, i64), cutoff_days: i64, expected: bool| {
        let meta = segment(0, "a", Signal::Logs, range, 10);
        assert_eq!(
            half_expired(&meta, NOW - cutoff_days * DAY),
            expected,
            "{range:?} {cutoff_days}"
        );
    };
    check((30, 0), 15, true);
    check((30, 0), 16, false);
    check((30, 10), 12, true);
    check((30, 10), 10, false);
    check((3, 2), 2, false);
    let endless = segment(0, "a", Signal::Logs, (30, 0), 10);
    assert!(!half_expired(&endless, i64::MIN));
    assert!(worth_writing_again(7, 100) && !worth_writing_again(6, 100) && !worth_writing_again(0, 0));
    let cutoffs = [1, 2, 5, 9].map(|d| NOW - d * DAY);
    let periods = |end: i64| newly_expired_periods(&segment(0, "a", Signal::Logs, (20, end), 10), &cutoffs);
    assert_eq!([0, 1, 2, 4, 5, 9, 10].map(periods), [0, 1, 2, 2, 3, 4, 4]);
}
