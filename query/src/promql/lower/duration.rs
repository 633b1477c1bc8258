//! Durations as numbers (prometheus `promql/durations.go`). Inside a query they count whole milliseconds.

use garner_storage::model::NANOS_PER_MILLI;

use super::LowerRequest;
use crate::error::QueryError;
use crate::functions::binary::go_max;
use crate::promql::ast::{DurationExpr, DurationNode, DurationOp, Span};
use crate::promql::error::PosRange;
use crate::promql::literals::duration_out_of_range;
use crate::promql::token::Operator;

impl LowerRequest {
    /// Nanoseconds of a range or step, which must be more than nothing.
    pub(super) fn positive_ns(&self, span: &Span) -> Result<i64, QueryError> {
        self.span_ns(span, false)
    }

    /// Nanoseconds of an offset.
    pub(super) fn offset_ns(&self, span: &Span) -> Result<i64, QueryError> {
        self.span_ns(span, true)
    }

    fn span_ns(&self, span: &Span, may_be_negative: bool) -> Result<i64, QueryError> {
        let expr = match span {
            Span::Nanos(nanos) => return Ok(nanos - nanos % NANOS_PER_MILLI),
            Span::Expr(expr) => expr,
        };
        let seconds = self.evaluate(expr)?;
        if !seconds.is_finite() {
            return refuse(expr.range, "duration is NaN or infinite");
        }
        if seconds <= 0.0 && !may_be_negative {
            return refuse(expr.range, "duration must be greater than 0");
        }
        if duration_out_of_range(seconds) {
            return refuse(expr.range, "duration is out of range");
        }
        Ok(((seconds * 1000.0) as i64).saturating_mul(NANOS_PER_MILLI))
    }

    fn evaluate(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.op {
            DurationOp::Step => self.step_seconds(),
            DurationOp::Range => self.range_seconds(),
            DurationOp::Plus(operand) => self.operand(operand)?,
            DurationOp::Minus(operand) => -self.operand(operand)?,
            DurationOp::MinOf(lhs, rhs) => -go_max(-self.operand(lhs)?, -self.operand(rhs)?),
            DurationOp::MaxOf(lhs, rhs) => go_max(self.operand(lhs)?, self.operand(rhs)?),
            DurationOp::Binary(op, lhs, rhs) => {
                let (lhs, rhs) = (self.operand(lhs)?, self.operand(rhs)?);
                match op {
                    Operator::Add => lhs + rhs,
                    Operator::Sub => lhs - rhs,
                    Operator::Mul => lhs * rhs,
                    Operator::Div if rhs == 0.0 => return refuse(expr.range, "division by zero"),
                    Operator::Div => lhs / rhs,
                    Operator::Mod if rhs == 0.0 => return refuse(expr.range, "modulo by zero"),
                    Operator::Mod => lhs % rhs,
                    Operator::Pow => lhs.powf(rhs),
                    other => {
                        let message = format!("unexpected duration expression operator {:?}", other.as_str());
                        return Err(QueryError::bad_data(message));
                    }
                }
            }
        })
    }

    fn operand(&self, node: &DurationNode) -> Result<f64, QueryError> {
        match node {
            DurationNode::Number(number) => Ok(number.value),
            DurationNode::Expr(expr) => self.evaluate(expr),
        }
    }
}

/// Upstream names the place of a duration by its first byte and the one after its last.
fn refuse<T>(range: PosRange, message: &str) -> Result<T, QueryError> {
    Err(QueryError::bad_data(format!(
        "{}:{}: {message}",
        range.start, range.end
    )))
}
