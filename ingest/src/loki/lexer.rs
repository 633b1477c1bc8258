//! Tokens of a label set's text, with the texts of Prometheus' lexer (prometheus `promql/parser/lex.go`).

use std::borrow::Cow;

use garner_storage::model::go_text::{go_quote, go_quote_rune};

use super::labels::LabelParseError;
use crate::text;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    End,
    LeftBrace,
    RightBrace,
    Comma,
    Equal,
    Operator,
    Identifier,
    Number,
    String,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a str,
    pub start: usize,
}

impl<'a> Token<'a> {
    /// As Prometheus names it in "unexpected …" (`lex.go`, `Item.desc`).
    pub(super) fn describe(&self) -> String {
        let quoted = match self.text.chars().count() {
            11.. => format!("{}...", go_quote(text::truncate_chars(self.text, 10))),
            _ => go_quote(self.text),
        };
        match self.kind {
            TokenKind::End => "end of input".to_string(),
            TokenKind::Operator => format!("<op:{}>", self.text),
            TokenKind::Identifier if self.text.contains(':') => {
                format!("metric identifier {}", go_quote(self.text))
            }
            TokenKind::Identifier => format!("identifier {}", go_quote(self.text)),
            TokenKind::Number => format!("number {quoted}"),
            TokenKind::String => format!("string {quoted}"),
            _ => quoted,
        }
    }

    /// The text of an identifier, or of a string without its quotes and escapes.
    pub(super) fn value(&self, input: &str) -> Result<Cow<'a, str>, LabelParseError> {
        if self.kind != TokenKind::String {
            return Ok(Cow::Borrowed(self.text));
        }
        let inner = self.text.get(1..self.text.len() - 1).unwrap_or_default();
        if self.text.starts_with('`') || !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        // Octal and hexadecimal escapes make bytes, which together must be UTF-8.
        String::from_utf8(unquote(inner))
            .map(Cow::Owned)
            .map_err(|_| LabelParseError::at(input, self.start, "invalid UTF-8 rune"))
    }
}

/// Cuts a text into tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    input: &'a str,
    position: usize,
    inside_braces: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Lexer {
            input,
            position: 0,
            inside_braces: false,
        }
    }

    /// The next token; comments are skipped.
    pub(super) fn next(&mut self) -> Result<Token<'a>, LabelParseError> {
        self.skip_blanks();
        let start = self.position;
        let rest = &self.input[start..];
        let Some(first) = rest.chars().next() else {
            if self.inside_braces {
                return Err(self.error(start, "unexpected end of input inside braces"));
            }
            return Ok(self.token(TokenKind::End, 0));
        };
        match first {
            ',' => Ok(self.token(TokenKind::Comma, 1)),
            '"' | '\'' => self.quoted(first),
            '`' => match rest[1..].find('`') {
                Some(len) => Ok(self.token(TokenKind::String, len + 2)),
                None => Err(self.error(start, "unterminated raw string")),
            },
            '=' if rest.starts_with("=~") && self.inside_braces => Ok(self.token(TokenKind::Operator, 2)),
            '=' => Ok(self.token(TokenKind::Equal, 1)),
            '!' if rest.starts_with("!=") || (rest.starts_with("!~") && self.inside_braces) => {
                Ok(self.token(TokenKind::Operator, 2))
            }
            'a'..='z' | 'A'..='Z' | '_' => Ok(self.run(TokenKind::Identifier)),
            ':' | '0'..='9' if !self.inside_braces => {
                let kind = if first == ':' {
                    TokenKind::Identifier
                } else {
                    TokenKind::Number
                };
                Ok(self.run(kind))
            }
            '{' if self.inside_braces => Err(self.error(start, "unexpected left brace '{'")),
            '{' => {
                self.inside_braces = true;
                Ok(self.token(TokenKind::LeftBrace, 1))
            }
            '}' if self.inside_braces => {
                self.inside_braces = false;
                Ok(self.token(TokenKind::RightBrace, 1))
            }
            other => Err(self.error(start, self.unexpected_character(other))),
        }
    }

    fn unexpected_character(&self, character: char) -> String {
        let place = if self.inside_braces { " inside braces" } else { "" };
        format!("unexpected character{place}: {}", go_quote_rune(character))
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.input[self.position..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.position += blanks;
            if !rest[blanks..].starts_with('#') {
                return;
            }
            self.position += rest[blanks..].find(['\r', '\n']).unwrap_or(rest.len() - blanks);
        }
    }

    fn token(&mut self, kind: TokenKind, len: usize) -> Token<'a> {
        let start = self.position;
        self.position += len;
        Token {
            kind,
            text: &self.input[start..self.position],
            start,
        }
    }

    fn run(&mut self, kind: TokenKind) -> Token<'a> {
        let colon = !self.inside_braces;
        let rest = &self.input[self.position..];
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':')))
            .unwrap_or(rest.len());
        self.token(kind, len)
    }

    fn error(&self, start: usize, message: impl Into<String>) -> LabelParseError {
        LabelParseError::at(self.input, start, message)
    }

    /// A string from its opening quote to its closing one.
    fn quoted(&mut self, quote: char) -> Result<Token<'a>, LabelParseError> {
        let start = self.position;
        let mut at = start + 1;
        while let Some(c) = self.input[at..].chars().next() {
            at += c.len_utf8();
            match c {
                '\n' => break,
                '\\' => {
                    at += escape_len(&self.input[at..], quote).map_err(|message| self.error(start, message))?;
                }
                _ if c == quote => return Ok(self.token(TokenKind::String, at - start)),
                _ => {}
            }
        }
        Err(self.error(start, "unterminated quoted string"))
    }
}

