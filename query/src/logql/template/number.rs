//! Numbers in templates: one text, and every type that can hold it (Go `text/template/parse/node.go`, `newNumber`).

use super::lex::Kind;
use crate::logql::units::{parse_float, quote};

/// A number as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// As it is written.
    pub text: String,
    /// Its value as a whole number.
    pub int: Option<i64>,
    /// Whether it is whole and too large for that.
    pub is_only_unsigned: bool,
    /// Its value as a number.
    pub float: Option<f64>,
    /// Whether it is a character.
    pub is_char: bool,
}

impl Number {
    /// Reads an item.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let mut number = Number {
            text: text.to_string(),
            int: None,
            is_only_unsigned: false,
            float: None,
            is_char: false,
        };
        match kind {
            Kind::CharConstant => {
                let value = char_value(text)?;
                number.is_char = true;
                number.int = Some(value);
                number.float = Some(value as f64);
                return Ok(number);
            }
            // Nothing in LogQL takes a complex number; with an imaginary part of zero it is a real one.
            Kind::Complex => return Err(format!("illegal number syntax: {}", quote(text))),
            _ => {}
        }
        if let Some(imaginary) = text.strip_suffix('i')
            && parse_float(imaginary) == Ok(0.0)
        {
            (number.int, number.float) = (Some(0), Some(0.0));
            return Ok(number);
        }
        let unsigned = parse_unsigned(text.strip_prefix('+').unwrap_or(text));
        if let Some(int) = parse_signed(text) {
            number.int = Some(int);
            number.float = Some(int as f64);
        } else if let Some(unsigned) = unsigned.filter(|_| !text.starts_with('+')) {
            number.is_only_unsigned = true;
            number.float = Some(unsigned as f64);
        } else if let Ok(float) = parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text)));
            }
            number.float = Some(float);
            if float.fract() == 0.0 && float.abs() < 9.2e18 {
                number.int = Some(float as i64);
            } else if float.fract() == 0.0 && (0.0..1.8e19).contains(&float) {
                number.is_only_unsigned = true;
            }
        } else {
            return Err(format!("illegal number syntax: {}", quote(text)));
        }
        Ok(number)
    }

    /// Whether it stands for a float where anything may stand.
    pub fn is_float_constant(&self) -> bool {
        let hex = self.text.len() > 2 && self.text.starts_with("0x") | self.text.starts_with("0X");
        let hex_int = hex && !self.text.contains(['p', 'P']);
        self.float.is_some() && !hex_int && !self.is_char && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

/// Go's `ParseUint` with base 0.
fn parse_unsigned(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (radix, digits, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..], true),
        [b'0', b'o', ..] => (8, &lower[2..], true),
        [b'0', b'b', ..] => (2, &lower[2..], true),
        [b'0', _, ..] => (8, &lower[1..], true),
        _ => (10, lower.as_str(), false),
    };
    // Separators stand between digits, or behind a prefix.
    let misplaced = digits.ends_with('_') || digits.contains("__") || (!prefixed && digits.starts_with('_'));
    if misplaced || digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// Go's `ParseInt` with base 0.
pub fn parse_signed(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = parse_unsigned(digits)?;
    match negative {
        true => 0i64.checked_sub_unsigned(value),
        false => i64::try_from(value).ok(),
    }
}

/// The character between single quotes.
fn char_value(text: &str) -> Result<i64, String> {
    let malformed = || format!("malformed character constant: {text}");
    let body = text.strip_prefix('\'').unwrap_or(text);
    let mut chars = body.chars();
    let (value, rest) = match chars.next() {
        Some('\'') | None => return Err("invalid syntax".into()),
        Some('\\') => escape_value(chars.as_str()).ok_or("invalid syntax")?,
        Some(c) => (i64::from(c as u32), chars.as_str()),
    };
    if rest != "'" {
        return Err(malformed());
    }
    Ok(value)
}

