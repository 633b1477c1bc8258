//! Queries over much data or many steps stay within their cap of memory, or are refused in words that name it.
#![allow(clippy::unwrap_used, reason = "tests")]

use garner_storage::model::Labels;

use super::asking::{At, ask};
use crate::engine::EngineLimits;
use crate::error::{QueryError, QueryErrorKind};
use crate::output::{QueryOutput, Value};
use crate::testing::TestStore;

const SECOND: i64 = 1_000_000_000;
/// The most steps that a range query may have.
const STEPS: i64 = 11_000;

/// So many series with a sample at each tenth of the range.
fn store(series: usize) -> TestStore {
    let mut store = TestStore::new();
    for i in 0..series {
        let number = i.to_string();
        let labels = Labels::from_pairs([("__name__", "many"), ("i", number.as_str())]);
        for tenth in 0..=10 {
            store.push(&labels, tenth * STEPS / 10 * SECOND, i as f64);
        }
    }
    store
}

fn ask_range(series: usize, query: &str, cap: u64) -> Result<QueryOutput, QueryError> {
    let limits = EngineLimits {
        max_query_memory_bytes: cap,
        ..EngineLimits::default()
    };
    let at = At::Range {
        start: 0,
        end: (STEPS - 1) * SECOND,
        step: SECOND,
    };
    ask(store(series), limits, query, at)
}

fn refused(result: Result<QueryOutput, QueryError>, cap: u64) {
    let error = result.err().unwrap();
    assert_eq!(error.kind(), QueryErrorKind::Limit);
    assert_eq!(
        error.message(),
        format!("the query needs more than limits.max_query_memory ({cap} bytes); narrow its selector or time range")
    );
}

#[test]
fn an_aggregation_of_many_series_over_all_steps_streams() {
    // 500 rows of 11,000 steps are 44 MB as they come; one group is what is kept.
    let cap = 8 << 20;
    for query in [
        "sum(many)",
        "max(max_over_time(many[20m]))",
        "count(rate(many[1h]) > bool 0)",
    ] {
        let output = ask_range(500, query, cap).unwrap();
        assert!(
            matches!(&output.value, Value::Matrix(series) if series.len() == 1),
            "{query}"
        );
        let peak = output.stats.peak_memory_bytes;
        assert!(peak <= cap, "{query}: {peak}");
        // The cap is above what is needed, however many series there are.
        let fewer = ask_range(100, query, cap).unwrap().stats.peak_memory_bytes;
        assert!(peak < fewer * 2, "{query}: {peak} of 500 series, {fewer} of 100");
    }
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let cap = 8 << 20;
    for query in [
        "many",
        "sort(many)",
        "topk(400, many)",
        "sum by (i) (many)",
        "many + many",
    ] {
        refused(ask_range(500, query, cap), cap);
    }
    assert!(ask_range(5, "many", cap).is_ok());
}

#[test]
fn a_subquery_of_too_many_steps_is_refused_before_they_are_made() {
    let cap = 64 << 20;
    let at = At::Time(STEPS * SECOND);
    let ask = |query: &str| {
        let limits = EngineLimits {
            max_query_memory_bytes: cap,
            ..EngineLimits::default()
        };
        ask(store(1), limits, query, at)
    };
    for query in [
        "max_over_time(many[100y:1ms])",
        "many[100y:1ms]",
        "max_over_time(vector(1)[100y:1ms])",
        "max_over_time(max_over_time(many[1h:1s])[100y:1ms])",
        "sum_over_time(vector(scalar(many))[100y:1ms] @ 10)",
    ] {
        refused(ask(query), cap);
    }
    assert!(ask("max_over_time(many[1d:1s])").is_ok());
}
