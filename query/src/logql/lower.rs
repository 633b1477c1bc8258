//! From the tree to plans: metric queries become a [`VectorPlan`] whose leaves scan log lines.

use std::sync::Arc;

use async_trait::async_trait;
use garner_storage::model::{LabelMatcher, Labels};

use super::ast::{
    BinaryModifier, BinaryOp, Cardinality, Grouping, LogRange, MatchOp, Matcher, MetricExpr, RangeOp, VectorOp,
};
use super::error::ParseError;
use super::matchers;
use super::parser::NO_SELECTIVE_MATCHER;
use super::sampler::LineSampler;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::operators::exec::OperatorExec;
use crate::operators::label::{LabelChange, LabelChanger};
use crate::operators::log_accumulate::{LogRangeFunction, LogWindows};
use crate::operators::log_range;
use crate::plan::physical::plan_vector;
use crate::plan::{
    AggregateOp, BinaryOp as PlanOp, Cardinality as PlanCardinality, Grouping as PlanGrouping, LeafPlan, Matching,
    PlannedLeaf, SetOp, Span, Steps, VectorPlan,
};

/// Lines below which a scan runs in one partition: splitting costs more than it saves.
const MIN_ROWS_TO_SPLIT: u64 = 20_000;

/// Lowers a metric expression that parsed and was validated.
pub fn lower(expr: &MetricExpr) -> Result<VectorPlan, ParseError> {
    Ok(match expr {
        MetricExpr::Literal(value) => VectorPlan::Number(*value),
        MetricExpr::VectorLiteral(value) => VectorPlan::Vector(Box::new(VectorPlan::Number(*value))),
        MetricExpr::Range {
            op,
            parameter,
            range,
            grouping,
        } => lower_range(*op, *parameter, range, grouping.as_ref())?,
        MetricExpr::Vector {
            op,
            parameter,
            grouping,
            inner,
        } => lower_vector(*op, *parameter, grouping, inner)?,
        MetricExpr::Binary {
            op,
            modifier,
            left,
            right,
        } => lower_binary(*op, modifier, lower(left)?, lower(right)?),
        MetricExpr::LabelReplace {
            inner,
            destination,
            replacement,
            source,
            pattern,
        } => VectorPlan::Leaf(Arc::new(LabelReplace {
            input: lower_operand(inner)?,
            target: destination.as_str().into(),
            replacement: replacement.as_str().into(),
            source: source.as_str().into(),
            pattern: super::goregex::translate(pattern).map_err(|e| ParseError::new(e.to_string()))?,
        })),
        MetricExpr::Invalid(error) => return Err(error.clone()),
    })
}

/// Lowers what a function of vectors is applied to. A number parses there, and Loki fails on it only while it evaluates
/// (loki `pkg/logql/evaluator.go`).
fn lower_operand(inner: &MetricExpr) -> Result<VectorPlan, ParseError> {
    match inner {
        MetricExpr::Literal(_) => Err(ParseError::bare(
            "unexpected expr type (*syntax.LiteralExpr) for Evaluator type (*logql.DefaultEvaluator)",
        )),
        _ => lower(inner),
    }
}

fn lower_range(
    op: RangeOp,
    parameter: Option<f64>,
    range: &LogRange,
    grouping: Option<&Grouping>,
) -> Result<VectorPlan, ParseError> {
    let function = match op {
        RangeOp::Rate if range.unwrap.is_none() => LogRangeFunction::CountRate,
        RangeOp::Rate | RangeOp::BytesRate => LogRangeFunction::SumRate,
        RangeOp::Count | RangeOp::Absent => LogRangeFunction::Count,
        RangeOp::Bytes | RangeOp::Sum => LogRangeFunction::Sum,
        RangeOp::Avg => LogRangeFunction::Avg,
        RangeOp::Min => LogRangeFunction::Min,
        RangeOp::Max => LogRangeFunction::Max,
        RangeOp::Stdvar => LogRangeFunction::Stdvar,
        RangeOp::Stddev => LogRangeFunction::Stddev,
        RangeOp::Quantile => LogRangeFunction::Quantile(parameter.unwrap_or(f64::NAN)),
        RangeOp::First => LogRangeFunction::First,
        RangeOp::Last => LogRangeFunction::Last,
        RangeOp::RateCounter => LogRangeFunction::RateCounter,
    };
    let leaf = VectorPlan::Leaf(Arc::new(LogLeaf {
        matchers: matchers::compile_all(&range.log.matchers)?,
        range_ns: range.range_ns,
        offset_ns: range.offset_ns,
        function,
        sampler: LineSampler::compile(op, range, grouping)?,
    }));
    if op != RangeOp::Absent {
        return Ok(leaf);
    }
    Ok(VectorPlan::Absent {
        input: Box::new(leaf),
        labels: absent_labels(&range.log.matchers),
    })
}

