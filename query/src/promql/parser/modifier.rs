//! What stands behind an operand: ranges, subqueries, `offset`, `@`, `anchored` and `smoothed`.

use super::state::{Built, Fail, Parsed, Parser, mistake};
use crate::promql::ast::{At, Expr, MatrixSelector, Span, SubqueryExpr};
use crate::promql::error::PosRange;
use crate::promql::literals::format_float;
use crate::promql::token::{Keyword, Operator, Preprocessor, TokenKind};

/// Words for what a bracket or `offset` can start with.
const DURATION_WORDS: &str = "number, duration, step(), or range()";

/// Where the modifiers of an expression are kept.
struct Slots<'e> {
    at: &'e mut Option<At>,
    offset: &'e mut Span,
    end: &'e mut usize,
}

impl Parser<'_> {
    /// `primary` with all that follows it.
    pub fn modifiers(&mut self, primary: Built) -> Parsed<Built> {
        let mut built = primary;
        loop {
            match self.peek()? {
                TokenKind::LeftBracket => built = self.brackets(built)?,
                TokenKind::Keyword(Keyword::Offset) => {
                    self.advance()?;
                    let offset = self.offset_value();
                    let offset = self.told(offset, "offset", DURATION_WORDS)?;
                    self.set_offset(&mut built.expr, offset)?;
                }
                TokenKind::At => {
                    self.advance()?;
                    let at = self.at_value(built.expr.range());
                    let at = self.told(at, "@", "timestamp")?;
                    self.set_at(&mut built.expr, at)?;
                }
                TokenKind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.advance()?;
                    self.set_extended(&mut built.expr, word == Keyword::Anchored)?;
                }
                _ => return Ok(built),
            }
        }
    }

    fn brackets(&mut self, base: Built) -> Parsed<Built> {
        let open = self.advance()?.position;
        let window = self.duration_expression(0);
        let window = self.told(window, "subquery or range selector", DURATION_WORDS)?;
        let window = self.positive_span(window)?;
        match self.peek()? {
            TokenKind::RightBracket => self.matrix(base, window, open),
            TokenKind::Colon => self.subquery(base, window),
            _ => self.told(Err(Fail::Unexpected), "subquery or range", "\":\" or \"]\""),
        }
    }

    fn matrix(&mut self, base: Built, window: Span, open: usize) -> Parsed<Built> {
        let end = self.advance()?.end();
        let refused = match base.expr {
            Expr::Vector(selector) if selector.offset.is_zero() && selector.at.is_none() => {
                let selector = *selector;
                let matrix = MatrixSelector { selector, window, end };
                return self.build(Expr::Matrix(Box::new(matrix)), 1);
            }
            Expr::Vector(selector) if !selector.offset.is_zero() => "no offset modifiers allowed before range",
            Expr::Vector(_) => "no @ modifiers allowed before range",
            _ => "ranges only allowed for vector selectors",
        };
        mistake(PosRange::new(open, end), refused)
    }

    fn subquery(&mut self, base: Built, window: Span) -> Parsed<Built> {
        self.advance()?;
        let mut step = None;
        if self.peek()? != TokenKind::RightBracket {
            let written = self.duration_expression(0);
            let written = self.told(
                written,
                "subquery selector",
                "number, duration, step(), range(), or \"]\"",
            )?;
            step = Some(self.positive_span(written)?);
        }
        let close = self.expect(TokenKind::RightBracket);
        let end = self.told(close, "subquery selector", "\"]\"")?.end();
        let subquery = SubqueryExpr {
            expr: base.expr,
            window,
            step,
            at: None,
            offset: Span::ZERO,
            end,
        };
        self.build(Expr::Subquery(Box::new(subquery)), base.height)
    }

    fn set_offset(&self, expr: &mut Expr, offset: Span) -> Parsed<()> {
        let range = expr.range();
        let Some(slots) = slots(expr) else {
            return mistake(
                range,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if !slots.offset.is_zero() {
            return mistake(range, "offset may not be set multiple times");
        }
        *slots.offset = offset;
        *slots.end = self.last_closing;
        Ok(())
    }

    /// What follows `@`; `range` is where the expression before it stands.
    fn at_value(&mut self, range: PosRange) -> Parsed<At> {
        if let TokenKind::Preprocessor(word @ (Preprocessor::Start | Preprocessor::End)) = self.peek()? {
            self.advance()?;
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            return Ok(if word == Preprocessor::Start {
                At::Start
            } else {
                At::End
            });
        }
        let mut negative = false;
        if let TokenKind::Operator(sign @ (Operator::Add | Operator::Sub)) = self.peek()? {
            self.advance()?;
            negative = sign == Operator::Sub;
        }
        let value = self.number()?.value;
        let seconds = if negative { -value } else { value };
        // The bounds are those of 64-bit integers, in seconds, as upstream has them.
        if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
            let shown = if seconds.is_finite() {
                format!("{seconds:.6}")
            } else {
                format_float(seconds)
            };
            return mistake(range, format!("timestamp out of bounds for @ modifier: {shown}"));
        }
        Ok(At::Millis((seconds * 1000.0).round() as i64))
    }

    fn set_at(&self, expr: &mut Expr, at: At) -> Parsed<()> {
        let range = expr.range();
        let Some(slots) = slots(expr) else {
            return mistake(
                range,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if slots.at.is_some() {
            return mistake(range, "@ <timestamp> may not be set multiple times");
        }
        *slots.at = Some(at);
        *slots.end = self.last_closing;
        Ok(())
    }

    fn set_extended(&self, expr: &mut Expr, anchored: bool) -> Parsed<()> {
        let range = expr.range();
        let word = if anchored { "anchored" } else { "smoothed" };
        if !self.options.extended_range_selectors {
            return mistake(range, format!("{word} modifier is experimental and not enabled"));
        }
        let selector = match expr {
            Expr::Vector(selector) => selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                return mistake(range, format!("{word} modifier is not supported for subqueries"));
            }
            _ => return mistake(range, format!("{word} modifier not implemented")),
        };
        selector.anchored |= anchored;
        selector.smoothed |= !anchored;
        if selector.anchored && selector.smoothed {
            return mistake(range, "anchored and smoothed modifiers cannot be used together");
        }
        Ok(())
    }
}

fn slots(expr: &mut Expr) -> Option<Slots<'_>> {
    let (at, offset, end) = match expr {
        Expr::Vector(e) => (&mut e.at, &mut e.offset, &mut e.range.end),
        Expr::Matrix(e) => (&mut e.selector.at, &mut e.selector.offset, &mut e.end),
        Expr::Subquery(e) => (&mut e.at, &mut e.offset, &mut e.end),
        _ => return None,
    };
    Some(Slots { at, offset, end })
}
