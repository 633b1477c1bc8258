//! Lengths of time in brackets and after `offset`: literals, and arithmetic over them behind a switch.

use super::state::{Fail, Parsed, Parser, mistake, range_of};
use crate::promql::ast::{DurationExpr, DurationNode, DurationOp, Span};
use crate::promql::error::PosRange;
use crate::promql::literals::{duration_out_of_range, seconds_to_nanos};
use crate::promql::token::{Operator, Preprocessor, TokenKind};

impl Parser<'_> {
    /// A duration expression whose operators all bind at least as tightly as `min`.
    pub fn duration_expression(&mut self, min: u8) -> Parsed<DurationNode> {
        let operand = self.duration_operand()?;
        self.duration_operators(operand, min)
    }

    /// Range and step must be more than nothing.
    pub fn positive_span(&self, node: DurationNode) -> Parsed<Span> {
        match &node {
            DurationNode::Number(number) if number.value.is_nan() || number.value <= 0.0 => {
                mistake(number.range, "duration must be greater than 0")
            }
            _ => Ok(span(node)),
        }
    }

    /// What follows `offset`. A literal, a call or a signed one of them ends there, so that `x offset 5m + y` is a sum;
    /// only after other parentheses operators go on.
    pub fn offset_value(&mut self) -> Parsed<Span> {
        let TokenKind::Operator(sign @ (Operator::Add | Operator::Sub)) = self.peek()? else {
            let parenthesised = self.peek()? == TokenKind::LeftParen;
            let mut node = self.duration_operand()?;
            if parenthesised {
                node = self.duration_operators(node, 0)?;
            }
            return Ok(span(node));
        };
        let sign_token = self.advance()?;
        let sign_range = range_of(sign_token);
        let start = sign_range.start;
        let node = match self.peek()? {
            TokenKind::Number | TokenKind::Duration => {
                let number = DurationNode::Number(self.number()?);
                self.signed(sign, sign_range, number)?
            }
            TokenKind::Preprocessor(_) => {
                let DurationNode::Expr(call) = self.duration_operand()? else {
                    return Err(Fail::Unexpected);
                };
                let range = PosRange::new(start, call.range.end);
                let operand = DurationNode::Expr(call);
                let op = match sign {
                    Operator::Sub => DurationOp::Minus(operand),
                    _ => DurationOp::Plus(operand),
                };
                node(op, range)
            }
            TokenKind::LeftParen => {
                self.advance()?;
                self.enter()?;
                let inner = self.duration_expression(0)?;
                self.leave();
                self.expect(TokenKind::RightParen)?;
                let start = inner.range().start;
                self.signed(sign, sign_range, wrapped(inner, start))?
            }
            _ => {
                self.enter()?;
                let operand = self.duration_expression(Operator::Pow.precedence())?;
                self.leave();
                let node = self.signed(sign, sign_range, operand)?;
                self.duration_operators(node, 0)?
            }
        };
        Ok(span(node))
    }

    fn duration_operators(&mut self, first: DurationNode, min: u8) -> Parsed<DurationNode> {
        let mut lhs = first;
        while let TokenKind::Operator(
            op @ (Operator::Add | Operator::Sub | Operator::Mul | Operator::Div | Operator::Mod | Operator::Pow),
        ) = self.peek()?
        {
            let precedence = op.precedence();
            if precedence < min {
                break;
            }
            let op_token = self.advance()?;
            self.count_duration_operation(range_of(op_token))?;
            self.enter()?;
            let rhs = self.duration_expression(precedence + u8::from(op != Operator::Pow))?;
            self.leave();
            self.require_switch(lhs.range())?;
            let zero = matches!(&rhs, DurationNode::Number(number) if number.value == 0.0);
            match op {
                Operator::Div if zero => return mistake(range_of(op_token), "division by zero"),
                Operator::Mod if zero => return mistake(range_of(op_token), "modulo by zero"),
                _ => {}
            }
            let range = lhs.range().to(rhs.range());
            lhs = node(DurationOp::Binary(op, lhs, rhs), range);
        }
        Ok(lhs)
    }

    fn duration_operand(&mut self) -> Parsed<DurationNode> {
        match self.peek()? {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number()?;
                if duration_out_of_range(number.value) {
                    return mistake(number.range, "duration out of range");
                }
                Ok(DurationNode::Number(number))
            }
            TokenKind::Operator(sign @ (Operator::Add | Operator::Sub)) => {
                let sign_range = range_of(self.advance()?);
                self.enter()?;
                let operand = self.duration_expression(Operator::Pow.precedence())?;
                self.leave();
                self.signed(sign, sign_range, operand)
            }
            TokenKind::LeftParen => {
                let start = self.advance()?.position;
                self.enter()?;
                let inner = self.duration_expression(0)?;
                self.leave();
                self.expect(TokenKind::RightParen)?;
                self.require_switch(inner.range())?;
                Ok(wrapped(inner, start))
            }
            TokenKind::Preprocessor(word) => self.duration_call(word),
            _ => Err(Fail::Unexpected),
        }
    }

    fn duration_call(&mut self, word: Preprocessor) -> Parsed<DurationNode> {
        if matches!(word, Preprocessor::Start | Preprocessor::End) {
            return Err(Fail::Unexpected);
        }
        let start = self.advance()?.position;
        self.expect(TokenKind::LeftParen)?;
        let (op, range) = match word {
            Preprocessor::MaxOf | Preprocessor::MinOf => {
                self.enter()?;
                let lhs = self.duration_expression(0)?;
                self.expect(TokenKind::Comma)?;
                let rhs = self.duration_expression(0)?;
                self.leave();
                self.expect(TokenKind::RightParen)?;
                let range = lhs.range().to(rhs.range());
                match word {
                    Preprocessor::MaxOf => (DurationOp::MaxOf(lhs, rhs), range),
                    _ => (DurationOp::MinOf(lhs, rhs), range),
                }
            }
            _ => {
                let end = self.expect(TokenKind::RightParen)?.end();
                let op = match word {
                    Preprocessor::Step => DurationOp::Step,
                    _ => DurationOp::Range,
                };
                (op, PosRange::new(start, end))
            }
        };
        self.require_switch(range)?;
        Ok(node(op, range))
    }

    /// A sign before an operand; plus leaves it as it is.
    fn signed(&self, sign: Operator, sign_range: PosRange, operand: DurationNode) -> Parsed<DurationNode> {
        let negative = sign == Operator::Sub;
        match operand {
            DurationNode::Number(mut number) => {
                if negative {
                    number.value = -number.value;
                }
                if duration_out_of_range(number.value) {
                    return mistake(sign_range, "duration out of range");
                }
                number.range.start = sign_range.start;
                Ok(DurationNode::Number(number))
            }
            expr if negative => {
                let range = sign_range.to(expr.range());
                Ok(node(DurationOp::Minus(expr), range))
            }
            expr => Ok(expr),
        }
    }

    fn require_switch(&self, range: PosRange) -> Parsed<()> {
        if self.options.duration_expressions {
            Ok(())
        } else {
            mistake(range, "experimental duration expression is not enabled")
        }
    }
}

fn node(op: DurationOp, range: PosRange) -> DurationNode {
    DurationNode::Expr(Box::new(DurationExpr {
        op,
        wrapped: false,
        range,
    }))
}

/// Remembers parentheses, so that the printer writes them; a number needs an expression around it for that.
fn wrapped(inner: DurationNode, start: usize) -> DurationNode {
    let mut expr = match inner {
        DurationNode::Expr(expr) => expr,
        DurationNode::Number(number) => {
            let range = PosRange::new(start, number.range.end);
            Box::new(DurationExpr {
                op: DurationOp::Plus(DurationNode::Number(number)),
                wrapped: false,
                range,
            })
        }
    };
    expr.wrapped = true;
    DurationNode::Expr(expr)
}

fn span(node: DurationNode) -> Span {
    match node {
        DurationNode::Number(number) => Span::Nanos(seconds_to_nanos(number.value)),
        DurationNode::Expr(expr) => Span::Expr(expr),
    }
}
