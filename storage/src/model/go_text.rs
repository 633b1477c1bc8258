//! Texts, runes and label sets as Go and Prometheus write them in messages, which the originals' clients read.

use std::fmt::Write;

/// `text` in double quotes as Go's `strconv.Quote` writes it. Takes bytes, since a literal may escape bytes that are not
/// UTF-8.
pub fn go_quote(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends [`go_quote`] of `text`.
pub fn push_quoted(out: &mut String, text: impl AsRef<[u8]>) {
    out.push('"');
    for chunk in text.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(out, c, '"');
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}

/// A rune in single quotes as Go's `%q` writes it.
pub fn go_quote_rune(c: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

/// Whether `name` needs no quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A label set in braces, names quoted where they are no plain identifiers (prometheus model/labels/labels_common.go,
/// `Labels.String`).
pub fn go_labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if is_legacy_label_name(name) {
            out.push_str(name);
        } else {
            push_quoted(&mut out, name);
        }
        out.push('=');
        push_quoted(&mut out, value);
    }
    out.push('}');
    out
}

/// Appends a character, escaped where it must not stand between such quotes.
pub fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        _ if c == quote || c == '\\' => {
            out.push('\\');
            out.push(c);
        }
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if is_printable(c) => out.push(c),
        _ => {
            let code = u32::from(c);
            let _ = match code {
                0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
                0..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

/// Nearly Go's `strconv.IsPrint`: the standard library knows what is printable only through its own escapes. The leading
/// letter keeps it from escaping combining marks, which Go prints.
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\x7f' => false,
        _ => {
            let mut buffer = [b'a'; 5];
            let len = 1 + c.encode_utf8(&mut buffer[1..]).len();
            std::str::from_utf8(&buffer[..len]).is_ok_and(|text| text.escape_debug().count() == 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_quoting() {
        let check = |text: &[u8], expected: &str| assert_eq!(go_quote(text), expected);
        check(b"a\"b\\c\n", r#""a\"b\\c\n""#);
        check(b"it's\t\r\x07\x7f", r#""it's\t\r\a\x7f""#);
        check("ü☺日本".as_bytes(), "\"ü☺日本\"");
        check(b"a\xc5z", r#""a\xc5z""#);
        check("\u{0}\u{a0}\u{e000}".as_bytes(), r#""\x00\u00a0\ue000""#);
        check("\u{200b}\u{e0001}".as_bytes(), r#""\u200b\U000e0001""#);
        assert_eq!(go_quote_rune('.'), "'.'");
        assert_eq!(go_quote_rune('\''), r"'\''");
    }

    #[test]
    fn label_sets() {
        let pairs = [("a", "b\u{1}"), ("x.y", "c\"d"), ("1", "d")];
        assert_eq!(go_labels(pairs), r#"{a="b\x01", "x.y"="c\"d", "1"="d"}"#);
        assert_eq!(go_labels([]), "{}");
    }
}
