//! Splits a template into the items that Go's `text/template/parse` splits it into, with its texts for what is none.

use std::borrow::Cow;

use crate::logql::units::quote;

/// The blanks of actions.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text says what is wrong.
    Error,
    Bool,
    /// A sign that has no meaning of its own, such as a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawText,
    RightDelimiter,
    RightParen,
    Space,
    Quoted,
    Text,
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

/// Words that begin what is no pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub at: usize,
    /// As it is written.
    pub text: Cow<'a, str>,
    /// 1-based line where it begins.
    pub line: usize,
}

impl Item<'_> {
    /// As messages show it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_string(),
            Kind::Error => self.text.clone().into_owned(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", quote(&start))
            }
            _ => quote(self.text.as_bytes()),
        }
    }
}

/// Reads items one after the other.
#[derive(Debug)]
pub struct Lexer<'a> {
    input: &'a str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    inside: bool,
    parens: usize,
}

impl<'a> Lexer<'a> {
    /// At the beginning of a template.
    pub fn new(input: &'a str) -> Self {
        Lexer {
            input,
            at: 0,
            start: 0,
            line: 1,
            start_line: 1,
            inside: false,
            parens: 0,
        }
    }

    /// The next item; after an error and at the end that of the end, for ever.
    pub fn next_item(&mut self) -> Item<'a> {
        if self.inside { self.action() } else { self.text() }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// Goes on by `bytes`, counting lines.
    fn skip(&mut self, bytes: usize) {
        self.line += self.input[self.at..self.at + bytes].matches('\n').count();
        self.at += bytes;
    }

