//! Stages, compiled.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::hints::Hints;
use super::json::{self, JsonExpressions};
use super::label_filter::{Filter, TextMatch};
use super::line_filter::LineMatch;
use super::logfmt::{self, LogfmtExpressions};
use super::row::{Category, DUPLICATE_SUFFIX, ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row};
use crate::goregex;
use crate::logql::ast::{LabelFormat, LabelFormatValue, LogfmtFlags, NamedMatcher, Stage};
use crate::logql::error::ParseError;
use crate::logql::line_pattern::LinePattern;
use crate::logql::printer;
use crate::logql::template::Template;

/// The error of a template that fails on a line.
const TEMPLATE_ERROR: &str = "TemplateFormatErr";

/// What a stage makes of a line.
pub(super) enum Outcome {
    /// The line goes on as it is.
    Keep,
    /// The line is dropped.
    Drop,
    /// Another line goes on.
    Line(Vec<u8>),
}

/// A stage that can be run.
#[derive(Debug)]
pub(super) enum Step {
    Lines(Vec<LineMatch>),
    Json,
    JsonExpressions(JsonExpressions),
    Logfmt(LogfmtFlags),
    LogfmtExpressions(LogfmtExpressions),
    Regexp(Regex, Vec<(usize, String)>),
    Pattern(LinePattern),
    Unpack,
    LabelFilter(Filter),
    LineFormat(Template),
    LabelFormat(Vec<(String, Format)>),
    Decolorize,
    Drop(Vec<Named>),
    Keep(Vec<Named>),
}

#[derive(Debug)]
pub(super) enum Format {
    Rename(String),
    Template(Template),
}

/// A label by name, or by name and value.
#[derive(Debug)]
pub(super) struct Named {
    name: String,
    value: Option<TextMatch>,
}

impl Step {
    pub(super) fn compile(stage: &Stage) -> Result<Self, ParseError> {
        let text = || printer::stage(stage);
        let fail = |message: String| ParseError::stage(&text(), message);
        Ok(match stage {
            Stage::LineFilters(filters) => Step::Lines(
                filters
                    .iter()
                    .map(LineMatch::compile)
                    .collect::<Result<_, _>>()
                    .map_err(fail)?,
            ),
            Stage::Json => Step::Json,
            Stage::JsonExpressions(list) => Step::JsonExpressions(JsonExpressions::compile(list, &text())?),
            Stage::Logfmt(flags) => Step::Logfmt(*flags),
            Stage::LogfmtExpressions(flags, list) => {
                Step::LogfmtExpressions(LogfmtExpressions::compile(*flags, list, &text())?)
            }
            Stage::Regexp(pattern) => {
                let names = goregex::translate(pattern)
                    .map_err(|e| fail(e.to_string()))?
                    .group_names;
                let named = names.iter().enumerate().filter_map(|(i, name)| {
                    let mut sanitized = String::new();
                    json::append_sanitized(&mut sanitized, name.as_deref()?);
                    Some((i + 1, sanitized))
                });
                Step::Regexp(
                    goregex::compile(pattern).map_err(|e| fail(e.to_string()))?,
                    named.collect(),
                )
            }
            Stage::Pattern(pattern) => Step::Pattern(LinePattern::parser(pattern).map_err(fail)?),
            Stage::Unpack => Step::Unpack,
            Stage::LabelFilter(filter) => Step::LabelFilter(Filter::compile(filter).map_err(fail)?),
            Stage::LineFormat(template) => Step::LineFormat(
                Template::parse("line", template).map_err(|e| fail(format!("invalid line template: {e}")))?,
            ),
            Stage::LabelFormat(list) => Step::LabelFormat(compile_formats(list).map_err(fail)?),
            Stage::Decolorize => Step::Decolorize,
            Stage::Drop(list) => Step::Drop(compile_named(list).map_err(fail)?),
            Stage::Keep(list) => Step::Keep(compile_named(list).map_err(fail)?),
        })
    }

