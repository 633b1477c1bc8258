//! `/api/v1/format_query` and `/api/v1/parse_query`: a query printed for reading, and as a tree.
//!
//! The tree has the shape of prometheus `web/api/v1/translate_ast.go`.

use axum::response::Response;
use garner_query::promql::ast::{At, Cardinality, DurationNode, DurationOp, Expr, NumberLiteral, Span, VectorSelector};
use garner_query::promql::{ParseOptions, format_float, parse_expr, prettify};
use garner_storage::model::{LabelMatcher, NANOS_PER_MILLI};
use serde_json::{Value, json};

use super::params::invalid;
use crate::error::{Failure, JsonFailure};
use crate::params::Params;
use crate::server::{Ask, prometheus_json};

/// `/api/v1/format_query`
pub async fn format_query(ask: Ask) -> Result<Response, JsonFailure> {
    Ok(success(prettify(&parsed(&ask.params)?).into()))
}

/// `/api/v1/parse_query`
pub async fn parse_query(ask: Ask) -> Result<Response, JsonFailure> {
    Ok(success(tree(&parsed(&ask.params)?)))
}

fn parsed(params: &Params) -> Result<Expr, Failure> {
    parse_expr(params.get("query"), &ParseOptions::default()).map_err(|error| invalid("query", error))
}

/// An answer with this `data`.
pub(super) fn success(data: Value) -> Response {
    prometheus_json(json!({"status": "success", "data": data}).to_string())
}

fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Aggregate(e) => json!({
            "type": "aggregation",
            "op": e.op.as_str(),
            "expr": tree(&e.expr),
            "param": e.param.as_ref().map(tree),
            "grouping": e.grouping,
            "without": e.without,
        }),
        Expr::Binary(e) => json!({
            "type": "binaryExpr",
            "op": e.op.as_str(),
            "lhs": tree(&e.lhs),
            "rhs": tree(&e.rhs),
            "matching": e.matching.as_ref().map(|m| json!({
                "card": cardinality(m.cardinality),
                "labels": m.labels,
                "on": m.on,
                "include": m.include,
                "fillValues": {"lhs": m.fill_left, "rhs": m.fill_right},
            })),
            "bool": e.return_bool,
        }),
        Expr::Call(e) => json!({
            "type": "call",
            "func": {
                "name": e.func.name,
                "argTypes": e.func.args.iter().map(|t| t.as_str()).collect::<Vec<_>>(),
                "variadic": e.func.variadic,
                "returnType": e.func.returns.as_str(),
            },
            "args": e.args.iter().map(tree).collect::<Vec<_>>(),
        }),
        Expr::Matrix(e) => {
            let mut value = selector("matrixSelector", &e.selector);
            value["range"] = millis(&e.window);
            value["rangeExpr"] = expression(&e.window);
            value
        }
        Expr::Subquery(e) => json!({
            "type": "subquery",
            "expr": tree(&e.expr),
            "range": millis(&e.window),
            "rangeExpr": expression(&e.window),
            "offset": millis(&e.offset),
            "offsetExpr": expression(&e.offset),
            "step": e.step.as_ref().map_or(json!(0), millis),
            "stepExpr": e.step.as_ref().map_or(Value::Null, expression),
            "timestamp": timestamp(e.at),
            "startOrEnd": start_or_end(e.at),
        }),
        Expr::Number(e) => json!({"type": "numberLiteral", "val": format_float(e.value)}),
        Expr::Paren(e) => json!({"type": "parenExpr", "expr": tree(&e.expr)}),
        Expr::String(e) => json!({"type": "stringLiteral", "val": String::from_utf8_lossy(&e.value)}),
        Expr::Unary(e) => json!({
            "type": "unaryExpr",
            "op": if e.negative { "-" } else { "+" },
            "expr": tree(&e.expr),
        }),
        Expr::Vector(e) => selector("vectorSelector", e),
    }
}

fn selector(kind: &str, selector: &VectorSelector) -> Value {
    json!({
        "type": kind,
        "name": selector.name,
        "offset": millis(&selector.offset),
        "offsetExpr": expression(&selector.offset),
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp(selector.at),
        "startOrEnd": start_or_end(selector.at),
        "anchored": selector.anchored,
        "smoothed": selector.smoothed,
    })
}

fn matcher(matcher: &LabelMatcher) -> Value {
    json!({"name": matcher.name(), "value": matcher.value(), "type": matcher.op().as_str()})
}

fn cardinality(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    }
}

/// A length that is still an expression counts as none.
fn millis(span: &Span) -> Value {
    match span {
        Span::Nanos(nanos) => json!(nanos / NANOS_PER_MILLI),
        Span::Expr(_) => json!(0),
    }
}

fn expression(span: &Span) -> Value {
    match span {
        Span::Nanos(_) => Value::Null,
        Span::Expr(expr) => duration(&expr.op, expr.wrapped),
    }
}

fn duration(op: &DurationOp, wrapped: bool) -> Value {
    let (name, lhs, rhs) = match op {
        DurationOp::Step => ("step", None, None),
        DurationOp::Range => ("range", None, None),
        DurationOp::Plus(operand) => ("+", None, Some(operand)),
        DurationOp::Minus(operand) => ("-", None, Some(operand)),
        DurationOp::MinOf(lhs, rhs) => ("min_of", Some(lhs), Some(rhs)),
        DurationOp::MaxOf(lhs, rhs) => ("max_of", Some(lhs), Some(rhs)),
        DurationOp::Binary(op, lhs, rhs) => (op.as_str(), Some(lhs), Some(rhs)),
    };
    json!({
        "type": "durationExpr",
        "op": name,
        "lhs": lhs.map(operand),
        "rhs": rhs.map(operand),
        "wrapped": wrapped,
    })
}

fn operand(node: &DurationNode) -> Value {
    match node {
        DurationNode::Number(NumberLiteral { value, duration, .. }) => {
            json!({"type": "numberLiteral", "val": format_float(*value), "duration": duration})
        }
        DurationNode::Expr(expr) => duration(&expr.op, expr.wrapped),
    }
}

fn timestamp(at: Option<At>) -> Option<i64> {
    match at {
        Some(At::Millis(millis)) => Some(millis),
        _ => None,
    }
}

fn start_or_end(at: Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

/// The matchers of each selector of a query, in its order.
pub(super) fn selectors(expr: &Expr) -> Vec<Vec<LabelMatcher>> {
    let mut found = Vec::new();
    add_selectors(expr, &mut found);
    found
}

fn add_selectors(expr: &Expr, found: &mut Vec<Vec<LabelMatcher>>) {
    match expr {
        Expr::Vector(e) => found.push(e.matchers.clone()),
        Expr::Matrix(e) => found.push(e.selector.matchers.clone()),
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Aggregate(e) => {
            add_selectors(&e.expr, found);
            e.param.iter().for_each(|param| add_selectors(param, found));
        }
        Expr::Binary(e) => {
            add_selectors(&e.lhs, found);
            add_selectors(&e.rhs, found);
        }
        Expr::Call(e) => e.args.iter().for_each(|arg| add_selectors(arg, found)),
        Expr::Paren(e) => add_selectors(&e.expr, found),
        Expr::Subquery(e) => add_selectors(&e.expr, found),
        Expr::Unary(e) => add_selectors(&e.expr, found),
    }
}
