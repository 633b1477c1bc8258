//! What an operator is made of when it arrives: its inputs, the languages of log leaves, and the query it will run in.

use std::vec::IntoIter;

use datafusion_common::{Result, exec_datafusion_err};
use garner_storage::model::TenantId;

use super::forms::{WireScalar, scalar_from_wire};
use crate::context::QueryContext;
use crate::operators::exec::Plan;
use crate::operators::log_input::LineLanguage;
use crate::operators::scalar::ScalarExpr;

/// Most partitions that a leaf may ask for; each is a task.
const MAX_PARTITIONS: usize = 1 << 16;

/// The parts of one operator.
#[derive(Debug)]
pub struct Parts<'a> {
    inputs: IntoIter<Plan>,
    lines: &'a dyn LineLanguage,
    query: &'a QueryContext,
}

impl<'a> Parts<'a> {
    /// Parts with these inputs, in the order of [`crate::operators::exec::Operator::inputs`].
    pub fn new(inputs: Vec<Plan>, lines: &'a dyn LineLanguage, query: &'a QueryContext) -> Self {
        Parts {
            inputs: inputs.into_iter(),
            lines,
            query,
        }
    }

    /// The next input.
    pub fn input(&mut self) -> Result<Plan> {
        self.inputs
            .next()
            .ok_or_else(|| exec_datafusion_err!("a plan's operator lacks an input"))
    }

    /// A scalar; takes the inputs that it reads.
    pub fn scalar(&mut self, wire: WireScalar) -> Result<ScalarExpr> {
        scalar_from_wire(wire, || self.input())
    }

    /// Several scalars.
    pub fn scalars(&mut self, wires: Vec<WireScalar>) -> Result<Vec<ScalarExpr>> {
        wires.into_iter().map(|wire| self.scalar(wire)).collect()
    }

    /// What makes log leaves of their texts.
    pub fn lines(&self) -> &'a dyn LineLanguage {
        self.lines
    }

    /// The tenant of a leaf; refused where the query belongs to another.
    pub fn tenant(&self, tenant: TenantId) -> Result<TenantId> {
        self.query.check_tenant(&tenant)?;
        Ok(tenant)
    }

    /// A number of partitions.
    pub fn partitions(&self, partitions: usize) -> Result<usize> {
        if (1..=MAX_PARTITIONS).contains(&partitions) {
            return Ok(partitions);
        }
        Err(exec_datafusion_err!(
            "a plan's leaf has {partitions} partitions, 1 to {MAX_PARTITIONS} are possible"
        ))
    }

    /// Refuses inputs that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.inputs.len() {
            0 => Ok(()),
            left => Err(exec_datafusion_err!("a plan's operator has {left} inputs too many")),
        }
    }
}
