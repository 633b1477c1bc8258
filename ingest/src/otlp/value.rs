//! Attribute values of OpenTelemetry and the text each becomes as a label or a line
//! (open-telemetry/opentelemetry-collector `pdata/pcommon/value.go`, `AsString`).

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Deepest nesting of lists and maps that is taken; clients send one or two levels.
pub(super) const MAX_DEPTH: usize = 64;

/// A name and a value.
pub(crate) type Attribute<'a> = (Cow<'a, [u8]>, AnyValue<'a>);

/// A value as it was sent; texts are not always UTF-8.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum AnyValue<'a> {
    #[default]
    Empty,
    Text(Cow<'a, [u8]>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    List(Vec<AnyValue<'a>>),
    Map(Vec<Attribute<'a>>),
}

impl<'a> AnyValue<'a> {
    /// The text; lists and maps as JSON.
    pub(crate) fn into_text(self) -> Cow<'a, [u8]> {
        let owned = |text: String| Cow::Owned(text.into_bytes());
        match self {
            AnyValue::Empty => Cow::Borrowed(b""),
            AnyValue::Text(text) => text,
            AnyValue::Bool(true) => Cow::Borrowed(b"true"),
            AnyValue::Bool(false) => Cow::Borrowed(b"false"),
            AnyValue::Int(n) => owned(n.to_string()),
            AnyValue::Double(n) => owned(double(n)),
            AnyValue::Bytes(bytes) => owned(base64(&bytes)),
            AnyValue::List(_) | AnyValue::Map(_) => {
                let mut json = String::new();
                // A number that JSON cannot hold leaves no text at all, as in the original.
                if push_json(&mut json, &self).is_none() {
                    json.clear();
                }
                owned(json)
            }
        }
    }

    /// Whether it is the empty text, or none.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            AnyValue::Empty => true,
            AnyValue::Text(text) | AnyValue::Bytes(text) => text.is_empty(),
            _ => false,
        }
    }
}

/// A number as JSON generators write it.
fn double(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_string();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let abs = n.abs();
    if abs == 0.0 || (1e-6..1e21).contains(&abs) {
        return n.to_string();
    }
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn push_json(out: &mut String, value: &AnyValue<'_>) -> Option<()> {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Text(text) => push_json_text(out, text),
        AnyValue::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        AnyValue::Int(n) => out.push_str(&n.to_string()),
        AnyValue::Double(n) if n.is_finite() => out.push_str(&double(*n)),
        AnyValue::Double(_) => return None,
        AnyValue::Bytes(bytes) => push_json_text(out, base64(bytes).as_bytes()),
        AnyValue::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(out, item)?;
            }
            out.push(']');
        }
        AnyValue::Map(map) => {
            // Of equal names the last counts; names in order, as Go writes maps.
            let sorted: BTreeMap<_, _> = map.iter().map(|(name, value)| (name, value)).collect();
            out.push('{');
            for (at, (name, item)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json_text(out, name);
                out.push(':');
                push_json(out, item)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// A string as Go's encoding/json writes it without escaping HTML.
fn push_json_text(out: &mut String, text: &[u8]) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        for _ in chunk.invalid() {
            out.push_str("\\ufffd");
        }
    }
    out.push('"');
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            if at <= chunk.len() {
                out.push(char::from(BASE64[(bits >> (18 - 6 * at)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The bytes of a padded base64 text.
pub(super) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    let digits = text.get(..text.len().checked_sub(padding)?)?;
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in digits {
        let value = BASE64.iter().position(|b| b == byte)?;
        bits = bits << 6 | value as u32;
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match (count, padding) {
        (0, 0) => {}
        (3, 1) => out.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        (2, 2) => out.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: AnyValue<'_>) -> String {
        String::from_utf8_lossy(&value.into_text()).into_owned()
    }

    fn string(value: &str) -> AnyValue<'_> {
        AnyValue::Text(Cow::Borrowed(value.as_bytes()))
    }

    #[test]
    fn values_become_the_collectors_texts() {
        let key = |name: &'static str| Cow::Borrowed(name.as_bytes());
        for (value, expected) in [
            (AnyValue::Empty, ""),
            (string("a<b"), "a<b"),
            (AnyValue::Bool(true), "true"),
            (AnyValue::Int(-5), "-5"),
            (AnyValue::Double(1.0), "1"),
            (AnyValue::Double(1.5e21), "1.5e+21"),
            (AnyValue::Double(1e-7), "1e-7"),
            (AnyValue::Double(1e20), "100000000000000000000"),
            (AnyValue::Double(f64::NAN), "NaN"),
            (AnyValue::Double(f64::NEG_INFINITY), "-Infinity"),
            (AnyValue::Bytes(Cow::Borrowed(b"hello")), "aGVsbG8="),
            (
                AnyValue::List(vec![AnyValue::Int(1), string("x\"<"), AnyValue::Empty]),
                r#"[1,"x\"<",null]"#,
            ),
            (
                AnyValue::Map(vec![
                    (key("b"), AnyValue::Double(0.5)),
                    (key("a"), string("1")),
                    (key("a"), AnyValue::List(Vec::new())),
                ]),
                r#"{"a":[],"b":0.5}"#,
            ),
            (AnyValue::List(vec![AnyValue::Double(f64::NAN)]), ""),
            (AnyValue::List(vec![string("\u{1}\n\u{2028}")]), r#"["\u0001\n\u2028"]"#),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn base64_both_ways() {
        for plain in ["", "a", "ab", "abc", "hello world"] {
            assert_eq!(
                base64_decode(base64(plain.as_bytes()).as_bytes()).as_deref(),
                Some(plain.as_bytes())
            );
        }
        for bad in ["a", "ab=c", "====", "a===", "!!!!"] {
            assert_eq!(base64_decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
