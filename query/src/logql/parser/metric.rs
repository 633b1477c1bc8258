//! Everything that yields numbers: range functions, aggregations, operators, literals, label_replace.

use super::cursor::Cursor;
use super::label_filter::literal;
use super::log::{log_expr, log_range};
use crate::goregex;
use crate::logql::ast::{
    BinaryModifier, BinaryOp, Cardinality, Grouping, LogExpr, LogRange, MetricExpr, RangeOp, VectorOp,
};
use crate::logql::error::ParseError;
use crate::logql::token::Token;
use crate::logql::units;

/// What an expression turned out to be.
pub(super) enum Parsed {
    Log(LogExpr),
    Metric(MetricExpr),
}

/// An expression whose operators bind at least as strongly as `binding`.
pub(super) fn parse_expr(cursor: &mut Cursor, binding: u8) -> Result<Parsed, ParseError> {
    cursor.nested(|cursor| {
        let mut left = primary(cursor)?;
        while let Some((op, strength)) = binary_op(cursor)? {
            if strength < binding {
                break;
            }
            cursor.count_operator()?;
            cursor.advance();
            let modifier = binary_modifier(cursor)?;
            // Only the power operator groups to the right.
            let right = parse_expr(cursor, if op == BinaryOp::Pow { strength } else { strength + 1 })?;
            left = Parsed::Metric(binary(op, modifier, left, right));
        }
        Ok(left)
    })
}

fn binary_op(cursor: &Cursor) -> Result<Option<(BinaryOp, u8)>, ParseError> {
    let token = cursor.peek()?;
    Ok(BinaryOp::ALL
        .into_iter()
        .find(|(_, text, _)| *token == Token::Fixed(text))
        .map(|(op, _, strength)| (op, strength)))
}

fn primary(cursor: &mut Cursor) -> Result<Parsed, ParseError> {
    let function = match cursor.peek()? {
        Token::Fixed("{") => return Ok(Parsed::Log(log_expr(cursor)?)),
        Token::Fixed("(") => {
            cursor.advance();
            let inner = parse_expr(cursor, 0)?;
            cursor.expect_of(")", &[])?;
            return Ok(inner);
        }
        Token::Number(_) | Token::Fixed("+" | "-") => {
            let value = literal(cursor, &[])?;
            return Ok(Parsed::Metric(
                value.map_or_else(MetricExpr::Invalid, MetricExpr::Literal),
            ));
        }
        Token::Function(name) => *name,
        _ => return Err(cursor.unexpected(&[])),
    };
    if let Some(op) = RangeOp::from_name(function) {
        cursor.advance();
        return Ok(Parsed::Metric(range_aggregation(cursor, op)?));
    }
    if let Some(op) = VectorOp::from_name(function) {
        cursor.advance();
        return Ok(Parsed::Metric(vector_aggregation(cursor, op)?));
    }
    match function {
        "vector" => {
            cursor.advance();
            cursor.expect("(")?;
            let text = cursor.number(&["NUMBER"])?;
            cursor.expect(")")?;
            let value = units::parse_float(&text)
                .map_err(|e| ParseError::new(format!("unable to parse vectorExpr as a float: {e}")));
            Ok(Parsed::Metric(
                value.map_or_else(MetricExpr::Invalid, MetricExpr::VectorLiteral),
            ))
        }
        "label_replace" => {
            cursor.advance();
            Ok(Parsed::Metric(label_replace(cursor)?))
        }
        _ => Err(cursor.unexpected(&[])),
    }
}

/// A metric expression in front of `closing`; lines are no operand here.
fn metric_before(cursor: &mut Cursor, closing: &'static str) -> Result<MetricExpr, ParseError> {
    match parse_expr(cursor, 0)? {
        Parsed::Metric(metric) if cursor.is(closing)? => {
            cursor.advance();
            Ok(metric)
        }
        _ => Err(cursor.unexpected(&[])),
    }
}

