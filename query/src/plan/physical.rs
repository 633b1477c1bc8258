//! From logical nodes to operators. Plans are built directly, without a planner in between: an instant query over a few
//! series pays for the nodes it has and nothing else.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::labels::plan_label;
use super::node::{InfoNode, Quantity, SamplesNode, Select, SubqueryNode, VectorPlan};
use super::{AggregateOp, Steps};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::InstantFunction;
use crate::functions::annotate;
use crate::functions::window::{Reach, Windows};
use crate::operators::absent::Absent;
use crate::operators::aggregate::Aggregate;
use crate::operators::binary_scalar::BinaryScalar;
use crate::operators::binary_vector::BinaryVector;
use crate::operators::buckets::{BucketFunction, Buckets};
use crate::operators::collect_groups::{CollectGroups, Collected};
use crate::operators::drop_names::DropNames;
use crate::operators::exec::{OperatorExec, Plan};
use crate::operators::fold::Fold;
use crate::operators::function::{Function, ValueFunction};
use crate::operators::info::Info;
use crate::operators::limit_ratio::LimitRatio;
use crate::operators::mark_groups::MarkGroups;
use crate::operators::samples::{SampleFunction, Samples};
use crate::operators::scalar::{Scalar, ScalarExpr};
use crate::operators::set_op::SetOperation;
use crate::operators::sort::{Sort, SortKey};
use crate::operators::step_invariant::StepInvariant;
use crate::operators::stream::MemoryGuard;
use crate::operators::subquery::Subquery;
use crate::operators::topk::{Pick, TopK};
use crate::operators::unique::Unique;
use crate::plan::{SetOp, Span};
use crate::vector::labels::NameRemoval;

/// A vector as an operator, and what planning above it must know.
#[derive(Clone, Debug)]
pub struct PlannedVector {
    /// Yields the vector layout.
    pub exec: Plan,
    /// Whether two rows can have equal labels once the metric name is dropped.
    pub may_collide: bool,
}

impl PlannedVector {
    fn unique(exec: Plan) -> Self {
        PlannedVector {
            exec,
            may_collide: false,
        }
    }

    /// The same after the metric name was dropped, or marked to be.
    fn name_dropped(exec: Plan, may_collide: bool, steps: Steps, strict: bool, query: &QueryContext) -> Self {
        if query.names() == NameRemoval::Delayed {
            return PlannedVector { exec, may_collide };
        }
        if may_collide {
            PlannedVector::unique(Unique::plan(exec, steps, strict))
        } else {
            PlannedVector::unique(exec)
        }
    }

    /// The same as a whole query, without the names that were marked.
    pub fn finished(self, steps: Steps, query: &QueryContext) -> Plan {
        if query.names() == NameRemoval::AtOnce {
            return self.exec;
        }
        let exec = OperatorExec::plan(DropNames { input: self.exec });
        match self.may_collide {
            true => Unique::plan(exec, steps, false),
            false => exec,
        }
    }
}

/// Builds the operators of `plan`, which is a vector, on `steps`.
pub fn plan_vector<'a>(
    plan: &'a VectorPlan,
    steps: Steps,
    query: &'a Arc<QueryContext>,
) -> BoxFuture<'a, Result<PlannedVector, QueryError>> {
    Box::pin(async move {
        match plan {
            VectorPlan::Samples(node) => plan_samples(node, steps, query).await,
            VectorPlan::Subquery(node) => plan_subquery(node, steps, query).await,
            VectorPlan::Info(node) => plan_info(node, steps, query).await,
            VectorPlan::Leaf(leaf) => {
                let planned = leaf.plan(&steps, query).await?;
                Ok(PlannedVector {
                    exec: planned.exec,
                    may_collide: planned.may_collide,
                })
            }
            VectorPlan::Vector(scalar) => {
                let expr = plan_scalar(scalar, steps, query).await?;
                Ok(PlannedVector::unique(OperatorExec::plan(Scalar { expr, steps })))
            }
            VectorPlan::StepInvariant(input) => {
                let planned = plan_vector(input, Steps::instant(steps.start_ns), query).await?;
                Ok(PlannedVector {
                    exec: StepInvariant::plan(planned.exec, steps),
                    ..planned
                })
            }
            VectorPlan::Negate(input) => plan_function(input, ValueFunction::Negate, &[], steps, query).await,
            VectorPlan::HistogramFunction { function, input } => {
                plan_function(input, ValueFunction::Histogram(*function), &[], steps, query).await
            }
            VectorPlan::Function { function, input, args } => {
                plan_function(input, ValueFunction::Named(*function), args, steps, query).await
            }
            VectorPlan::Binary { .. } => plan_binary(plan, steps, query).await,
            VectorPlan::Set { .. } => plan_set(plan, steps, query).await,
            VectorPlan::Aggregate { .. } => plan_aggregate(plan, steps, query).await,
            VectorPlan::LabelReplace { .. } | VectorPlan::LabelJoin { .. } => plan_label(plan, steps, query).await,
            _ => plan_other(plan, steps, query).await,
        }
    })
}

