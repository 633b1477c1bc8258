//! `| logfmt` and `| logfmt a="b"`.

use super::hints::Hints;
use super::json::{append_sanitized, is_plain};
use super::json_scan;
use super::row::{DUPLICATE_SUFFIX, ERROR, Row};
use super::stages::Outcome;
use crate::logql::ast::{Extraction, LogfmtFlags};
use crate::logql::error::ParseError;

/// The error of a line that is no logfmt, where `--strict` is set.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// Walks `key=value` pairs in place; tolerant as Loki's decoder (a fork of go-logfmt).
struct Decoder<'a> {
    line: &'a [u8],
    at: usize,
    key: &'a [u8],
    value: Value<'a>,
    error: Option<(usize, String)>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Plain(&'a [u8]),
    /// Between quotes, with escapes.
    Escaped(&'a [u8]),
}

impl<'a> Decoder<'a> {
    fn new(line: &'a [u8]) -> Self {
        Decoder {
            line,
            at: 0,
            key: &[],
            value: Value::Plain(&[]),
            error: None,
        }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.line.len()
    }

    fn fail(&mut self, message: &str) {
        self.error = Some((self.at + 1, message.to_string()));
    }

    fn unexpected(&mut self, byte: u8) {
        let quoted = if byte == b'\'' {
            "'\\''".to_string()
        } else {
            format!("'{}'", byte as char)
        };
        self.fail(&format!("unexpected {quoted}"));
    }

    /// Skips to the next blank; always false.
    fn skip_value(&mut self) -> bool {
        let rest = &self.line[self.at..];
        self.at += rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
        false
    }

    /// Reads the next pair; false where there is none here.
    fn next(&mut self) -> bool {
        self.key = &[];
        self.value = Value::Plain(&[]);
        let line = self.line;
        let Some(garbage) = line[self.at..].iter().position(|b| *b > b' ') else {
            self.at = line.len();
            return false;
        };
        self.at += garbage;
        let start = self.at;
        let end = line[start..]
            .iter()
            .position(|b| *b == b'=' || *b == b'"' || *b <= b' ');
        self.at = end.map_or(line.len(), |e| start + e);
        let stop = line.get(self.at).copied();
        if stop == Some(b'"') {
            self.unexpected(b'"');
            return self.skip_value();
        }
        if self.at > start {
            self.key = &line[start..self.at];
            if !self.key.is_ascii() && std::str::from_utf8(self.key).map_or(true, |k| k.contains('\u{fffd}')) {
                self.fail("invalid key");
                return stop == Some(b'=') && self.skip_value();
            }
        }
        if stop != Some(b'=') {
            return true;
        }
        if self.key.is_empty() {
            self.unexpected(b'=');
            return self.skip_value();
        }
        self.at += 1;
        match line.get(self.at) {
            None => true,
            Some(b) if *b <= b' ' => true,
            Some(b'"') => self.quoted_value(),
            Some(_) => {
                let start = self.at;
                let end = line[start..]
                    .iter()
                    .position(|b| *b == b'=' || *b == b'"' || *b <= b' ');
                self.at = end.map_or(line.len(), |e| start + e);
                if let Some(b @ (b'=' | b'"')) = line.get(self.at).copied() {
                    self.unexpected(b);
                    return self.skip_value();
                }
                self.value = Value::Plain(&line[start..self.at]);
                true
            }
        }
    }

    fn quoted_value(&mut self) -> bool {
        let start = self.at + 1;
        let mut at = start;
        let mut escapes = false;
        while let Some(found) = self.line.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += found;
            if self.line[at] == b'"' {
                let raw = &self.line[start..at];
                self.at = at + 1;
                if !escapes {
                    self.value = Value::Plain(raw);
                    return true;
                }
                if !json_scan::unescape(raw, &mut String::new()) {
                    self.fail("invalid quoted value");
                    return false;
                }
                self.value = Value::Escaped(raw);
                return true;
            }
            escapes = true;
            at += 2;
        }
        self.at = self.line.len();
        self.fail("unterminated quoted value");
        false
    }

    fn error_text(&self) -> Option<String> {
        let (at, message) = self.error.as_ref()?;
        Some(format!("logfmt syntax error at pos {at} : {message}"))
    }
}

fn value_text(value: Value<'_>, out: &mut String) {
    match value {
        Value::Escaped(raw) => {
            json_scan::unescape(raw, out);
        }
        Value::Plain(raw) => {
            out.clear();
            out.push_str(&String::from_utf8_lossy(raw));
        }
    }
}

/// Sets a label for each pair.
pub(super) fn parse_all(row: &mut Row, line: &[u8], flags: LogfmtFlags, hints: &Hints) -> Outcome {
    if hints.is_satisfied(row) {
        return Outcome::Keep;
    }
    let mut name = std::mem::take(&mut row.buffers.key);
    let mut value = std::mem::take(&mut row.buffers.value);
    let mut decoder = Decoder::new(line);
    let mut outcome = Outcome::Keep;
    while !decoder.is_at_end() {
        if !decoder.next() {
            if flags.strict {
                break;
            }
            continue;
        }
        let key = std::str::from_utf8(decoder.key).unwrap_or_default();
        if is_plain(key) && hints.skips(key) {
            continue;
        }
        name.clear();
        append_sanitized(&mut name, key);
        if name.is_empty() {
            continue;
        }
        if row.is_taken(&name) {
            name.push_str(DUPLICATE_SUFFIX);
        }
        if !hints.wants(&name) || row.was_extracted(&name) {
            continue;
        }
        value_text(decoder.value, &mut value);
        if value.contains('\u{fffd}') {
            value = value.replace('\u{fffd}', " ");
        }
        if !flags.keep_empty && value.is_empty() {
            continue;
        }
        row.set(&name, &value, hints);
        if !hints.passes(&name, row) {
            outcome = Outcome::Drop;
            break;
        }
        if hints.all_required_found(row) {
            break;
        }
    }
    row.buffers.key = name;
    row.buffers.value = value;
    if matches!(outcome, Outcome::Keep)
        && flags.strict
        && let Some(details) = decoder.error_text()
    {
        row.set_parser_error(LOGFMT_ERROR, Some(&details), hints);
        if !hints.passes(ERROR, row) {
            return Outcome::Drop;
        }
    }
    outcome
}

