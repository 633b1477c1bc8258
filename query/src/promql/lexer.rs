//! Text to tokens, as prometheus `promql/parser/lex.go` does it: what a character means depends on whether braces or
//! brackets are open, and on where in the brackets it stands.
//!
//! Tokens are made on demand, one at a time: the first error of a query is the one that is told, so the lexer must not run
//! ahead of what the parser has checked.

use garner_storage::model::go_text::go_quote;

use super::quote::{go_quote_char, go_unicode};
use super::token::{Keyword, Operator, Token, TokenKind, duration_keyword, keyword};

/// A text that is no token. The lexer is not used any further after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LexError {
    /// Where the token would have started, in bytes.
    pub position: usize,
    /// What is wrong.
    pub message: String,
}

/// Makes tokens of one query.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    input: &'a str,
    /// Where the next character is read.
    position: usize,
    /// Where the current token starts.
    start: usize,
    /// Whether the next token is read by the rules for the start of brackets.
    in_duration: bool,
    paren_depth: u32,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
}

type Lexed = Result<TokenKind, LexError>;

impl<'a> Lexer<'a> {
    pub fn new(input: &'a str) -> Self {
        Lexer {
            input,
            position: 0,
            start: 0,
            in_duration: false,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
        }
    }

    pub fn input(&self) -> &'a str {
        self.input
    }

    /// The next token; [`TokenKind::Eof`] at the end, again and again.
    pub fn next_token(&mut self) -> Result<Token<'a>, LexError> {
        self.skip_blank();
        let kind = if self.brace_open {
            self.inside_braces()?
        } else if self.in_duration {
            self.inside_brackets()?
        } else {
            self.statement()?
        };
        let token = Token {
            kind,
            position: self.start,
            text: &self.input[self.start..self.position],
        };
        self.start = self.position;
        Ok(token)
    }

    /// Skips space, and comments where they are allowed.
    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => self.position += 1,
                Some('#') if !self.in_duration => {
                    let rest = &self.input[self.position..];
                    self.position += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
        self.start = self.position;
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return match () {
                () if self.paren_depth != 0 => self.error("unclosed left parenthesis".to_string()),
                () if self.bracket_open => self.error("unclosed left bracket".to_string()),
                () => Ok(TokenKind::Eof),
            };
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '*' => TokenKind::Operator(Operator::Mul),
            '/' => TokenKind::Operator(Operator::Div),
            '%' => TokenKind::Operator(Operator::Mod),
            '+' => TokenKind::Operator(Operator::Add),
            '-' => TokenKind::Operator(Operator::Sub),
            '^' => TokenKind::Operator(Operator::Pow),
            '=' => match self.peek() {
                Some('=') => self.eat(Operator::Equal),
                Some('~') => return self.error("unexpected character after '=': '~'".to_string()),
                _ => TokenKind::Equal,
            },
            '!' => match self.bump() {
                Some('=') => TokenKind::Operator(Operator::NotEqual),
                other => return self.error(format!("unexpected character after '!': {}", go_quote_char(other))),
            },
            '<' => match self.peek() {
                Some('=') => self.eat(Operator::LessEqual),
                Some('/') => self.eat(Operator::TrimUpper),
                _ => TokenKind::Operator(Operator::Less),
            },
            '>' => match self.peek() {
                Some('=') => self.eat(Operator::GreaterEqual),
                Some('/') => self.eat(Operator::TrimLower),
                _ => TokenKind::Operator(Operator::Greater),
            },
            _ if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                self.position = self.start;
                return self.number_or_duration();
            }
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            _ if is_alpha(c) || c == ':' => {
                if self.bracket_open {
                    return self.word_in_brackets(c);
                }
                self.word()
            }
            '(' => self.left_paren(),
            ')' => return self.right_paren(),
            '{' => {
                self.brace_open = true;
                TokenKind::LeftBrace
            }
            '[' => {
                if self.bracket_open {
                    return self.error("unexpected left bracket '['".to_string());
                }
                self.got_colon = false;
                self.bracket_open = true;
                self.in_duration = true;
                TokenKind::LeftBracket
            }
            ']' => {
                if !self.bracket_open {
                    return self.error("unexpected right bracket ']'".to_string());
                }
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            '@' => TokenKind::At,
            _ => return self.error(format!("unexpected character: {}", go_quote_char(Some(c)))),
        })
    }

    /// After the first number in brackets the ordinary rules hold again, with these words.
    fn word_in_brackets(&mut self, first: char) -> Lexed {
        if first == ':' {
            if self.got_colon {
                return self.error("unexpected colon ':'".to_string());
            }
            self.got_colon = true;
            return Ok(TokenKind::Colon);
        }
        match self.duration_word(first) {
            Some(kind) => Ok(kind),
            None => self.error(format!(
                "unexpected character: {}, expected ':'",
                go_quote_char(Some(first))
            )),
        }
    }

    /// From `[` up to the first number (`lexDurationExpr`).
    fn inside_brackets(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input in duration expression".to_string());
        };
        Ok(match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.in_duration = false;
                TokenKind::RightBracket
            }
            ':' => {
                let refused = match () {
                    () if !self.got_duration => "unexpected colon before duration in duration expression",
                    () if self.got_colon => "unexpected repeated colon in duration expression",
                    () => {
                        self.got_colon = true;
                        return Ok(TokenKind::Colon);
                    }
                };
                self.start = self.position;
                return self.error(refused.to_string());
            }
            '(' => self.left_paren(),
            ')' => return self.right_paren(),
            '+' => TokenKind::Operator(Operator::Add),
            '-' => TokenKind::Operator(Operator::Sub),
            '*' => TokenKind::Operator(Operator::Mul),
            '/' => TokenKind::Operator(Operator::Div),
            '%' => TokenKind::Operator(Operator::Mod),
            '^' => TokenKind::Operator(Operator::Pow),
            ',' => TokenKind::Comma,
            _ if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                self.position = self.start;
                self.got_duration = true;
                self.in_duration = false;
                return self.number_or_duration();
            }
            _ => match self.duration_word(c) {
                Some(kind) => kind,
                None => {
                    return self.error(format!(
                        "unexpected character in duration expression: {}",
                        go_quote_char(Some(c))
                    ));
                }
            },
        })
    }

    /// Inside `{}` keywords are identifiers and numbers do not exist.
    fn inside_braces(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input inside braces".to_string());
        };
        Ok(match c {
            _ if is_alpha(c) => {
                self.take_while(is_alphanumeric);
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.peek() == Some('~') => {
                self.bump();
                TokenKind::EqualRegex
            }
            '=' => TokenKind::Equal,
            '!' => match self.bump() {
                Some('~') => TokenKind::NotEqualRegex,
                Some('=') => TokenKind::Operator(Operator::NotEqual),
                other => {
                    return self.error(format!(
                        "unexpected character after '!' inside braces: {}",
                        go_quote_char(other)
                    ));
                }
            },
            '{' => return self.error("unexpected left brace '{'".to_string()),
            '}' => {
                self.brace_open = false;
                TokenKind::RightBrace
            }
            _ => {
                return self.error(format!(
                    "unexpected character inside braces: {}",
                    go_quote_char(Some(c))
                ));
            }
        })
    }

    fn left_paren(&mut self) -> TokenKind {
        self.paren_depth = self.paren_depth.saturating_add(1);
        TokenKind::LeftParen
    }

    fn right_paren(&mut self) -> Lexed {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => self.paren_depth = depth,
            None => {
                self.start = self.position;
                return self.error("unexpected right parenthesis ')'".to_string());
            }
        }
        Ok(TokenKind::RightParen)
    }

    /// A string in single or double quotes whose quote has been read; escapes are checked here and decoded later.
    fn string(&mut self, quote: char) -> Lexed {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune".to_string()),
                None | Some('\n') => return self.error("unterminated quoted string".to_string()),
                Some(c) if c == quote => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Lexed {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune".to_string()),
                None => return self.error("unterminated raw string".to_string()),
                Some('`') => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), LexError> {
        let unterminated = "escape sequence not terminated";
        let (mut digits, radix, max) = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.position -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            None => return self.error(unterminated.to_string()),
            Some(c) => return self.error(format!("unknown escape sequence {}", go_unicode(c))),
        };
        let mut code = 0u32;
        while digits > 0 {
            let Some(c) = self.bump() else {
                return self.error(unterminated.to_string());
            };
            let Some(digit) = c.to_digit(radix) else {
                return self.error(format!("illegal character {} in escape sequence", go_unicode(c)));
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            digits -= 1;
        }
        if code > max || (0xD800..0xE000).contains(&code) {
            return self.error("escape sequence is an invalid Unicode code point".to_string());
        }
        Ok(())
    }

    fn word(&mut self) -> TokenKind {
        self.take_while(|c| is_alphanumeric(c) || c == ':');
        let word = &self.input[self.start..self.position];
        match keyword(word) {
            // Words that came late to the language stay names unless a parenthesis follows.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.input[self.position..]
                    .trim_start_matches(is_space)
                    .starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.take_while(is_alpha);
        duration_keyword(&self.input[self.start..self.position].to_ascii_lowercase())
    }

    fn number_or_duration(&mut self) -> Lexed {
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        if self.scan_duration_rest() {
            return Ok(TokenKind::Duration);
        }
        let text = &self.input[self.start..self.position];
        self.error(format!("bad number or duration syntax: {}", go_quote(text.as_bytes())))
    }

    /// What follows the first digits of a duration. Units are only roughly checked; [`super::literals`] does the rest.
    fn scan_duration_rest(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        match self.peek() {
            Some(c) if is_alphanumeric(c) => {
                self.position += 1;
                false
            }
            _ => true,
        }
    }

    /// Numbers in their rough shape (`scanNumber`): a sign set here means "may follow", and the parser converts.
    fn scan_number(&mut self) -> bool {
        let begin = self.position;
        let mut digits = "0123456789";
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek() {
            if c == '.' {
                self.position += 1;
                if dot || self.accept("_.") || digits.len() > 10 {
                    return false;
                }
                dot = true;
            } else if matches!(c, 'e' | 'E') {
                self.position += 1;
                if exponent {
                    return false;
                }
                exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if c == '_' {
                self.position += 1;
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if digits.contains(c) {
                while self.accept(digits) {}
            } else {
                break;
            }
        }
        self.position > begin && !self.peek().is_some_and(is_alphanumeric)
    }

    fn peek(&self) -> Option<char> {
        self.input[self.position..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    /// Takes the character just peeked as the second half of an operator.
    fn eat(&mut self, operator: Operator) -> TokenKind {
        self.bump();
        TokenKind::Operator(operator)
    }

    fn accept(&mut self, allowed: &str) -> bool {
        match self.peek() {
            Some(c) if allowed.contains(c) => {
                self.position += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn take_while(&mut self, allowed: impl Fn(char) -> bool) {
        while let Some(c) = self.peek().filter(|c| allowed(*c)) {
            self.position += c.len_utf8();
        }
    }

    fn error<T>(&self, message: String) -> Result<T, LexError> {
        Err(LexError {
            position: self.start,
            message,
        })
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
