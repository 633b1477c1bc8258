//! Label functions from nodes to operators.

use std::sync::Arc;

use super::Steps;
use super::node::VectorPlan;
use super::physical::{PlannedVector, plan_vector, unexpected};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::operators::exec::OperatorExec;
use crate::operators::label::{LabelChange, LabelChanger};
use crate::operators::unique::Unique;

/// Apart from the other nodes, whose frame is large: label functions nest deep.
pub(super) async fn plan_label(
    plan: &VectorPlan,
    steps: Steps,
    query: &Arc<QueryContext>,
) -> Result<PlannedVector, QueryError> {
    let (input, target, change) = label_change(plan)?;
    let input = plan_vector(input, steps, query).await?;
    let exec = OperatorExec::plan(LabelChanger {
        input: input.exec,
        change,
    });
    Ok(PlannedVector {
        exec: Unique::plan(exec, steps, false),
        may_collide: input.may_collide || target == "__name__",
    })
}

/// Input, changed label and change of a label function.
fn label_change(plan: &VectorPlan) -> Result<(&VectorPlan, &str, LabelChange), QueryError> {
    match plan {
        VectorPlan::LabelReplace {
            input,
            target,
            replacement,
            source,
            pattern,
        } => {
            let change = LabelChange::replace(
                Arc::clone(target),
                Arc::clone(replacement),
                Arc::clone(source),
                Arc::clone(pattern),
            )?;
            Ok((input, target, change))
        }
        VectorPlan::LabelJoin {
            input,
            target,
            separator,
            sources,
        } => {
            let change = LabelChange::Join {
                target: Arc::clone(target),
                separator: Arc::clone(separator),
                sources: sources.clone(),
            };
            Ok((input, target, change))
        }
        _ => Err(unexpected()),
    }
}
