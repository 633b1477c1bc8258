//! Types and other rules that the grammar does not hold (prometheus `promql/parser/parse.go`, `checkAST`).
//!
//! The first mistake is told, so the order of the checks is upstream's: children first, left to right.

use garner_storage::model::METRIC_NAME;
use garner_storage::model::go_text::go_quote;

use super::ast::{BinaryExpr, Call, Cardinality, Expr, ValueType, VectorMatching, VectorSelector};
use super::error::{Mistake, PosRange};
use super::token::Aggregator;

type Checked = Result<(), Mistake>;

/// Checks the tree of `query`, and settles how the operands of binary operators match.
pub(super) fn check(expr: &mut Expr, query: &str) -> Checked {
    match expr {
        Expr::Aggregate(aggregate) => {
            check_type(&mut aggregate.expr, query, ValueType::Vector, "aggregation expression")?;
            if let Some(param) = &mut aggregate.param {
                let wanted = match aggregate.op {
                    Aggregator::CountValues => ValueType::String,
                    _ => ValueType::Scalar,
                };
                check_type(param, query, wanted, "aggregation parameter")?;
            }
            Ok(())
        }
        Expr::Binary(binary) => {
            check(&mut binary.lhs, query)?;
            check(&mut binary.rhs, query)?;
            check_binary(binary, query)
        }
        Expr::Call(call) => check_call(call, query),
        Expr::Paren(paren) => check(&mut paren.expr, query),
        Expr::Unary(unary) => {
            check(&mut unary.expr, query)?;
            match unary.expr.value_type() {
                ValueType::Scalar | ValueType::Vector => Ok(()),
                other => {
                    let got = go_quote(other.documented().as_bytes());
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {got}"
                    );
                    Err(Mistake::new(expr.range(), message))
                }
            }
        }
        Expr::Subquery(subquery) => {
            check(&mut subquery.expr, query)?;
            match subquery.expr.value_type() {
                ValueType::Vector => Ok(()),
                other => {
                    let message = format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        other.as_str()
                    );
                    Err(Mistake::new(expr.range(), message))
                }
            }
        }
        Expr::Matrix(matrix) => check_selector(&matrix.selector, false),
        Expr::Vector(selector) => check_selector(selector, false),
        Expr::Number(_) | Expr::String(_) => Ok(()),
    }
}

fn check_type(expr: &mut Expr, query: &str, wanted: ValueType, context: &str) -> Checked {
    check(expr, query)?;
    expect_type(expr, wanted, context)
}

fn expect_type(expr: &Expr, wanted: ValueType, context: &str) -> Checked {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let (wanted, got) = (wanted.documented(), got.documented());
    Err(Mistake::new(
        expr.range(),
        format!("expected type {wanted} in {context}, got {got}"),
    ))
}

fn check_binary(binary: &mut BinaryExpr, query: &str) -> Checked {
    let (lhs, rhs) = (binary.lhs.range(), binary.rhs.range());
    let (left, right) = (binary.lhs.value_type(), binary.rhs.value_type());
    let op = binary.op;
    let whole = lhs.to(rhs);
    let refuse = |range: PosRange, message: String| Err(Mistake::new(range, message));
    let mut matching = binary.matching.take().unwrap_or_default();
    if binary.return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return refuse(operator_range(lhs, rhs, query), message.to_string());
    }
    if op.is_comparison() && !binary.return_bool && left == ValueType::Scalar && right == ValueType::Scalar {
        let message = "comparisons between scalars must use BOOL modifier";
        return refuse(operator_range(lhs, rhs, query), message.to_string());
    }
    if op.is_set() && matching.cardinality == Cardinality::OneToOne {
        matching.cardinality = Cardinality::ManyToMany;
    }
    if let Some(twice) = label_in_both_lists(&matching) {
        let twice = go_quote(twice.as_bytes());
        let message = format!("label {twice} must not occur in ON and GROUP clause at once");
        return refuse(operator_range(lhs, rhs, query), message);
    }
    for (range, side) in [(lhs, left), (rhs, right)] {
        if !matches!(side, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return refuse(range, message.to_string());
        }
    }
    let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    let quoted = go_quote(op.as_str().as_bytes());
    if left != ValueType::Vector || right != ValueType::Vector {
        if !matching.labels.is_empty() {
            return refuse(
                whole,
                "vector matching only allowed between instant vectors".to_string(),
            );
        }
        if filled {
            let message = "filling in missing series only allowed between instant vectors";
            return refuse(whole, message.to_string());
        }
        if op.is_set() {
            let message = format!("set operator {quoted} not allowed in binary scalar expression");
            return refuse(whole, message);
        }
        return Ok(());
    }
    if op.is_set() {
        if matching.cardinality != Cardinality::ManyToMany {
            return refuse(whole, format!("no grouping allowed for {quoted} operation"));
        }
        if filled {
            let message = "filling in missing series not allowed for set operators";
            return refuse(whole, message.to_string());
        }
    }
    binary.matching = Some(matching);
    Ok(())
}

