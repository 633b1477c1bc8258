//! What Prometheus hides behind feature flags, over a small store: text in, answer out.
#![allow(clippy::unwrap_used, reason = "tests")]

use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram, Labels};

use super::asking::{self, At};
use super::show;
use crate::context::PromqlSettings;
use crate::engine::EngineLimits;
use crate::output::{QueryOutput, Value};
use crate::testing::TestStore;

const MINUTE: i64 = 60_000_000_000;

fn store() -> TestStore {
    let stale = f64::from_bits(garner_storage::model::STALE_NAN_BITS);
    let ones = |n| vec![Some(1.0); n];
    let mut store = TestStore::new();
    store
        .load(
            &[("__name__", "m"), ("instance", "a"), ("job", "1")],
            MINUTE,
            &[0.0, 1.0, 2.0, 3.0, 4.0].map(Some),
        )
        .load(
            &[("__name__", "other_m"), ("instance", "a"), ("job", "1")],
            MINUTE,
            &[5.0, 6.0, 1.0, 2.0, 3.0].map(Some),
        )
        .load(&[("__name__", "lonely"), ("instance", "z")], MINUTE, &ones(5))
        .load(
            &[
                ("__name__", "target_info"),
                ("instance", "a"),
                ("job", "1"),
                ("version", "old"),
            ],
            MINUTE,
            &[Some(1.0), Some(1.0), Some(1.0), Some(stale)],
        )
        .load(
            &[
                ("__name__", "target_info"),
                ("instance", "a"),
                ("job", "1"),
                ("version", "new"),
            ],
            MINUTE,
            &[None, None, None, Some(1.0), Some(1.0)],
        )
        .load(
            &[
                ("__name__", "build_info"),
                ("instance", "a"),
                ("job", "1"),
                ("go", "2"),
                ("version", "old"),
            ],
            MINUTE,
            &ones(5),
        );
    for i in 0..40 {
        let number = i.to_string();
        store.load(&[("__name__", "many"), ("i", &number)], MINUTE, &ones(5));
    }
    store
}

fn ask(query: &str, delayed_name_removal: bool, at: i64, range: bool) -> Result<QueryOutput, String> {
    let limits = EngineLimits {
        promql: PromqlSettings {
            delayed_name_removal,
            ..PromqlSettings::default()
        },
        ..EngineLimits::default()
    };
    let at = match range {
        true => At::Range {
            start: 0,
            end: at,
            step: MINUTE,
        },
        false => At::Time(at),
    };
    asking::ask(store(), limits, query, at).map_err(|e| e.to_string())
}

fn shown(output: Result<QueryOutput, String>) -> Result<String, String> {
    output.map(|o| show(&o.value))
}

/// At 4 m.
fn check(query: &str, expected: &str) {
    assert_eq!(
        shown(ask(query, false, 4 * MINUTE, false)).as_deref(),
        Ok(expected),
        "{query}"
    );
}

/// From 0 to 4 m, every minute.
fn check_range(query: &str, expected: &str) {
    assert_eq!(
        shown(ask(query, false, 4 * MINUTE, true)).as_deref(),
        Ok(expected),
        "{query}"
    );
}

fn refuse(query: &str, expected: &str) {
    assert_eq!(
        shown(ask(query, false, 4 * MINUTE, true)),
        Err(expected.to_string()),
        "{query}"
    );
}

#[test]
fn info_adds_the_labels_of_the_time() {
    check_range(
        "info(m)",
        concat!(
            "{__name__=m,instance=a,job=1,version=new} 3@3 4@4; ",
            "{__name__=m,instance=a,job=1,version=old} 0@0 1@1 2@2",
        ),
    );
    check("info(m @ 60)", "{__name__=m,instance=a,job=1,version=old} 1");
    check("info(m offset 2m)", "{__name__=m,instance=a,job=1,version=old} 2");
    check(
        "info(rate(m[2m]))",
        "{instance=a,job=1,version=new} 0.016666666666666666",
    );
    check(
        "info(m, {__name__='build_info', go=~'.+'})",
        "{__name__=m,go=2,instance=a,job=1} 4",
    );
    check_range(
        "info(m, {version='old'})",
        "{__name__=m,instance=a,job=1,version=old} 0@0 1@1 2@2",
    );
    check_range(
        "info(m, {version=~'old|'})",
        concat!(
            "{__name__=m,instance=a,job=1} 3@3 4@4; ",
            "{__name__=m,instance=a,job=1,version=old} 0@0 1@1 2@2",
        ),
    );
    check("info(lonely)", "{__name__=lonely,instance=z} 1");
    check("info(lonely, {version=~'.+'})", "");
    check(
        "info(build_info, {__name__='build_info'})",
        "{__name__=build_info,go=2,instance=a,job=1,version=old} 1",
    );
    check("info(vector(1))", "{} 1");
    check("info(nobody)", "");
    refuse("info(m, {__name__=~'.+_info'})", "conflicting label: version");
}

