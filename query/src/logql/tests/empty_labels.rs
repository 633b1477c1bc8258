//! Labels that a stage has set to nothing, in metric queries: what Loki 3.6 answered to the same lines, but where it answers
//! two series with the same labels.

use super::*;

/// App `t` has JSON lines of which some have an empty `a` or none, app `u` the like in logfmt.
fn engine() -> Engine {
    let mut store = TestStore::new();
    let json = Labels::from_pairs([("app", "t")]);
    let texts = [
        r#"{"a":"x","b":"1"}"#,
        r#"{"a":"","b":"2"}"#,
        r#"{"b":"3"}"#,
        r#"{"a":"y","b":"4"}"#,
    ];
    for (at, text) in (1..).zip(texts) {
        store.push_log(&json, at * S, text, &[]);
    }
    let logfmt = Labels::from_pairs([("app", "u")]);
    let texts = ["a= b=1 c=z", "a= b=2 c=z", "b=3 c=z", "a=k b=4 c=z", "bad \" b=3"];
    for (at, text) in (1..).zip(texts) {
        store.push_log(&logfmt, at * S, text, &[]);
    }
    Engine::new(
        store.reader(),
        MemoryAccountant::new(1 << 30),
        EngineLimits::default(),
        Arc::new(TestClock(0)),
    )
}

async fn check(cases: &[(&str, &str)]) {
    let engine = engine();
    for (text, expected) in cases {
        let options = LogqlOptions::default();
        let got = show(engine.logql_instant(&tenant(), text, 30 * S, options).await);
        assert_eq!(got, *expected, "{text}");
        let over_range = show(engine.logql_range(&tenant(), text, 30 * S, 30 * S, S, options).await);
        let expected = expected.split("; ").map(|row| match row.rsplit_once(' ') {
            Some((labels, value)) if row.starts_with('{') => format!("{labels} 30:{value}"),
            _ => row.to_string(),
        });
        assert_eq!(over_range, expected.collect::<Vec<_>>().join("; "), "{text}");
    }
}

const GROUPED: &str = r#"sum by (a) (count_over_time({app="t"} | json a="a" [1m]))"#;
/// Here the line without `a` has no such label.
const SOME: &str = r#"sum by (a) (count_over_time({app="t"} | json [1m]))"#;

#[tokio::test]
async fn by_keeps_them() {
    check(&[
        (GROUPED, "{a=x} 1; {a=y} 1; {a=} 2"),
        (SOME, "{a=x} 1; {a=y} 1; {a=} 1; {} 1"),
        (
            r#"sum by (app, a) (count_over_time({app="t"} | json a="a" [1m]))"#,
            "{a=,app=t} 2; {a=x,app=t} 1; {a=y,app=t} 1",
        ),
        (
            r#"sum by (z) (count_over_time({app="t"} | label_format z="" [1m]))"#,
            "{z=} 4",
        ),
        (
            r#"sum by (app) (count_over_time({app="t"} | label_format app="" [1m]))"#,
            "{app=} 4",
        ),
        (
            r#"sum by (e) (count_over_time({app="t"} | json e="nope" [1m]))"#,
            "{e=} 4",
        ),
        // Without --keep-empty logfmt leaves them out by itself.
        (
            r#"sum by (a) (count_over_time({app="u"} | logfmt [1m]))"#,
            "{a=k} 1; {} 4",
        ),
        (
            r#"sum by (a) (count_over_time({app="u"} | logfmt --keep-empty | __error__="" [1m]))"#,
            "{a=k} 1; {a=} 2; {} 2",
        ),
        (
            r#"sum by (x) (count_over_time({app="u"} | pattern "a=<x> b=<_>" [1m]))"#,
            "{x=k} 1; {x=} 2; {} 2",
        ),
        (
            r#"sum by (x) (count_over_time({app="u"} | regexp "a=(?P<x>\\w*) b" [1m]))"#,
            "{x=k} 1; {x=} 2; {} 2",
        ),
        (
            r#"max_over_time({app="t"} | json b="b",a="a" | unwrap b [1m]) by (a,q)"#,
            "{a=x} 1; {a=y} 4; {a=} 3",
        ),
        (
            r#"sum by (a) (sum_over_time({app="t"} | json b="b",a="a" | unwrap b [1m]))"#,
            "{a=x} 1; {a=y} 4; {a=} 5",
        ),
        (
            r#"max by (a) (sum by (a,app) (count_over_time({app="t"} | json a="a" [1m])))"#,
            "{a=x} 1; {a=y} 1; {a=} 2",
        ),
    ])
    .await;
}