/// The labels of `| logfmt a="b"` with the keys they come from.
#[derive(Debug, Clone)]
pub struct LogfmtExpressions {
    strict: bool,
    list: Vec<(String, String)>,
}

impl LogfmtExpressions {
    pub(super) fn compile(flags: LogfmtFlags, list: &[Extraction], stage: &str) -> Result<Self, ParseError> {
        let compiled = list.iter().map(|e| {
            let key = parse_key(&e.expression)
                .map_err(|m| ParseError::stage(stage, format!("cannot parse expression [{}]: {m}", e.expression)))?;
            Ok((e.label.clone(), key))
        });
        Ok(LogfmtExpressions {
            strict: flags.strict,
            list: compiled.collect::<Result<_, ParseError>>()?,
        })
    }

    pub(super) fn apply(&self, row: &mut Row, line: &[u8], hints: &Hints) -> Outcome {
        if hints.is_satisfied(row) {
            return Outcome::Keep;
        }
        for (label, _) in &self.list {
            if !row.is_taken(label) {
                row.set(label, "", hints);
            }
        }
        let mut name = std::mem::take(&mut row.buffers.key);
        let mut value = std::mem::take(&mut row.buffers.value);
        let mut decoder = Decoder::new(line);
        while !decoder.is_at_end() {
            if !decoder.next() {
                if self.strict {
                    break;
                }
                continue;
            }
            name.clear();
            append_sanitized(&mut name, std::str::from_utf8(decoder.key).unwrap_or_default());
            let by_key = self.list.iter().find(|(_, key)| *key == name);
            let Some((label, _)) = by_key.or_else(|| self.list.iter().find(|(label, _)| *label == name)) else {
                continue;
            };
            value_text(decoder.value, &mut value);
            if value.contains('\u{fffd}') {
                value.clear();
            }
            name.clear();
            name.push_str(label);
            if row.is_taken(label) {
                name.push_str(DUPLICATE_SUFFIX);
                if row.was_extracted(&name) || !hints.wants(&name) {
                    break;
                }
            }
            row.set(&name, &value, hints);
            if hints.all_required_found(row) {
                break;
            }
        }
        row.buffers.key = name;
        row.buffers.value = value;
        if self.strict
            && let Some(details) = decoder.error_text()
        {
            row.set_parser_error(LOGFMT_ERROR, Some(&details), hints);
        }
        Outcome::Keep
    }
}

/// The key an expression names: a plain word, or quoted texts.
fn parse_key(text: &str) -> Result<String, String> {
    let mut rest = text.trim_start_matches([' ', '\t', '\n']);
    let mut parts: Vec<String> = Vec::new();
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let body = &rest[1..];
            let end = body.find(['"', ']']).unwrap_or(body.len());
            parts.push(body[..end].to_string());
            rest = body.get(end + 1..).unwrap_or_default();
        } else if c == '_' || c.is_ascii_alphabetic() {
            if !parts.is_empty() {
                return Err("syntax error: unexpected KEY".into());
            }
            let end = rest
                .find(|c: char| !(c == '_' || c.is_ascii_alphanumeric()))
                .unwrap_or(rest.len());
            parts.push(rest[..end].to_string());
            rest = &rest[end..];
        } else if parts.is_empty() {
            // The end of the tokens is told, not why they end, where an expression cannot end.
            break;
        } else {
            return Err(format!("unexpected char {c}"));
        }
        rest = rest.trim_start_matches([' ', '\t', '\n']);
    }
    if parts.is_empty() {
        return Err("syntax error: unexpected $end, expecting STRING or KEY".into());
    }
    Ok(parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> String {
        let mut decoder = Decoder::new(line.as_bytes());
        let mut out = String::new();
        while !decoder.is_at_end() {
            if decoder.next() {
                let mut value = String::new();
                value_text(decoder.value, &mut value);
                out.push_str(&format!("{}={value};", String::from_utf8_lossy(decoder.key)));
            } else if let Some(text) = decoder.error_text() {
                out.push_str(&format!("!{text};"));
                decoder.error = None;
            }
        }
        out
    }

    #[test]
    fn pairs_are_read_as_by_loki() {
        for (line, expected) in [
            ("a=1 b=\"x y\" c", "a=1;b=x y;c=;"),
            ("a=\"1\"b=\"2\" c=3", "a=1;b=2;c=3;"),
            ("p=\"a\\\"b\" q=", "p=a\"b;q=;"),
            (
                "\"quoted\"=1 z=2",
                "!logfmt syntax error at pos 1 : unexpected '\"';z=2;",
            ),
            ("a=b=c d=1", "!logfmt syntax error at pos 4 : unexpected '=';d=1;"),
            ("x=\"open", "!logfmt syntax error at pos 8 : unterminated quoted value;"),
            ("=1 k=値", "!logfmt syntax error at pos 1 : unexpected '=';k=値;"),
        ] {
            assert_eq!(pairs(line), expected, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(proptest::sample::select(b"a=\"\\ \xff'u1".to_vec()), 0..30)) {
            let mut decoder = Decoder::new(&data);
            while !decoder.is_at_end() {
                decoder.next();
            }
        }
    }
}
