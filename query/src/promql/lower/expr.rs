//! The walk over the tree.
//!
//! Beside its plan every part reports whether it has the same value at every step (`fixed`: all its selectors have an
//! `@`), and the highest fixed parts are wrapped in [`VectorPlan::StepInvariant`], as prometheus `preprocessExprHelper`
//! chooses them. What is fixed decides results and not only cost: `time()` inside a wrapped part would stand still.

use std::sync::Arc;

use garner_storage::model::go_text::go_quote;

use super::range::{raw, unsupported};
use super::{LowerRequest, call, text};
use crate::error::QueryError;
use crate::plan::{
    AggregateOp, BinaryOp, Cardinality, Grouping, Matching, SamplesNode, Select, SetOp, Span as PlanSpan, VectorPlan,
};
use crate::promql::ast::{self, AggregateExpr, BinaryExpr, Expr, ValueType, VectorSelector};
use crate::promql::error::PosRange;
use crate::promql::token::{Aggregator, Operator};

/// A lowered part of a query.
#[derive(Debug)]
pub(super) struct Lowered {
    pub plan: VectorPlan,
    /// Whether it has the same value at every step.
    pub fixed: bool,
    /// Whether evaluating it once saves anything: not so for literals.
    pub wrap: bool,
}

impl Lowered {
    pub fn fixed_if(plan: VectorPlan, fixed: bool) -> Self {
        Lowered {
            plan,
            fixed,
            wrap: fixed,
        }
    }

    pub fn literal(plan: VectorPlan) -> Self {
        Lowered {
            plan,
            fixed: true,
            wrap: false,
        }
    }

    /// The plan for a parent that is not fixed itself.
    pub fn wrapped(self) -> VectorPlan {
        if self.wrap { invariant(self.plan) } else { self.plan }
    }
}

/// The plan of a checked query. Errors are Prometheus' texts: wrong types and durations are bad data, arguments that only
/// evaluation would refuse are execution errors.
pub fn lower(expr: &Expr, request: &LowerRequest) -> Result<VectorPlan, QueryError> {
    let value_type = expr.value_type();
    if request.is_range && !matches!(value_type, ValueType::Vector | ValueType::Scalar) {
        let got = go_quote(value_type.documented().as_bytes());
        return Err(QueryError::bad_data(format!(
            "invalid expression type {got} for range query, must be Scalar or instant Vector"
        )));
    }
    match value_type {
        ValueType::String => Ok(VectorPlan::String(text::text(expr)?)),
        ValueType::Matrix => raw(request, expr.unwrap_parens()),
        ValueType::Vector | ValueType::Scalar => Ok(lower_part(request, expr)?.wrapped()),
    }
}

/// Lowers a vector or scalar.
pub(super) fn lower_part(request: &LowerRequest, expr: &Expr) -> Result<Lowered, QueryError> {
    match expr {
        Expr::Number(number) => Ok(Lowered::literal(VectorPlan::Number(number.value))),
        Expr::Paren(paren) => lower_part(request, &paren.expr),
        Expr::Unary(unary) => {
            let inner = lower_part(request, &unary.expr)?;
            Ok(match unary.negative {
                true => Lowered {
                    plan: VectorPlan::Negate(Box::new(inner.plan)),
                    ..inner
                },
                false => inner,
            })
        }
        Expr::Vector(selector) if selector.smoothed => instant(request, selector, Select::Smoothed),
        Expr::Vector(selector) => instant(request, selector, Select::Instant { lookback_ns: None }),
        Expr::Binary(binary) => lower_binary(request, binary),
        Expr::Aggregate(aggregate) => lower_aggregate(request, aggregate),
        Expr::Call(call) => call::lower_call(request, call),
        Expr::Matrix(_) | Expr::Subquery(_) | Expr::String(_) => Err(QueryError::internal(format!(
            "a vector or scalar was expected at byte {} of the query",
            expr.range().start
        ))),
    }
}

/// The newest samples of a selector's series.
pub(super) fn instant(
    request: &LowerRequest,
    selector: &VectorSelector,
    select: Select,
) -> Result<Lowered, QueryError> {
    let mut node = SamplesNode {
        matchers: selector.matchers.clone(),
        offset_ns: request.offset_ns(&selector.offset)?,
        at_ns: selector.at.map(|at| request.at_ns(at)),
        select,
        counts_only: request.counts_only(),
        span: plan_span(selector.range),
    };
    let fixed = node.at_ns.is_some();
    if fixed && matches!(node.select, Select::Timestamp { .. } | Select::StartTimestamp { .. }) {
        // Upstream overwrites the offset where `timestamp` meets an `@` (rangeEvalTimestampFunctionOverVectorSelector).
        node.offset_ns = 0;
    }
    Ok(Lowered::fixed_if(VectorPlan::Samples(node), fixed))
}