/// What an escape stands for, and what follows it.
fn escape_value(text: &str) -> Option<(i64, &str)> {
    let mut chars = text.chars();
    let c = chars.next()?;
    let rest = chars.as_str();
    let number = |from: usize, digits: usize, radix: u32| {
        let value = u32::from_str_radix(text.get(from..from + digits)?, radix).ok()?;
        Some((value, &text[from + digits..]))
    };
    let (value, rest) = match c {
        'a' => (7, rest),
        'b' => (8, rest),
        'f' => (12, rest),
        'n' => (10, rest),
        'r' => (13, rest),
        't' => (9, rest),
        'v' => (11, rest),
        '\\' | '\'' => (c as u32, rest),
        'x' => number(1, 2, 16)?,
        'u' => number(1, 4, 16).filter(|(v, _)| char::from_u32(*v).is_some())?,
        'U' => number(1, 8, 16).filter(|(v, _)| char::from_u32(*v).is_some())?,
        '0'..='7' => number(0, 3, 8).filter(|(v, _)| *v < 256)?,
        _ => return None,
    };
    Some((i64::from(value), rest))
}

/// Go's `strconv.Unquote` of a quoted text.
pub fn unquote(raw: &str) -> Result<String, String> {
    let invalid = || "invalid syntax".to_string();
    if let Some(body) = raw.strip_prefix('`') {
        return Ok(body.strip_suffix('`').ok_or_else(invalid)?.replace('\r', ""));
    }
    let body = raw
        .strip_prefix('"')
        .and_then(|b| b.strip_suffix('"'))
        .ok_or_else(invalid)?;
    if !body.contains('\\') {
        return Ok(body.to_string());
    }
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        if let Some(behind) = after.strip_prefix('"') {
            out.push(b'"');
            rest = behind;
            continue;
        }
        if after.starts_with('\'') {
            return Err(invalid());
        }
        let (value, behind) = escape_value(after).ok_or_else(invalid)?;
        match u8::try_from(value) {
            // `\x` and octal digits name bytes, `\u` characters.
            Ok(byte) if !after.starts_with(['u', 'U']) => out.push(byte),
            _ => {
                let c = u32::try_from(value).ok().and_then(char::from_u32).ok_or_else(invalid)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = behind;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, kind, int, float) in [
            ("10", Kind::Number, Some(10), Some(10.0)),
            ("-0x1F", Kind::Number, Some(-31), Some(-31.0)),
            ("017", Kind::Number, Some(15), Some(15.0)),
            ("1_000", Kind::Number, Some(1000), Some(1000.0)),
            ("1.5", Kind::Number, None, Some(1.5)),
            ("1e3", Kind::Number, Some(1000), Some(1000.0)),
            ("18446744073709551615", Kind::Number, None, Some(18446744073709551615.0)),
            ("'a'", Kind::CharConstant, Some(97), Some(97.0)),
            ("'\\n'", Kind::CharConstant, Some(10), Some(10.0)),
            ("'\\''", Kind::CharConstant, Some(39), Some(39.0)),
        ] {
            let number = Number::parse(text, kind);
            assert_eq!(number.map(|n| (n.int, n.float)), Ok((int, float)), "{text}");
        }
        for (text, kind, error) in [
            ("0x", Kind::Number, "illegal number syntax: \"0x\""),
            (
                "99999999999999999999",
                Kind::Number,
                "integer overflow: \"99999999999999999999\"",
            ),
            ("'ab'", Kind::CharConstant, "malformed character constant: 'ab'"),
            ("'\\q'", Kind::CharConstant, "invalid syntax"),
        ] {
            assert_eq!(Number::parse(text, kind), Err(error.to_string()), "{text}");
        }
    }

    #[test]
    fn texts_unquote_as_in_go() {
        for (raw, expected) in [
            (r#""a\n\"\u00e9\x41\101""#, Ok("a\n\"éAA")),
            (r"`a\n`", Ok("a\\n")),
            (r#""\q""#, Err("invalid syntax")),
            (r#""\'""#, Err("invalid syntax")),
            (r#""\xg0""#, Err("invalid syntax")),
        ] {
            assert_eq!(unquote(raw).as_deref().map_err(String::as_str), expected, "{raw}");
        }
    }
}
