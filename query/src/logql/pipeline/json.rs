//! `| json`, `| json a="b.c"` and `| unpack`.

use std::ops::{ControlFlow, Range};

use super::hints::Hints;
use super::json_paths::each_path;
use super::json_scan::{self, Kind, Stop};
use super::json_shape::{Shapes, Use, Walked};
use super::row::{DUPLICATE_SUFFIX, Row};
use super::stages::Outcome;
use crate::logql::error::ParseError;

/// The error of a line that is no JSON.
const JSON_ERROR: &str = "JSONParserErr";
/// Deepest nesting that is looked into; what lies deeper becomes no label.
const MAX_DEPTH: usize = 128;
/// The field of a packed line that holds the line itself.
const PACKED_ENTRY: &str = "_entry";

/// Why a walk stops before the end of the line.
enum Enough {
    /// Every label that the query needs is there.
    AllFound,
    /// A label filter refused what was just read.
    Refused,
}

/// Sets a label for each field; names of nested ones are joined by `_`.
pub(super) fn parse_all(row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
    if hints.is_satisfied(row) {
        return Outcome::Keep;
    }
    let mut prefix = std::mem::take(&mut row.buffers.key);
    prefix.clear();
    let mut value = std::mem::take(&mut row.buffers.value);
    let mut fields = std::mem::take(&mut row.buffers.fields);
    let result = match fields.find(line, hints) {
        true => set_found(row, line, hints, &fields, &mut prefix, &mut value),
        false => walk(row, line, hints, &mut prefix, &mut value, 0),
    };
    row.buffers.fields = fields;
    row.buffers.key = prefix;
    row.buffers.value = value;
    match result {
        Ok(()) | Err(Stop::Visitor(Enough::AllFound)) => Outcome::Keep,
        Err(Stop::Visitor(Enough::Refused)) => Outcome::Drop,
        Err(Stop::Malformed(details)) => {
            row.set_parser_error(JSON_ERROR, Some(details), hints);
            Outcome::Keep
        }
    }
}

/// The fields that hints want of a line, found by its shape.
#[derive(Debug, Default)]
pub(super) struct ShapedFields {
    /// Names of labels.
    shapes: Shapes<String>,
    /// The field's number in the shape, and where its value stands in the line.
    found: Vec<(usize, Kind, Range<usize>)>,
}

impl ShapedFields {
    /// Finds them; false where the line has to be walked.
    fn find(&mut self, line: &[u8], hints: &Hints) -> bool {
        let usage = |key: &str, kind| {
            let mut name = String::new();
            append_sanitized(&mut name, key);
            match kind {
                Kind::Object if hints.wants_prefix(&name) => Use::Unknown,
                Kind::Object | Kind::Array => Use::Skip,
                _ if name.is_empty() || (is_plain(key) && hints.skips(key)) => Use::Skip,
                _ => Use::Value(name),
            }
        };
        let (base, found) = (line.as_ptr() as usize, &mut self.found);
        found.clear();
        let walked = self
            .shapes
            .walk(line, usage, |count: &mut usize, field, _, kind, text| {
                // What a shape found that then did not fit is left there by it.
                found.truncate(*count);
                let start = text.as_ptr() as usize - base;
                found.push((field, kind, start..start + text.len()));
                *count += 1;
                ControlFlow::Continue(())
            });
        let Walked::Whole(count) = walked else { return false };
        self.found.truncate(count);
        true
    }
}

/// Sets what was found, as [`walk`] does on its way.
fn set_found(
    row: &mut Row,
    line: &[u8],
    hints: &Hints,
    fields: &ShapedFields,
    name: &mut String,
    value: &mut String,
) -> Result<(), Stop<Enough>> {
    for (field, kind, place) in &fields.found {
        let (Some(label), Some(text)) = (fields.shapes.name(*field), line.get(place.clone())) else {
            continue;
        };
        if *kind != Kind::Null {
            name.clear();
            name.push_str(label);
            if !set_field(row, name, *kind, text, hints, value) {
                return Err(Stop::Visitor(Enough::Refused));
            }
        }
        if hints.all_required_found(row) {
            return Err(Stop::Visitor(Enough::AllFound));
        }
    }
    Ok(())
}