    /// What was read since the last item is none.
    fn ignore(&mut self) {
        self.start = self.at;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) -> Item<'a> {
        let item = Item {
            kind,
            at: self.start,
            text: Cow::Borrowed(&self.input[self.start..self.at]),
            line: self.start_line,
        };
        self.ignore();
        item
    }

    fn error(&mut self, text: impl Into<String>) -> Item<'a> {
        let item = Item {
            kind: Kind::Error,
            at: self.start,
            text: Cow::Owned(text.into()),
            line: self.start_line,
        };
        (self.input, self.at, self.start) = ("", 0, 0);
        item
    }

    /// Text up to the next action.
    fn text(&mut self) -> Item<'a> {
        loop {
            let Some(len) = self.rest().find("{{") else {
                self.skip(self.rest().len());
                let kind = if self.at > self.start { Kind::Text } else { Kind::End };
                return self.emit(kind);
            };
            let text = &self.rest()[..len];
            let trims = trims_left(&self.rest()[len + 2..]);
            let kept = if trims {
                text.trim_end_matches(BLANKS).len()
            } else {
                len
            };
            self.skip(kept);
            if kept > 0 {
                let item = self.emit(Kind::Text);
                self.skip(len - kept);
                self.ignore();
                return item;
            }
            self.skip(len);
            self.ignore();
            if let Some(item) = self.left_delimiter() {
                return item;
            }
        }
    }

    /// `{{`, unless a comment follows, which is no item.
    fn left_delimiter(&mut self) -> Option<Item<'a>> {
        self.at += 2;
        let marker = if trims_left(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.skip(marker);
            self.ignore();
            return self.comment();
        }
        let item = self.emit(Kind::LeftDelimiter);
        self.inside = true;
        self.parens = 0;
        self.skip(marker);
        self.ignore();
        Some(item)
    }

    fn comment(&mut self) -> Option<Item<'a>> {
        let Some(len) = self.rest()[2..].find("*/") else {
            return Some(self.error("unclosed comment"));
        };
        self.skip(len + 4);
        let Some(trims) = self.at_right_delimiter() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        self.skip(if trims { 4 } else { 2 });
        if trims {
            self.skip(self.rest().len() - self.rest().trim_start_matches(BLANKS).len());
        }
        self.ignore();
        None
    }

    /// Whether `}}` or ` -}}` follows, and whether it trims.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        let marked = rest.strip_prefix(BLANKS).is_some_and(|r| r.starts_with("-}}"));
        (marked || rest.starts_with("}}")).then_some(marked)
    }

    fn right_delimiter(&mut self, trims: bool) -> Item<'a> {
        if trims {
            self.skip(2);
            self.ignore();
        }
        self.at += 2;
        let item = self.emit(Kind::RightDelimiter);
        if trims {
            self.skip(self.rest().len() - self.rest().trim_start_matches(BLANKS).len());
            self.ignore();
        }
        self.inside = false;
        item
    }

    fn action(&mut self) -> Item<'a> {
        if let Some(trims) = self.at_right_delimiter() {
            if self.parens == 0 {
                return self.right_delimiter(trims);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.peek() else {
            // Also where an error ended the input.
            return self.error("unclosed action");
        };
        if BLANKS.contains(&c) {
            return self.space();
        }
        if c == '+' || c == '-' || c.is_ascii_digit() {
            return self.number();
        }
        if is_word(c) {
            return self.identifier();
        }
        self.advance();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.advance() != Some('=') {
                    return self.error("expected :=");
                }
                self.emit(Kind::Declare)
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(len) => {
                    self.skip(len + 1);
                    self.emit(Kind::RawText)
                }
                None => self.error("unterminated raw quoted string"),
            },
            '$' => self.names(Kind::Variable, Kind::Variable),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.at -= 1;
                self.number()
            }
            '.' if self.peek().is_none() => {
                // Go reads a number here, and finds that it ends the input.
                self.emit(Kind::Number)
            }
            '.' => self.names(Kind::Field, Kind::Dot),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.parens == 0 => self.error("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => self.error(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
    }

    fn space(&mut self) -> Item<'a> {
        let len = self.rest().len() - self.rest().trim_start_matches(BLANKS).len();
        // The last blank may belong to a delimiter that trims.
        let before_last = self.rest()[..len].char_indices().last().map_or(0, |(at, _)| at);
        if self.rest()[before_last..]
            .chars()
            .next()
            .is_some_and(|c| BLANKS.contains(&c))
            && self.rest()[len..].starts_with("-}}")
        {
            if before_last == 0 {
                return self.right_delimiter(true);
            }
            self.skip(before_last);
            return self.emit(Kind::Space);
        }
        self.skip(len);
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Item<'a> {
        loop {
            match self.advance() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.advance();
                }
                None | Some('\n' | '\\') => return self.error(unterminated),
                Some(c) if c == end => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn words(&mut self) {
        while self.peek().is_some_and(is_word) {
            self.advance();
        }
    }

    /// Whether a word may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => BLANKS.contains(&c) || ".,|:)(".contains(c) || self.rest().starts_with("}}"),
        }
    }

    fn bad_character(&mut self) -> Item<'a> {
        let found = self.peek();
        self.error(format!("bad character {}", code_point(found)))
    }

    /// A name after `.` or `$`, or the sign alone.
    fn names(&mut self, named: Kind, alone: Kind) -> Item<'a> {
        if self.at_terminator() {
            return self.emit(alone);
        }
        self.words();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(named)
    }

    fn identifier(&mut self) -> Item<'a> {
        self.words();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.input[self.start..self.at] {
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.advance();
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn number(&mut self) -> Item<'a> {
        if !self.scan_number() {
            let text = quote(&self.input[self.start..self.at]);
            return self.error(format!("bad number syntax: {text}"));
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            return self.emit(Kind::Number);
        }
        if !self.scan_number() || !self.input[..self.at].ends_with('i') {
            let text = quote(&self.input[self.start..self.at]);
            return self.error(format!("bad number syntax: {text}"));
        }
        self.emit(Kind::Complex)
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.advance();
            return false;
        }
        true
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn trims_left(after: &str) -> bool {
    after.strip_prefix('-').is_some_and(|rest| rest.starts_with(BLANKS))
}

/// As Go's `%#U`; the end of input is -1 there.
fn code_point(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_string(),
        Some(c) if c.is_control() => format!("U+{:04X}", c as u32),
        Some(c) => format!("U+{:04X} '{c}'", c as u32),
    }
}
