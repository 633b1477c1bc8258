//! Texts in double quotes as Go's `strconv.Quote` writes them in messages, and label sets made of such.

use std::fmt::Write;

use garner_storage::model::Labels;

/// `text` in double quotes as Go's `strconv.Quote` writes it. Takes bytes, since a literal may escape bytes that are not
/// UTF-8.
pub fn go_quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut out, c, '"');
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// A label set in braces, names quoted where they are no plain identifiers (prometheus model/labels/labels_common.go,
/// `Labels.String`).
pub fn go_labels(labels: &Labels) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
        if starts && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            out.push_str(name);
        } else {
            out.push_str(&go_quote(name.as_bytes()));
        }
        out.push('=');
        out.push_str(&go_quote(value.as_bytes()));
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
        check("ü☺".as_bytes(), "\"ü☺\"");
        check(b"a\xc5z", r#""a\xc5z""#);
        check("\u{0}\u{a0}\u{e000}".as_bytes(), r#""\x00\u00a0\ue000""#);
    }

    #[test]
    fn label_sets() {
        let labels = Labels::from_pairs([("a", "b\u{1}"), ("x.y", "c"), ("1", "d")]);
        assert_eq!(go_labels(&labels), r#"{"1"="d", a="b\x01", "x.y"="c"}"#);
        assert_eq!(go_labels(&Labels::empty()), "{}");
    }
}