fn range_aggregation(cursor: &mut Cursor, op: RangeOp) -> Result<MetricExpr, ParseError> {
    cursor.expect("(")?;
    let parameter = match cursor.peek()? {
        Token::Number(text) => {
            let text = text.clone();
            cursor.advance();
            cursor.expect(",")?;
            Some(text)
        }
        Token::Fixed("{" | "(") => None,
        _ => return Err(cursor.unexpected(&["NUMBER", "{", "("])),
    };
    let range = log_range(cursor)?;
    cursor.expect(")")?;
    let grouping = grouping(cursor)?;
    Ok(checked_range(op, parameter, range, grouping).unwrap_or_else(MetricExpr::Invalid))
}

fn checked_range(
    op: RangeOp,
    parameter: Option<String>,
    range: LogRange,
    grouping: Option<Grouping>,
) -> Result<MetricExpr, ParseError> {
    let name = op.as_str();
    let parameter = match parameter {
        Some(text) if op != Quantile => {
            return Err(ParseError::new(format!(
                "parameter {text} not supported for operation {name}"
            )));
        }
        Some(text) => Some(
            units::parse_float(&text)
                .map_err(|e| ParseError::new(format!("invalid parameter for operation {name}: {e}")))?,
        ),
        None if op == Quantile => {
            return Err(ParseError::new(format!("parameter required for operation {name}")));
        }
        None => None,
    };
    use RangeOp::{Absent, Bytes, BytesRate, Count, Quantile, Rate};
    if grouping.is_some() && !op.takes_grouping() {
        return Err(ParseError::new(format!("grouping not allowed for {name} aggregation")));
    }
    match range.unwrap {
        Some(_) if matches!(op, Bytes | BytesRate | Count) => {
            return Err(ParseError::new(format!("invalid aggregation {name} with unwrap")));
        }
        None if !matches!(op, Bytes | BytesRate | Count | Rate | Absent) => {
            return Err(ParseError::new(format!("invalid aggregation {name} without unwrap")));
        }
        _ => {}
    }
    Ok(MetricExpr::Range {
        op,
        parameter,
        range: Box::new(range),
        grouping,
    })
}

fn vector_aggregation(cursor: &mut Cursor, op: VectorOp) -> Result<MetricExpr, ParseError> {
    let mut by = grouping(cursor)?;
    let before = by.is_some();
    cursor.expect_of("(", if before { &["("] } else { &["(", "by", "without"] })?;
    let mut parameter = None;
    if let Token::Number(text) = cursor.peek()?
        && cursor.peek_second() == Some(&Token::Fixed(","))
    {
        parameter = Some(text.clone());
        cursor.advance();
        cursor.advance();
    }
    let inner = metric_before(cursor, ")")?;
    if !before {
        by = grouping(cursor)?;
    }
    Ok(checked_vector(op, parameter, inner, by).unwrap_or_else(MetricExpr::Invalid))
}

fn checked_vector(
    op: VectorOp,
    parameter: Option<String>,
    inner: MetricExpr,
    grouping: Option<Grouping>,
) -> Result<MetricExpr, ParseError> {
    let name = op.as_str();
    let mut count = 0;
    match (&parameter, op.takes_parameter()) {
        (None, true) => return Err(ParseError::new(format!("parameter required for operation {name}"))),
        (Some(text), false) => {
            return Err(ParseError::new(format!(
                "unsupported parameter for operation {name}({text},"
            )));
        }
        (Some(text), true) => {
            let value: i64 = text
                .parse()
                .map_err(|_| ParseError::new(format!("invalid parameter {name}({text},")))?;
            count = usize::try_from(value).unwrap_or(0);
            if count == 0 {
                return Err(ParseError::new(format!(
                    "invalid parameter (must be greater than 0) {name}({text}"
                )));
            }
            if op == VectorOp::ApproxTopK && grouping.is_some() {
                return Err(ParseError::new(format!("grouping not allowed for {name} aggregation")));
            }
        }
        (None, false) => {}
    }
    Ok(MetricExpr::Vector {
        op,
        parameter: count,
        grouping: grouping.unwrap_or_default(),
        inner: Box::new(inner),
    })
}

fn grouping(cursor: &mut Cursor) -> Result<Option<Grouping>, ParseError> {
    let without = match cursor.peek()? {
        Token::Fixed("by") => false,
        Token::Fixed("without") => true,
        _ => return Ok(None),
    };
    cursor.advance();
    cursor.expect("(")?;
    let labels = label_list(cursor)?;
    Ok(Some(Grouping { without, labels }))
}

