//! String literals: Go's quoting in messages and the printer, and the three quotes of the language with Go's escapes.

use std::fmt::Write;

use garner_storage::model::go_text::{is_printable, push_escaped};

/// One character in single quotes as Go's `%q` writes a rune; `None` is the end of input.
pub(super) fn go_quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// One character as Go's `%#U` writes it: `U+0071 'q'`.
pub(super) fn go_unicode(c: char) -> String {
    let mut out = format!("U+{:04X}", u32::from(c));
    if is_printable(c) {
        let _ = write!(out, " '{c}'");
    }
    out
}

/// The bytes that a literal with its quotes stands for; `None` where an escape is wrong. Follows prometheus
/// `util/strutil/quote.go`: single and double quotes with Go's escapes, backquotes without any.
pub(super) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    if quote == '`' {
        return (!inner.contains('`')).then(|| inner.as_bytes().to_vec());
    }
    if !matches!(quote, '"' | '\'') || inner.contains('\n') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = unescape(rest, quote, &mut out)?,
            _ if c == quote => return None,
            _ => push_char(&mut out, c),
        }
    }
    Some(out)
}

/// Decodes the escape whose backslash has been read; returns what follows it.
fn unescape<'a>(rest: &'a str, quote: char, out: &mut Vec<u8>) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let tail = &rest[c.len_utf8()..];
    let digits = |text: &'a str, count: usize, radix: u32| -> Option<(u32, &'a str)> {
        let digits = text.get(..count)?;
        if !digits.chars().all(|d| d.is_digit(radix)) {
            return None;
        }
        Some((u32::from_str_radix(digits, radix).ok()?, &text[count..]))
    };
    let simple = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' | '"' if c == quote => c as u8,
        'x' => {
            let (code, tail) = digits(tail, 2, 16)?;
            out.push(u8::try_from(code).ok()?);
            return Some(tail);
        }
        'u' | 'U' => {
            let (code, tail) = digits(tail, if c == 'u' { 4 } else { 8 }, 16)?;
            push_char(out, char::from_u32(code)?);
            return Some(tail);
        }
        '0'..='7' => {
            let (code, tail) = digits(rest, 3, 8)?;
            out.push(u8::try_from(code).ok()?);
            return Some(tail);
        }
        _ => return None,
    };
    out.push(simple);
    Some(tail)
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_quoting_of_characters() {
        assert_eq!(go_quote_char(Some('\'')), r"'\''");
        assert_eq!(go_quote_char(None), "'\u{fffd}'");
        assert_eq!(go_unicode('q'), "U+0071 'q'");
        assert_eq!(go_unicode('\n'), "U+000A");
    }

    #[test]
    fn literals_with_escapes() {
        let check = |literal: &str, expected: Option<&[u8]>| {
            assert_eq!(unquote(literal).as_deref(), expected, "{literal}");
        };
        check(r#""a\tb""#, Some(b"a\tb"));
        check(r#"'\'\"'"#, None);
        check(r#"'\''"#, Some(b"'"));
        check(r"`\n`", Some(br"\n"));
        check(
            r#""\xff\101\u263a\U0001F600""#,
            Some(b"\xffA\xe2\x98\xba\xf0\x9f\x98\x80"),
        );
        check(r#""\ud800""#, None);
        check(r#""\400""#, None);
        check(r#""\x4""#, None);
        check(r#"""#, None);
        check("", None);
    }
}
