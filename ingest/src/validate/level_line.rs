//! The level that a log line names: in a JSON member, a logfmt pair, or as a word
//! (loki `pkg/distributor/field_detection.go`, `extractLogLevelFromLogLine`).

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::level::known_level;
use super::logfmt::Pairs;
use crate::json_scan::{Kind, object_each};

/// Deepest nesting that is followed where the limit says "any depth".
const MAX_JSON_DEPTH: usize = 64;

/// The level words of free text. Earlier ones win only by standing earlier in the line.
const LEVEL_WORDS: [(&[u8], &str); 9] = [
    (b"trace", "trace"),
    (b"debug", "debug"),
    (b"fatal", "fatal"),
    (b"critical", "critical"),
    (b"error", "error"),
    (b"err", "error"),
    (b"warning", "warn"),
    (b"warn", "warn"),
    (b"info", "info"),
];

/// The level of `line`; `unknown` where it names none. `fields` in order of preference; `max_depth` 0 means any.
pub(super) fn level_of_line(line: &[u8], fields: &[String], max_depth: usize) -> &'static str {
    let named = if is_json(line) {
        let max_depth = if max_depth == 0 { MAX_JSON_DEPTH } else { max_depth };
        json_field(line, fields, max_depth).and_then(known_level)
    } else if memchr::memchr(b'=', line).is_some() {
        logfmt_field(line, fields).and_then(|value| known_level(&value))
    } else {
        None
    };
    named.unwrap_or_else(|| level_word(line))
}

/// Whether the line starts with `{` and ends with `}`, blanks around it aside.
fn is_json(line: &[u8]) -> bool {
    // Go's unicode.IsSpace, of a rune in front and of a byte behind.
    let is_space = |b: &u8| matches!(b, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0);
    let last = line.iter().rev().find(|b| !is_space(b));
    if last != Some(&b'}') {
        return false;
    }
    match line.iter().find(|b| !matches!(b, b'\t'..=b'\r' | b' ')) {
        Some(b'{') => true,
        Some(byte) if byte.is_ascii() => false,
        _ => String::from_utf8_lossy(line).trim_start().starts_with('{'),
    }
}

/// The first string member with one of the names, depth first; raw, since no level has an escape in it.
fn json_field<'a>(object: &'a [u8], fields: &[String], max_depth: usize) -> Option<&'a [u8]> {
    match search_object(object, fields, max_depth) {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => None,
    }
}

/// Breaks with what was found, or with `None` at the first error, nested ones included: nothing behind it counts.
fn search_object<'a>(object: &'a [u8], fields: &[String], depth_left: usize) -> ControlFlow<Option<&'a [u8]>> {
    if depth_left == 0 {
        return ControlFlow::Continue(());
    }
    let searched = object_each(object, |key, value| match value.kind {
        Kind::String if is_field(&key, fields) => ControlFlow::Break(Some(value.raw)),
        Kind::Object => search_object(value.raw, fields, depth_left - 1),
        _ => ControlFlow::Continue(()),
    });
    searched.unwrap_or(ControlFlow::Break(None))
}

fn is_field(key: &[u8], fields: &[String]) -> bool {
    fields.iter().any(|field| field.as_bytes() == key)
}

/// The value of the pair whose key stands first in `fields`, in any case; of several such, the first.
fn logfmt_field<'a>(line: &'a [u8], fields: &[String]) -> Option<Cow<'a, [u8]>> {
    let mut best = fields.len();
    let mut found = None;
    for (key, value) in Pairs::new(line) {
        let rank = fields[..best]
            .iter()
            .position(|f| f.as_bytes().eq_ignore_ascii_case(key));
        if let Some(rank) = rank {
            (best, found) = (rank, Some(value));
            if rank == 0 {
                break;
            }
        }
    }
    found
}

/// The first level word that stands alone.
fn level_word(line: &[u8]) -> &'static str {
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let word = LEVEL_WORDS.iter().find(|(word, _)| {
            rest.get(..word.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(word))
                && rest.get(word.len()).is_none_or(|b| is_right_boundary(*b))
        });
        if let Some((_, level)) = word {
            return level;
        }
        match rest.iter().position(|b| is_left_boundary(*b)) {
            Some(at) => start += at + 1,
            None => return "unknown",
        }
    }
}

