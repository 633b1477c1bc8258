//! Annotations as the texts of an answer: with the place they speak of as `line:column`.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use garner_storage::model::NANOS_PER_SECOND;
use garner_storage::model::go_text::go_quote;

use crate::context::{Annotations, ForcedMonotonicity};
use crate::functions::annotate::for_metric;
use crate::functions::date::rfc3339;
use crate::functions::number::{go_general, go_general_digits};
use crate::plan::Span;

/// Most warnings and most infos of one answer (prometheus web/api/v1, `maxAnnotations`).
const MAX_SHOWN: usize = 10;

/// Warnings and infos of a query text.
pub fn render(annotations: &Annotations, text: &str) -> (Vec<String>, Vec<String>) {
    let placed = |(message, span): &(String, Option<Span>)| match span {
        Some(span) => format!("{message} ({})", position(text, span.start as usize)),
        None => message.clone(),
    };
    let mut infos: Vec<String> = each_once(&annotations.infos).map(placed).collect();
    infos.extend(
        annotations
            .forced
            .iter()
            .map(|(metric, f)| forced_text(metric, f, text)),
    );
    let mut warnings: Vec<String> = each_once(&annotations.warnings).map(placed).collect();
    warnings.extend(annotations.start_overlaps.iter().map(|(metric, (span, count))| {
        let count = match count {
            0 | 1 => String::new(),
            count => format!(" ({count} occurrences)"),
        };
        let place = position(text, span.start as usize);
        format!(
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \
             {}{count} ({place})",
            go_quote(metric.as_bytes())
        )
    }));
    (shorten(warnings, "warning"), shorten(infos, "info"))
}

/// Each text once, with the place that it was told of last (prometheus util/annotations, `annoErr.Merge`): expressions are
/// evaluated from left to right, and what they are part of after them.
fn each_once(annotations: &BTreeSet<(String, Option<Span>)>) -> impl Iterator<Item = &(String, Option<Span>)> {
    let mut rest = annotations.iter().peekable();
    std::iter::from_fn(move || {
        let mut last = rest.next()?;
        while let Some(same) = rest.next_if(|next| next.0 == last.0) {
            let place = |annotation: &(String, Option<Span>)| annotation.1.map(|s| (s.end, Reverse(s.start)));
            if place(same) > place(last) {
                last = same;
            }
        }
        Some(last)
    })
}

fn shorten(mut texts: Vec<String>, kind: &str) -> Vec<String> {
    if texts.len() > MAX_SHOWN {
        let more = texts.len() - MAX_SHOWN;
        texts.truncate(MAX_SHOWN);
        texts.push(format!("{more} more {kind} annotations omitted"));
    }
    texts
}

fn forced_text(metric: &str, forced: &ForcedMonotonicity, text: &str) -> String {
    let metric = for_metric("", metric);
    format!(
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){metric}, from buckets {} to {}, \
         with a max diff of {}, over {} samples from {} to {} ({})",
        go_general(forced.forced.min_bucket),
        go_general(forced.forced.max_bucket),
        go_general_digits(forced.forced.max_diff, 2),
        forced.samples,
        rfc3339(forced.first_ns.div_euclid(NANOS_PER_SECOND)),
        rfc3339(forced.last_ns.div_euclid(NANOS_PER_SECOND)),
        position(text, forced.span.start as usize),
    )
}

/// `line:column` of a byte, both counted from 1 (prometheus promql/parser/posrange).
fn position(text: &str, at: usize) -> String {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::histogram::Forced;

    #[test]
    fn places_are_lines_and_columns() {
        let check = |text: &str, at, expected: &str| assert_eq!(position(text, at), expected);
        check("rate(x)", 0, "1:1");
        check("rate(x)", 5, "1:6");
        check("a +\n  b", 6, "2:3");
        check("a", 99, "1:2");
    }

    #[test]
    fn a_text_is_told_once_with_its_last_place() {
        let mut annotations = Annotations::default();
        for (text, start, end) in [("a", 5, 6), ("a", 2, 3), ("b", 0, 9), ("b", 4, 6)] {
            annotations.infos.insert((text.to_string(), Some(Span { start, end })));
        }
        for (metric, max_bucket) in [("m", 2e6), ("", 2.0)] {
            let forced = ForcedMonotonicity {
                span: Span { start: 1, end: 1 },
                first_ns: 0,
                last_ns: NANOS_PER_SECOND,
                samples: 3,
                forced: Forced {
                    min_bucket: 1.0,
                    max_bucket,
                    max_diff: 0.5,
                },
            };
            annotations.forced.insert(metric.to_string(), forced);
        }
        let (_, infos) = render(&annotations, "0123456789");
        assert_eq!(infos[..2], ["a (1:6)", "b (1:1)"]);
        let rest = "with a max diff of 0.5, over 3 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z (1:2)";
        let ends = [
            format!("#histogram_quantile), from buckets 1 to 2, {rest}"),
            format!("#histogram_quantile) for metric name \"m\", from buckets 1 to 2e+06, {rest}"),
        ];
        assert_eq!(infos.len(), 4);
        for (info, end) in infos[2..].iter().zip(&ends) {
            assert!(info.ends_with(end), "{info}");
        }
    }

    #[test]
    fn overlapping_starts_are_counted() {
        let mut annotations = Annotations::default();
        for (metric, start, count) in [("x", 5, 1), ("y", 2, 3)] {
            let span = Span { start, end: start };
            annotations.start_overlaps.insert(metric.to_string(), (span, count));
        }
        let (warnings, _) = render(&annotations, "0123456789");
        let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric";
        assert_eq!(
            warnings,
            [
                format!("{text} \"x\" (1:6)"),
                format!("{text} \"y\" (3 occurrences) (1:3)")
            ]
        );
    }

    #[test]
    fn only_so_many_are_shown() {
        let mut annotations = Annotations::default();
        for i in 0..12 {
            annotations.warnings.insert((format!("w{i:02}"), None));
        }
        let (warnings, infos) = render(&annotations, "x");
        assert_eq!(
            warnings.last().map(String::as_str),
            Some("2 more warning annotations omitted")
        );
        assert_eq!((warnings.len(), infos.len()), (11, 0));
    }
}