fn walk(
    row: &mut Row,
    data: &[u8],
    hints: &Hints,
    prefix: &mut String,
    value: &mut String,
    depth: usize,
) -> Result<(), Stop<Enough>> {
    // A nested error of the same kind travels through the visitor.
    let mut inner_error = None;
    let result = json_scan::each_field(data, &mut String::new(), |key, kind, text, _| {
        let outer = prefix.len();
        if kind == Kind::Object {
            append_sanitized(prefix, key);
            let result = if hints.wants_prefix(prefix) && depth < MAX_DEPTH {
                walk(row, text, hints, prefix, value, depth + 1)
            } else {
                Ok(())
            };
            prefix.truncate(outer);
            return match result {
                Ok(()) => Ok(()),
                Err(Stop::Visitor(enough)) => Err(Some(enough)),
                Err(Stop::Malformed(details)) => {
                    inner_error = Some(details);
                    Err(None)
                }
            };
        }
        if matches!(kind, Kind::String | Kind::Number | Kind::Boolean) {
            if outer == 0 && is_plain(key) && hints.skips(key) {
                return Ok(());
            }
            append_sanitized(prefix, key);
            let kept = set_field(row, prefix, kind, text, hints, value);
            prefix.truncate(outer);
            if !kept {
                return Err(Some(Enough::Refused));
            }
        }
        if hints.all_required_found(row) {
            Err(Some(Enough::AllFound))
        } else {
            Ok(())
        }
    });
    result.map_err(|stop| match stop {
        Stop::Malformed(details) => Stop::Malformed(details),
        Stop::Visitor(Some(enough)) => Stop::Visitor(enough),
        Stop::Visitor(None) => Stop::Malformed(inner_error.unwrap_or_default()),
    })
}

/// Sets one label; false where a filter then refuses the line.
fn set_field(row: &mut Row, name: &mut String, kind: Kind, text: &[u8], hints: &Hints, value: &mut String) -> bool {
    if name.is_empty() {
        return true;
    }
    if row.is_taken(name) {
        name.push_str(DUPLICATE_SUFFIX);
    }
    if !hints.wants(name) || row.was_extracted(name) {
        return true;
    }
    field_text(kind, text, value);
    row.set(name, value, hints);
    hints.passes(name, row)
}

/// The value of a field as labels hold it.
pub(super) fn field_text(kind: Kind, text: &[u8], value: &mut String) {
    match kind {
        Kind::String => json_scan::label_text(text, value),
        _ => {
            value.clear();
            value.push_str(&String::from_utf8_lossy(text));
        }
    }
}

/// Calls `found` with the name and the path of each label that `| json` finds in `line`, up to where it is malformed.
pub fn each_label_path(line: &[u8], mut found: impl FnMut(&str, &[String])) {
    walk_paths(line, &mut String::new(), &mut Vec::new(), &mut found);
}

fn walk_paths(data: &[u8], prefix: &mut String, path: &mut Vec<String>, found: &mut dyn FnMut(&str, &[String])) {
    let _ = json_scan::each_field(data, &mut String::new(), |key, kind, text, _| {
        let outer = prefix.len();
        append_sanitized(prefix, key);
        path.push(key.to_string());
        match kind {
            Kind::Object if path.len() < MAX_DEPTH => walk_paths(text, prefix, path, found),
            Kind::String | Kind::Number | Kind::Boolean => found(prefix, path),
            _ => {}
        }
        path.pop();
        prefix.truncate(outer);
        Ok::<(), ()>(())
    });
}

