//! Syntax tree to text (prometheus `promql/parser/printer.go`): what is printed parses to the same tree.

use std::fmt::{self, Display, Formatter};

use garner_storage::model::go_text::go_quote;
use garner_storage::model::{LabelMatcher, METRIC_NAME, MatchOp};

use super::ast::{
    AggregateExpr, At, BinaryExpr, Cardinality, DurationExpr, DurationNode, DurationOp, Expr, NumberLiteral, Span,
    SubqueryExpr, VectorSelector,
};
use super::literals::{format_duration, format_float, seconds_to_nanos};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Aggregate(e) => {
                write!(f, "{}(", AggregateHead(e))?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Expr::Binary(e) => write!(f, "{} {} {}", e.lhs, BinaryHead(e), e.rhs),
            Expr::Call(e) => {
                write!(f, "{}(", e.func.name)?;
                for (index, arg) in e.args.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{arg}")?;
                }
                f.write_str(")")
            }
            Expr::Matrix(e) => {
                write_series(f, &e.selector)?;
                write!(f, "[{}]", e.window)?;
                write_extended(f, &e.selector)?;
                write_at(f, e.selector.at)?;
                write_offset(f, &e.selector.offset)
            }
            Expr::Number(e) => e.fmt(f),
            Expr::Paren(e) => write!(f, "({})", e.expr),
            Expr::String(e) => f.write_str(&quoted(&e.value)),
            Expr::Subquery(e) => write!(f, "{}{}", e.expr, SubqueryTail(e)),
            Expr::Unary(e) => write!(f, "{}{}", if e.negative { "-" } else { "+" }, e.expr),
            Expr::Vector(e) => {
                write_series(f, e)?;
                write_at(f, e.at)?;
                write_extended(f, e)?;
                write_offset(f, &e.offset)
            }
        }
    }
}

/// `sum by (a) `: an aggregation up to its arguments.
pub(super) struct AggregateHead<'a>(pub &'a AggregateExpr);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let AggregateExpr {
            op, grouping, without, ..
        } = self.0;
        f.write_str(op.as_str())?;
        if *without || !grouping.is_empty() {
            f.write_str(if *without { " without (" } else { " by (" })?;
            write_labels(f, grouping)?;
            f.write_str(") ")?;
        }
        Ok(())
    }
}

/// `== bool on (a)`: a binary operator with its modifiers.
pub(super) struct BinaryHead<'a>(pub &'a BinaryExpr);

impl Display for BinaryHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        let Some(matching) = &self.0.matching else {
            return Ok(());
        };
        let group = match matching.cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !matching.labels.is_empty() || matching.on || group.is_some() {
            f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
            write_labels(f, &matching.labels)?;
            f.write_str(")")?;
        }
        if let Some(side) = group {
            write!(f, " group_{side} (")?;
            write_labels(f, &matching.include)?;
            f.write_str(")")?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_float(left)),
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", format_float(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", format_float(right))?;
                }
                Ok(())
            }
        }
    }
}

/// `[1h:5m] @ 1 offset 1m`: a subquery from its brackets on.
pub(super) struct SubqueryTail<'a>(pub &'a SubqueryExpr);

impl Display for SubqueryTail<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.window)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        f.write_str("]")?;
        write_at(f, self.0.at)?;
        write_offset(f, &self.0.offset)
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            f.write_str(&format_duration(seconds_to_nanos(self.value)))
        } else {
            f.write_str(&format_float(self.value))
        }
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Span::Nanos(nanos) => f.write_str(&format_duration(*nanos)),
            Span::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationNode::Number(number) => number.fmt(f),
            DurationNode::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.op {
            DurationOp::Step => f.write_str("step()")?,
            DurationOp::Range => f.write_str("range()")?,
            DurationOp::Plus(operand) => operand.fmt(f)?,
            DurationOp::Minus(operand) => write!(f, "-{operand}")?,
            DurationOp::MinOf(lhs, rhs) => write!(f, "min_of({lhs}, {rhs})")?,
            DurationOp::MaxOf(lhs, rhs) => write!(f, "max_of({lhs}, {rhs})")?,
            DurationOp::Binary(op, lhs, rhs) => write!(f, "{lhs} {} {rhs}", op.as_str())?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Name and matchers, sorted as text; the matcher that only repeats the name is left out.
fn write_series(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(&selector.name)?;
    let repeats_name = |m: &LabelMatcher| {
        m.name() == METRIC_NAME && m.op() == MatchOp::Equal && m.value() == selector.name && !m.value().is_empty()
    };
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|m| !repeats_name(m))
        .map(format_matcher)
        .collect();
    if !matchers.is_empty() || (selector.name.is_empty() && selector.matchers.is_empty()) {
        matchers.sort_unstable();
        write!(f, "{{{}}}", matchers.join(","))?;
    }
    Ok(())
}

/// `name="value"` as Prometheus writes a matcher.
pub fn format_matcher(matcher: &LabelMatcher) -> String {
    let value = quoted(matcher.value().as_bytes());
    format!("{}{}{value}", label_text(matcher.name()), matcher.op().as_str())
}

fn write_labels(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{}", label_text(label))?;
    }
    Ok(())
}

/// A label name, in quotes where it could not be written without.
fn label_text(name: &str) -> String {
    let plain =
        |(index, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit());
    if !name.is_empty() && name.bytes().enumerate().all(plain) {
        name.to_string()
    } else {
        quoted(name.as_bytes())
    }
}

fn write_extended(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(match (selector.anchored, selector.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    })
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Millis(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_offset(f: &mut Formatter<'_>, offset: &Span) -> fmt::Result {
    if offset.is_zero() {
        return Ok(());
    }
    write!(f, " offset {offset}")
}

/// In quotes that can be read again: Prometheus' lexer takes U+FFFD for bytes that are no UTF-8, so it is escaped.
fn quoted(text: &[u8]) -> String {
    go_quote(text).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}
