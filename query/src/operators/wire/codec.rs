//! One operator to bytes and back.

use std::sync::Arc;

use datafusion_common::{DataFusionError, Result, exec_datafusion_err, exec_err, internal_err};
use datafusion_execution::TaskContext;
use datafusion_physical_plan::ExecutionPlan;
use xxhash_rust::xxh3::xxh3_64;

use super::Parts;
use crate::context::QueryContext;
use crate::operators::absent::Absent;
use crate::operators::aggregate::Aggregate;
use crate::operators::binary_scalar::BinaryScalar;
use crate::operators::binary_vector::BinaryVector;
use crate::operators::buckets::Buckets;
use crate::operators::collect_groups::CollectGroups;
use crate::operators::drop_names::DropNames;
use crate::operators::exec::{Operator, OperatorExec, Plan};
use crate::operators::function::Function;
use crate::operators::gather::Gather;
use crate::operators::info::Info;
use crate::operators::label::LabelChanger;
use crate::operators::limit_ratio::LimitRatio;
use crate::operators::log_input::LineLanguage;
use crate::operators::log_range::LogRange;
use crate::operators::log_select::LogSelect;
use crate::operators::mark_groups::MarkGroups;
use crate::operators::samples::Samples;
use crate::operators::scalar::Scalar;
use crate::operators::set_op::SetOperation;
use crate::operators::sort::Sort;
use crate::operators::step_invariant::StepInvariant;
use crate::operators::subquery::Subquery;
use crate::operators::topk::TopK;
use crate::operators::unique::Unique;

/// The version of every operator's bytes; raised with any change of their parameters or of what these mean.
pub(super) const VERSION: u8 = 2;

/// How an operator is written and read.
struct Kind {
    name: &'static str,
    encode: fn(&dyn ExecutionPlan) -> Option<Result<Vec<u8>>>,
    decode: fn(&[u8], Parts<'_>) -> Result<Plan>,
}

/// Every operator there is.
const KINDS: [Kind; 23] = [
    kind::<Samples>(),
    kind::<LogRange>(),
    kind::<LogSelect>(),
    kind::<Scalar>(),
    kind::<Function>(),
    kind::<BinaryScalar>(),
    kind::<LabelChanger>(),
    kind::<LimitRatio>(),
    kind::<Info>(),
    kind::<Subquery>(),
    kind::<StepInvariant>(),
    kind::<Aggregate>(),
    kind::<TopK>(),
    kind::<CollectGroups>(),
    kind::<BinaryVector>(),
    kind::<SetOperation>(),
    kind::<Buckets>(),
    kind::<Absent>(),
    kind::<Sort>(),
    kind::<Unique>(),
    kind::<DropNames>(),
    kind::<MarkGroups>(),
    kind::<Gather>(),
];

/// The names of all operators.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

const fn kind<O: Operator>() -> Kind {
    Kind {
        name: O::NAME,
        encode: encode::<O>,
        decode: decode::<O>,
    }
}

fn encode<O: Operator>(node: &dyn ExecutionPlan) -> Option<Result<Vec<u8>>> {
    let exec = node.downcast_ref::<OperatorExec<O>>()?;
    Some(serde_json::to_vec(&exec.operator().to_wire()).map_err(|e| DataFusionError::External(Box::new(e))))
}

fn decode<O: Operator>(parameters: &[u8], mut parts: Parts<'_>) -> Result<Plan> {
    let wire: O::Wire = serde_json::from_slice(parameters)
        .map_err(|e| exec_datafusion_err!("a plan's {} has parameters that cannot be read: {e}", O::NAME))?;
    let operator = O::from_wire(wire, &mut parts)?;
    parts.finish()?;
    Ok(OperatorExec::plan(operator))
}

/// Writes operators and reads them again.
#[derive(Clone, Debug)]
pub struct PlanCodec {
    lines: Arc<dyn LineLanguage>,
}

impl PlanCodec {
    /// A codec whose log leaves speak `lines`.
    pub fn new(lines: Arc<dyn LineLanguage>) -> Self {
        PlanCodec { lines }
    }

    /// Adds the bytes of `node` to `buf`, without its inputs. Refuses nodes that are not ours.
    pub fn try_encode(&self, node: &Plan, buf: &mut Vec<u8>) -> Result<()> {
        for kind in &KINDS {
            let Some(parameters) = (kind.encode)(node.as_ref()) else {
                continue;
            };
            let mut body = Vec::new();
            // Names of operators are a few letters long.
            body.push(u8::try_from(kind.name.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(kind.name.as_bytes());
            body.extend_from_slice(&parameters?);
            buf.push(VERSION);
            buf.extend_from_slice(&xxh3_64(&body).to_le_bytes());
            buf.extend_from_slice(&body);
            return Ok(());
        }
        internal_err!("{} is no operator that can be sent elsewhere", node.name())
    }

    /// The operator whose bytes `buf` are, over `inputs`, to be run in `context`, which must hold a query of the same tenant.
    pub fn try_decode(&self, buf: &[u8], inputs: &[Plan], context: &TaskContext) -> Result<Plan> {
        let cut = || exec_datafusion_err!("a plan's operator is cut off after {} bytes", buf.len());
        let (&version, rest) = buf.split_first().ok_or_else(cut)?;
        if version != VERSION {
            return exec_err!("a plan has version {version}, this process reads {VERSION}: run one version everywhere");
        }
        let (checksum, body) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return exec_err!("a plan's operator of {} bytes does not have its checksum", buf.len());
        }
        let (&length, rest) = body.split_first().ok_or_else(cut)?;
        let (name, parameters) = rest.split_at_checked(usize::from(length)).ok_or_else(cut)?;
        let Some(kind) = KINDS.iter().find(|k| k.name.as_bytes() == name) else {
            return exec_err!("a plan has the unknown operator {:?}", String::from_utf8_lossy(name));
        };
        let query = QueryContext::of(context)?;
        (kind.decode)(parameters, Parts::new(inputs.to_vec(), self.lines.as_ref(), &query))
    }
}