/// Builds the expression of `plan`, which is a scalar, on `steps`.
pub fn plan_scalar<'a>(
    plan: &'a VectorPlan,
    steps: Steps,
    query: &'a Arc<QueryContext>,
) -> BoxFuture<'a, Result<ScalarExpr, QueryError>> {
    Box::pin(async move {
        Ok(match plan {
            VectorPlan::Number(value) => ScalarExpr::Constant(*value),
            VectorPlan::Time => ScalarExpr::Time,
            VectorPlan::Scalar(input) => ScalarExpr::Vector(plan_vector(input, steps, query).await?.exec),
            VectorPlan::Negate(input) => match plan_scalar(input, steps, query).await? {
                ScalarExpr::Constant(value) => ScalarExpr::Constant(-value),
                inner => ScalarExpr::Negate(Box::new(inner)),
            },
            VectorPlan::StepInvariant(input) => {
                let first = Steps::instant(steps.start_ns);
                match plan_scalar(input, first, query).await? {
                    ScalarExpr::Constant(value) => ScalarExpr::Constant(value),
                    inner => ScalarExpr::Invariant(first, Box::new(inner)),
                }
            }
            VectorPlan::Binary { op, left, right, .. } => {
                let left = plan_scalar(left, steps, query).await?;
                let right = plan_scalar(right, steps, query).await?;
                ScalarExpr::Binary(*op, Box::new((left, right)))
            }
            _ => return Err(QueryError::internal("a scalar was expected in the plan")),
        })
    })
}

