//! Splits a query into tokens with the rules and positions of Loki's lexer (a Go `text/scanner` with extra passes).
//!
//! A token's line becomes 0 where the lexer had to read past the token to know what it is (durations, sizes, ranges,
//! two-character signs): error texts then say "line 0", and clients compare those texts.

use super::error::ParseError;
use super::number;
use super::token::{FIXED, FUNCTIONS, Spanned, Token};
use super::units;

/// A token, or the error found where a token should be. The error counts only once the parser gets there.
pub type Lexed = Result<Spanned, ParseError>;

/// A query's tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    /// All of them; the last is [`Token::End`] or an error.
    pub all: Vec<Lexed>,
    /// What is wrong with tokens that are tokens all the same, by their index: a number such as `1e`. Loki reads on and
    /// tells the first of these at the end.
    pub faults: Vec<(usize, ParseError)>,
}

/// All tokens of `text`.
pub fn lex(text: &str) -> Tokens {
    let mut lexer = Lexer {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        column: 1,
        fault: None,
    };
    let empty = lexer.rest.is_empty();
    let mut out = Vec::new();
    let mut faults = Vec::new();
    loop {
        let token = lexer.next_token();
        let last = !matches!(&token, Ok(t) if t.token != Token::End);
        if let Some(fault) = lexer.fault.take() {
            faults.push((out.len(), fault));
        }
        out.push(token);
        if last {
            break;
        }
    }
    if empty {
        // Nothing was ever read, so there is no position.
        out = vec![Ok(Spanned {
            token: Token::End,
            line: 0,
            column: 0,
        })];
    }
    Tokens { all: out, faults }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    /// What is wrong with the token that is being read.
    fault: Option<ParseError>,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(bytes);
        for c in head.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = tail;
        head
    }

    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start_matches(['\t', '\n', '\r', ' ']).len();
            self.take(blank);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let (line, column) = (self.line, self.column);
                let end = self.rest[2..].find("*/");
                if end.is_none() {
                    self.fault = Some(ParseError::at("comment not terminated", line, column));
                }
                self.take(end.map_or(self.rest.len(), |i| i + 4));
            } else if blank == 0 {
                return;
            }
        }
    }

    fn next_token(&mut self) -> Lexed {
        self.skip_blank();
        let (line, column) = (self.line, self.column);
        let at = |token| Ok(Spanned { token, line, column });
        let looked_past = |token| Ok(Spanned { token, line: 0, column });
        let error = |message: &str, line| Err(ParseError::at(message, line, column));
        let Some(c) = self.peek() else { return at(Token::End) };
        let second = self.rest[c.len_utf8()..].chars().next();
        if c.is_ascii_digit() || (c == '.' && second.is_some_and(|s| s.is_ascii_digit())) {
            let (len, fault) = number::scan(self.rest);
            self.fault = fault.map(|message| ParseError::at(message, line, column));
            let number = self.take(len);
            return match self.suffixed(number) {
                Some(token) => looked_past(token),
                None => at(Token::Number(number.to_string())),
            };
        }
        match c {
            '"' | '`' => match string_len(self.rest) {
                Err(message) => return error(message, line),
                Ok(len) => {
                    let raw = self.take(len);
                    return match unquote(raw) {
                        Some(text) => at(Token::String(text)),
                        None => error("invalid syntax", line),
                    };
                }
            },
            '\'' => {
                let (len, fault) = char_literal(self.rest);
                self.fault = fault.map(|message| ParseError::at(message, line, column));
                return at(Token::Identifier(self.take(len).to_string()));
            }
            '-' => {
                if let Some(flag) = ["--strict", "--keep-empty"].into_iter().find(|f| {
                    self.rest.starts_with(f)
                        && !self.rest[f.len()..].starts_with(|c: char| c.is_alphabetic() || c == '-')
                }) {
                    return looked_past(Token::FunctionFlag(self.take(flag.len()).to_string()));
                }
                let run = duration_run(&self.rest[1..]);
                if run > 0
                    && let Some(nanos) = any_duration(&self.rest[..1 + run])
                {
                    self.take(1 + run);
                    return looked_past(Token::Duration(nanos));
                }
            }
            '[' => {
                let Some(end) = self.rest.find(']') else {
                    return error("missing closing ']' in duration", 0);
                };
                let inside = &self.take(end + 1)[1..end];
                return match units::parse_prometheus_duration(inside) {
                    Ok(nanos) => looked_past(Token::Range(nanos)),
                    Err(message) => error(&message, 0),
                };
            }
            _ => {}
        }
        if c == '_' || c.is_alphabetic() {
            let end = self
                .rest
                .find(|c: char| !(c == '_' || c.is_alphabetic() || c.is_numeric()))
                .unwrap_or(self.rest.len());
            let word = self.take(end);
            return at(self.word(word));
        }
        let two = second.map(|s| &self.rest[..c.len_utf8() + s.len_utf8()]);
        if let Some(fixed) = two.and_then(|t| {
            FIXED
                .into_iter()
                .find(|f| *f == t && !f.starts_with(char::is_alphabetic))
        }) {
            self.take(fixed.len());
            return looked_past(Token::Fixed(fixed));
        }
        let one = self.take(c.len_utf8());
        match FIXED.into_iter().find(|f| *f == one) {
            Some(fixed) => at(Token::Fixed(fixed)),
            None => at(Token::Identifier(one.to_string())),
        }
    }

    fn word(&self, word: &str) -> Token {
        let lower = word.to_lowercase();
        if let Some((name, _)) = FUNCTIONS.into_iter().find(|(f, _)| *f == lower) {
            return if self.call_follows() {
                Token::Function(name)
            } else {
                Token::Identifier(word.to_string())
            };
        }
        match FIXED.into_iter().find(|f| *f == lower) {
            Some(fixed) => Token::Fixed(fixed),
            None => Token::Identifier(word.to_string()),
        }
    }

    /// Whether `(`, `by (` or `without (` comes next.
    fn call_follows(&self) -> bool {
        let rest = self.rest.trim_start();
        if rest.starts_with('(') {
            return true;
        }
        ["by", "without"].into_iter().any(|word| {
            rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word))
                && rest[word.len()..].trim_start().starts_with('(')
        })
    }

    /// A number that turns out to be a duration or a size.
    fn suffixed(&mut self, number: &str) -> Option<Token> {
        let run = duration_run(self.rest);
        if run > 0
            && let Some(nanos) = any_duration(&format!("{number}{}", &self.rest[..run]))
        {
            self.take(run);
            return Some(Token::Duration(nanos));
        }
        let run = run_of(self.rest, |c| c.is_numeric() || "BikKMGTP.".contains(c));
        if run > 0
            && let Ok(bytes) = units::parse_bytes(&format!("{number}{}", &self.rest[..run]))
        {
            self.take(run);
            return Some(Token::Bytes(bytes));
        }
        None
    }
}

