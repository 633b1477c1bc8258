//! Function calls, by the shape of their arguments.

use std::sync::Arc;

use garner_storage::model::{LabelMatcher, Labels, LabelsBuilder, METRIC_NAME, MatchOp, NANOS_PER_MILLI};

use super::expr::{Lowered, instant, lower_part, plan_span};
use super::info::lower_info;
use super::range::{over_windows, unsupported};
use super::{LowerRequest, text};
use crate::error::QueryError;
use crate::functions::{HistogramFunction, InstantFunction, RangeFunction};
use crate::plan::{BinaryOp, Matching, Select, Span as PlanSpan, VectorPlan};
use crate::promql::ast::{Call, Expr, NumberLiteral, ValueType};
use crate::promql::error::PosRange;

/// Whether a call gives another value at another time even if its arguments do not (prometheus `promql/functions.go`,
/// `AtModifierUnsafeFunctions`; `start`, `end`, `step` and `range` are numbers before this is asked).
fn depends_on_time(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}

/// Arguments on their way into a plan: whether all before were fixed, and so whether they need no wrapping.
struct Args<'a> {
    request: &'a LowerRequest,
    call: &'a Call,
    lowered: Vec<Option<Lowered>>,
    fixed: bool,
}

impl<'a> Args<'a> {
    /// Lowers all vectors and scalars among the arguments.
    fn new(request: &'a LowerRequest, call: &'a Call) -> Result<Self, QueryError> {
        let mut fixed = !depends_on_time(call.func.name);
        let mut lowered = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            let part = match arg.value_type() {
                ValueType::Vector | ValueType::Scalar => Some(lower_part(request, arg)?),
                ValueType::Matrix => {
                    fixed &= match arg.unwrap_parens() {
                        Expr::Matrix(matrix) => matrix.selector.at.is_some(),
                        Expr::Subquery(subquery) => subquery.at.is_some(),
                        _ => false,
                    };
                    None
                }
                ValueType::String => None,
            };
            fixed &= part.as_ref().is_none_or(|p| p.fixed);
            lowered.push(part);
        }
        Ok(Args {
            request,
            call,
            lowered,
            fixed,
        })
    }

    fn written(&self, index: usize) -> Result<&'a Expr, QueryError> {
        self.call.args.get(index).ok_or_else(|| missing(self.call))
    }

    /// The plan of argument `index`; each can be taken once.
    fn take(&mut self, index: usize) -> Result<Box<VectorPlan>, QueryError> {
        let part = self.lowered.get_mut(index).and_then(Option::take);
        let part = part.ok_or_else(|| missing(self.call))?;
        Ok(Box::new(if self.fixed { part.plan } else { part.wrapped() }))
    }

    /// The plans of all arguments not taken yet.
    fn rest(&mut self) -> Vec<VectorPlan> {
        let fixed = self.fixed;
        let plan = |part: Lowered| if fixed { part.plan } else { part.wrapped() };
        self.lowered
            .iter_mut()
            .filter_map(|slot| slot.take().map(plan))
            .collect()
    }

    fn texts(&self, from: usize) -> Result<Vec<Arc<str>>, QueryError> {
        self.call.args.iter().skip(from).map(text::text).collect()
    }
}

fn missing(call: &Call) -> QueryError {
    QueryError::internal(format!("a call of {} lacks an argument", call.func.name))
}

/// Lowers a call.
pub(super) fn lower_call(request: &LowerRequest, call: &Call) -> Result<Lowered, QueryError> {
    let name = call.func.name;
    if let Some(constant) = query_constant(request, name) {
        return lower_part(request, &constant);
    }
    if let Some(Expr::Vector(selector)) = call.args.first().map(Expr::unwrap_parens) {
        let lookback_ns = None;
        match name {
            "timestamp" => return instant(request, selector, Select::Timestamp { lookback_ns }),
            "start_timestamp" => return instant(request, selector, Select::StartTimestamp { lookback_ns }),
            _ => {}
        }
    }
    if name == "info" {
        return lower_info(request, call);
    }
    let inside = match name {
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => request.reading_buckets(),
        _ if HistogramFunction::from_name(name).is_some_and(|f| f.reads_counts_only()) => request.reading_counts(),
        _ => *request,
    };
    let mut args = Args::new(&inside, call)?;
    let plan = if let Some(function) = HistogramFunction::from_name(name) {
        let input = args.take(0)?;
        VectorPlan::HistogramFunction { function, input }
    } else if let Some(function) = RangeFunction::from_name(name) {
        range_function(&mut args, function)?
    } else if let Some(function) = InstantFunction::from_name(name) {
        instant_function(&mut args, function)?
    } else {
        special_function(&mut args)?
    };
    Ok(match plan {
        VectorPlan::Number(_) => Lowered::literal(plan),
        plan => Lowered::fixed_if(plan, args.fixed),
    })
}

/// `start()`, `end()`, `range()` and `step()` are numbers once the query's times are known.
fn query_constant(request: &LowerRequest, name: &str) -> Option<Expr> {
    let seconds = |nanos: i64| nanos.div_euclid(NANOS_PER_MILLI) as f64 / 1000.0;
    let value = match name {
        "start" => seconds(request.start_ns),
        "end" => seconds(request.end_ns),
        "range" => request.range_seconds(),
        "step" if request.start_ns == request.end_ns => 0.0,
        "step" => request.step_seconds(),
        _ => return None,
    };
    Some(Expr::Number(NumberLiteral {
        value,
        duration: false,
        range: PosRange::default(),
    }))
}

