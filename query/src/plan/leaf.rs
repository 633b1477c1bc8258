//! The seam for leaves that a language brings along: they plan themselves into an operator of the vector layout.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_physical_plan::ExecutionPlan;

use super::Steps;
use crate::context::QueryContext;
use crate::error::QueryError;

/// A leaf of a plan, owned by a language.
#[async_trait]
pub trait LeafPlan: Send + Sync + Debug {
    /// Builds the physical leaf for these steps: selects its series through `context`, and chooses its partitions
    /// ([`QueryContext::partitions_for`]). Reads index, not pages.
    async fn plan(&self, steps: &Steps, context: &Arc<QueryContext>) -> Result<PlannedLeaf, QueryError>;
}

/// A physical leaf and what planning above it needs to know.
#[derive(Clone, Debug)]
pub struct PlannedLeaf {
    /// Yields batches of [`crate::vector::vector_schema`] on the steps it was planned for.
    pub exec: Arc<dyn ExecutionPlan>,
    /// Whether two rows can have the same labels once `__name__` is removed. A leaf that yields equal label sets twice
    /// must merge them itself.
    pub may_collide: bool,
}
