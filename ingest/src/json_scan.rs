//! JSON walked in place: members and elements come out as slices of the text, and what nobody asks for is skipped unread.
//!
//! As forgiving as the parser that Loki reads pushes and log lines with (buger/jsonparser): a value that is skipped is only
//! balanced, not checked, and what was found before the first error counts. That decides which lines get which level.

use std::borrow::Cow;
use std::ops::ControlFlow;

/// Why a walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// The text ends inside a value.
    #[error("malformed JSON: unexpected end of input")]
    End,
    /// Something else stands where an object was expected.
    #[error("malformed JSON: expected an object")]
    NoObject,
    /// Something else stands where an array was expected.
    #[error("malformed JSON: expected an array")]
    NoArray,
    /// A member without a quoted key, a colon or a separator.
    #[error("malformed JSON: expected a quoted key, ':', ',' or a closing bracket")]
    Separator,
    /// Neither a string, number, boolean, null, object nor array.
    #[error("malformed JSON: unknown value")]
    Value,
    /// A backslash sequence that does not exist.
    #[error("malformed JSON: invalid escape sequence in a string")]
    Escape,
}

/// What kind of value a slice holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Object,
    Array,
    Number,
    Boolean,
    Null,
}

/// A value as it lies in the text; strings come without their quotes and still escaped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Value<'a> {
    pub kind: Kind,
    pub raw: &'a [u8],
    escaped: bool,
}

impl<'a> Value<'a> {
    /// A string's text, borrowed where it holds no escapes; any other value's text as it stands.
    pub(crate) fn text(&self) -> Result<Cow<'a, [u8]>, JsonError> {
        if self.escaped {
            unescape(self.raw).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(self.raw))
        }
    }
}

/// The first value of `text`; what follows it is not read.
pub(crate) fn value(text: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut scanner = Scanner { text, position: 0 };
    scanner.token()?;
    scanner.value()
}

/// Calls `visit` for each member of the object that `text` starts with, until it breaks.
pub(crate) fn object_each<'a, B>(
    text: &'a [u8],
    mut visit: impl FnMut(Cow<'a, [u8]>, Value<'a>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, JsonError> {
    let mut scanner = Scanner { text, position: 0 };
    if scanner.token()? != b'{' {
        return Err(JsonError::NoObject);
    }
    scanner.position += 1;
    loop {
        match scanner.token()? {
            b'}' => return Ok(ControlFlow::Continue(())),
            b'"' => {}
            _ => return Err(JsonError::Separator),
        }
        let key = scanner.value()?.text()?;
        if scanner.token()? != b':' {
            return Err(JsonError::Separator);
        }
        scanner.position += 1;
        scanner.token()?;
        let value = scanner.value()?;
        if let ControlFlow::Break(found) = visit(key, value) {
            return Ok(ControlFlow::Break(found));
        }
        match scanner.token()? {
            b'}' => return Ok(ControlFlow::Continue(())),
            b',' => scanner.position += 1,
            _ => return Err(JsonError::Separator),
        }
    }
}

/// Calls `visit` for each element of the array that `text` starts with, until it breaks.
pub(crate) fn array_each<'a, B>(
    text: &'a [u8],
    mut visit: impl FnMut(Value<'a>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, JsonError> {
    let mut scanner = Scanner { text, position: 0 };
    if scanner.token()? != b'[' {
        return Err(JsonError::NoArray);
    }
    scanner.position += 1;
    if scanner.token()? == b']' {
        return Ok(ControlFlow::Continue(()));
    }
    loop {
        scanner.token()?;
        if let ControlFlow::Break(found) = visit(scanner.value()?) {
            return Ok(ControlFlow::Break(found));
        }
        match scanner.token()? {
            b']' => return Ok(ControlFlow::Continue(())),
            b',' => scanner.position += 1,
            _ => return Err(JsonError::Separator),
        }
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    /// Moves to the next byte that is not white space, and names it.
    fn token(&mut self) -> Result<u8, JsonError> {
        while let Some(&byte) = self.text.get(self.position) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(byte);
            }
            self.position += 1;
        }
        Err(JsonError::End)
    }

    /// Reads the value that starts here.
    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.position;
        let first = *self.text.get(start).ok_or(JsonError::End)?;
        let (kind, raw, escaped) = match first {
            b'"' => {
                let (end, escaped) = string_end(self.text, start + 1).ok_or(JsonError::End)?;
                self.position = end + 1;
                (Kind::String, &self.text[start + 1..end], escaped)
            }
            b'{' => (Kind::Object, self.block(b'{', b'}')?, false),
            b'[' => (Kind::Array, self.block(b'[', b']')?, false),
            _ => {
                let raw = self.literal();
                (literal_kind(raw).ok_or(JsonError::Value)?, raw, false)
            }
        };
        Ok(Value { kind, raw, escaped })
    }

    /// An object or array from its opening to its closing bracket; only its own kind of brackets is counted.
    fn block(&mut self, open: u8, close: u8) -> Result<&'a [u8], JsonError> {
        let start = self.position;
        let mut depth = 0usize;
        let mut at = start;
        while let Some(found) = memchr::memchr3(b'"', open, close, self.text.get(at..).unwrap_or_default()) {
            at += found;
            match self.text[at] {
                b'"' => at = string_end(self.text, at + 1).ok_or(JsonError::End)?.0,
                byte if byte == open => depth += 1,
                _ => {
                    depth -= 1;
                    if depth == 0 {
                        self.position = at + 1;
                        return Ok(&self.text[start..=at]);
                    }
                }
            }
            at += 1;
        }
        Err(JsonError::End)
    }

    fn literal(&mut self) -> &'a [u8] {
        let start = self.position;
        let rest = &self.text[start..];
        let len = rest
            .iter()
            .position(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']'))
            .unwrap_or(rest.len());
        self.position += len;
        &rest[..len]
    }
}

