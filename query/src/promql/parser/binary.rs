//! Binary operators with their precedence and modifiers.

use super::expr::starts_expression;
use super::state::{Built, Fail, Parsed, Parser, mistake};
use crate::promql::ast::{BinaryExpr, Cardinality, Expr, VectorMatching};
use crate::promql::token::{Keyword, Operator, TokenKind};

impl Parser<'_> {
    /// An expression whose operators all bind at least as tightly as `min`.
    pub fn expression(&mut self, min: u8) -> Parsed<Built> {
        self.enter()?;
        let mut lhs = self.operand()?;
        while let TokenKind::Operator(op) = self.peek()? {
            let precedence = op.precedence();
            if precedence < min {
                break;
            }
            self.advance()?;
            let (return_bool, matching) = self.binary_modifiers()?;
            // Only `^` associates to the right.
            let right_min = precedence + u8::from(op != Operator::Pow);
            let rhs = self.expression(right_min)?;
            let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
            let height = lhs.height.max(rhs.height);
            let binary = Expr::Binary(Box::new(BinaryExpr {
                op,
                lhs: lhs.expr,
                rhs: rhs.expr,
                matching: Some(matching),
                return_bool,
            }));
            if filled && !self.options.fill_modifiers {
                return mistake(binary.range(), "binop fill modifiers are experimental and not enabled");
            }
            lhs = self.build(binary, height)?;
        }
        self.leave();
        Ok(lhs)
    }

    fn binary_modifiers(&mut self) -> Parsed<(bool, VectorMatching)> {
        let mut matching = VectorMatching::default();
        let return_bool = self.peek()? == TokenKind::Keyword(Keyword::Bool);
        if return_bool {
            self.advance()?;
        }
        if let TokenKind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek()? {
            self.advance()?;
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let TokenKind::Keyword(word @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek()? {
                self.advance()?;
                matching.cardinality = match word {
                    Keyword::GroupLeft => Cardinality::ManyToOne,
                    _ => Cardinality::OneToMany,
                };
                matching.include = self.included_labels()?;
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok((return_bool, matching))
    }

    /// Labels in parentheses, if a parenthesis follows: it is never taken for the start of the operand.
    fn included_labels(&mut self) -> Parsed<Vec<String>> {
        match self.peek()? {
            TokenKind::LeftParen => self.grouping_labels(),
            kind if starts_expression(kind) => Ok(Vec::new()),
            _ => self.told(Err(Fail::Unexpected), "grouping opts", "\"(\""),
        }
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        match self.peek()? {
            TokenKind::Keyword(Keyword::Fill) => {
                let value = self.fill_value()?;
                matching.fill_left = Some(value);
                matching.fill_right = Some(value);
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()? == TokenKind::Keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()? == TokenKind::Keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The fill word at hand with its value.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.advance()?;
        self.expect(TokenKind::LeftParen)?;
        let negative = match self.peek()? {
            TokenKind::Operator(sign @ (Operator::Add | Operator::Sub)) => {
                self.advance()?;
                sign == Operator::Sub
            }
            _ => false,
        };
        let value = self.number()?.value;
        self.expect(TokenKind::RightParen)?;
        Ok(if negative { -value } else { value })
    }
}
