//! What filters hide, against looking at each tombstone for each row.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::testing::NeedleFilters;

fn tombstone(id: u64, matchers: Vec<LabelMatcher>, filter: Option<&str>, range: TimeRange) -> Arc<Tombstone> {
    Arc::new(Tombstone {
        id: TombstoneId(id),
        tenant: TenantId::new("t").unwrap(),
        signal: Signal::Logs,
        matchers,
        filter: filter.map(Arc::from),
        range,
        query: "".into(),
        created_ns: 0,
        cancel_until_ns: 0,
    })
}

fn app(value: &str) -> Labels {
    Labels::from_pairs([("app", value)])
}

fn is_app(value: &str) -> Vec<LabelMatcher> {
    vec![LabelMatcher::new("app", MatchOp::Equal, value).unwrap()]
}

#[test]
fn names_are_read_as_they_are_written() {
    let id = TombstoneId(0xab);
    assert_eq!(id.to_string(), "00000000000000ab");
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["", "ab", "+0000000000000ab", "00000000000000abc", "zz00000000000000"] {
        assert!(bad.parse::<TombstoneId>().is_err(), "{bad}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_an_error_and_not_a_filter_that_hides_nothing() {
    let tombstones = [tombstone(1, Vec::new(), Some("x"), TimeRange::ALL)];
    assert!(RowFilter::new(&tombstones, &NoEntryFilters).is_err());
    assert!(RowFilter::new(&tombstones, &NeedleFilters).is_ok());
}

#[test]
fn bounds_shrink_to_what_is_left() {
    let check = |hidden: &[(i64, i64)], bounds: (i64, i64), left: (i64, i64)| {
        let tombstones: Vec<_> = (0..)
            .zip(hidden)
            .map(|(id, (start, end))| tombstone(id, Vec::new(), None, TimeRange::new(*start, *end)))
            .collect();
        let filter = RowFilter::new(&tombstones, &NeedleFilters).unwrap();
        let series = filter.of_series(&app("a")).unwrap();
        let bounds = TimeRange::new(bounds.0, bounds.1);
        let found = series.trim(bounds);
        if left.0 == left.1 {
            assert!(found.is_empty() && series.hides_all(bounds), "{hidden:?} {found:?}");
        } else {
            assert_eq!(found, TimeRange::new(left.0, left.1), "{hidden:?}");
        }
    };
    check(&[(5, 10)], (0, 20), (0, 20));
    check(&[(-5, 10)], (0, 20), (10, 20));
    check(&[(10, 25)], (0, 20), (0, 10));
    check(&[(-5, 10), (10, 25)], (0, 20), (0, 0));
    check(&[(-5, 12), (8, 25), (3, 4)], (0, 20), (0, 0));
    check(&[(-5, 3), (2, 10), (15, 16), (18, 20)], (0, 20), (10, 18));
    check(&[(20, 25)], (0, 20), (0, 20));
}

proptest! {
    #[test]
    fn filters_agree_with_tombstones_one_by_one(
        tombstones in prop::collection::vec(("[ab]?", 0i64..40, 0i64..30, prop::option::of("[xy]|k=v|stream:a")), 0..6),
        rows in prop::collection::vec(("[ab]", 0i64..60, "[xyz]{0,2}", any::<bool>()), 0..60),
    ) {
        let tombstones: Vec<_> = (0..).zip(&tombstones).map(|(id, (name, start, len, filter))| {
            let matchers = if name.is_empty() { Vec::new() } else { is_app(name) };
            tombstone(id, matchers, filter.as_deref(), TimeRange::new(*start, start + len))
        }).collect();
        let filter = RowFilter::new(&tombstones, &NeedleFilters).unwrap();
        let (with, without) = (Labels::from_pairs([("k", "v")]), Labels::empty());
        for (name, time, line, has_metadata) in &rows {
            let labels = app(name);
            let metadata = if *has_metadata { &with } else { &without };
            let by = |t: &&Arc<Tombstone>| t.range.contains(*time) && t.matchers.iter().all(|m| m.matches_labels(&labels));
            let whole = tombstones.iter().filter(by).any(|t| t.filter.is_none());
            let filtered = tombstones.iter().filter(by).any(|t| match t.filter.as_deref() {
                None => false,
                Some("k=v") => *has_metadata,
                Some("stream:a") => name == "a",
                Some(needle) => line.contains(needle),
            });
            let entry = EntryRef { time: *time, line: line.as_bytes(), metadata, derived: &without };
            let point = TimeRange::new(*time, time + 1);
            match filter.of_series(&labels) {
                None => prop_assert!(!whole && !filtered),
                Some(mut series) => {
                    prop_assert_eq!(series.hides_sample(*time), whole);
                    prop_assert_eq!(series.hides_all(point), whole);
                    prop_assert_eq!(series.hides_entry(entry), whole || filtered);
                    prop_assert!(series.touches(point) || !(whole || filtered));
                    let left = series.trim(TimeRange::new(-5, 100));
                    prop_assert!(whole || left.contains(*time));
                }
            }
        }
    }
}
