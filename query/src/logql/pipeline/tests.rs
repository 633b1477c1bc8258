//! Lines through whole pipelines: their labels and text afterwards, as Loki answers them.

use garner_storage::model::Labels;

use super::{Pipeline, Row, StreamLabels, Wanted};
use crate::logql::parser::parse_log_selector;

/// The labels of a line of stream `{app="x"}` after `stages`, without those of the stream, and its text where it changed;
/// nothing where it is dropped.
fn run(stages: &str, metadata: &[(&str, &str)], line: &str) -> Option<String> {
    let log = parse_log_selector(&format!("{{app=\"x\"}} {stages}")).ok()?;
    let pipeline = Pipeline::compile(&log.stages, &Wanted::default()).ok()?;
    let mut row = Row::default();
    row.set_stream(StreamLabels::new(&Labels::from_pairs([("app", "x")])));
    row.reset();
    row.add_metadata(&Labels::from_pairs(metadata.iter().copied()));
    if !pipeline.passes_first(line.as_bytes()) || !pipeline.process(&mut row, 0, line.as_bytes()) {
        return None;
    }
    let mut shown = Vec::new();
    row.for_each(|_, name, value| shown.push(format!("{name}={value}")));
    shown.retain(|pair| pair != "app=x");
    shown.sort();
    let after = row.line(line.as_bytes());
    if after != line.as_bytes() {
        shown.push(format!("-> {}", String::from_utf8_lossy(after)));
    }
    Some(shown.join(" "))
}

#[test]
fn a_label_called_error_stands_aside_for_the_error() {
    for (stages, metadata, line, expected) in [
        (
            "| json | logfmt",
            &[][..],
            "__error__=mine",
            "__error__=JSONParserErr __error_details__=Value looks like object, but can't find closing '}' symbol",
        ),
        ("| logfmt", &[], "__error__=mine", "__error__=mine"),
        (
            "| logfmt __error__=\"a\"",
            &[("__error__", "own")],
            "b=1",
            "__error__=own",
        ),
    ] {
        assert_eq!(run(stages, metadata, line).as_deref(), Some(expected), "{stages}");
    }
}

#[test]
fn expressions_find_values_and_say_what_is_wrong_with_them() {
    for (stages, line, expected) in [
        ("| json a, b=\"c.d\"", r#"{"a":1,"c":{"d":[2]}}"#, "a=1 b=[2]"),
        (
            "| json a",
            r#"{"a":"cut}"#,
            "__error__=JSONParserErr __error_details__=Value is string, but can't find closing '\"' symbol a=",
        ),
        ("| json a", r#"{"a":1,"b":"cut"#, "a=1"),
        ("| json a, b", r#"{"a":1}{"b":2}"#, "a=1 b=2"),
        ("| json app", r#"{"app":1}"#, "app_extracted=1"),
    ] {
        assert_eq!(run(stages, &[], line).as_deref(), Some(expected), "{stages} {line}");
    }
}
