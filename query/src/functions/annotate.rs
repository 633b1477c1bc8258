//! Warnings and infos that functions give, in Prometheus' words (prometheus util/annotations/annotations.go).

use std::collections::HashSet;

use garner_storage::model::METRIC_NAME;
use garner_storage::model::go_text::go_quote;

use super::native::summary::NanEffect;
use super::number::go_general;
use crate::context::QueryContext;
use crate::plan::Span;
use crate::vector::{ScalarColumn, labels};

/// Ends of names that a counter has by convention.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// What there is to tell of functions and aggregations of a series, once for many windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    flags: u16,
    start_overlaps: u32,
}

impl Notes {
    /// A window holds floats and histograms.
    pub const MIXED_TYPES: Notes = Notes::flag(0);
    /// A group holds floats and histograms.
    pub const MIXED_TYPES_AGGREGATE: Notes = Notes::flag(1);
    /// Exponential and custom buckets meet.
    pub const MIXED_BUCKETS: Notes = Notes::flag(2);
    /// A gauge is taken for a counter.
    pub const NOT_COUNTER: Notes = Notes::flag(3);
    /// A counter is taken for a gauge.
    pub const NOT_GAUGE: Notes = Notes::flag(4);
    /// Custom bounds were cut down for a sum.
    pub const RECONCILED_ADD: Notes = Notes::flag(5);
    /// Custom bounds were cut down for a difference.
    pub const RECONCILED_SUB: Notes = Notes::flag(6);
    /// Custom bounds were cut down in an aggregation.
    pub const RECONCILED_AGGREGATE: Notes = Notes::flag(7);
    /// Hints about resets contradict each other in a sum.
    pub const COLLISION_ADD: Notes = Notes::flag(8);
    /// Hints about resets contradict each other in a difference.
    pub const COLLISION_SUB: Notes = Notes::flag(9);
    /// Hints about resets contradict each other in an aggregation.
    pub const COLLISION_AGGREGATE: Notes = Notes::flag(10);
    /// A function of floats leaves histograms out.
    pub const IGNORED_IN_RANGE: Notes = Notes::flag(11);

    /// The counting of a sample began before the sample before it; counted.
    pub const START_OVERLAP: Notes = Notes {
        flags: 0,
        start_overlaps: 1,
    };

    const fn flag(bit: u32) -> Notes {
        Notes {
            flags: 1 << bit,
            start_overlaps: 0,
        }
    }

    /// Adds more.
    pub fn add(&mut self, more: Notes) {
        self.flags |= more.flags;
        self.start_overlaps = self.start_overlaps.saturating_add(more.start_overlaps);
    }

    fn has(self, note: Notes) -> bool {
        self.flags & note.flags != 0
    }

    /// Tells everything; `metric` is the name of the series, empty where it has none.
    pub fn tell(self, metric: &str, query: &QueryContext, span: Span) {
        if self == Notes::default() {
            return;
        }
        let quoted = go_quote(metric.as_bytes());
        let warnings = [
            (
                Self::MIXED_TYPES,
                format!("encountered a mix of histograms and floats for metric name {quoted}"),
            ),
            (
                Self::MIXED_TYPES_AGGREGATE,
                "encountered a mix of histograms and floats for aggregation".into(),
            ),
            (
                Self::MIXED_BUCKETS,
                format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name \
                     {quoted}"
                ),
            ),
            (
                Self::NOT_COUNTER,
                format!("this native histogram metric is not a counter: {quoted}"),
            ),
            (
                Self::NOT_GAUGE,
                format!("this native histogram metric is not a gauge: {quoted}"),
            ),
            (Self::COLLISION_ADD, collision("addition")),
            (Self::COLLISION_SUB, collision("subtraction")),
            (Self::COLLISION_AGGREGATE, collision("aggregation")),
        ];
        for (note, text) in warnings {
            if self.has(note) {
                query.warn(format!("PromQL warning: {text}"), Some(span));
            }
        }
        if self.start_overlaps > 0 {
            query.warn_start_overlaps(metric, span, self.start_overlaps);
        }
        let infos = [
            (Self::RECONCILED_ADD, reconciled("addition")),
            (Self::RECONCILED_SUB, reconciled("subtraction")),
            (Self::RECONCILED_AGGREGATE, reconciled("aggregation")),
            (
                Self::IGNORED_IN_RANGE,
                format!("ignored histograms in a range containing both floats and histograms for metric name {quoted}"),
            ),
        ];
        for (note, text) in infos {
            if self.has(note) {
                query.info(format!("PromQL info: {text}"), Some(span));
            }
        }
    }
}

