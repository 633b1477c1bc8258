//! Lines as tokens, by the format that the first line of a stream suggests: key and value of logfmt, words and signs of
//! text, the words of the message of JSON (loki `pkg/pattern/drain/line_tokenizer.go`).

use std::ops::ControlFlow;

use crate::json_scan::{Kind, object_each};

/// What stands for tokens that differ from line to line.
pub(super) const WILDCARD: &str = "<_>";
/// Lines with fewer or more tokens tell nothing.
const TOKENS: std::ops::RangeInclusive<usize> = 4..=80;
/// Longest line that is looked at.
const MAX_LINE_BYTES: usize = 3_000;
/// Fields of JSON that hold the message, in order (`pattern_ingester_tokenizable_json_fields`).
const MESSAGE_FIELDS: [&[u8]; 6] = [b"log", b"message", b"msg", b"msg_", b"_msg", b"content"];
/// Keys of logfmt whose values always differ.
const VARIABLE_KEYS: [&str; 4] = ["ts", "traceid", "time", "timestamp"];

/// How lines of a stream are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Logfmt,
    Text,
}

/// The tokens of one line; reused from line to line.
#[derive(Debug, Default)]
pub(super) struct Tokens<'a> {
    pub words: Vec<&'a str>,
    /// Blanks behind each word of a text.
    pub blanks: Vec<u8>,
}

impl Format {
    /// The format that a line suggests.
    pub(super) fn of(line: &str) -> Format {
        let bytes = line.as_bytes();
        match (bytes.first(), bytes.last()) {
            (Some(b'{'), Some(b'}')) if bytes.len() >= 2 => Format::Json,
            _ if looks_like_logfmt(line) => Format::Logfmt,
            _ => Format::Text,
        }
    }

    /// Splits a line; false where it is none to learn from.
    pub(super) fn split<'a>(self, line: &'a str, tokens: &mut Tokens<'a>) -> bool {
        tokens.words.clear();
        tokens.blanks.clear();
        if line.len() > MAX_LINE_BYTES {
            return false;
        }
        let whole = match self {
            Format::Text => {
                split_text(line, tokens);
                true
            }
            Format::Logfmt => split_logfmt(line, tokens),
            Format::Json => match message(line) {
                Some(message) => {
                    split_text(message, tokens);
                    true
                }
                None => false,
            },
        };
        whole && TOKENS.contains(&tokens.words.len())
    }

    /// The text of a pattern.
    pub(super) fn join(self, words: &[Box<str>], blanks: &[u8]) -> String {
        let mut out = String::new();
        match self {
            Format::Logfmt => {
                for (at, pair) in words.chunks(2).enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    out.push_str(&pair[0]);
                    out.push('=');
                    push_logfmt_value(&mut out, pair.get(1).map_or("", |v| v));
                }
            }
            Format::Text | Format::Json => {
                if self == Format::Json {
                    out.push_str(WILDCARD);
                }
                for (word, blanks) in words.iter().zip(blanks) {
                    // Two wildcards with nothing between them are one.
                    if !(&**word == WILDCARD && out.ends_with(WILDCARD)) {
                        out.push_str(word);
                    }
                    (0..*blanks).for_each(|_| out.push(' '));
                }
                if self == Format::Json && !out.ends_with(WILDCARD) {
                    out.push_str(WILDCARD);
                }
            }
        }
        out
    }
}

/// Whether a line is pairs of key and value and nothing else.
fn looks_like_logfmt(line: &str) -> bool {
    let mut rest = line;
    let mut pairs = 0;
    loop {
        let Some((key, after)) = rest.split_once('=') else {
            return false;
        };
        if key.is_empty() || !key.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return false;
        }
        let value_len = match after.strip_prefix('"') {
            Some(quoted) => match quoted.find('"') {
                Some(end) if end > 0 => end + 2,
                _ => return false,
            },
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        if value_len == 0 {
            return false;
        }
        pairs += 1;
        match after[value_len..].strip_prefix(' ') {
            Some(more) => rest = more,
            None => return after.len() == value_len && pairs > 0,
        }
    }
}

/// Words between blanks and signs; a sign is a word, but those that stand inside of names and numbers are not.
fn split_text<'a>(line: &'a str, tokens: &mut Tokens<'a>) {
    let mut start = 0;
    let push = |tokens: &mut Tokens<'a>, from: usize, to: usize| {
        if from < to {
            tokens.words.push(&line[from..to]);
            tokens.blanks.push(0);
        }
    };
    for (at, c) in line.char_indices() {
        if tokens.words.len() > *TOKENS.end() {
            return;
        }
        if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/') {
            continue;
        }
        let end = at + c.len_utf8();
        if c == ' ' {
            push(tokens, start, at);
            match tokens.blanks.last_mut() {
                Some(blanks) => *blanks = blanks.saturating_add(1),
                None => {
                    tokens.words.push("");
                    tokens.blanks.push(1);
                }
            }
        } else if c == '=' || is_sign(c) {
            push(tokens, start, at);
            push(tokens, at, end);
        } else {
            continue;
        }
        start = end;
    }
    push(tokens, start, line.len());
}

/// Punctuation. Beyond ASCII that is what is neither letter, number, blank, symbol nor control character; the common ones
/// lie in one block.
fn is_sign(c: char) -> bool {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        c if c.is_ascii() => c.is_ascii_punctuation(),
        c => {
            matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '¡' | '§' | '«' | '¶' | '·' | '»' | '¿')
        }
    }
}