/// The labels that absence is told by: those that one equality matcher, and no other matcher, names.
fn absent_labels(matchers: &[Matcher]) -> Labels {
    let names = |name: &str| matchers.iter().filter(|m| m.name == name).count();
    Labels::from_pairs(
        matchers
            .iter()
            .filter(|m| m.op == MatchOp::Equal && names(&m.name) == 1 && m.name != "__name__")
            .map(|m| (m.name.as_str(), m.value.as_str())),
    )
}

fn lower_vector(
    op: VectorOp,
    parameter: usize,
    grouping: &Grouping,
    inner: &MetricExpr,
) -> Result<VectorPlan, ParseError> {
    let input = match (op, inner) {
        // A sum can group lines at once, and parsers then extract only what it groups by.
        (
            VectorOp::Sum,
            MetricExpr::Range {
                op: range_op @ (RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Sum | RangeOp::Rate | RangeOp::Count),
                parameter,
                range,
                grouping: None,
            },
        ) => lower_range(*range_op, *parameter, range, Some(grouping))?,
        (VectorOp::TopK | VectorOp::BottomK | VectorOp::Sort | VectorOp::SortDesc, _) => lower_operand(inner)?,
        (_, MetricExpr::Literal(_)) => return Err(ParseError::new(NO_SELECTIVE_MATCHER)),
        _ => lower(inner)?,
    };
    let aggregate = match op {
        VectorOp::Sum => AggregateOp::Sum,
        VectorOp::Avg => AggregateOp::Avg,
        VectorOp::Max => AggregateOp::Max,
        VectorOp::Min => AggregateOp::Min,
        VectorOp::Count => AggregateOp::Count,
        VectorOp::Stddev => AggregateOp::Stddev,
        VectorOp::Stdvar => AggregateOp::Stdvar,
        VectorOp::BottomK => AggregateOp::BottomK,
        // The exact answer is the best approximation.
        VectorOp::TopK | VectorOp::ApproxTopK => AggregateOp::TopK,
        VectorOp::Sort | VectorOp::SortDesc => {
            return Ok(VectorPlan::Sort {
                input: Box::new(input),
                descending: op == VectorOp::SortDesc,
                span: Span::default(),
            });
        }
    };
    Ok(VectorPlan::Aggregate {
        op: aggregate,
        grouping: PlanGrouping {
            without: grouping.without,
            labels: grouping.labels.iter().map(|l| l.as_str().into()).collect(),
        },
        param: op
            .takes_parameter()
            .then(|| Box::new(VectorPlan::Number(parameter as f64))),
        label: None,
        input: Box::new(input),
        span: Span::default(),
        places: (Span::default(), Span::default()),
    })
}