#[test]
fn two_info_series_of_a_target_at_once_are_refused() {
    let mut store = TestStore::new();
    store.load(&[("__name__", "m"), ("job", "1")], MINUTE, &[Some(1.0)]);
    for version in ["1", "2"] {
        store.load(
            &[("__name__", "target_info"), ("job", "1"), ("v", version)],
            MINUTE,
            &[Some(1.0)],
        );
    }
    let answer = asking::ask(store, EngineLimits::default(), "info(m)", At::Time(0));
    assert_eq!(
        answer.map_err(|e| e.to_string()).unwrap_err(),
        "found duplicate series for info metric: existing {__name__=\"target_info\", job=\"1\", v=\"1\"} @ 0, new \
         {__name__=\"target_info\", job=\"1\", v=\"2\"} @ 0"
    );
}

#[test]
fn a_ratio_of_series_and_its_complement() {
    let count = |query: &str| match ask(query, false, 4 * MINUTE, false).unwrap().value {
        Value::Vector(elements) => elements.len(),
        _ => 0,
    };
    let (some, others) = (count("limit_ratio(0.25, many)"), count("limit_ratio(-0.75, many)"));
    assert_eq!(some + others, 40);
    assert!((2..20).contains(&some), "{some}");
    check("limit_ratio(0.25, many) and limit_ratio(-0.75, many)", "");
    check("limit_ratio(0, many)", "");
    check("count(limit_ratio(1, many))", "{} 40");
    check_range("count(limit_ratio(scalar(m) - 3, many)) > 30", "{} 40@0 40@1 40@2 40@4");
    let output = ask("limit_ratio(1.5, m)", false, 4 * MINUTE, false).unwrap();
    assert_eq!(
        output.warnings,
        ["PromQL warning: ratio value should be between -1 and 1, got 1.5, capping to 1 (1:13)"]
    );
    refuse("limit_ratio(NaN, nobody)", "Ratio value is NaN");
}

#[test]
fn scalars_have_a_greatest_and_a_least() {
    check("max_of(3, min_of(time(), 7))", "7");
    check("max_of(NaN, 1)", "NaN");
    check_range("min_of(step(), scalar(m))", "{} 0@0 1@1 2@2 3@3 4@4");
}

#[test]
fn windows_reach_beyond_their_bounds() {
    let minutes = 4 * MINUTE;
    let check = |query: &str, at: i64, expected: &str| {
        assert_eq!(shown(ask(query, false, at, false)).as_deref(), Ok(expected), "{query}");
    };
    check("increase(m[2m] anchored)", minutes, "{instance=a,job=1} 2");
    check("increase(m[90s] smoothed)", minutes, "{instance=a,job=1} 1.5");
    check(
        "rate(m[1m] smoothed)",
        minutes - MINUTE / 2,
        "{instance=a,job=1} 0.016666666666666666",
    );
    check("delta(other_m[2m] anchored)", 2 * MINUTE, "{instance=a,job=1} -4");
    check("increase(other_m[2m] anchored)", 2 * MINUTE, "{instance=a,job=1} 2");
    check("resets(other_m[1m] anchored)", 2 * MINUTE, "{instance=a,job=1} 1");
    check("changes(m[2m] anchored)", minutes, "{instance=a,job=1} 2");
    check("m smoothed", MINUTE / 2, "{__name__=m,instance=a,job=1} 0.5");
    check("m @ 90 smoothed", minutes, "{__name__=m,instance=a,job=1} 1.5");
    check(
        "m[1m] anchored",
        90_000_000_000,
        "{__name__=m,instance=a,job=1} 0@0.5 1@1 1@1.5",
    );
    check(
        "m[1m] smoothed",
        90_000_000_000,
        "{__name__=m,instance=a,job=1} 0.5@0.5 1@1 1.5@1.5",
    );
}