/// Keys and values in turn; false where the line is no logfmt.
fn split_logfmt<'a>(line: &'a str, tokens: &mut Tokens<'a>) -> bool {
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let key_len = rest.find(|c: char| c == '=' || c <= ' ').unwrap_or(rest.len());
        let (key, after) = rest.split_at(key_len);
        if key.is_empty() || key.contains('"') {
            return false;
        }
        let mut value = "";
        let mut next = after;
        if let Some(start) = after.strip_prefix('=') {
            if let Some(quoted) = start.strip_prefix('"') {
                let Some(end) = quoted_len(quoted) else { return false };
                value = &quoted[..end];
                next = &quoted[end + 1..];
            } else {
                let len = start.find(|c: char| c <= ' ').unwrap_or(start.len());
                value = &start[..len];
                next = &start[len..];
                if value.contains(['=', '"']) {
                    return false;
                }
            }
        }
        let variable = key == "t" || VARIABLE_KEYS.iter().any(|k| key.eq_ignore_ascii_case(k));
        tokens.words.extend([key, if variable { WILDCARD } else { value }]);
        rest = next.trim_start();
        if tokens.words.len() > *TOKENS.end() {
            return false;
        }
    }
    tokens.blanks.resize(tokens.words.len(), 0);
    true
}

/// Bytes up to the quote that ends a value.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })
}

/// A value as go-logfmt writes it. Values were cut out of their quotes still escaped, so they only need them back.
fn push_logfmt_value(out: &mut String, value: &str) {
    if value.chars().any(|c| c <= ' ' || matches!(c, '=' | '"' | '\u{fffd}')) {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        out.push_str(value);
    }
}

/// The message of a JSON line, as it stands there.
fn message(line: &str) -> Option<&str> {
    let mut found: [Option<&[u8]>; MESSAGE_FIELDS.len()] = Default::default();
    // What stands before a mistake still counts.
    let _ = object_each::<()>(line.as_bytes(), |key, value| {
        if value.kind == Kind::String
            && let Some(at) = MESSAGE_FIELDS.iter().position(|f| **f == *key)
        {
            found[at].get_or_insert(value.raw);
        }
        ControlFlow::Continue(())
    });
    std::str::from_utf8(found.into_iter().flatten().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_guessed_from_a_line() {
        for (line, expected) in [
            ("{\"a\":1}", Format::Json),
            ("level=info msg=\"a b\" n=1", Format::Logfmt),
            ("a=1", Format::Logfmt),
            ("a=1 ", Format::Text),
            ("level=info and text", Format::Text),
            ("a=\"\"", Format::Text),
            ("{", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::of(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_are_split_and_joined_again() {
        for (format, line, words) in [
            (
                Format::Text,
                "10.0.0.1 - [GET /a/b-c] took=5ms, ok",
                "10.0.0.1|-|[|GET|/a/b-c|]|took|=|5ms|,|ok",
            ),
            (Format::Text, " two  blanks: a b", "|two|blanks:|a|b"),
            (
                Format::Logfmt,
                "level=info msg=\"x \\\"y\\\" z\" n= flag",
                "level|info|msg|x \\\"y\\\" z|n||flag|",
            ),
        ] {
            let mut tokens = Tokens::default();
            assert!(format.split(line, &mut tokens), "{line}");
            assert_eq!(tokens.words.join("|"), words);
            let owned: Vec<Box<str>> = tokens.words.iter().map(|w| (*w).into()).collect();
            let joined = format.join(&owned, &tokens.blanks);
            assert_eq!(joined.replace("flag=", "flag"), line);
        }
    }

    #[test]
    fn only_the_message_of_json_is_split() {
        let line = r#"{"ts":"1","msg":"user a logged in","n":{"msg":"no"}}"#;
        let mut tokens = Tokens::default();
        assert!(Format::Json.split(line, &mut tokens));
        assert_eq!(tokens.words, ["user", "a", "logged", "in"]);
        let owned: Vec<Box<str>> = ["user", WILDCARD, "logged", "in"].map(Into::into).to_vec();
        assert_eq!(Format::Json.join(&owned, &tokens.blanks), "<_>user <_> logged in<_>");
        assert!(!Format::Json.split(r#"{"other":"a b c d"}"#, &mut tokens));
    }

    #[test]
    fn lines_that_tell_nothing_are_left_out() {
        let many = "a ".repeat(100);
        let long = "a b c d ".repeat(500);
        for (format, line) in [
            (Format::Text, "a b c"),
            (Format::Text, many.as_str()),
            (Format::Text, long.as_str()),
            (Format::Logfmt, "a=1 b=\"open"),
            (Format::Logfmt, "a=b=c d=1"),
        ] {
            assert!(!format.split(line, &mut Tokens::default()), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in "[ a1=\"\\\\{}<>_é,.\u{2014}-]{0,60}") {
            let mut tokens = Tokens::default();
            for format in [Format::of(&line), Format::Text, Format::Logfmt, Format::Json] {
                format.split(&line, &mut tokens);
                proptest::prop_assert_eq!(tokens.words.len() >= tokens.blanks.len(), true);
            }
        }
    }
}
