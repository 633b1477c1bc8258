//! `/loki/api/v1/detected_fields` and `/detected_field/<name>/values`: what the lines of a log query hold beside their
//! stream's labels (loki `pkg/querier/queryrange/detected_fields.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use garner_query::logql::ast::{Expr, Stage};
use garner_query::logql::output::{LogEntry, LogStream, LogqlValue};
use garner_query::logql::pipeline::{Category, ERROR, ERROR_DETAILS, Pipeline, Row, StreamLabels, Wanted};
use garner_query::logql::run::LogqlOptions;
use garner_query::logql::{ast::LogfmtFlags, parser::parse, units};
use garner_storage::model::Labels;

use super::json_path::PathNames;
use super::options::check_query_limits;
use super::params::{bounds, limit_named, limit_or, step};
use crate::error::{Failure, TextFailure};
use crate::json::{push_int, push_string, push_strings};
use crate::server::{ReadAsk, SharedApp, Written, answer, loki_json};

/// Fields or values that are given where a request names no limit.
const DEFAULT_LIMIT: u32 = 1000;
/// Lines that are looked at where a request names no limit.
const DEFAULT_LINE_LIMIT: u32 = 100;
/// Ends the names of fields that the stream has a label for.
const EXTRACTED: &str = "_extracted";

/// The fields of the lines that a query finds.
pub async fn fields(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let limit = fields_limit(&ask)?;
    let streams = lines(&app, ask).await?;
    let work = async move { detect(&streams, limit as usize) };
    Ok(answer(
        &app,
        work,
        move |fields| Written(encode_fields(&fields, limit)),
        loki_json,
    )
    .await?)
}

/// The values of one field.
pub async fn values(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    ask: ReadAsk,
) -> Result<Response, TextFailure> {
    let limit = fields_limit(&ask)?;
    let streams = lines(&app, ask).await?;
    let work = async move { values_of(&streams, &name, limit as usize) };
    Ok(answer(
        &app,
        work,
        move |values| Written(encode_values(&values, limit)),
        loki_json,
    )
    .await?)
}

fn fields_limit(ask: &ReadAsk) -> Result<u32, Failure> {
    // `field_limit` is the older name.
    match ask.params.get("limit") {
        "" => limit_named(&ask.params, "field_limit", DEFAULT_LIMIT),
        text => limit_or(text, DEFAULT_LIMIT),
    }
}

/// The newest lines of the request's query, with labels told apart by where they come from.
async fn lines(app: &SharedApp, ask: ReadAsk) -> Result<Vec<LogStream>, Failure> {
    let (start_ns, end_ns) = bounds(&ask.params, app.clock.now())?;
    if end_ns < start_ns {
        return Err(Failure::bad_data(
            "end timestamp must not be before or equal to start time",
        ));
    }
    let limit = limit_named(&ask.params, "line_limit", DEFAULT_LINE_LIMIT)? as usize;
    step(&ask.params, start_ns, end_ns)?;
    let query = ask.params.get("query").to_string();
    match parse(&query) {
        Ok(Expr::Log(_)) => {}
        Ok(Expr::Metric(_)) => return Err(Failure::bad_data("only log selector is supported")),
        Err(error) => return Err(Failure::bad_data(error.to_string())),
    }
    check_query_limits(app, &query, limit, end_ns.saturating_sub(start_ns))?;
    let options = LogqlOptions {
        limit,
        categorize_labels: true,
        ..LogqlOptions::default()
    };
    let engine = app.engine.clone();
    let work = async move {
        engine
            .logql_range_of(ask.tenants.all(), &query, (start_ns, end_ns, 1), options)
            .await
    };
    match crate::server::run_query(app, work).await?.value {
        LogqlValue::Streams(streams) => Ok(streams),
        LogqlValue::Metric(_) => Ok(Vec::new()),
    }
}

/// What is known of one field.
#[derive(Debug, Default)]
struct Field {
    kind: &'static str,
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
    json_path: Vec<String>,
}

/// Finds fields in lines by themselves: only labels of the stream make a field `_extracted`, those of the metadata do not.
struct LineParser {
    stream: Arc<StreamLabels>,
    json: Pipeline,
    logfmt: Pipeline,
    row: Row,
}

impl LineParser {
    fn new() -> Result<Self, Failure> {
        let compile = |stage: Stage| Pipeline::compile(&[stage], &Wanted::default());
        let internal = |error: garner_query::logql::error::ParseError| Failure::bad_data(error.to_string());
        Ok(LineParser {
            json: compile(Stage::Json).map_err(internal)?,
            logfmt: compile(Stage::Logfmt(LogfmtFlags::default())).map_err(internal)?,
            stream: Arc::default(),
            row: Row::default(),
        })
    }

    fn begin(&mut self, stream: &LogStream) {
        let labels = Labels::from_pairs(stream.labels.iter().map(|(name, value)| (name, value)));
        self.stream = StreamLabels::new(&labels);
        self.row.set_stream(Arc::clone(&self.stream));
    }

    /// Calls `found` for each field that the line itself holds; the parser's name, where one could read the line.
    fn parse(&mut self, entry: &LogEntry, mut found: impl FnMut(&str, &str)) -> Option<&'static str> {
        for (pipeline, name) in [(&self.json, "json"), (&self.logfmt, "logfmt")] {
            self.row.reset();
            if pipeline.process(&mut self.row, entry.time_ns, entry.line.as_bytes()) && !self.row.has_error() {
                self.row.for_each(|category, name, value| {
                    if category == Category::Parsed && name != ERROR && name != ERROR_DETAILS {
                        found(name, value);
                    }
                });
                return Some(name);
            }
        }
        None
    }
}

