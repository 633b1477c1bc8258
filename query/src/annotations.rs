//! Annotations as the texts of an answer: with the place they speak of as `line:column`.

use garner_storage::model::NANOS_PER_SECOND;

use crate::context::{Annotations, ForcedMonotonicity};
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
    let mut infos: Vec<String> = annotations.infos.iter().map(placed).collect();
    infos.extend(annotations.forced.iter().map(|f| forced_text(f, text)));
    let warnings = annotations.warnings.iter().map(placed).collect();
    (shorten(warnings, "warning"), shorten(infos, "info"))
}

fn shorten(mut texts: Vec<String>, kind: &str) -> Vec<String> {
    if texts.len() > MAX_SHOWN {
        let more = texts.len() - MAX_SHOWN;
        texts.truncate(MAX_SHOWN);
        texts.push(format!("{more} more {kind} annotations omitted"));
    }
    texts
}

fn forced_text(forced: &ForcedMonotonicity, text: &str) -> String {
    format!(
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from buckets {} to {}, \
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

    #[test]
    fn places_are_lines_and_columns() {
        let check = |text: &str, at, expected: &str| assert_eq!(position(text, at), expected);
        check("rate(x)", 0, "1:1");
        check("rate(x)", 5, "1:6");
        check("a +\n  b", 6, "2:3");
        check("a", 99, "1:2");
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
