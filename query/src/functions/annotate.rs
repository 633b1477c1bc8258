//! Warnings and infos that functions give, in Prometheus' words (prometheus util/annotations/annotations.go).

use super::number::go_general;
use crate::context::QueryContext;
use crate::plan::Span;
use crate::vector::ScalarColumn;

/// Ends of names that a counter has by convention.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// Says so where `rate` or `increase` is asked of a metric that does not look like a counter.
pub fn counter_name(name: &str, query: &QueryContext, span: Span) {
    if !name.is_empty() && !COUNTER_SUFFIXES.iter().any(|s| name.ends_with(s)) {
        query.info(
            format!(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ),
            Some(span),
        );
    }
}

/// Warns of values of φ outside 0 to 1, the first of them.
pub fn quantiles(params: &[ScalarColumn], query: &QueryContext, span: Span) {
    for value in params.first().map_or(&[][..], |p| p.values()) {
        if !(0.0..=1.0).contains(value) {
            query.warn(
                format!(
                    "PromQL warning: quantile value should be between 0 and 1, got {}",
                    go_general(*value)
                ),
                Some(span),
            );
            return;
        }
    }
}

/// Warns of a ratio beyond its bounds, which `bound` stands in for.
pub fn ratio(ratio: f64, bound: f64, query: &QueryContext, span: Span) {
    query.warn(
        format!(
            "PromQL warning: ratio value should be between -1 and 1, got {}, capping to {}",
            go_general(ratio),
            go_general(bound)
        ),
        Some(span),
    );
}

/// Warns of a series whose `le` is no number; `metric` is its name, empty where it has none.
pub fn bad_bucket_label(value: &str, metric: &str, query: &QueryContext, span: Span) {
    let mut text = format!("PromQL warning: bucket label \"le\" is missing or has a malformed value of {value:?}");
    if !metric.is_empty() {
        text.push_str(&format!(" for metric name {metric:?}"));
    }
    query.warn(text, Some(span));
}

/// Says that `sort` does nothing here.
pub fn sort_in_range(query: &QueryContext, span: Span) {
    query.warn(
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels",
        Some(span),
    );
}