async fn plan_scalars(
    plans: &[VectorPlan],
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<Vec<ScalarExpr>, QueryError> {
    let mut out = Vec::with_capacity(plans.len());
    for plan in plans {
        out.push(plan_scalar(plan, steps, query).await?);
    }
    Ok(out)
}

async fn plan_samples(
    node: &SamplesNode,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let lookback = |own: &Option<i64>| node.windows(steps, own.unwrap_or(query.lookback_ns()));
    let (windows, function) = match &node.select {
        Select::Instant { lookback_ns } => (lookback(lookback_ns), SampleFunction::Newest),
        Select::Timestamp { lookback_ns } => (lookback(lookback_ns), SampleFunction::NewestTime),
        Select::StartTimestamp { lookback_ns } if query.promql().use_start_timestamps => {
            (lookback(lookback_ns), SampleFunction::NewestStart)
        }
        // Where starts are not looked at, none is known (prometheus promql/functions.go, `funcStartTimestamp`).
        Select::StartTimestamp { lookback_ns } => {
            let input = SamplesNode {
                select: Select::Instant {
                    lookback_ns: *lookback_ns,
                },
                ..node.clone()
            };
            let input = VectorPlan::Samples(input);
            let function = ValueFunction::Named(InstantFunction::StartTimestamp);
            return Box::pin(plan_function(&input, function, &[], steps, query)).await;
        }
        Select::Smoothed => {
            let points = node.windows(steps, 0);
            let windows = points.reaching(Reach::Smoothed, query.lookback_ns());
            (windows, SampleFunction::Smoothed(points))
        }
        Select::Range {
            range_ns,
            reach: Reach::Inside,
            function,
            params,
        } => {
            let params = plan_scalars(params, steps, query).await?;
            let windows = node.windows(steps, *range_ns);
            (windows, SampleFunction::Range(*function, params))
        }
        Select::Range {
            range_ns,
            reach,
            function,
            ..
        } => {
            let bounds = node.windows(steps, *range_ns);
            let windows = bounds.reaching(*reach, query.lookback_ns());
            (windows, SampleFunction::Reaching(*function, *reach, bounds))
        }
    };
    let request = Samples::request(node.matchers.clone(), &windows);
    let selection = query.select_samples(&request).await?;
    let partitions = query.partitions_for(selection.series_count(), selection.estimated_rows());
    let strict = matches!(function, SampleFunction::Range(..) | SampleFunction::Reaching(..));
    let keeps_name = function.keeps_name();
    let exec = OperatorExec::plan(Samples {
        tenant: query.tenant().clone(),
        request,
        windows,
        function,
        partitions,
        span: node.span,
        counts_only: node.counts_only,
        series: selection.series_count(),
    });
    let may_collide = !node.has_one_name();
    if keeps_name {
        return Ok(PlannedVector { exec, may_collide });
    }
    Ok(PlannedVector::name_dropped(exec, may_collide, steps, strict, query))
}

/// Bytes that operators hold a step of a subquery in the least: the row that is being made, and its place in a batch.
pub const BYTES_PER_INNER_STEP: usize = 18;

/// The steps inside a subquery, which can be many more than a query may have, and the windows over them. Refused where a
/// single row of them would be over the query's memory, before any is made.
pub fn subquery_grid(node: &SubqueryNode, steps: Steps, query: &QueryContext) -> Result<(Steps, Windows), QueryError> {
    let (inner, windows) = node.grid(steps);
    MemoryGuard::new(query).grow(inner.len().saturating_mul(BYTES_PER_INNER_STEP))?;
    Ok((inner, windows))
}

async fn plan_subquery(
    node: &SubqueryNode,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let (inner, windows) = subquery_grid(node, steps, query)?;
    let params = plan_scalars(&node.params, steps, query).await?;
    // What is evaluated at no time has nothing to tell and nothing to refuse.
    let nothing = VectorPlan::Vector(Box::new(VectorPlan::Number(f64::NAN)));
    let input = if inner.is_empty() { &nothing } else { &*node.input };
    let input = plan_any(input, inner, query).await?;
    let exec = OperatorExec::plan(Subquery {
        input: input.exec,
        inner,
        windows,
        function: node.function,
        params,
        span: node.span,
    });
    if node.function.keeps_name() {
        return Ok(PlannedVector { exec, ..input });
    }
    Ok(PlannedVector::name_dropped(exec, input.may_collide, steps, true, query))
}

async fn plan_info(node: &InfoNode, steps: Steps, query: &Arc<QueryContext>) -> Result<PlannedVector, QueryError> {
    let input = plan_vector(&node.input, steps, query).await?;
    let windows = Windows {
        steps,
        width_ns: query.lookback_ns(),
        offset_ns: node.offset_ns,
        at_ns: node.at_ns,
    };
    let exec = Info::plan(input.exec, query.tenant().clone(), node.matchers.clone(), windows);
    Ok(PlannedVector {
        exec: Unique::plan(exec, steps, false),
        ..input
    })
}

/// A vector, or a scalar as a vector of one element.
pub async fn plan_any(plan: &VectorPlan, steps: Steps, query: &Arc<QueryContext>) -> Result<PlannedVector, QueryError> {
    if plan.quantity() == Quantity::Scalar {
        let expr = plan_scalar(plan, steps, query).await?;
        return Ok(PlannedVector::unique(OperatorExec::plan(Scalar { expr, steps })));
    }
    plan_vector(plan, steps, query).await
}

async fn plan_function(
    input: &VectorPlan,
    function: ValueFunction,
    args: &[VectorPlan],
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let args = plan_scalars(args, steps, query).await?;
    let input = plan_any(input, steps, query).await?;
    let exec = OperatorExec::plan(Function {
        input: input.exec,
        function,
        args,
        steps,
    });
    Ok(PlannedVector::name_dropped(
        exec,
        input.may_collide,
        steps,
        false,
        query,
    ))
}

async fn plan_binary(plan: &VectorPlan, steps: Steps, query: &Arc<QueryContext>) -> Result<PlannedVector, QueryError> {
    let VectorPlan::Binary {
        op,
        return_bool,
        matching,
        left,
        right,
        span,
    } = plan
    else {
        return Err(unexpected());
    };
    if left.is_scalar() || right.is_scalar() {
        let scalar_left = left.is_scalar();
        let (vector, scalar) = if scalar_left { (right, left) } else { (left, right) };
        let scalar = plan_scalar(scalar, steps, query).await?;
        let input = plan_vector(vector, steps, query).await?;
        let exec = OperatorExec::plan(BinaryScalar {
            input: input.exec,
            scalar,
            op: *op,
            scalar_left,
            return_bool: *return_bool,
            steps,
            span: *span,
        });
        if BinaryScalar::drops_name(*op, *return_bool) {
            return Ok(PlannedVector::name_dropped(
                exec,
                input.may_collide,
                steps,
                false,
                query,
            ));
        }
        return Ok(PlannedVector { exec, ..input });
    }
    let left = plan_vector(left, steps, query).await?;
    let right = plan_vector(right, steps, query).await?;
    // A comparison keeps names, of which each side may have several, until the end of the query also with `bool`.
    let keeps_names =
        !BinaryScalar::drops_name(*op, *return_bool) || (*return_bool && query.names() == NameRemoval::Delayed);
    let may_collide = keeps_names && (left.may_collide || right.may_collide);
    let exec = BinaryVector {
        left: left.exec,
        right: right.exec,
        op: *op,
        return_bool: *return_bool,
        matching: matching.clone(),
        steps,
        span: *span,
    };
    Ok(PlannedVector {
        exec: exec.plan(),
        may_collide,
    })
}

async fn plan_set(plan: &VectorPlan, steps: Steps, query: &Arc<QueryContext>) -> Result<PlannedVector, QueryError> {
    let VectorPlan::Set {
        op,
        matching,
        left,
        right,
    } = plan
    else {
        return Err(unexpected());
    };
    let left = plan_vector(left, steps, query).await?;
    let right = plan_vector(right, steps, query).await?;
    let exec = SetOperation::plan(left.exec, right.exec, *op, matching, steps);
    if *op != SetOp::Or {
        return Ok(PlannedVector {
            exec,
            may_collide: left.may_collide,
        });
    }
    Ok(PlannedVector {
        exec: Unique::plan(exec, steps, false),
        may_collide: true,
    })
}

async fn plan_aggregate(
    plan: &VectorPlan,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let VectorPlan::Aggregate {
        op,
        grouping,
        param,
        label,
        input,
        span,
        places,
    } = plan
    else {
        return Err(unexpected());
    };
    let (whole, inside) = *places;
    let param = match param {
        Some(param) => plan_scalar(param, steps, query).await?,
        None => ScalarExpr::Constant(f64::NAN),
    };
    let input = plan_vector(input, steps, query).await?;
    if *op == AggregateOp::LimitRatio {
        let exec = OperatorExec::plan(LimitRatio {
            input: input.exec,
            ratio: param,
            steps,
            span: *span,
        });
        return Ok(PlannedVector { exec, ..input });
    }
    let pick = match op {
        AggregateOp::TopK => Some(Pick::Top),
        AggregateOp::BottomK => Some(Pick::Bottom),
        AggregateOp::LimitK => Some(Pick::Any),
        _ => None,
    };
    if let Some(pick) = pick {
        return Ok(PlannedVector {
            exec: TopK::plan(input.exec, pick, param, grouping, steps, whole),
            ..input
        });
    }
    let names_group = grouping.names_metric();
    let input = match names_group && query.names() == NameRemoval::Delayed {
        true => PlannedVector {
            exec: MarkGroups::plan(input.exec, grouping),
            ..input
        },
        false => input,
    };
    let exec = match (Fold::of(*op), op) {
        (Some(fold), _) => Aggregate::plan(input.exec, fold, grouping, steps, inside),
        (None, AggregateOp::Quantile) => {
            let what = Collected::Quantile(param, *span);
            CollectGroups::plan(input.exec, what, grouping.clone(), steps, inside)
        }
        (None, _) => {
            let label = Arc::clone(label.as_ref().ok_or_else(unexpected)?);
            let what = Collected::CountValues(label);
            CollectGroups::plan(input.exec, what, grouping.clone(), steps, inside)
        }
    };
    Ok(PlannedVector {
        exec,
        may_collide: names_group,
    })
}

async fn plan_other(plan: &VectorPlan, steps: Steps, query: &Arc<QueryContext>) -> Result<PlannedVector, QueryError> {
    match plan {
        VectorPlan::HistogramQuantile { quantile, input, spans } => {
            let function = BucketFunction::Quantile(plan_scalar(quantile, steps, query).await?, spans.0);
            plan_buckets(input, function, spans.1, steps, query).await
        }
        VectorPlan::HistogramQuantiles {
            input,
            label,
            quantiles,
            span,
        } => {
            let mut phis = Vec::with_capacity(quantiles.len());
            for (phi, span) in quantiles {
                phis.push((plan_scalar(phi, steps, query).await?, *span));
            }
            let function = BucketFunction::Quantiles(Arc::clone(label), phis);
            let input = plan_vector(input, steps, query).await?;
            let exec = Buckets::plan(input.exec, function, steps, *span);
            // Two φ can be one number, and the label can be one that the input has. A name that is dropped only at the end
            // can make further ones equal there.
            Ok(PlannedVector {
                exec: Unique::plan(exec, steps, false),
                may_collide: input.may_collide && query.names() == NameRemoval::Delayed,
            })
        }
        VectorPlan::HistogramFraction {
            lower,
            upper,
            input,
            span,
        } => {
            let lower = plan_scalar(lower, steps, query).await?;
            let upper = plan_scalar(upper, steps, query).await?;
            plan_buckets(input, BucketFunction::Fraction(lower, upper), *span, steps, query).await
        }
        VectorPlan::Absent { input, labels } => {
            let input = plan_vector(input, steps, query).await?;
            Ok(PlannedVector::unique(Absent::plan(input.exec, labels.clone(), steps)))
        }
        VectorPlan::Sort {
            input,
            descending,
            span,
        } => plan_sort(input, SortKey::Value, *descending, *span, steps, query).await,
        VectorPlan::SortByLabel {
            input,
            labels,
            descending,
            span,
        } => plan_sort(input, SortKey::Labels(labels.clone()), *descending, *span, steps, query).await,
        _ => Err(unexpected()),
    }
}

async fn plan_buckets(
    input: &VectorPlan,
    function: BucketFunction,
    span: Span,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let input = plan_vector(input, steps, query).await?;
    let exec = Buckets::plan(input.exec, function, steps, span);
    Ok(PlannedVector::name_dropped(
        exec,
        input.may_collide,
        steps,
        false,
        query,
    ))
}

async fn plan_sort(
    input: &VectorPlan,
    key: SortKey,
    descending: bool,
    span: Span,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let input = plan_vector(input, steps, query).await?;
    if steps.count != 1 {
        annotate::sort_in_range(query, span);
        if matches!(key, SortKey::Labels(_)) {
            return Ok(input);
        }
        // What has no order is left out, also where there is none.
        let exec = OperatorExec::plan(Function {
            input: input.exec,
            function: ValueFunction::Floats,
            args: Vec::new(),
            steps,
        });
        return Ok(PlannedVector { exec, ..input });
    }
    Ok(PlannedVector {
        exec: Sort::plan(input.exec, key, descending),
        ..input
    })
}

pub(super) fn unexpected() -> QueryError {
    QueryError::internal("a vector was expected in the plan")
}