fn literal_kind(raw: &[u8]) -> Option<Kind> {
    match raw {
        b"true" | b"false" => Some(Kind::Boolean),
        b"null" => Some(Kind::Null),
        [b'0'..=b'9' | b'-', ..] => Some(Kind::Number),
        _ => None,
    }
}

/// The place of the quote that ends the string whose first byte is at `start`, and whether it holds escapes.
fn string_end(text: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    let mut at = start;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// The text of an escaped string. A lone surrogate becomes U+FFFD, as in Go.
pub(crate) fn unescape(raw: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (character, used) = escape(&rest[at..]).ok_or(JsonError::Escape)?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// The character of the escape sequence at the start of `text`, and the sequence's length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let simple = |c| Some((c, 2));
    match text.get(1)? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\x08'),
        b'f' => simple('\x0c'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => {
            let unit = code_unit(text)?;
            if let Some(c) = char::from_u32(unit) {
                return Some((c, 6));
            }
            let low = text
                .get(6..)
                .and_then(code_unit)
                .filter(|u| (0xdc00..0xe000).contains(u));
            match low {
                Some(low) if unit < 0xdc00 => {
                    let c = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?;
                    Some((c, 12))
                }
                _ => Some((char::REPLACEMENT_CHARACTER, 6)),
            }
        }
        _ => None,
    }
}

/// The number of `\uXXXX`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits
        .iter()
        .try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Result<Vec<(String, Kind, String)>, JsonError> {
        let mut out = Vec::new();
        let flow: ControlFlow<()> = object_each(text.as_bytes(), |key, value| {
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            out.push((show(&key), value.kind, show(&value.text().unwrap_or_default())));
            ControlFlow::Continue(())
        })?;
        assert_eq!(flow, ControlFlow::Continue(()));
        Ok(out)
    }

    #[test]
    fn members_come_out_in_order_with_their_kinds() {
        let text = r#" { "a" : "x\n\"y" , "b":[1,{"c":"]"}],"d":{"e":{}},"f":-1.5,"g":true,"h":null } trailing"#;
        let expected = [
            ("a", Kind::String, "x\n\"y"),
            ("b", Kind::Array, r#"[1,{"c":"]"}]"#),
            ("d", Kind::Object, r#"{"e":{}}"#),
            ("f", Kind::Number, "-1.5"),
            ("g", Kind::Boolean, "true"),
            ("h", Kind::Null, "null"),
        ];
        let found = members(text).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(k, kind, v)| (k.as_str(), *kind, v.as_str()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(members("{}"), Ok(vec![]));
    }

    #[test]
    fn broken_objects_are_named() {
        for (text, expected) in [
            ("", JsonError::End),
            ("[]", JsonError::NoObject),
            ("{", JsonError::End),
            ("{a:1}", JsonError::Separator),
            (r#"{"a" 1}"#, JsonError::Separator),
            (r#"{"a":1 "b":2}"#, JsonError::Separator),
            (r#"{"a":"x}"#, JsonError::End),
            (r#"{"a":{}"#, JsonError::End),
            (r#"{"a":[1}"#, JsonError::End),
            (r#"{"a":nul}"#, JsonError::Value),
            (r#"{"\q":1}"#, JsonError::Escape),
        ] {
            assert_eq!(members(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (raw, expected) in [
            (r"a\tb\/", "a\tb/"),
            (r"\u65e5\u672c", "日本"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00", "\u{fffd}"),
        ] {
            assert_eq!(unescape(raw.as_bytes()), Ok(expected.as_bytes().to_vec()), "{raw}");
        }
        for bad in [r"\", r"\x", r"\u12", r"\u12g4"] {
            assert_eq!(unescape(bad.as_bytes()), Err(JsonError::Escape), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "[\\[\\]{}\",:\\\\a-c0-9 u-]{0,60}") {
            let _ = members(&text);
            let _: Result<ControlFlow<()>, _> = array_each(text.as_bytes(), |_| ControlFlow::Continue(()));
            let _ = unescape(text.as_bytes());
        }

        #[test]
        fn what_serde_writes_is_read(pairs in proptest::collection::vec((".{0,8}", ".{0,20}"), 0..6)) {
            let object = serde_json::Value::Object(
                pairs.iter().map(|(k, v)| (k.clone(), serde_json::Value::String(v.clone()))).collect(),
            );
            let found = members(&object.to_string()).unwrap();
            let expected: Vec<_> = object.as_object().unwrap().iter()
                .map(|(k, v)| (k.clone(), Kind::String, v.as_str().unwrap().to_string())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
