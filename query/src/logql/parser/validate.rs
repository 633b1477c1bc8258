//! Checks that need the whole tree, in the order Loki makes them.

use crate::logql::ast::{Expr, Matcher, MetricExpr, VectorOp};
use crate::logql::error::ParseError;
use crate::logql::matchers;

/// Where every stream would be read.
pub const NO_SELECTIVE_MATCHER: &str = "queries require at least one regexp or equality matcher that does not have an \
    empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

pub(super) fn validate(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => selective(&log.matchers),
        Expr::Metric(metric) => validate_metric(metric),
    }
}

fn validate_metric(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Invalid(error) => Err(error.clone()),
        MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => Ok(()),
        MetricExpr::Range { range, .. } => selective(&range.log.matchers),
        MetricExpr::LabelReplace { inner, .. } => validate_metric(inner),
        MetricExpr::Binary { left, right, .. } => {
            validate_metric(left)?;
            validate_metric(right)
        }
        MetricExpr::Vector {
            op, grouping, inner, ..
        } => {
            if matches!(op, VectorOp::Sort | VectorOp::SortDesc) && !grouping.labels.is_empty() {
                return Err(ParseError::new("sort and sort_desc doesn't allow grouping by "));
            }
            validate_metric(inner)
        }
    }
}

/// At least one matcher must refuse a stream that lacks its label, or the query would read everything.
fn selective(matchers: &[Matcher]) -> Result<(), ParseError> {
    for matcher in matchers {
        if !matchers::compile(matcher)?.matches_absent() {
            return Ok(());
        }
    }
    Err(ParseError::new(NO_SELECTIVE_MATCHER))
}