fn detect(streams: &[LogStream], limit: usize) -> Result<BTreeMap<String, Field>, Failure> {
    let mut fields: BTreeMap<String, Field> = BTreeMap::new();
    let mut parser = LineParser::new()?;
    let mut paths = PathNames::default();
    for stream in streams {
        parser.begin(stream);
        for entry in &stream.entries {
            for (name, value) in &entry.metadata {
                add(&mut fields, limit, name, value);
            }
            let mut names: Vec<String> = Vec::new();
            for (name, value) in entry.parsed.iter().filter(|(name, _)| !name.starts_with("__error")) {
                add(&mut fields, limit, name, value);
                names.push(name.clone());
            }
            let used = parser.parse(entry, |name, value| {
                add(&mut fields, limit, name, value);
                names.push(name.to_string());
            });
            let Some(used) = used else { continue };
            for name in names {
                let Some(field) = fields.get_mut(&name) else { continue };
                field.parsers.insert(used);
                if used == "json" {
                    let plain = name.strip_suffix(EXTRACTED).unwrap_or(&name);
                    let path = paths
                        .find(&entry.line, &name)
                        .or_else(|| paths.find(&entry.line, plain));
                    // A field that the query's own parser found elsewhere keeps the path it has.
                    field.json_path = path.unwrap_or_else(|| std::mem::take(&mut field.json_path));
                }
            }
        }
    }
    Ok(fields)
}

/// Counts a value; its type is the field's until the next value comes, as in Loki.
fn add(fields: &mut BTreeMap<String, Field>, limit: usize, name: &str, value: &str) {
    if !fields.contains_key(name) {
        if fields.len() >= limit {
            return;
        }
        fields.insert(name.to_string(), Field::default());
    }
    if let Some(field) = fields.get_mut(name) {
        field.kind = kind_of(value);
        if !field.values.contains(value) {
            field.values.insert(value.to_string());
        }
    }
}

/// The type of a value; the first that fits.
fn kind_of(value: &str) -> &'static str {
    const BOOLEANS: [&str; 12] = [
        "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False",
    ];
    if value.parse::<i64>().is_ok() {
        "int"
    } else if units::parse_float(value).is_ok() {
        "float"
    } else if BOOLEANS.contains(&value) {
        "boolean"
    } else if units::parse_go_duration(value).is_ok() {
        "duration"
    } else if units::parse_bytes(value).is_ok() {
        "bytes"
    } else {
        "string"
    }
}

fn values_of(streams: &[LogStream], wanted: &str, limit: usize) -> Result<BTreeSet<String>, Failure> {
    let mut values = BTreeSet::new();
    let mut parser = LineParser::new()?;
    for stream in streams {
        parser.begin(stream);
        for entry in &stream.entries {
            let mut take = |name: &str, value: &str| {
                if name == wanted && values.len() < limit {
                    values.insert(value.to_string());
                }
            };
            for (name, value) in &entry.metadata {
                take(name, value);
            }
            let mut take_found = |name: &str, value: &str| take(name, size_text(value).as_deref().unwrap_or(value));
            for (name, value) in &entry.parsed {
                take_found(name, value);
            }
            parser.parse(entry, take_found);
        }
    }
    Ok(values)
}

/// A size as a query can compare with it: `1.5KiB` is `1.5kB`, since the printer counts in thousands.
fn size_text(value: &str) -> Option<String> {
    // Of plain numbers Loki keeps the text: they have no unit.
    let last = value.trim_end().chars().next_back()?.to_ascii_lowercase();
    if !"bikmgtpe".contains(last) {
        return None;
    }
    let bytes = units::parse_bytes(value).ok()?;
    Some(units::format_bytes(bytes))
}

fn encode_fields(fields: &BTreeMap<String, Field>, limit: u32) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (index, (name, field)) in fields.iter().enumerate() {
        out.extend_from_slice(if index > 0 {
            br#",{"label":"#
        } else {
            br#""fields":[{"label":"#
        });
        push_string(&mut out, name);
        out.extend_from_slice(br#","type":"#);
        push_string(&mut out, field.kind);
        out.extend_from_slice(br#","cardinality":"#);
        push_int(&mut out, field.values.len() as i64);
        out.extend_from_slice(br#","parsers":"#);
        match field.parsers.is_empty() {
            true => out.extend_from_slice(b"null"),
            false => push_strings(&mut out, &field.parsers),
        }
        if !field.json_path.is_empty() {
            out.extend_from_slice(br#","jsonPath":"#);
            push_strings(&mut out, &field.json_path);
        }
        out.push(b'}');
    }
    if !fields.is_empty() {
        out.extend_from_slice(b"],");
        push_limit(&mut out, limit);
    }
    out.push(b'}');
    out
}

fn encode_values(values: &BTreeSet<String>, limit: u32) -> Vec<u8> {
    let mut out = b"{".to_vec();
    if !values.is_empty() {
        out.extend_from_slice(br#""values":"#);
        push_strings(&mut out, values);
        out.push(b',');
        push_limit(&mut out, limit);
    }
    out.push(b'}');
    out
}

/// The limit, which stands only beside something.
fn push_limit(out: &mut Vec<u8>, limit: u32) {
    out.extend_from_slice(br#""limit":"#);
    push_int(out, i64::from(limit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_by_their_form() {
        for (value, expected) in [
            ("12", "int"),
            ("-1.5", "float"),
            ("true", "boolean"),
            ("1m2.5s", "duration"),
            ("12MB", "bytes"),
            ("1 KiB", "bytes"),
            ("", "string"),
            ("2026-01-01", "string"),
        ] {
            assert_eq!(kind_of(value), expected, "{value}");
        }
    }
}