#[test]
fn metric_names_can_go_last() {
    let check = |query: &str, expected: &str| {
        assert_eq!(
            shown(ask(query, true, 4 * MINUTE, false)).as_deref(),
            Ok(expected),
            "{query}"
        );
    };
    check("-m", "{instance=a,job=1} -4");
    check("m * 2", "{instance=a,job=1} 8");
    check(
        "label_replace(-m, 'was', '$1', '__name__', '(.*)')",
        "{instance=a,job=1,was=m} -4",
    );
    check(
        "label_replace(-m, '__name__', 'not_$1', '__name__', '(.*)')",
        "{__name__=not_m,instance=a,job=1} -4",
    );
    check(
        "label_join(-m, '__name__', '_', '__name__', 'job')",
        "{__name__=m_1,instance=a,job=1} -4",
    );
    check("sum by (__name__, job) (m)", "{__name__=m,job=1} 4");
    check("sum by (__name__, job) (-m)", "{job=1} -4");
    check("sum by (__name__) (m or -(m offset 1m))", "{__name__=m} 4");
    check(
        "sum by (__name__) ({__name__='m'} * 0 or on (instance) lonely)",
        "{} 0; {__name__=lonely} 1",
    );
    check("sum by (__name__) (m offset 1m or on (x) m)", "{__name__=m} 3");
    check("count(abs({job='1'}))", "{} 4");
    check("last_over_time(abs(m)[1m:1m])", "{instance=a,job=1} 4");
    check("m > bool 1", "{instance=a,job=1} 1");
    check("m > bool on (job) other_m", "{job=1} 1");
    check("-m < other_m", "{__name__=m,instance=a,job=1} -4");
    check("topk(1, abs(m))", "{instance=a,job=1} 4");
    check(
        "sort_by_label_desc(abs({__name__=~'m|lonely'}), '__name__')",
        "{instance=a,job=1} 4; {instance=z} 1",
    );
    check("info(-m)", "{instance=a,job=1,version=new} -4");
    check("(-m)[1m:1m]", "{instance=a,job=1} -4@4");
    let twice = ask("abs({__name__=~'m|other_m'})", true, 4 * MINUTE, false);
    assert_eq!(
        twice.unwrap_err(),
        "vector cannot contain metrics with the same labelset"
    );
    let apart = ask("-(m > 2) or -(other_m > 2)", true, 4 * MINUTE, true);
    assert_eq!(shown(apart).as_deref(), Ok("{instance=a,job=1} -5@0 -6@1 -3@3 -4@4"));
}

#[test]
fn quantiles_of_histograms_can_become_equal_where_the_name_goes() {
    let mut store = TestStore::new();
    for name in ["a_bucket", "b_bucket"] {
        for le in ["1", "+Inf"] {
            store.load(&[("__name__", name), ("le", le)], MINUTE, &[Some(5.0)]);
        }
    }
    let limits = EngineLimits {
        promql: PromqlSettings {
            delayed_name_removal: true,
            ..PromqlSettings::default()
        },
        ..EngineLimits::default()
    };
    let query = r#"histogram_quantiles({__name__=~".+_bucket"}, "q", 0.5)"#;
    let answer = asking::ask(store, limits, query, At::Time(0)).map_err(|e| e.to_string());
    assert_eq!(
        answer.err().as_deref(),
        Some("vector cannot contain metrics with the same labelset")
    );
}

#[test]
fn each_different_quantile_out_of_bounds_is_warned_of() {
    let warnings = |query: &str| ask(query, false, 4 * MINUTE, true).unwrap().warnings;
    let value = |got: &str, place: &str| {
        format!("PromQL warning: quantile value should be between 0 and 1, got {got} ({place})")
    };
    assert_eq!(
        warnings("quantile_over_time(scalar(m) - 1, m[1m])"),
        ["-1", "2", "3"].map(|got| value(got, "1:20"))
    );
    // An aggregation tells of the least and the greatest.
    assert_eq!(
        warnings("quantile(scalar(m) - 1, m)"),
        ["-1", "3"].map(|got| value(got, "1:10"))
    );
}

#[test]
fn types_tell_counters_where_they_are_labels() {
    let mut store = TestStore::new();
    for (name, kind) in [
        ("a_total", "gauge"),
        ("b", "counter"),
        ("c", "histogram"),
        ("d_sum", ""),
    ] {
        store.load(
            &[("__name__", name), ("__type__", kind), ("n", name)],
            MINUTE,
            &[Some(1.0), Some(2.0)],
        );
    }
    let limits = EngineLimits {
        promql: PromqlSettings {
            type_and_unit_labels: true,
            ..PromqlSettings::default()
        },
        ..EngineLimits::default()
    };
    let query = r#"sum(rate({__name__=~".+"}[5m]))"#;
    let infos = asking::ask(store, limits, query, At::Time(MINUTE)).unwrap().infos;
    let text = |kind: &str, name: &str| {
        format!(
            "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got \
             {kind:?}: {name:?} (1:10)"
        )
    };
    assert_eq!(infos, [text("", "d_sum"), text("gauge", "a_total")]);
}

#[test]
fn nothing_lies_between_exponential_and_custom_buckets() {
    let histogram = |schema: i32| Histogram {
        schema,
        count: 1.0,
        sum: 1.0,
        positive_spans: vec![BucketSpan { offset: 0, length: 1 }],
        positive_buckets: vec![1.0],
        custom_values: if schema < 0 { vec![5.0] } else { Vec::new() },
        ..Histogram::default()
    };
    let series = Labels::from_pairs([("__name__", "mix")]);
    let mut store = TestStore::new();
    store.push_histogram(&series, 0, histogram(0));
    store.push_histogram(&series, MINUTE, histogram(CUSTOM_BUCKETS_SCHEMA));
    let answer = asking::ask(store, EngineLimits::default(), "mix smoothed", At::Time(MINUTE / 2)).unwrap();
    assert_eq!(show(&answer.value), "");
    assert_eq!(
        answer.warnings,
        [
            "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name \
          \"mix\" (1:1)"
        ]
    );
}