/// Whether a key is a label name as it is.
pub(super) fn is_plain(key: &str) -> bool {
    let first = key.as_bytes().first();
    first.is_some_and(|b| !b.is_ascii_digit()) && key.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Appends a key to a prefix: blanks around it go, signs become `_`, and a name never starts with a digit.
pub(super) fn append_sanitized(prefix: &mut String, key: &str) {
    if prefix.is_empty() && is_plain(key) {
        prefix.push_str(key);
        return;
    }
    let key = key.trim();
    if key.is_empty() {
        return;
    }
    if prefix.is_empty() {
        if key.starts_with(|c: char| c.is_ascii_digit()) {
            prefix.push('_');
        }
    } else {
        prefix.push('_');
    }
    prefix.extend(
        key.chars()
            .map(|c| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' }),
    );
}

/// One step of a path into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// A field.
    Field(String),
    /// An element.
    Index(usize),
}

/// Reads a path such as `a.b["c"][0]` (loki `pkg/logql/log/jsonexpr`).
pub fn parse_path(text: &str) -> Result<Vec<PathStep>, String> {
    let mut tokens = PathTokens {
        rest: text,
        error: None,
    };
    let mut steps = Vec::new();
    match tokens.next() {
        PathToken::Field(name) => steps.push(PathStep::Field(name)),
        PathToken::Open => steps.push(tokens.bracket()?),
        other => return Err(other.unexpected(", expecting LSB or FIELD")),
    }
    loop {
        match tokens.next() {
            PathToken::End => return tokens.error.map_or(Ok(steps), Err),
            PathToken::Open => steps.push(tokens.bracket()?),
            PathToken::Dot => match tokens.next() {
                PathToken::Field(name) => steps.push(PathStep::Field(name)),
                other => return Err(other.unexpected(", expecting FIELD")),
            },
            other => return Err(other.unexpected("")),
        }
    }
}

enum PathToken {
    End,
    Dot,
    Open,
    Close,
    Text(String),
    Field(String),
    Index(usize),
}

impl PathToken {
    fn unexpected(&self, expected: &str) -> String {
        let name = match self {
            PathToken::End => "$end",
            PathToken::Dot => "DOT",
            PathToken::Open => "LSB",
            PathToken::Close => "RSB",
            PathToken::Text(_) => "STRING",
            PathToken::Field(_) => "FIELD",
            PathToken::Index(_) => "INDEX",
        };
        format!("syntax error: unexpected {name}{expected}")
    }
}

struct PathTokens<'a> {
    rest: &'a str,
    /// Why the tokens ended; told only where a path may end.
    error: Option<String>,
}

impl PathTokens<'_> {
    fn next(&mut self) -> PathToken {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n']);
        let text = self.rest;
        let Some(c) = text.chars().next() else {
            return PathToken::End;
        };
        let (token, len) = match c {
            '[' => (PathToken::Open, 1),
            ']' => (PathToken::Close, 1),
            '.' => (PathToken::Dot, 1),
            '"' => {
                let body = &text[1..];
                let end = body.find(['"', ']']).unwrap_or(body.len());
                (PathToken::Text(body[..end].to_string()), (end + 2).min(text.len()))
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                let end = text.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric()));
                let end = end.unwrap_or(text.len());
                (PathToken::Field(text[..end].to_string()), end)
            }
            '0'..='9' => match self.index() {
                Ok(index) => return PathToken::Index(index),
                Err(error) => return self.end(error),
            },
            c => return self.end(format!("unexpected char {c}")),
        };
        self.rest = &text[len..];
        token
    }

    fn end(&mut self, error: String) -> PathToken {
        self.error = Some(error);
        self.rest = "";
        PathToken::End
    }

    fn index(&mut self) -> Result<usize, String> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        match rest.chars().next() {
            Some(' ' | '\t' | '\n' | ']') => {}
            Some('.') => return Err("cannot use float as array index".into()),
            other => return Err(format!("non-integer value: {}", other.unwrap_or('\0'))),
        }
        self.rest = rest;
        let number: i64 = digits
            .parse()
            .map_err(|_| format!("strconv.Atoi: parsing \"{digits}\": value out of range"))?;
        usize::try_from(number).map_err(|error| error.to_string())
    }

    /// What stands between brackets.
    fn bracket(&mut self) -> Result<PathStep, String> {
        let step = match self.next() {
            PathToken::Text(name) => PathStep::Field(name),
            PathToken::Index(index) => PathStep::Index(index),
            other => return Err(other.unexpected(", expecting STRING or INDEX")),
        };
        match self.next() {
            PathToken::Close => Ok(step),
            other => Err(other.unexpected(", expecting RSB")),
        }
    }
}