fn lower_binary(request: &LowerRequest, binary: &BinaryExpr) -> Result<Lowered, QueryError> {
    let trims = matches!(binary.op, Operator::TrimUpper | Operator::TrimLower);
    if trims && binary.lhs.value_type() == ValueType::Scalar && binary.rhs.value_type() == ValueType::Scalar {
        let op = go_quote(binary.op.as_str().as_bytes());
        return Err(QueryError::execution(format!(
            "operator {op} not allowed for Scalar operations"
        )));
    }
    let for_trimming = request.reading_buckets();
    let request = if trims { &for_trimming } else { request };
    let left = lower_part(request, &binary.lhs)?;
    let right = lower_part(request, &binary.rhs)?;
    let fixed = left.fixed && right.fixed;
    let (left, right) = match fixed {
        true => (left.plan, right.plan),
        false => (left.wrapped(), right.wrapped()),
    };
    let (left, right) = (Box::new(left), Box::new(right));
    let matching = lower_matching(binary.matching.as_ref());
    let plan = match set_op(binary.op) {
        Some(op) => VectorPlan::Set {
            op,
            matching,
            left,
            right,
        },
        None => VectorPlan::Binary {
            op: binary_op(binary.op)?,
            return_bool: binary.return_bool,
            matching,
            left,
            right,
            span: plan_span(binary.lhs.range().to(binary.rhs.range())),
        },
    };
    Ok(Lowered::fixed_if(plan, fixed))
}

fn lower_matching(matching: Option<&ast::VectorMatching>) -> Matching {
    let Some(matching) = matching else {
        return Matching::default();
    };
    Matching {
        cardinality: match matching.cardinality {
            ast::Cardinality::OneToOne => Cardinality::OneToOne,
            ast::Cardinality::ManyToOne => Cardinality::ManyToOne,
            ast::Cardinality::OneToMany => Cardinality::OneToMany,
            ast::Cardinality::ManyToMany => Cardinality::ManyToMany,
        },
        on: matching.on,
        labels: shared(&matching.labels),
        include: shared(&matching.include),
        one_side_alone: false,
        fill_left: matching.fill_left,
        fill_right: matching.fill_right,
    }
}

fn set_op(op: Operator) -> Option<SetOp> {
    match op {
        Operator::And => Some(SetOp::And),
        Operator::Or => Some(SetOp::Or),
        Operator::Unless => Some(SetOp::Unless),
        _ => None,
    }
}

fn binary_op(op: Operator) -> Result<BinaryOp, QueryError> {
    Ok(match op {
        Operator::Add => BinaryOp::Add,
        Operator::Sub => BinaryOp::Sub,
        Operator::Mul => BinaryOp::Mul,
        Operator::Div => BinaryOp::Div,
        Operator::Mod => BinaryOp::Mod,
        Operator::Pow => BinaryOp::Pow,
        Operator::Atan2 => BinaryOp::Atan2,
        Operator::Equal => BinaryOp::Eq,
        Operator::NotEqual => BinaryOp::Ne,
        Operator::Less => BinaryOp::Lt,
        Operator::LessEqual => BinaryOp::Le,
        Operator::Greater => BinaryOp::Gt,
        Operator::GreaterEqual => BinaryOp::Ge,
        Operator::TrimUpper => BinaryOp::TrimUpper,
        Operator::TrimLower => BinaryOp::TrimLower,
        Operator::And | Operator::Or | Operator::Unless => {
            return Err(unsupported(&format!("the operator {}", op.as_str())));
        }
    })
}

fn lower_aggregate(request: &LowerRequest, aggregate: &AggregateExpr) -> Result<Lowered, QueryError> {
    let op = match aggregate.op {
        Aggregator::Sum => AggregateOp::Sum,
        Aggregator::Avg => AggregateOp::Avg,
        Aggregator::Min => AggregateOp::Min,
        Aggregator::Max => AggregateOp::Max,
        Aggregator::Count => AggregateOp::Count,
        Aggregator::Group => AggregateOp::Group,
        Aggregator::Stddev => AggregateOp::Stddev,
        Aggregator::Stdvar => AggregateOp::Stdvar,
        Aggregator::Quantile => AggregateOp::Quantile,
        Aggregator::Topk => AggregateOp::TopK,
        Aggregator::Bottomk => AggregateOp::BottomK,
        Aggregator::Limitk => AggregateOp::LimitK,
        Aggregator::CountValues => AggregateOp::CountValues,
        Aggregator::LimitRatio => AggregateOp::LimitRatio,
    };
    let (mut param, mut label) = (None, None);
    let mut span = aggregate.range;
    if let Some(written) = &aggregate.param {
        span = written.unwrap_parens().range();
        if op == AggregateOp::CountValues {
            label = Some(text::value_label(written)?);
        } else {
            param = Some(Box::new(lower_part(request, written)?.wrapped()));
        }
    }
    let input = lower_part(request, &aggregate.expr)?;
    let plan = VectorPlan::Aggregate {
        op,
        grouping: Grouping {
            without: aggregate.without,
            labels: shared(&aggregate.grouping),
        },
        param,
        label,
        input: Box::new(input.plan),
        span: plan_span(span),
        places: (plan_span(aggregate.range), plan_span(aggregate.expr.range())),
    };
    // Whether the parameter is fixed does not count upstream.
    Ok(Lowered { plan, ..input })
}

pub(super) fn invariant(plan: VectorPlan) -> VectorPlan {
    VectorPlan::StepInvariant(Box::new(plan))
}

pub(super) fn plan_span(range: PosRange) -> PlanSpan {
    // Queries are shorter than four gigabytes.
    let byte = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
    PlanSpan {
        start: byte(range.start),
        end: byte(range.end),
    }
}

fn shared(labels: &[String]) -> Vec<Arc<str>> {
    labels.iter().map(|label| label.as_str().into()).collect()
}