/// Names up to and with the closing parenthesis.
fn label_list(cursor: &mut Cursor) -> Result<Vec<String>, ParseError> {
    let mut labels = Vec::new();
    if cursor.accept(")")? {
        return Ok(labels);
    }
    let mut expected = ["IDENTIFIER", ")"].as_slice();
    loop {
        labels.push(cursor.identifier(expected)?);
        if cursor.accept(")")? {
            return Ok(labels);
        }
        cursor.expect_of(",", &[",", ")"])?;
        expected = &["IDENTIFIER"];
    }
}

fn label_replace(cursor: &mut Cursor) -> Result<MetricExpr, ParseError> {
    cursor.expect("(")?;
    let inner = metric_before(cursor, ",")?;
    let destination = cursor.string(&["STRING"])?;
    cursor.expect(",")?;
    let replacement = cursor.string(&["STRING"])?;
    cursor.expect(",")?;
    let source = cursor.string(&["STRING"])?;
    cursor.expect(",")?;
    let pattern = cursor.string(&["STRING"])?;
    cursor.expect(")")?;
    if let Err(error) = goregex::check(&format!("^(?:{pattern})$")) {
        return Ok(MetricExpr::Invalid(ParseError::new(format!(
            "invalid regex in label_replace: {error}"
        ))));
    }
    Ok(MetricExpr::LabelReplace {
        inner: Box::new(inner),
        destination,
        replacement,
        source,
        pattern,
    })
}

fn binary_modifier(cursor: &mut Cursor) -> Result<BinaryModifier, ParseError> {
    let mut modifier = BinaryModifier {
        return_bool: cursor.accept("bool")?,
        ..BinaryModifier::default()
    };
    modifier.on = cursor.is("on")?;
    if !modifier.on && !cursor.is("ignoring")? {
        return Ok(modifier);
    }
    cursor.advance();
    cursor.expect("(")?;
    let labels = label_list(cursor)?;
    modifier.labels = (!labels.is_empty()).then_some(labels);
    modifier.cardinality = match cursor.peek()? {
        Token::Fixed("group_left") => Cardinality::ManyToOne,
        Token::Fixed("group_right") => Cardinality::OneToMany,
        _ => return Ok(modifier),
    };
    cursor.advance();
    if cursor.accept("(")? {
        let include = label_list(cursor)?;
        modifier.include = (!include.is_empty()).then_some(include);
    }
    Ok(modifier)
}

fn binary(op: BinaryOp, modifier: BinaryModifier, left: Parsed, right: Parsed) -> MetricExpr {
    let name = op.as_str();
    let leg = |side: &str, parsed: Parsed| match parsed {
        Parsed::Metric(metric) => Ok(metric),
        Parsed::Log(log) => {
            let kind = if log.stages.is_empty() {
                "MatchersExpr"
            } else {
                "PipelineExpr"
            };
            Err(ParseError::new(format!(
                "unexpected type for {side} leg of binary operation ({name}): *syntax.{kind}"
            )))
        }
    };
    let literal_leg = |side: &str, value: f64| {
        MetricExpr::Invalid(ParseError::new(format!(
            "unexpected literal for {side} leg of logical/set binary operation ({name}): {value:.6}"
        )))
    };
    let left = match leg("left", left) {
        Ok(metric) => metric,
        Err(error) => return MetricExpr::Invalid(error),
    };
    let right = match leg("right", right) {
        Ok(metric) => metric,
        Err(error) => return MetricExpr::Invalid(error),
    };
    match (&left, &right) {
        // What is wrong with a leg was noticed before the operator was looked at.
        (MetricExpr::Invalid(_), _) => left,
        (_, MetricExpr::Invalid(_)) => right,
        (MetricExpr::Literal(value), _) if op.is_set() => literal_leg("left", *value),
        (_, MetricExpr::Literal(value)) if op.is_set() => literal_leg("right", *value),
        (MetricExpr::Literal(a), MetricExpr::Literal(b)) => MetricExpr::Literal(fold(op, *a, *b)),
        _ => MetricExpr::Binary {
            op,
            modifier,
            left: Box::new(left),
            right: Box::new(right),
        },
    }
}

/// Two literals are one. Division and modulo by zero give NaN in LogQL.
pub(crate) fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}
