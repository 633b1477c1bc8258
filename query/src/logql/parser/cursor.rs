//! The position in the tokens, and the errors made there.

use crate::logql::error::ParseError;
use crate::logql::lexer::{Tokens, lex};
use crate::logql::printer::is_plain_name;
use crate::logql::token::Token;

/// How deep parentheses and operators may nest; beyond it the query is refused instead of exhausting the stack.
const MAX_NESTING: usize = 100;
/// How many binary operators (of metrics or label filters) a query may have: their trees are walked recursively.
const MAX_OPERATORS: usize = 1_000;
/// Longest list that a message names, as in goyacc.
const MAX_EXPECTED: usize = 4;

pub(super) struct Cursor {
    tokens: Tokens,
    at: usize,
    nesting: usize,
    operators: usize,
}

impl Cursor {
    pub(super) fn new(text: &str) -> Self {
        Cursor {
            tokens: lex(text),
            at: 0,
            nesting: 0,
            operators: 0,
        }
    }

    /// Whether some name is more than ASCII letters, digits and underscores: every sign that means nothing else is a name, too.
    pub(super) fn has_odd_names(&self) -> bool {
        let odd = |token: &Token| matches!(token, Token::Identifier(name) if !is_plain_name(name));
        self.tokens.all.iter().flatten().any(|spanned| odd(&spanned.token))
    }

    fn slot(&self, at: usize) -> Result<&Token, ParseError> {
        // The last token is the end or an error, so staying on it is safe.
        let at = at.min(self.tokens.all.len().saturating_sub(1));
        match self.tokens.all.get(at) {
            Some(Ok(spanned)) => Ok(&spanned.token),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(&Token::End),
        }
    }

    /// The token at the cursor; the error where the text there is no token.
    pub(super) fn peek(&self) -> Result<&Token, ParseError> {
        self.slot(self.at)
    }

    /// The first fault of the tokens up to the cursor.
    pub(super) fn fault(&self) -> Option<&ParseError> {
        let (at, fault) = self.tokens.faults.first()?;
        (*at <= self.at).then_some(fault)
    }

    /// The token after the one at the cursor. An error there is not reported yet.
    pub(super) fn peek_second(&self) -> Option<&Token> {
        self.slot(self.at + 1).ok()
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    pub(super) fn is(&self, fixed: &str) -> Result<bool, ParseError> {
        Ok(matches!(self.peek()?, Token::Fixed(text) if *text == fixed))
    }

    /// Takes `fixed` if it is next.
    pub(super) fn accept(&mut self, fixed: &str) -> Result<bool, ParseError> {
        let found = self.is(fixed)?;
        if found {
            self.advance();
        }
        Ok(found)
    }

    /// Takes `fixed` or fails, naming everything in `expected`.
    pub(super) fn expect_of(&mut self, fixed: &str, expected: &[&str]) -> Result<(), ParseError> {
        if self.accept(fixed)? {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    pub(super) fn expect(&mut self, fixed: &'static str) -> Result<(), ParseError> {
        self.expect_of(fixed, &[fixed])
    }

    pub(super) fn identifier(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        match self.peek()? {
            Token::Identifier(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    pub(super) fn string(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        match self.peek()? {
            Token::String(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    pub(super) fn number(&mut self, expected: &[&str]) -> Result<String, ParseError> {
        match self.peek()? {
            Token::Number(text) => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// "unexpected …, expecting …" at the cursor.
    pub(super) fn unexpected(&self, expected: &[&str]) -> ParseError {
        let at = self.at.min(self.tokens.all.len().saturating_sub(1));
        match self.tokens.all.get(at) {
            Some(Err(error)) => error.clone(),
            Some(Ok(spanned)) => {
                let mut message = format!("syntax error: unexpected {}", spanned.token.name());
                if !expected.is_empty() && expected.len() <= MAX_EXPECTED {
                    message.push_str(", expecting ");
                    message.push_str(&expected.join(" or "));
                }
                ParseError::at(message, spanned.line, spanned.column)
            }
            None => ParseError::new("syntax error: unexpected $end"),
        }
    }

    /// Runs `read` one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.nesting >= MAX_NESTING {
            return Err(ParseError::new(format!(
                "query is nested too deeply: at most {MAX_NESTING} levels of parentheses and operators are allowed"
            )));
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    /// Counts one binary operator.
    pub(super) fn count_operator(&mut self) -> Result<(), ParseError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ParseError::new(format!(
                "query has too many operators: at most {MAX_OPERATORS} are allowed"
            )));
        }
        Ok(())
    }
}