#[tokio::test]
async fn without_grouping_they_stay_unless_series_may_have_to_be_merged() {
    check(&[
        (
            r#"sum_over_time({app="t"} | json b="b",a="a" | unwrap b [1m])"#,
            "{a=,app=t} 5; {a=x,app=t} 1; {a=y,app=t} 4",
        ),
        (
            r#"count_over_time({app="t"} | json a="a" [1m])"#,
            "{a=,app=t} 2; {a=x,app=t} 1; {a=y,app=t} 1",
        ),
        (
            r#"count_over_time({app="t"} | json a="a" | drop x [1m])"#,
            "{a=x,app=t} 1; {a=y,app=t} 1; {app=t} 2",
        ),
        (
            r#"max_over_time({app="t"} | json b="b",a="a" | unwrap b [1m]) without (app)"#,
            "{a=x} 1; {a=y} 4; {} 3",
        ),
        // Loki answers `{app=t}` twice here, once for each of what became the same.
        (
            r#"count_over_time({app="t"} | json | drop b [1m])"#,
            "{a=x,app=t} 1; {a=y,app=t} 1; {app=t} 2",
        ),
        (
            r#"sum without (app) (count_over_time({app="t"} | json a="a" [1m]))"#,
            "{a=x} 1; {a=y} 1; {} 2",
        ),
        (
            r#"count without (app) (sum by (a,app) (count_over_time({app="t"} | json a="a" [1m])))"#,
            "{a=x} 1; {a=y} 1; {} 1",
        ),
        (r#"count(count_over_time({app="t"} | json a="a" [1m]))"#, "{} 3"),
    ])
    .await;
}

#[tokio::test]
async fn what_changes_labels_drops_them() {
    let of = |text: &str| text.replace("GROUPED", GROUPED).replace("SOME", SOME);
    let cases = [
        (r#"label_replace(GROUPED, "n", "v", "a", ".*")"#, "{a=x,n=v} 1; {a=y,n=v} 1; {n=v} 2"),
        (r#"label_replace(GROUPED, "n", "v", "a", "x")"#, "{a=x,n=v} 1; {a=y} 1; {a=} 2"),
        ("GROUPED * 2", "{a=x} 2; {a=y} 2; {a=} 4"),
        ("GROUPED > 1", "{a=} 2"),
        ("topk(1, GROUPED)", "{a=} 2"),
        ("topk by (a) (1, GROUPED)", "{a=x} 1; {a=y} 1; {a=} 2"),
        ("sort(GROUPED)", "{a=x} 1; {a=y} 1; {a=} 2"),
        ("GROUPED + GROUPED", "{a=x} 2; {a=y} 2; {} 4"),
        ("GROUPED and SOME", "{a=x} 1; {a=y} 1; {a=} 2"),
        ("GROUPED and on (a) SOME", "{a=x} 1; {a=y} 1; {a=} 2"),
        ("GROUPED or SOME", "{a=x} 1; {a=y} 1; {a=} 2"),
        ("SOME or GROUPED", "{a=x} 1; {a=y} 1; {a=} 1; {} 1"),
        ("GROUPED unless SOME", ""),
        (
            "GROUPED + SOME",
            "error: found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be \
             unique on one side",
        ),
        (
            "SOME + GROUPED",
            "error: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
    ]
    .map(|(text, expected)| (of(text), expected));
    check(&cases.each_ref().map(|(text, expected)| (text.as_str(), *expected))).await;
}

#[tokio::test]
async fn a_side_with_nothing_to_match_is_checked_all_the_same() {
    let duplicates = "error: found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels \
                      must be unique on one side";
    check(&[
        (
            r#"sum by (b) (count_over_time({app="nope"} [1m])) + on (app) sum by (a,app) (count_over_time({app="t"} | json a="a" [1m]))"#,
            duplicates,
        ),
        (
            r#"sum by (a) (count_over_time({app="nope"} [1m])) + sum by (a) (count_over_time({app="t"} | json a="a" [1m]))"#,
            "",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_field_called_error_is_one_where_it_is_a_label_of_the_series() {
    let refused = |value: &str, series: &str| {
        format!(
            "error: pipeline error: '{value}' for series: '{{{series}}}'.\nUse a label filter to intentionally skip this error. \
             (e.g | __error__!=\"{value}\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
             The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
        )
    };
    let (all, by) = (
        refused("1", r#"__error__="1", app="t""#),
        refused("1", r#"__error__="1""#),
    );
    check(&[
        (
            r#"sum without (a) (count_over_time({app="t"} | json __error__="b" [1m]))"#,
            &all,
        ),
        (r#"count_over_time({app="t"} | json __error__="b" [1m])"#, &all),
        // A filter looks at what stages failed with, not at the label.
        (
            r#"count_over_time({app="t"} | json __error__="b" | __error__="" [1m])"#,
            &all,
        ),
        (
            r#"sum without (b) (count_over_time({app="t"} | json __error__="b" | __error__!="" [1m]))"#,
            "",
        ),
        (
            r#"sum by (__error__) (count_over_time({app="t"} | json __error__="b" [1m]))"#,
            &by,
        ),
        (
            r#"sum without (a,__error__) (count_over_time({app="t"} | json __error__="b" [1m]))"#,
            "{app=t} 4",
        ),
        (
            r#"sum by (app) (count_over_time({app="t"} | json __error__="b" [1m]))"#,
            "{app=t} 4",
        ),
        (r#"sum(count_over_time({app="t"} | json __error__="b" [1m]))"#, "{} 4"),
    ])
    .await;
}