/// The labels of `| json a="b.c"` with their paths.
#[derive(Debug, Clone)]
pub struct JsonExpressions(Vec<(String, Vec<PathStep>)>);

impl JsonExpressions {
    pub(super) fn compile(list: &[crate::logql::ast::Extraction], stage: &str) -> Result<Self, ParseError> {
        let compiled = list.iter().map(|e| {
            let path = parse_path(&e.expression)
                .map_err(|m| ParseError::stage(stage, format!("cannot parse expression [{}]: {m}", e.expression)))?;
            Ok((e.label.clone(), path))
        });
        Ok(JsonExpressions(compiled.collect::<Result<_, ParseError>>()?))
    }

    pub(super) fn apply(&self, row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
        if line.is_empty() || hints.is_satisfied(row) {
            return Outcome::Keep;
        }
        if !matches!(line[0], b'"' | b'{' | b'[') {
            row.set_parser_error(JSON_ERROR, None, hints);
            return Outcome::Keep;
        }
        let mut value = std::mem::take(&mut row.buffers.value);
        let mut key = std::mem::take(&mut row.buffers.key);
        let mut scanned = std::mem::take(&mut row.buffers.scanned);
        let mut progress = std::mem::take(&mut row.buffers.progress);
        let mut found = 0;
        let paths = self.0.iter().map(|(_, path)| path.as_slice());
        each_path(line, paths, &mut progress, &mut scanned, |index, result| {
            let (kind, text) = match result {
                Ok(value) => value,
                Err(details) => return row.set_parser_error(JSON_ERROR, Some(details), hints),
            };
            let Some((label, _)) = index.and_then(|i| self.0.get(i)) else {
                return;
            };
            key.clear();
            key.push_str(label);
            if row.is_taken(label) {
                key.push_str(DUPLICATE_SUFFIX);
            }
            match kind {
                Kind::Null => value.clear(),
                Kind::Object => {
                    value.clear();
                    value.push_str(&String::from_utf8_lossy(text));
                }
                _ => json_scan::label_text(text, &mut value),
            }
            row.set(&key, &value, hints);
            found += 1;
        });
        let missing = found < self.0.len();
        row.buffers.scanned = scanned;
        row.buffers.progress = progress;
        if missing {
            for (label, _) in &self.0 {
                if row.get(label).is_none() {
                    row.set(label, "", hints);
                }
            }
        }
        row.buffers.value = value;
        row.buffers.key = key;
        Outcome::Keep
    }
}

/// The value at `path`, where `data` holds it.
pub(super) fn find<'a>(data: &'a [u8], path: &[PathStep]) -> Option<(Kind, &'a [u8])> {
    let (step, rest) = path.split_first()?;
    let (kind, text) = match step {
        PathStep::Index(index) => json_scan::element(data, *index)?,
        PathStep::Field(name) => {
            let base = data.as_ptr() as usize;
            let mut found = None;
            // Fields before a malformed part still count.
            let _ = json_scan::each_field(data, &mut String::new(), |key, kind, text, _| {
                if key == name {
                    let start = text.as_ptr() as usize - base;
                    found = Some((kind, start..start + text.len()));
                    return Err(());
                }
                Ok(())
            });
            let (kind, range) = found?;
            (kind, data.get(range)?)
        }
    };
    if rest.is_empty() {
        Some((kind, text))
    } else {
        find(text, rest)
    }
}

