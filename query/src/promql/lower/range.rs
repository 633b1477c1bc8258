//! Range selectors and subqueries, as arguments of functions or as the whole query.

use garner_storage::model::NANOS_PER_MILLI;

use super::LowerRequest;
use super::expr::{invariant, lower_part, plan_span};
use crate::error::QueryError;
use crate::functions::RangeFunction;
use crate::functions::window::Reach;
use crate::plan::{RawRange, SamplesNode, Select, SubqueryNode, VectorPlan};
use crate::promql::ast::{Expr, MatrixSelector, SubqueryExpr};
use crate::promql::error::PosRange;

/// Functions that may be applied to windows with samples from outside of their bounds, sorted (prometheus
/// `promql/functions.go`, `AnchoredSafeFunctions` and `SmoothedSafeFunctions`).
const ANCHORED_SAFE: &[&str] = &["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED_SAFE: &[&str] = &["delta", "increase", "rate"];

/// A function over `arg`, which is a range selector or a subquery.
pub(super) fn over_windows(
    request: &LowerRequest,
    name: &str,
    function: RangeFunction,
    arg: &Expr,
    params: Vec<VectorPlan>,
) -> Result<VectorPlan, QueryError> {
    match arg.unwrap_parens() {
        Expr::Matrix(matrix) => {
            check_extended(matrix, name)?;
            Ok(VectorPlan::Samples(samples(request, matrix, function, params)?))
        }
        Expr::Subquery(inner) => Ok(VectorPlan::Subquery(subquery(request, inner, function, params)?)),
        other => Err(QueryError::internal(format!(
            "a range vector was expected at byte {} of the query",
            other.range().start
        ))),
    }
}

/// A range vector whose samples are the answer.
pub(super) fn raw(request: &LowerRequest, expr: &Expr) -> Result<VectorPlan, QueryError> {
    // The function is not used: samples come out as they are.
    let function = RangeFunction::LastOverTime;
    match expr {
        Expr::Subquery(inner) => {
            let node = subquery(request, inner, function, Vec::new())?;
            Ok(VectorPlan::Matrix(RawRange::Subquery(node)))
        }
        Expr::Matrix(matrix) => {
            let node = samples(request, matrix, function, Vec::new())?;
            Ok(VectorPlan::Matrix(RawRange::Samples(node)))
        }
        other => Err(QueryError::internal(format!("{other} is no range vector"))),
    }
}

fn samples(
    request: &LowerRequest,
    matrix: &MatrixSelector,
    function: RangeFunction,
    params: Vec<VectorPlan>,
) -> Result<SamplesNode, QueryError> {
    let selector = &matrix.selector;
    Ok(SamplesNode {
        matchers: selector.matchers.clone(),
        offset_ns: request.offset_ns(&selector.offset)?,
        at_ns: selector.at.map(|at| request.at_ns(at)),
        select: Select::Range {
            range_ns: request.positive_ns(&matrix.window)?,
            reach: match (selector.anchored, selector.smoothed) {
                (true, _) => Reach::Anchored,
                (false, true) => Reach::Smoothed,
                (false, false) => Reach::Inside,
            },
            function,
            params,
        },
        counts_only: request.counts_only(),
        span: plan_span(selector.range),
    })
}

fn subquery(
    request: &LowerRequest,
    subquery: &SubqueryExpr,
    function: RangeFunction,
    params: Vec<VectorPlan>,
) -> Result<SubqueryNode, QueryError> {
    let offset_ns = request.offset_ns(&subquery.offset)?;
    let step_ns = match &subquery.step {
        // A step below the resolution of times would be no step at all.
        Some(step) => request.positive_ns(step)?.max(NANOS_PER_MILLI),
        None => request.default_subquery_step_ns,
    };
    let range_ns = request.positive_ns(&subquery.window)?;
    let inner = lower_part(&request.reading_buckets(), &subquery.expr)?;
    let input = if inner.fixed { invariant(inner.plan) } else { inner.plan };
    let start = subquery.expr.range().start;
    Ok(SubqueryNode {
        input: Box::new(input),
        range_ns,
        step_ns,
        offset_ns,
        at_ns: subquery.at.map(|at| request.at_ns(at)),
        function,
        params,
        span: plan_span(PosRange::new(start, subquery.end)),
    })
}

fn check_extended(matrix: &MatrixSelector, name: &str) -> Result<(), QueryError> {
    let (anchored, smoothed) = (matrix.selector.anchored, matrix.selector.smoothed);
    let (word, allowed) = if anchored {
        ("anchored", ANCHORED_SAFE)
    } else {
        ("smoothed", SMOOTHED_SAFE)
    };
    if (anchored || smoothed) && !allowed.contains(&name) {
        let allowed = allowed.join(", ");
        let message = format!("{word} modifier can only be used with: {allowed} - not with {name}");
        return Err(QueryError::execution(message));
    }
    Ok(())
}

/// An error for parts of the language that have no operator yet.
pub(super) fn unsupported(what: &str) -> QueryError {
    QueryError::execution(format!("{what} is not supported yet"))
}