fn range_function(args: &mut Args<'_>, function: RangeFunction) -> Result<VectorPlan, QueryError> {
    let params = args.rest();
    let is_matrix = |arg: &&Expr| arg.value_type() == ValueType::Matrix;
    let window = args
        .call
        .args
        .iter()
        .find(is_matrix)
        .ok_or_else(|| missing(args.call))?;
    let mut plan = over_windows(args.request, args.call.func.name, function, window, params)?;
    match &mut plan {
        VectorPlan::Samples(node) => node.span = told_at(args.call, function, node.span),
        VectorPlan::Subquery(node) => node.span = told_at(args.call, function, PlanSpan::default()),
        _ => {}
    }
    Ok(plan)
}

/// Where annotations of a range function stand: at the first argument, though of `quantile_over_time` that is φ. Of a
/// subquery nothing is left when the function is called but its samples, which stand nowhere: at the start of the query
/// (prometheus promql/engine.go, `evalSubquery`).
fn told_at(call: &Call, function: RangeFunction, of_range: PlanSpan) -> PlanSpan {
    let phi = call
        .args
        .first()
        .filter(|_| function == RangeFunction::QuantileOverTime);
    phi.map_or(of_range, |phi| plan_span(phi.range()))
}

fn instant_function(args: &mut Args<'_>, function: InstantFunction) -> Result<VectorPlan, QueryError> {
    // Parts of a date are of the evaluation time where no vector is given.
    let input = if args.call.args.is_empty() {
        Box::new(VectorPlan::Vector(Box::new(VectorPlan::Time)))
    } else {
        args.take(0)?
    };
    Ok(VectorPlan::Function {
        function,
        input,
        args: args.rest(),
    })
}

fn special_function(args: &mut Args<'_>) -> Result<VectorPlan, QueryError> {
    let name = args.call.func.name;
    Ok(match name {
        "time" => VectorPlan::Time,
        "pi" => VectorPlan::Number(std::f64::consts::PI),
        "max_of" | "min_of" => VectorPlan::Binary {
            op: if name == "max_of" { BinaryOp::Max } else { BinaryOp::Min },
            return_bool: false,
            matching: Matching::default(),
            left: args.take(0)?,
            right: args.take(1)?,
            span: plan_span(args.call.range),
        },
        "scalar" => VectorPlan::Scalar(args.take(0)?),
        "vector" => VectorPlan::Vector(args.take(0)?),
        "absent" => VectorPlan::Absent {
            labels: absent_labels(args.written(0)?),
            input: args.take(0)?,
        },
        "absent_over_time" => {
            // Present where there is a newest sample; a function that keeps names, since series that differ in nothing else
            // are no error here (prometheus `promql/engine.go`, the case of `absent_over_time` in `eval`).
            let present = range_function(args, RangeFunction::LastOverTime)?;
            VectorPlan::Absent {
                labels: absent_labels(args.written(0)?),
                input: Box::new(present),
            }
        }
        "sort" | "sort_desc" => VectorPlan::Sort {
            input: args.take(0)?,
            descending: name == "sort_desc",
            span: plan_span(args.call.range),
        },
        "sort_by_label" | "sort_by_label_desc" => VectorPlan::SortByLabel {
            input: args.take(0)?,
            labels: args.texts(1)?,
            descending: name == "sort_by_label_desc",
            span: plan_span(args.call.range),
        },
        "label_replace" => VectorPlan::LabelReplace {
            pattern: text::pattern(args.written(4)?)?,
            target: text::label(args.written(1)?, "destination label name in label_replace()")?,
            replacement: text::text(args.written(2)?)?,
            source: text::text(args.written(3)?)?,
            input: args.take(0)?,
        },
        "label_join" => {
            let sources = args.call.args.iter().skip(3);
            let source = |arg| text::label(arg, "source label name in label_join()");
            VectorPlan::LabelJoin {
                sources: sources.map(source).collect::<Result<_, _>>()?,
                target: text::label(args.written(1)?, "destination label name in label_join()")?,
                separator: text::text(args.written(2)?)?,
                input: args.take(0)?,
            }
        }
        "histogram_quantile" => VectorPlan::HistogramQuantile {
            spans: (
                plan_span(args.written(0)?.unwrap_parens().range()),
                plan_span(args.written(1)?.unwrap_parens().range()),
            ),
            quantile: args.take(0)?,
            input: args.take(1)?,
        },
        "histogram_fraction" => VectorPlan::HistogramFraction {
            span: plan_span(args.written(2)?.unwrap_parens().range()),
            lower: args.take(0)?,
            upper: args.take(1)?,
            input: args.take(2)?,
        },
        "histogram_quantiles" => {
            let input = args.take(0)?;
            let mut quantiles = Vec::new();
            for index in 2..args.call.args.len() {
                let span = plan_span(args.written(index)?.unwrap_parens().range());
                quantiles.push((*args.take(index)?, span));
            }
            VectorPlan::HistogramQuantiles {
                input,
                label: text::text(args.written(1)?)?,
                quantiles,
                span: plan_span(args.written(0)?.unwrap_parens().range()),
            }
        }
        other => return Err(unsupported(&format!("the function {other}"))),
    })
}

/// The labels of what is absent: those that the selector's equality matchers name once (prometheus
/// `createLabelsForAbsentFunction`). What is no selector names none.
fn absent_labels(arg: &Expr) -> Labels {
    let matchers: &[LabelMatcher] = match arg.unwrap_parens() {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => &[],
    };
    let mut labels = LabelsBuilder::new();
    let mut named: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !named.contains(&matcher.name()) {
            labels.set(matcher.name(), matcher.value());
            named.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels.build()
}