/// `| unpack`: string fields become labels and `_entry` the line, where there is one.
pub(super) fn unpack(row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
    if line.is_empty() || hints.is_satisfied(row) {
        return Outcome::Keep;
    }
    if line[0] != b'{' {
        row.set_parser_error(JSON_ERROR, Some("expecting json object(6), but it is not"), hints);
        return Outcome::Keep;
    }
    let mut value = std::mem::take(&mut row.buffers.value);
    let mut entry: Option<String> = None;
    let mut labels: Vec<(String, String)> = Vec::new();
    let result = json_scan::each_field(line, &mut String::new(), |key, kind, text, _| {
        if kind != Kind::String {
            return Ok(());
        }
        if key == PACKED_ENTRY {
            if !json_scan::unescape(text, &mut value) {
                return Err("Encountered an invalid escape sequence in a string");
            }
            entry = Some(value.clone());
            return Ok(());
        }
        let mut name = key.to_string();
        if row.is_taken(&name) {
            name.push_str(DUPLICATE_SUFFIX);
        }
        if hints.wants(&name) && !row.was_extracted(&name) {
            json_scan::label_text(text, &mut value);
            let mut sanitized = String::new();
            append_sanitized(&mut sanitized, &name);
            labels.push((sanitized, value.clone()));
        }
        Ok(())
    });
    row.buffers.value = value;
    match result {
        Err(Stop::Malformed(details) | Stop::Visitor(details)) => {
            row.set_parser_error(JSON_ERROR, Some(details), hints);
            return Outcome::Keep;
        }
        Ok(()) => {}
    }
    let Some(entry) = entry else { return Outcome::Keep };
    for (name, value) in &labels {
        row.set(name, value, hints);
        if !hints.passes(name, row) {
            return Outcome::Drop;
        }
    }
    Outcome::Line(entry.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_errors() {
        let field = |t: &str| PathStep::Field(t.to_string());
        for (text, expected) in [
            (
                "a.b[\"c d\"][0]",
                Ok(vec![field("a"), field("b"), field("c d"), PathStep::Index(0)]),
            ),
            ("[\"user\"][\"name\"]", Ok(vec![field("user"), field("name")])),
            ("bar[", Err("syntax error: unexpected $end, expecting STRING or INDEX")),
            ("a.", Err("syntax error: unexpected $end, expecting FIELD")),
            ("a b", Err("syntax error: unexpected FIELD")),
            (
                "a[1.5]",
                Err("syntax error: unexpected $end, expecting STRING or INDEX"),
            ),
            ("a[0", Err("syntax error: unexpected $end, expecting STRING or INDEX")),
            ("a[-1]", Err("syntax error: unexpected $end, expecting STRING or INDEX")),
            ("a[\"x\" 1 ]", Err("syntax error: unexpected INDEX, expecting RSB")),
            ("a.0", Err("syntax error: unexpected $end, expecting FIELD")),
            ("-a", Err("syntax error: unexpected $end, expecting LSB or FIELD")),
            ("a-b", Err("unexpected char -")),
        ] {
            assert_eq!(parse_path(text), expected.map_err(str::to_string), "{text}");
        }
    }

    #[test]
    fn paths_find_values() {
        let line = br#"{"a":{"b":[1,{"c":"x"}]},"n":null}"#;
        for (path, expected) in [
            ("a.b[0]", Some("1")),
            ("a.b[1].c", Some("x")),
            ("a.b[2]", None),
            ("n", Some("null")),
        ] {
            let path = parse_path(path).unwrap_or_default();
            let got = find(line, &path).map(|(_, t)| String::from_utf8_lossy(t).into_owned());
            assert_eq!(got.as_deref(), expected);
        }
    }
}
