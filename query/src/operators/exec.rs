//! What every operator is: a small [`Operator`] that says what differs, inside an [`OperatorExec`] that makes it an
//! [`ExecutionPlan`].

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_schema::SchemaRef;
use datafusion_common::Statistics;
use datafusion_common::stats::Precision;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, internal_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{Distribution, EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr};
use datafusion_physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion_physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion_physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::metered::Metered;
use super::wire::Parts;
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

    /// Whether the first input must have one partition: the operator sees all its rows, and reads only that.
    fn needs_one_partition(&self) -> bool {
        false
    }

    /// The order that rows of each partition come in, where columns can say it. The order of series is none of these: it
    /// is not that of label bytes (`storage::model::SeriesKey`).
    fn ordering(&self) -> Option<LexOrdering> {
        None
    }

    /// About how many rows come out of all partitions, given those of each input. Upper bounds where nothing better is
    /// known: most operators give at most a row for a row.
    fn estimated_rows(&self, inputs: &[Option<usize>]) -> Option<usize> {
        inputs.first().copied().flatten()
    }

    /// The parameters as they travel to another process; inputs travel beside them. See [`super::wire`].
    type Wire: Serialize + DeserializeOwned;

    /// What makes this operator elsewhere.
    fn to_wire(&self) -> Self::Wire;

    /// The operator again; its inputs are taken from `parts` in the order of [`Operator::inputs`].
    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self>;

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
    metrics: ExecutionPlanMetricsSet,
}

/// Properties of the commonest shape, made once: building them costs more than the rest of a small plan.
static SINGLE: LazyLock<Arc<PlanProperties>> = LazyLock::new(|| Arc::new(make_properties(vector_schema(), 1, None)));

fn make_properties(schema: SchemaRef, partitions: usize, ordering: Option<LexOrdering>) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new_with_orderings(schema, ordering),
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
        let (schema, partitions, ordering) = (operator.schema(), operator.partitions(), operator.ordering());
        let properties = if partitions == 1 && ordering.is_none() && Arc::ptr_eq(&schema, &vector_schema()) {
            Arc::clone(&SINGLE)
        } else {
            Arc::new(make_properties(schema, partitions, ordering))
        };
        OperatorExec {
            operator,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        }
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

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let mut inputs = vec![Distribution::UnspecifiedDistribution; self.operator.inputs().len()];
        if let Some(first) = inputs.first_mut()
            && self.operator.needs_one_partition()
        {
            *first = Distribution::SinglePartition;
        }
        InputDistributionRequirements::new(inputs)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None); self.operator.inputs().len()]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let inputs: Vec<Option<usize>> = inputs.iter().map(|s| s.num_rows.get_value().copied()).collect();
        let mut out = Statistics::new_unknown(&self.operator.schema());
        if let Some(rows) = self.operator.estimated_rows(&inputs) {
            // Partitions are ranges of series of about the same number.
            let parts = args.partition().map_or(1, |_| self.operator.partitions().max(1));
            out.num_rows = Precision::Inexact(rows.div_ceil(parts));
        }
        Ok(Arc::new(out))
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
        if self.operator.needs_one_partition()
            && let Some(input) = self.operator.inputs().first()
            && partitions(input) != 1
        {
            // Whoever replaced the input must gather it; reading the first partition alone would lose rows.
            return internal_err!("{} was given an input of {} partitions", O::NAME, partitions(input));
        }
        let query = QueryContext::of(&context)?;
        let batches = self.operator.run(partition, Arc::clone(&query), context)?;
        Ok(Metered::stream(batches, &self.metrics, partition, query))
    }
}

/// How many partitions a plan has.
pub fn partitions(plan: &Plan) -> usize {
    plan.output_partitioning().partition_count()
}