fn run_of(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accept(c)).unwrap_or(text.len())
}

fn duration_run(text: &str) -> usize {
    run_of(text, |c| c.is_numeric() || "nuµmshdwy.".contains(c))
}

fn any_duration(text: &str) -> Option<i64> {
    units::parse_prometheus_duration(text)
        .or_else(|_| units::parse_go_duration(text))
        .ok()
}

/// Length of the literal in single quotes that `text` starts with, and what is wrong with it. LogQL has no such literals;
/// they are read as names.
fn char_literal(text: &str) -> (usize, Option<&'static str>) {
    let mut chars = text.char_indices().skip(1);
    let mut count = 0;
    let mut fault = None;
    loop {
        let Some((at, c)) = chars.next() else {
            return (text.len(), fault.or(Some("literal not terminated")));
        };
        match c {
            '\'' => return (at + 1, fault.or((count != 1).then_some("invalid char literal"))),
            '\n' => return (at + 1, fault.or(Some("literal not terminated"))),
            '\\' => match chars.next() {
                Some((_, 'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '\'')) => {}
                _ => fault = fault.or(Some("invalid char escape")),
            },
            _ => {}
        }
        count += 1;
    }
}

/// Length of the quoted string that `text` starts with.
fn string_len(text: &str) -> Result<usize, &'static str> {
    if let Some(body) = text.strip_prefix('`') {
        return body.find('`').map(|i| i + 2).ok_or("literal not terminated");
    }
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok(i + 1),
            '\n' => return Err("literal not terminated"),
            '\\' => {
                let (_, escaped) = chars.next().ok_or("invalid char escape")?;
                let (count, radix) = match escaped {
                    'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"' => (0, 8),
                    '0'..='7' => (2, 8),
                    'x' => (2, 16),
                    'u' => (4, 16),
                    'U' => (8, 16),
                    _ => return Err("invalid char escape"),
                };
                for _ in 0..count {
                    if !chars.next().is_some_and(|(_, c)| c.is_digit(radix)) {
                        return Err("invalid char escape");
                    }
                }
            }
            _ => {}
        }
    }
    Err("literal not terminated")
}

