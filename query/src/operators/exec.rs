//! What every operator is: a small [`Operator`] that says what differs, inside an [`OperatorExec`] that makes it an
//! [`ExecutionPlan`].

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_schema::SchemaRef;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use crate::context::QueryContext;
use crate::vector::vector_schema;

/// A shared physical plan.
pub type Plan = Arc<dyn ExecutionPlan>;

/// The part of an operator that differs from the others.
///
/// An operator holds parameters and inputs only; what belongs to the process or the query comes from the
/// [`QueryContext`] at execution.
pub trait Operator: fmt::Debug + Send + Sync + Sized + 'static {
    /// Its name in printed plans.
    const NAME: &'static str;

    /// Its parameters in printed plans.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The plans it reads.
    fn inputs(&self) -> Vec<&Plan>;

    /// The same operator over other inputs, as many as [`Operator::inputs`] gives.
    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self>;

    /// How many partitions come out.
    fn partitions(&self) -> usize;

    /// What comes out; partial aggregations have more columns than the vector layout.
    fn schema(&self) -> SchemaRef {
        vector_schema()
    }

    /// Starts one partition. Dropping the stream stops it.
    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream>;
}

/// An operator as a physical plan.
#[derive(Debug)]
pub struct OperatorExec<O> {
    operator: O,
    properties: Arc<PlanProperties>,
}

/// Properties of the commonest shape, made once: building them costs more than the rest of a small plan.
static SINGLE: LazyLock<Arc<PlanProperties>> = LazyLock::new(|| Arc::new(make_properties(vector_schema(), 1)));

fn make_properties(schema: SchemaRef, partitions: usize) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    )
}

impl<O: Operator> OperatorExec<O> {
    /// The operator as a shared plan.
    pub fn plan(operator: O) -> Plan {
        Arc::new(Self::new(operator))
    }

    fn new(operator: O) -> Self {
        let (schema, partitions) = (operator.schema(), operator.partitions());
        let properties = if partitions == 1 && Arc::ptr_eq(&schema, &vector_schema()) {
            Arc::clone(&SINGLE)
        } else {
            Arc::new(make_properties(schema, partitions))
        };
        OperatorExec { operator, properties }
    }

    /// The operator itself.
    pub fn operator(&self) -> &O {
        &self.operator
    }
}

impl<O: Operator> DisplayAs for OperatorExec<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", O::NAME)?;
        self.operator.describe(f)?;
        match self.operator.partitions() {
            1 => Ok(()),
            partitions => write!(f, " partitions={partitions}"),
        }
    }
}

impl<O: Operator> ExecutionPlan for OperatorExec<O> {
    fn name(&self) -> &str {
        O::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        self.operator.inputs()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.operator.inputs().len()]
    }

    fn replace_children(self: Arc<Self>, children: Vec<Plan>, _: ReplaceChildrenOptions) -> Result<Plan> {
        if children.len() != self.operator.inputs().len() {
            return internal_err!("{} was given {} children", O::NAME, children.len());
        }
        Ok(Self::plan(self.operator.with_inputs(children)?))
    }

    #[allow(deprecated)]
    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(datafusion_physical_plan::execution_plan::ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition >= self.operator.partitions() {
            return internal_err!("{} has no partition {partition}", O::NAME);
        }
        let query = QueryContext::of(&context)?;
        self.operator.run(partition, query, context)
    }
}

/// How many partitions a plan has.
pub fn partitions(plan: &Plan) -> usize {
    plan.output_partitioning().partition_count()
}
