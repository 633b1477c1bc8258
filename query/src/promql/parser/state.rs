//! The parser's hands: one token ahead, the mistake on its way out, the limits of depth.

use super::ParseOptions;
use crate::promql::ast::Expr;
use crate::promql::error::{Mistake, PosRange};
use crate::promql::lexer::Lexer;
use crate::promql::token::{Token, TokenKind};

/// Deepest nesting of parentheses, calls, signs and right operands. Each level costs the parser some kilobytes of stack,
/// and threads have two megabytes; queries written by people stay below 20.
const MAX_NESTING: usize = 128;

/// Highest tree, which chains such as `a or b or c` build without nesting. Later passes and the streams of a running plan
/// walk it recursively, unoptimised at ten kilobytes a level.
const MAX_HEIGHT: usize = 128;

/// Most arithmetic operations in all durations of a query, which bounds how high their trees can be.
const MAX_DURATION_OPERATIONS: usize = 512;

/// Why a rule did not apply.
#[derive(Debug)]
pub(super) enum Fail {
    /// Nobody has said yet what was expected in place of the token at hand.
    Unexpected,
    /// Settled.
    Mistake(Mistake),
}

pub(super) type Parsed<T> = Result<T, Fail>;

/// An expression and how high its tree is.
#[derive(Debug)]
pub(super) struct Built {
    pub expr: Expr,
    pub height: usize,
}

impl Built {
    pub fn leaf(expr: Expr) -> Self {
        Built { expr, height: 1 }
    }
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    pub options: ParseOptions,
    /// End of the last token read that can end an expression; modifiers end selectors there.
    pub last_closing: usize,
    nesting: usize,
    duration_operations: usize,
}

impl<'a> Parser<'a> {
    pub fn new(input: &'a str, options: ParseOptions) -> Self {
        Parser {
            lexer: Lexer::new(input),
            ahead: None,
            options,
            last_closing: 0,
            nesting: 0,
            duration_operations: 0,
        }
    }

    /// The token at hand, read now if it is not yet.
    pub fn token(&mut self) -> Parsed<Token<'a>> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next_token().map_err(|e| {
            let range = PosRange::new(e.position, self.lexer.input().len());
            Fail::Mistake(Mistake::new(range, e.message))
        })?;
        if matches!(
            token.kind,
            TokenKind::RightBrace
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::Duration
                | TokenKind::Number
        ) {
            self.last_closing = token.end();
        }
        self.ahead = Some(token);
        Ok(token)
    }

    /// The kind of the token at hand.
    pub fn peek(&mut self) -> Parsed<TokenKind> {
        Ok(self.token()?.kind)
    }

    /// Takes the token at hand.
    pub fn advance(&mut self) -> Parsed<Token<'a>> {
        let token = self.token()?;
        self.ahead = None;
        Ok(token)
    }

    /// Takes the token at hand if it is of this kind.
    pub fn expect(&mut self, kind: TokenKind) -> Parsed<Token<'a>> {
        if self.peek()? == kind {
            self.advance()
        } else {
            Err(Fail::Unexpected)
        }
    }

    /// Gives an unexpected token the words of a construct that is open around it.
    pub fn told<T>(&self, result: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        result.map_err(|fail| match fail {
            Fail::Unexpected => Fail::Mistake(self.unexpected(context, expected)),
            settled => settled,
        })
    }

    /// The token at hand as a mistake.
    pub fn unexpected(&self, context: &str, expected: &str) -> Mistake {
        let end = self.lexer.input().len();
        let token = self.ahead.unwrap_or(Token {
            kind: TokenKind::Eof,
            position: end,
            text: "",
        });
        let mut message = format!("unexpected {}", token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        Mistake::new(range_of(token), message)
    }

    /// Enters one more level of nesting; [`Parser::leave`] leaves it. After a mistake nobody counts any more.
    pub fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let token = self.token()?;
            return mistake(
                range_of(token),
                format!("expression is nested deeper than {MAX_NESTING} levels"),
            );
        }
        Ok(())
    }

    pub fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// Counts one operation between durations, whose operator stands at `range`.
    pub fn count_duration_operation(&mut self, range: PosRange) -> Parsed<()> {
        self.duration_operations += 1;
        if self.duration_operations > MAX_DURATION_OPERATIONS {
            let message = format!("more than {MAX_DURATION_OPERATIONS} operations in duration expressions");
            return mistake(range, message);
        }
        Ok(())
    }

    /// `expr` on top of trees of which the highest is `below`.
    pub fn build(&self, expr: Expr, below: usize) -> Parsed<Built> {
        let height = below + 1;
        if height > MAX_HEIGHT {
            return mistake(
                expr.range(),
                format!("expression chains more than {MAX_HEIGHT} operations"),
            );
        }
        Ok(Built { expr, height })
    }
}

pub(super) fn range_of(token: Token<'_>) -> PosRange {
    PosRange::new(token.position, token.end())
}

pub(super) fn mistake<T>(range: PosRange, message: impl Into<String>) -> Parsed<T> {
    Err(Fail::Mistake(Mistake::new(range, message)))
}