/// The text of a quoted string; `None` where an escape names no character. Bytes that form no UTF-8 become U+FFFD.
pub(super) fn unquote(raw: &str) -> Option<String> {
    if let Some(body) = raw.strip_prefix('`') {
        return Some(body.strip_suffix('`')?.replace('\r', ""));
    }
    let body = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !body.contains('\\') {
        return Some(body.to_string());
    }
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next()?;
        let number = |from: usize, digits: usize, radix: u32| {
            u32::from_str_radix(rest.get(at + from..at + from + digits)?, radix).ok()
        };
        let mut used = 2;
        let code = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '0'..='7' => {
                used = 4;
                number(1, 3, 8).filter(|n| *n < 256)?
            }
            'x' => {
                used = 4;
                number(2, 2, 16)?
            }
            'u' | 'U' => {
                let digits = if escape == 'u' { 4 } else { 8 };
                used = 2 + digits;
                let c = char::from_u32(number(2, digits, 16)?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[at + used..];
                continue;
            }
            other => other as u32,
        };
        out.push(code as u8);
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> String {
        let show = |lexed: Lexed| match lexed {
            Ok(t) => format!("{}@{}:{}", t.token.name(), t.line, t.column),
            Err(e) => format!("!{e}"),
        };
        lex(text).all.into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tokens_carry_the_positions_of_loki() {
        for (text, expected) in [
            ("", "$end@0:0"),
            (" ", "$end@1:2"),
            ("{a=\"b\"}", "{@1:1 IDENTIFIER@1:2 =@1:3 STRING@1:4 }@1:7 $end@1:8"),
            ("a== 5m", "IDENTIFIER@1:1 ==@0:2 DURATION@0:5 $end@1:7"),
            ("[5m", "!parse error at line 0, col 1: missing closing ']' in duration"),
            ("rate (", "RATE@1:1 (@1:6 $end@1:7"),
            ("rate", "IDENTIFIER@1:1 $end@1:5"),
            ("sum by (a)", "SUM@1:1 by@1:5 (@1:8 IDENTIFIER@1:9 )@1:10 $end@1:11"),
            ("# c\n10KB 10XB", "BYTES@0:1 NUMBER@1:6 IDENTIFIER@1:8 $end@2:10"),
            (
                "1 -5m --strict -1",
                "NUMBER@1:1 DURATION@0:3 FUNCTION_FLAG@0:7 -@1:16 NUMBER@1:17 $end@1:18",
            ),
            (
                "|= \"a\\q\"",
                "|=@0:1 !parse error at line 1, col 4: invalid char escape",
            ),
        ] {
            let expected = expected.replace("NUMBER@1:6 IDENTIFIER@1:8", "NUMBER@2:6 IDENTIFIER@2:8");
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_unquote_as_in_go() {
        for (raw, text) in [
            ("\"a\\n\\\"\"", "a\n\""),
            ("`a\\n`", "a\\n"),
            ("\"\\u00e9\\x41\\101\"", "éAA"),
        ] {
            assert_eq!(unquote(raw).as_deref(), Some(text), "{raw}");
        }
    }
}
