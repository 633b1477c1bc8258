//! `info(v, {…})`: which info series are joined, and as of when (prometheus promql/info.go).

use garner_storage::model::{LabelMatcher, METRIC_NAME, MatchOp, Timestamp};

use super::LowerRequest;
use super::expr::{Lowered, lower_part};
use crate::error::QueryError;
use crate::plan::{InfoNode, VectorPlan};
use crate::promql::ast::{Call, Expr, SubqueryExpr, VectorSelector};

/// The info metric where none is named.
const TARGET_INFO: &str = "target_info";

/// Lowers a call of `info`.
pub(super) fn lower_info(request: &LowerRequest, call: &Call) -> Result<Lowered, QueryError> {
    let Some(first) = call.args.first() else {
        return Err(QueryError::internal("a call of info lacks an argument"));
    };
    let input = lower_part(request, first)?;
    let selector = match call.args.get(1).map(Expr::unwrap_parens) {
        Some(Expr::Vector(selector)) => Some(&**selector),
        _ => None,
    };
    let (at_ns, offset_ns) = reference_time(request, first)?;
    let matchers = selector.map_or(&[][..], |s| &s.matchers[..]);
    let (names, data): (Vec<_>, Vec<_>) = matchers.iter().cloned().partition(|m| m.name() == METRIC_NAME);
    let fixed = input.fixed && selector.is_none_or(|s| s.at.is_some());
    let node = InfoNode {
        input: Box::new(if fixed { input.plan } else { input.wrapped() }),
        matchers: effective_names(names)?.into_iter().chain(data).collect(),
        offset_ns,
        at_ns,
    };
    Ok(Lowered::fixed_if(VectorPlan::Info(node), fixed))
}

/// The matchers on names that are in force: where all are negative, only what ends in `_info` is an info metric.
fn effective_names(mut names: Vec<LabelMatcher>) -> Result<Vec<LabelMatcher>, QueryError> {
    let matcher =
        |op, value| LabelMatcher::new(METRIC_NAME, op, value).map_err(|e| QueryError::internal(e.to_string()));
    if names.is_empty() {
        names.push(matcher(MatchOp::Equal, TARGET_INFO)?);
    } else if !names.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex)) {
        names.insert(0, matcher(MatchOp::Regex, ".+_info")?);
    }
    Ok(names)
}

/// The time of the first selector in `expr`: the innermost `@` on the way to it, and the offsets up to there.
fn reference_time(request: &LowerRequest, expr: &Expr) -> Result<(Option<Timestamp>, i64), QueryError> {
    let mut around = Vec::new();
    let Some(selector) = first_selector(expr, &mut around) else {
        return Ok((None, 0));
    };
    let mut at = selector.at;
    let mut offset_ns = request.offset_ns(&selector.offset)?;
    for subquery in around.iter().rev() {
        if at.is_some() {
            break;
        }
        offset_ns = offset_ns.saturating_add(request.offset_ns(&subquery.offset)?);
        at = subquery.at;
    }
    Ok((at.map(|at| request.at_ns(at)), offset_ns))
}

/// The first selector in the order of the text's tree, with the subqueries around it, outermost first.
fn first_selector<'a>(expr: &'a Expr, around: &mut Vec<&'a SubqueryExpr>) -> Option<&'a VectorSelector> {
    match expr {
        Expr::Vector(selector) => Some(selector),
        Expr::Matrix(matrix) => Some(&matrix.selector),
        Expr::Paren(paren) => first_selector(&paren.expr, around),
        Expr::Unary(unary) => first_selector(&unary.expr, around),
        Expr::Subquery(subquery) => {
            around.push(subquery);
            let found = first_selector(&subquery.expr, around);
            if found.is_none() {
                around.pop();
            }
            found
        }
        Expr::Binary(binary) => first_selector(&binary.lhs, around).or_else(|| first_selector(&binary.rhs, around)),
        Expr::Aggregate(aggregate) => first_selector(&aggregate.expr, around)
            .or_else(|| aggregate.param.as_ref().and_then(|param| first_selector(param, around))),
        Expr::Call(call) => call.args.iter().find_map(|arg| first_selector(arg, around)),
        Expr::Number(_) | Expr::String(_) => None,
    }
}