/// The length of the escape sequence whose backslash stands right before `text` (`lex.go`, `lexEscape`).
fn escape_len(text: &str, quote: char) -> Result<usize, String> {
    let unfinished = || "escape sequence not terminated".to_string();
    let (digits_at, count, base, max) = match text.chars().next().ok_or_else(unfinished)? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(1),
        c if c == quote => return Ok(1),
        '0'..='7' => (0, 3, 8, 255),
        'x' => (1, 2, 16, 255),
        'u' => (1, 4, 16, 0x10_ffff),
        'U' => (1, 8, 16, 0x10_ffff),
        other => return Err(format!("unknown escape sequence {}", unicode(other))),
    };
    let mut chars = text[digits_at..].chars();
    let mut value = 0u32;
    for _ in 0..count {
        let digit = chars.next().ok_or_else(unfinished)?;
        let number = digit
            .to_digit(base)
            .ok_or_else(|| format!("illegal character {} in escape sequence", unicode(digit)))?;
        value = value.wrapping_mul(base).wrapping_add(number);
    }
    if value > max || (0xd800..0xe000).contains(&value) {
        return Err("escape sequence is an invalid Unicode code point".to_string());
    }
    Ok(digits_at + count)
}

/// Go's `%#U`.
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

/// Undoes escape sequences that the lexer has checked.
fn unquote(inner: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let Some(kind) = rest.chars().next() else {
            return out;
        };
        let used = match kind {
            'x' => push_number(&mut out, rest.get(1..3), 16, 3),
            'u' => push_number(&mut out, rest.get(1..5), 16, 5),
            'U' => push_number(&mut out, rest.get(1..9), 16, 9),
            '0'..='7' => push_number(&mut out, rest.get(..3), 8, 3),
            other => {
                let c = match other {
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    same => same,
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                other.len_utf8()
            }
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Appends the byte of a short numeric escape or the character of a long one; returns the length to go on behind.
fn push_number(out: &mut Vec<u8>, digits: Option<&str>, base: u32, len: usize) -> usize {
    let number = digits.and_then(|d| u32::from_str_radix(d, base).ok()).unwrap_or(0xfffd);
    match u8::try_from(number) {
        Ok(byte) if len == 3 => out.push(byte),
        _ => {
            let c = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    len
}