/// Where the operator and its modifiers stand between the operands.
fn operator_range(lhs: PosRange, rhs: PosRange, query: &str) -> PosRange {
    let between = query.get(lhs.end..rhs.start).unwrap_or("");
    let blank = [' ', '\t', '\n', '\r'];
    let start = lhs.end + between.len() - between.trim_start_matches(blank).len();
    let end = lhs.end + between.trim_end_matches(blank).len();
    PosRange::new(start, end)
}

fn label_in_both_lists(matching: &VectorMatching) -> Option<&str> {
    let both = |label: &&String| matching.on && matching.include.contains(label);
    matching.labels.iter().find(both).map(String::as_str)
}

fn check_call(call: &mut Call, query: &str) -> Checked {
    let func = call.func;
    let (wanted, got) = (func.args.len(), call.args.len());
    let quoted = go_quote(func.name.as_bytes());
    let refuse = |message: String| Err(Mistake::new(call.range, message));
    if func.variadic == 0 {
        if wanted != got {
            return refuse(format!("expected {wanted} argument(s) in call to {quoted}, got {got}"));
        }
    } else {
        let least = wanted - 1;
        if got < least {
            return refuse(format!(
                "expected at least {least} argument(s) in call to {quoted}, got {got}"
            ));
        }
        let most = least + usize::from(func.variadic.unsigned_abs());
        if func.variadic > 0 && got > most {
            return refuse(format!(
                "expected at most {most} argument(s) in call to {quoted}, got {got}"
            ));
        }
    }
    let context = format!("call to function {quoted}");
    let info = func.name == "info";
    if info && let Some(selector) = call.args.get(1) {
        check_info_selector(selector, call.range, &context)?;
    }
    let types = func
        .args
        .iter()
        .chain(std::iter::repeat(func.args.last().unwrap_or(&ValueType::Vector)));
    for (index, (arg, wanted)) in call.args.iter_mut().zip(types).enumerate() {
        match arg {
            Expr::Vector(selector) if info && index == 1 => check_selector(selector, true)?,
            _ => check(arg, query)?,
        }
        expect_type(arg, *wanted, &context)?;
    }
    Ok(())
}

/// The second argument of `info` is a list of matchers in the clothes of a selector.
fn check_info_selector(arg: &Expr, call: PosRange, context: &str) -> Checked {
    let got = arg.value_type();
    if got != ValueType::Vector {
        let (wanted, got) = (ValueType::Vector.documented(), got.documented());
        return Err(Mistake::new(
            call,
            format!("expected type {wanted} in {context}, got {got}"),
        ));
    }
    match arg {
        Expr::Vector(selector) if selector.name.is_empty() => Ok(()),
        Expr::Vector(_) => Err(Mistake::new(
            arg.range(),
            "expected label selectors only, got vector selector instead",
        )),
        _ => Err(Mistake::new(arg.range(), "expected label selectors only")),
    }
}

fn check_selector(selector: &VectorSelector, may_match_empty: bool) -> Checked {
    if let Some((_, written)) = selector.matchers.split_last().filter(|_| !selector.name.is_empty()) {
        // The matcher for the name before the braces is the last one.
        return match written.iter().find(|m| m.name() == METRIC_NAME) {
            None => Ok(()),
            Some(second) => {
                let (first, second) = (go_quote(selector.name.as_bytes()), go_quote(second.value().as_bytes()));
                let message = format!("metric name must not be set twice: {first} or {second}");
                Err(Mistake::new(selector.range, message))
            }
        };
    }
    if may_match_empty || selector.matchers.iter().any(|m| !m.matches_absent()) {
        return Ok(());
    }
    Err(Mistake::new(
        selector.range,
        "vector selector must contain at least one non-empty matcher",
    ))
}