fn lower_binary(op: BinaryOp, modifier: &BinaryModifier, left: VectorPlan, right: VectorPlan) -> VectorPlan {
    let names =
        |list: &Option<Vec<String>>| -> Vec<Arc<str>> { list.iter().flatten().map(|l| l.as_str().into()).collect() };
    let matching = Matching {
        cardinality: match modifier.cardinality {
            _ if op.is_set() => PlanCardinality::ManyToMany,
            Cardinality::OneToOne => PlanCardinality::OneToOne,
            Cardinality::ManyToOne => PlanCardinality::ManyToOne,
            Cardinality::OneToMany => PlanCardinality::OneToMany,
        },
        on: modifier.on,
        labels: names(&modifier.labels),
        include: names(&modifier.include),
        one_side_alone: true,
        ..Matching::default()
    };
    let (left, right) = (Box::new(left), Box::new(right));
    let set = match op {
        BinaryOp::And => Some(SetOp::And),
        BinaryOp::Or => Some(SetOp::Or),
        BinaryOp::Unless => Some(SetOp::Unless),
        _ => None,
    };
    if let Some(op) = set {
        return VectorPlan::Set {
            op,
            matching,
            left,
            right,
        };
    }
    let op = match op {
        BinaryOp::Add => PlanOp::Add,
        BinaryOp::Sub => PlanOp::Sub,
        BinaryOp::Mul => PlanOp::Mul,
        BinaryOp::Div => PlanOp::DivOrNan,
        BinaryOp::Mod => PlanOp::ModOrNan,
        BinaryOp::Pow => PlanOp::Pow,
        BinaryOp::Equal => PlanOp::Eq,
        BinaryOp::NotEqual => PlanOp::Ne,
        BinaryOp::Greater => PlanOp::Gt,
        BinaryOp::GreaterOrEqual => PlanOp::Ge,
        BinaryOp::Less => PlanOp::Lt,
        _ => PlanOp::Le,
    };
    VectorPlan::Binary {
        op,
        return_bool: modifier.return_bool && op.is_comparison(),
        matching,
        left,
        right,
        span: Span::default(),
    }
}

/// A range function over log lines.
#[derive(Debug)]
struct LogLeaf {
    matchers: Vec<LabelMatcher>,
    range_ns: i64,
    offset_ns: i64,
    function: LogRangeFunction,
    sampler: LineSampler,
}

#[async_trait]
impl LeafPlan for LogLeaf {
    async fn plan(&self, steps: &Steps, context: &Arc<QueryContext>) -> Result<PlannedLeaf, QueryError> {
        let windows = LogWindows {
            steps: *steps,
            range_ns: self.range_ns,
            offset_ns: self.offset_ns,
        };
        let request = log_range::LogRange::request(self.matchers.clone(), &windows);
        let selection = context.select_logs(&request).await?;
        let small = selection.estimated_rows() < MIN_ROWS_TO_SPLIT;
        let exec = OperatorExec::plan(log_range::LogRange {
            tenant: context.tenant().clone(),
            request,
            windows,
            function: self.function,
            sampler: Arc::new(self.sampler.clone()),
            scans: if small { 1 } else { context.target_partitions() },
            groups: self.sampler.groups(selection.stream_count()),
        });
        Ok(PlannedLeaf {
            exec,
            may_collide: false,
        })
    }
}

/// `label_replace`, which in LogQL may give several series the same labels.
#[derive(Debug)]
struct LabelReplace {
    input: VectorPlan,
    target: Arc<str>,
    replacement: Arc<str>,
    source: Arc<str>,
    pattern: super::goregex::Translated,
}

#[async_trait]
impl LeafPlan for LabelReplace {
    async fn plan(&self, steps: &Steps, context: &Arc<QueryContext>) -> Result<PlannedLeaf, QueryError> {
        let input = plan_vector(&self.input, *steps, context).await?;
        let change = LabelChange::replace(
            Arc::clone(&self.target),
            Arc::clone(&self.replacement),
            Arc::clone(&self.source),
            self.pattern.with_names().into(),
        )?;
        let exec = OperatorExec::plan(LabelChanger {
            input: input.exec,
            change,
        });
        Ok(PlannedLeaf {
            exec,
            may_collide: false,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::logql::ast::Expr;
    use crate::logql::parser::parse;

    #[test]
    fn numbers_are_no_vectors() {
        for (text, expected) in [
            ("sum(1)", NO_SELECTIVE_MATCHER),
            ("count(sum(1 + 1))", NO_SELECTIVE_MATCHER),
            ("1 + avg by (a) (1)", NO_SELECTIVE_MATCHER),
            ("topk(1, 1)", "unexpected expr type (*syntax.LiteralExpr)"),
            ("sort(1)", "unexpected expr type (*syntax.LiteralExpr)"),
            (
                r#"label_replace(1, "a", "b", "c", "d")"#,
                "unexpected expr type (*syntax.LiteralExpr)",
            ),
        ] {
            match parse(text) {
                Ok(Expr::Metric(metric)) => {
                    let error = lower(&metric).map(|_| ()).unwrap_err();
                    assert!(error.message.starts_with(expected), "{text}: {error}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
