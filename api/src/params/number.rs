//! Whole numbers and quoted texts as Go reads and prints them, since clients see Go's messages.

use std::fmt::Write;

/// Reads a decimal integer as Go's `strconv` does; the error is Go's text with `function` (`Atoi`, `ParseInt`) in it.
pub fn parse_int(function: &str, text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i64>().map_err(|error| {
        let reason = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {}: {reason}", go_quote(text))
    })
}

/// `text` as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_fail_with_the_texts_of_go() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_int("Atoi", text), expected.map_err(str::to_string));
        };
        check("12", Ok(12));
        check("-5", Ok(-5));
        check("abc", Err(r#"strconv.Atoi: parsing "abc": invalid syntax"#));
        check("", Err(r#"strconv.Atoi: parsing "": invalid syntax"#));
        check(
            "99999999999999999999",
            Err(r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#),
        );
        assert_eq!(go_quote("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
    }
}