/// A colon is missing on purpose: in `misc:error` the word names no level.
fn is_left_boundary(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\n' | b'[' | b'(' | b'{' | b'"' | b'\'' | b'=' | b'|'
    )
}

fn is_right_boundary(byte: u8) -> bool {
    is_left_boundary(byte) || matches!(byte, b']' | b')' | b'}' | b':' | b',' | b'!')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::limits::LogLimits;
    use super::*;

    fn level(line: &[u8]) -> &'static str {
        level_of_line(line, &LogLimits::default().log_level_fields, 2)
    }

    #[test]
    fn json_members_name_the_level() {
        for (line, expected) in [
            (r#"{"level":"error","m":1}"#, "error"),
            (r#"{"LEVEL":"DEBUG"}"#, "debug"),
            (r#"{"severity":"Information"}"#, "info"),
            (r#"{"lvl":"trc"}"#, "trace"),
            (r#"{"log":{"level":"warn"}}"#, "warn"),
            (r#"{"log":{"level":"warn"},"level":"error"}"#, "warn"),
            // Too deep for a member, found as a word.
            (r#"{"a":{"b":{"level":"fatal"}}}"#, "fatal"),
            (r#"{"level":3}"#, "unknown"),
            (r#"{"level":3,"severity":"err"}"#, "error"),
            (r#"{"level":"notice","msg":"an error happened"}"#, "error"),
            (r#"{"msg":"an error happened"}"#, "error"),
            ("  {\"level\":\"info\"}  ", "info"),
            // Broken behind the level: what was found counts. Broken before: the words count.
            (r#"{"level":"info", error}"#, "info"),
            (r#"{"a" "level":"x", error}"#, "error"),
            (r#"{"a":{bad},"level":"info","m":" error "}"#, "info"),
            (r#"{"m":"x error","a":{bad},"level":"info"}"#, "error"),
            ("{not json level=error}", "error"),
        ] {
            assert_eq!(level(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn logfmt_pairs_name_the_level() {
        for (line, expected) in [
            ("level=info msg=x", "info"),
            ("lvl=warn x=1", "warn"),
            ("LEVEL=ERROR a=b", "error"),
            ("Severity=debug z", "debug"),
            ("severity=critical k=v", "critical"),
            ("level=\"warn\"", "warn"),
            ("SEVERITY_TEXT=error", "error"),
            ("dbg=1 level=dbg", "debug"),
            ("lvl=debug level=info", "info"),
            ("level=notice a=b", "unknown"),
            ("level=", "unknown"),
            ("level = error", "error"),
            ("loglevel=error", "error"),
            ("err=something", "error"),
        ] {
            assert_eq!(level(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn words_name_the_level() {
        for (line, expected) in [
            ("plain text only", "unknown"),
            ("", "unknown"),
            ("[ERROR] boom", "error"),
            ("ERROR: boom", "error"),
            ("error", "error"),
            ("Errors are plural", "unknown"),
            ("stderr mentioned", "unknown"),
            ("WARNING: disk", "warn"),
            ("warn first then error", "warn"),
            ("(debug) x", "debug"),
            ("trace id=5", "trace"),
            ("2026-01-10 INFO main - error in text", "info"),
            ("misc:error", "unknown"),
            ("err: x", "error"),
            ("fatal!", "fatal"),
            ("critical|x", "critical"),
            ("information desk", "unknown"),
            ("eRrOr mixed", "error"),
            ("info,warn", "info"),
            ("panic: oops", "unknown"),
            ("E0110 12:00:00 klog", "unknown"),
            ("<3>kernel: err", "error"),
        ] {
            assert_eq!(level(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(level(b"\xff\xfe error \xff"), "error");
    }

    proptest! {
        #[test]
        fn random_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            level(&line);
        }

        #[test]
        fn random_braces_never_panic(line in "[{}\\[\\]\":,= a-e\\\\]{0,60}") {
            level(line.as_bytes());
        }
    }
}