    /// The labels it reads, for hints.
    pub(super) fn labels(&self, into: &mut Vec<String>) {
        let mut push = |name: &str| {
            if !into.iter().any(|n| n == name) {
                into.push(name.to_string());
            }
        };
        match self {
            Step::LabelFilter(filter) => filter.labels(into),
            Step::LineFormat(template) => template.fields().iter().for_each(|f| push(f)),
            Step::LabelFormat(list) => {
                for (_, format) in list {
                    match format {
                        Format::Rename(source) => push(source),
                        Format::Template(template) => template.fields().iter().for_each(|f| push(f)),
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether it works on the line's text.
    pub(super) fn reads_line(&self) -> bool {
        !matches!(self, Step::LabelFilter(_) | Step::Drop(_) | Step::Keep(_))
    }

    pub(super) fn apply(&self, row: &mut Row, time_ns: i64, line: &[u8], hints: &Hints) -> Outcome {
        match self {
            Step::Lines(filters) => {
                if filters.iter().all(|f| f.passes(line)) {
                    return Outcome::Keep;
                }
                Outcome::Drop
            }
            Step::Json => json::parse_all(row, line, hints),
            Step::JsonExpressions(expressions) => expressions.apply(row, line, hints),
            Step::Logfmt(flags) => logfmt::parse_all(row, line, *flags, hints),
            Step::LogfmtExpressions(expressions) => expressions.apply(row, line, hints),
            Step::Regexp(regex, names) => parse_regexp(regex, names, row, line, hints),
            Step::Pattern(pattern) => parse_pattern(pattern, row, line, hints),
            Step::Unpack => json::unpack(row, line, hints),
            Step::LabelFilter(filter) => {
                if filter.passes(row) {
                    return Outcome::Keep;
                }
                Outcome::Drop
            }
            Step::LineFormat(template) => {
                let mut out = std::mem::take(&mut row.buffers.spare);
                out.clear();
                if let Some(name) = template.single_field() {
                    out.extend_from_slice(row.get(name).unwrap_or_default().as_bytes());
                    return Outcome::Line(out);
                }
                match template.execute(row, time_ns, line, &mut out) {
                    Ok(()) => Outcome::Line(out),
                    Err(details) => {
                        row.set_error(TEMPLATE_ERROR);
                        row.set_error_details(&details);
                        Outcome::Keep
                    }
                }
            }
            Step::LabelFormat(list) => {
                format_labels(list, row, time_ns, line, hints);
                Outcome::Keep
            }
            Step::Decolorize => match ANSI.as_ref() {
                Some(ansi) if ansi.is_match(line) => Outcome::Line(ansi.replace_all(line, b"").into_owned()),
                _ => Outcome::Keep,
            },
            Step::Drop(list) => {
                list.iter().for_each(|named| drop_label(named, row));
                Outcome::Keep
            }
            Step::Keep(list) => {
                keep_labels(list, row);
                Outcome::Keep
            }
        }
    }
}

/// Terminal colours and their like, as Loki strips them.
static ANSI: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = "[\u{1b}\u{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\u{7})|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))";
    Regex::new(pattern).ok()
});

fn compile_formats(list: &[LabelFormat]) -> Result<Vec<(String, Format)>, String> {
    let mut out: Vec<(String, Format)> = Vec::new();
    for format in list {
        let label = &format.label;
        if label == ERROR {
            return Err(format!("{ERROR} cannot be formatted"));
        }
        if out.iter().any(|(l, _)| l == label) {
            return Err(format!(
                "multiple label name '{label}' not allowed in a single format operation"
            ));
        }
        let value = match &format.value {
            LabelFormatValue::Rename(source) => Format::Rename(source.clone()),
            LabelFormatValue::Template(text) => Format::Template(
                Template::parse("label", text).map_err(|e| format!("invalid template for label '{label}': {e}"))?,
            ),
        };
        out.push((label.clone(), value));
    }
    Ok(out)
}

fn compile_named(list: &[NamedMatcher]) -> Result<Vec<Named>, String> {
    let compiled = list.iter().map(|named| match named {
        NamedMatcher::Name(name) => Ok(Named {
            name: name.clone(),
            value: None,
        }),
        NamedMatcher::Matcher(m) => {
            // Unlike label filters, these match whole values without shortcuts.
            let value = match m.op {
                crate::logql::ast::MatchOp::Regex => TextMatch::Regex(goregex::compile_anchored(&m.value)?),
                crate::logql::ast::MatchOp::NotRegex => {
                    TextMatch::Not(Box::new(TextMatch::Regex(goregex::compile_anchored(&m.value)?)))
                }
                op => TextMatch::new(op, &m.value)?,
            };
            Ok(Named {
                name: m.name.clone(),
                value: Some(value),
            })
        }
    });
    compiled
        .collect::<Result<_, goregex::GoRegexError>>()
        .map_err(|e| e.to_string())
}

fn parse_regexp(regex: &Regex, names: &[(usize, String)], row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
    let Some(captures) = regex.captures(line) else {
        return Outcome::Keep;
    };
    for (group, name) in names {
        let value = captures.get(*group).map(|m| m.as_bytes()).unwrap_or_default();
        if !set_parsed(row, name, &String::from_utf8_lossy(value), hints) {
            return Outcome::Drop;
        }
    }
    Outcome::Keep
}

fn parse_pattern(pattern: &LinePattern, row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
    if hints.is_satisfied(row) {
        return Outcome::Keep;
    }
    let mut passes = true;
    pattern.captures(line, |index, value| {
        if passes && let Some(name) = pattern.names().get(index) {
            passes = set_parsed(row, name, &String::from_utf8_lossy(value), hints);
        }
    });
    if passes { Outcome::Keep } else { Outcome::Drop }
}

/// Sets an extracted label; false where a filter then refuses the line.
fn set_parsed(row: &mut Row, name: &str, value: &str, hints: &Hints) -> bool {
    if name.is_empty() {
        return true;
    }
    let mut key = std::mem::take(&mut row.buffers.key);
    key.clear();
    key.push_str(name);
    if row.is_taken(name) {
        key.push_str(DUPLICATE_SUFFIX);
    }
    let mut passes = true;
    if hints.wants(&key) && !row.was_extracted(&key) {
        row.set(&key, value, hints);
        passes = hints.passes(&key, row);
    }
    row.buffers.key = key;
    passes
}

fn format_labels(list: &[(String, Format)], row: &mut Row, time_ns: i64, line: &[u8], hints: &Hints) {
    // Templates of one stage all see the labels as they were when the first of them ran.
    let mut snapshot = None;
    for (label, format) in list {
        match format {
            Format::Rename(source) => {
                if let Some(value) = row.get(source).map(str::to_string) {
                    row.set(label, &value, hints);
                    row.delete(source);
                }
            }
            Format::Template(template) => {
                let labels = snapshot.get_or_insert_with(|| {
                    let mut map = std::collections::BTreeMap::new();
                    row.for_each(|_, name, value| {
                        map.insert(name.to_string(), value.to_string());
                    });
                    map
                });
                let mut out = Vec::new();
                match template.execute_on(labels, time_ns, line, &mut out) {
                    Ok(()) => row.set(label, &String::from_utf8_lossy(&out), hints),
                    Err(details) => {
                        row.set_error(TEMPLATE_ERROR);
                        row.set_error_details(&details);
                    }
                }
            }
        }
    }
}

fn drop_label(named: &Named, row: &mut Row) {
    let matches = |value: &str| named.value.as_ref().is_none_or(|m| m.is_match(value));
    match named.name.as_str() {
        ERROR => {
            if matches(row.error()) {
                row.clear_error();
            }
        }
        ERROR_DETAILS => {
            if matches(row.error_details()) {
                row.clear_error_details();
            }
        }
        name => {
            let value = row.get(name);
            let present = value.is_some() || named.value.is_some();
            if present && matches(value.unwrap_or_default()) {
                row.delete(name);
            }
        }
    }
}

fn keep_labels(list: &[Named], row: &mut Row) {
    let mut dropped: Vec<String> = Vec::new();
    row.for_each(|_: Category, name, value| {
        let special = matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR);
        let kept = list
            .iter()
            .any(|n| n.name == name && n.value.as_ref().is_none_or(|m| m.is_match(value)));
        if !special && !kept {
            dropped.push(name.to_string());
        }
    });
    for name in dropped {
        row.delete(&name);
    }
}