fn collision(operation: &str) -> String {
    format!("conflicting counter resets during histogram {operation}")
}

fn reconciled(operation: &str) -> String {
    format!("mismatched custom buckets were reconciled during {operation}")
}

/// Says that an aggregation leaves histograms out.
pub fn histogram_ignored(aggregation: &str, query: &QueryContext, span: Span) {
    let text = format!("PromQL info: ignored histogram in {aggregation} aggregation");
    query.info(text, Some(span));
}

/// Says that an operator has no meaning for values of these kinds (`float`, `histogram`).
pub fn incompatible_types(left: &str, op: &str, right: &str, query: &QueryContext, span: Span) {
    let text =
        format!("PromQL info: incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}");
    query.info(text, Some(span));
}

/// Warns of two histograms that an operator cannot bring together.
pub fn incompatible_buckets(op: &str, query: &QueryContext, span: Span) {
    let text = format!("PromQL warning: incompatible bucket layout encountered for binary operator {op}");
    query.warn(text, Some(span));
}

/// Warns of a native histogram that stands beside classic buckets of the same name and labels.
pub fn mixed_classic_native(metric: &str, query: &QueryContext, span: Span) {
    let text = "PromQL warning: vector contains a mix of classic and native histograms";
    query.warn(for_metric(text, metric), Some(span));
}

/// Says what NaN observations did to a quantile.
pub fn nan_observations(effect: NanEffect, metric: &str, query: &QueryContext, span: Span) {
    let text = match effect {
        NanEffect::ResultIsNan => "result is NaN",
        NanEffect::SkewedHigher => "result is skewed higher",
    };
    let text = format!("PromQL info: input to histogram_quantile has NaN observations, {text}");
    query.info(for_metric(&text, metric), Some(span));
}

/// Says that NaN observations are in no fraction.
pub fn nan_excluded(metric: &str, query: &QueryContext, span: Span) {
    let text = "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all fractions";
    query.info(for_metric(text, metric), Some(span));
}

/// A text with the name of the metric that it is of, where that has one (`maybeAddMetricName`).
pub fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() {
        text.to_string()
    } else {
        format!("{text} for metric name {}", go_quote(metric.as_bytes()))
    }
}

/// Says of `rate` and `increase` over floats where the series may not be a counter: by its type where that is a label,
/// otherwise by its name (prometheus promql/engine.go, `eval`).
pub fn counter(series: &[u8], query: &QueryContext, span: Span) {
    let label = |name: &str| labels::text(labels::value_of(series, name.as_bytes()));
    let name = label(METRIC_NAME);
    if name.is_empty() {
        return;
    }
    if query.promql().type_and_unit_labels {
        let kind = label("__type__");
        if kind != "counter" && kind != "histogram" {
            query.info(
                format!(
                    "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or \
                     \"histogram\", got {kind:?}: {name:?}"
                ),
                Some(span),
            );
        }
    } else if !COUNTER_SUFFIXES.iter().any(|s| name.ends_with(s)) {
        query.info(
            format!(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                go_quote(name.as_bytes())
            ),
            Some(span),
        );
    }
}

/// Warns of each different φ outside 0 to 1 that a function was called with.
pub fn quantiles(params: &[ScalarColumn], query: &QueryContext, span: Span) {
    let mut told = HashSet::new();
    for value in params.first().map_or(&[][..], |p| p.values()) {
        if !(0.0..=1.0).contains(value) && told.insert(value.to_bits()) {
            quantile(*value, query, span);
        }
    }
}

/// Warns of the φ outside 0 to 1 of an aggregation: no number, the greatest and the least (prometheus promql/engine.go,
/// `rangeEvalAgg`).
pub fn aggregated_quantiles(phi: &ScalarColumn, query: &QueryContext, span: Span) {
    let values = phi.values();
    if values.iter().any(|phi| phi.is_nan()) {
        quantile(f64::NAN, query, span);
    }
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if greatest > 1.0 {
        quantile(greatest, query, span);
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    if least < 0.0 {
        quantile(least, query, span);
    }
}

fn quantile(phi: f64, query: &QueryContext, span: Span) {
    let text = format!(
        "PromQL warning: quantile value should be between 0 and 1, got {}",
        go_general(phi)
    );
    query.warn(text, Some(span));
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
    let text = format!(
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of {}",
        go_quote(value.as_bytes())
    );
    query.warn(for_metric(&text, metric), Some(span));
}

/// Says that `sort` does nothing here.
pub fn sort_in_range(query: &QueryContext, span: Span) {
    query.warn(
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels",
        Some(span),
    );
}
