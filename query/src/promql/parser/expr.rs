//! Expressions: literals, parentheses, calls, aggregations and signs.

use garner_storage::model::go_text::go_quote;

use super::state::{Built, Fail, Parsed, Parser, mistake, range_of};
use crate::promql::ast::{AggregateExpr, Call, Expr, NumberLiteral, ParenExpr, StringLiteral, UnaryExpr};
use crate::promql::error::PosRange;
use crate::promql::functions::function;
use crate::promql::literals::{nanos_to_seconds, parse_duration, parse_number};
use crate::promql::quote::unquote;
use crate::promql::token::{Aggregator, Keyword, Operator, Token, TokenKind};

/// Arguments in parentheses, the height of the highest, and the end of the closing parenthesis.
struct Body {
    args: Vec<Expr>,
    height: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    /// A signed operand, or one with its modifiers. A sign binds like `*`, so only `^` is taken into its operand.
    pub fn operand(&mut self) -> Parsed<Built> {
        let TokenKind::Operator(sign @ (Operator::Add | Operator::Sub)) = self.peek()? else {
            let primary = self.primary()?;
            return self.modifiers(primary);
        };
        let start = self.advance()?.position;
        let negative = sign == Operator::Sub;
        let operand = self.expression(Operator::Pow.precedence())?;
        if let Expr::Number(mut number) = operand.expr {
            if negative {
                number.value = -number.value;
            }
            number.range.start = start;
            return Ok(Built::leaf(Expr::Number(number)));
        }
        let Built { expr, height } = operand;
        self.build(Expr::Unary(Box::new(UnaryExpr { negative, expr, start })), height)
    }

    fn primary(&mut self) -> Parsed<Built> {
        let kind = self.peek()?;
        match kind {
            TokenKind::Number | TokenKind::Duration => Ok(Built::leaf(Expr::Number(self.number()?))),
            TokenKind::String => {
                let token = self.advance()?;
                let range = range_of(token);
                let value = self.unquoted(token)?;
                Ok(Built::leaf(Expr::String(StringLiteral { value, range })))
            }
            TokenKind::LeftParen => {
                let start = self.advance()?.position;
                let inner = self.expression(0)?;
                let end = self.expect(TokenKind::RightParen)?.end();
                let range = PosRange::new(start, end);
                self.build(
                    Expr::Paren(Box::new(ParenExpr {
                        expr: inner.expr,
                        range,
                    })),
                    inner.height,
                )
            }
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Aggregator(op) => {
                let token = self.advance()?;
                match self.peek()? {
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregation(op, token)
                    }
                    _ => self.selector(Some(token)),
                }
            }
            TokenKind::Identifier | TokenKind::Preprocessor(_) => {
                let token = self.advance()?;
                match self.peek()? {
                    TokenKind::LeftParen => self.call(token),
                    _ => self.selector(Some(token)),
                }
            }
            _ if starts_expression(kind) => {
                let token = self.advance()?;
                self.selector(Some(token))
            }
            _ => Err(Fail::Unexpected),
        }
    }

    fn call(&mut self, name: Token<'a>) -> Parsed<Built> {
        let body = self.body()?;
        let quoted = || go_quote(name.text.as_bytes());
        let Some(func) = function(name.text) else {
            return mistake(range_of(name), format!("unknown function with name {}", quoted()));
        };
        if func.experimental && !self.options.experimental_functions {
            return mistake(range_of(name), format!("function {} is not enabled", quoted()));
        }
        let range = PosRange::new(name.position, body.end);
        let args = body.args;
        self.build(Expr::Call(Box::new(Call { func, args, range })), body.height)
    }

    fn aggregation(&mut self, op: Aggregator, name: Token<'a>) -> Parsed<Built> {
        let parts = self.aggregation_parts();
        let (grouping, body) = self.told(parts, "aggregation", "")?;
        let range = PosRange::new(name.position, body.end);
        let (without, grouping) = grouping.unwrap_or_default();
        let got = body.args.len();
        let mut args = body.args.into_iter();
        let Some(first) = args.next() else {
            return mistake(range, "no arguments for aggregate expression provided");
        };
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return mistake(range, message);
        }
        let wanted = 1 + usize::from(op.takes_parameter());
        let (param, expr) = match (args.next(), args.next()) {
            (None, _) if wanted == 1 => (None, first),
            (Some(second), None) if wanted == 2 => (Some(first), second),
            _ => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
                );
                return mistake(range, message);
            }
        };
        let aggregate = AggregateExpr {
            op,
            expr,
            param,
            grouping,
            without,
            range,
        };
        self.build(Expr::Aggregate(Box::new(aggregate)), body.height)
    }

    /// Arguments with a grouping before or after them; the end is that of the whole.
    #[allow(clippy::type_complexity, reason = "whether it is `without`, and its labels")]
    fn aggregation_parts(&mut self) -> Parsed<(Option<(bool, Vec<String>)>, Body)> {
        if let Some(grouping) = self.grouping_modifier()? {
            return Ok((Some(grouping), self.body()?));
        }
        let mut body = self.body()?;
        let grouping = self.grouping_modifier()?;
        if grouping.is_some() {
            body.end = self.last_closing;
        }
        Ok((grouping, body))
    }

    fn grouping_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek()? {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn body(&mut self) -> Parsed<Body> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        let mut height = 0;
        if self.peek()? != TokenKind::RightParen {
            loop {
                let arg = self.expression(0)?;
                height = height.max(arg.height);
                args.push(arg.expr);
                if self.peek()? != TokenKind::Comma {
                    break;
                }
                let comma = self.advance()?;
                if !starts_expression(self.peek()?) {
                    return mistake(range_of(comma), "trailing commas not allowed in function call args");
                }
            }
        }
        let end = self.expect(TokenKind::RightParen)?.end();
        Ok(Body { args, height, end })
    }

    /// A number or a duration without a sign.
    pub fn number(&mut self) -> Parsed<NumberLiteral> {
        let (duration, value) = match self.peek()? {
            TokenKind::Number => (false, parse_number(self.token()?.text)),
            TokenKind::Duration => (true, parse_duration(self.token()?.text).map(nanos_to_seconds)),
            _ => return Err(Fail::Unexpected),
        };
        let range = range_of(self.advance()?);
        match value {
            Ok(value) => Ok(NumberLiteral { value, duration, range }),
            Err(message) => mistake(range, message),
        }
    }

    /// What a string token stands for.
    pub fn unquoted(&self, token: Token<'a>) -> Parsed<Vec<u8>> {
        match unquote(token.text) {
            Some(value) => Ok(value),
            None => {
                let text = go_quote(token.text.as_bytes());
                mistake(
                    range_of(token),
                    format!("error unquoting string {text}: invalid syntax"),
                )
            }
        }
    }
}

/// Whether a token of this kind can be the first of an expression. Many words are names where an operand is due.
pub(super) fn starts_expression(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::String
        | TokenKind::Number
        | TokenKind::Duration
        | TokenKind::LeftBrace
        | TokenKind::LeftParen
        | TokenKind::Aggregator(_)
        | TokenKind::Preprocessor(_) => true,
        TokenKind::Operator(op) => op.is_set() || matches!(op, Operator::Add | Operator::Sub),
        TokenKind::Keyword(word) => !matches!(
            word,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}
