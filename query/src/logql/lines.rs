//! Samplers and filters as texts and back, for plans that run elsewhere: the text is LogQL, printed from the tree that was
//! compiled, so a worker compiles what the planner compiled.

use std::sync::Arc;

use super::ast::{Expr, Grouping, LogRange, MetricExpr, RangeOp, VectorOp};
use super::parser::{parse, parse_log_selector};
use super::printer;
use super::sampler::LineSampler;
use super::selector::LineSelector;
use crate::error::QueryError;
use crate::operators::log_input::{LineLanguage, LogFilter, LogSampler};

/// LogQL as the language of log leaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogqlLines;

impl LineLanguage for LogqlLines {
    fn sampler(&self, text: &str) -> Result<Arc<dyn LogSampler>, QueryError> {
        let Expr::Metric(expr) = parse(text)? else {
            return Err(no_sampler(text));
        };
        let (range, outer) = match &expr {
            MetricExpr::Vector {
                op: VectorOp::Sum,
                grouping,
                inner,
                ..
            } => (&**inner, Some(grouping)),
            range => (range, None),
        };
        match range {
            MetricExpr::Range {
                op, range, grouping, ..
            } => Ok(Arc::new(LineSampler::compile(*op, range, outer.or(grouping.as_ref()))?)),
            _ => Err(no_sampler(text)),
        }
    }

    fn filter(&self, text: &str) -> Result<Arc<dyn LogFilter>, QueryError> {
        Ok(Arc::new(LineSelector::compile(&parse_log_selector(text)?)?))
    }
}

fn no_sampler(text: &str) -> QueryError {
    QueryError::internal(format!("a plan's log leaf is no range aggregation: {text}"))
}

/// The text of a sampler. Functions that take a grouping print it; that of others came from a sum around them.
pub(super) fn sampler_text(op: RangeOp, range: &LogRange, grouping: Option<&Grouping>) -> String {
    let of_sum = grouping.filter(|_| !op.takes_grouping());
    let call = MetricExpr::Range {
        op,
        // The lines' side of a quantile does not depend on φ.
        parameter: (op == RangeOp::Quantile).then_some(0.5),
        range: Box::new(range.clone()),
        grouping: grouping.filter(|_| op.takes_grouping()).cloned(),
    };
    printer::metric_expr(&match of_sum {
        None => call,
        Some(grouping) => MetricExpr::Vector {
            op: VectorOp::Sum,
            parameter: 0,
            grouping: grouping.clone(),
            inner: Box::new(call),
        },
    })
}
