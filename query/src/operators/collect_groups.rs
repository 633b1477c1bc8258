//! Aggregations that need all values of a group at once: `quantile` and `count_values`.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::Labels;
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::scalar::ScalarExpr;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::functions::annotate;
use crate::functions::number::go_fixed;
use crate::functions::quantile::quantile;
use crate::plan::{Grouping, Span, Steps};
use crate::vector::{Interner, RowBuffer, ScalarColumn, VectorReader, VectorRow, labels, vector_schema};

/// What is made of the values of a group.
#[derive(Clone, Debug)]
pub enum Collected {
    /// `quantile(φ, …)`, and where φ stands.
    Quantile(ScalarExpr, Span),
    /// `count_values("label", …)`.
    CountValues(Arc<str>),
}

/// A [`Collected`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireCollected {
    /// [`Collected::Quantile`].
    Quantile(WireScalar, Span),
    /// [`Collected::CountValues`].
    CountValues(Arc<str>),
}

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct CollectGroups {
    input: Plan,
    what: Collected,
    grouping: Grouping,
    steps: Steps,
}

impl CollectGroups {
    /// The aggregation of `input`.
    pub fn plan(input: Plan, what: Collected, grouping: Grouping, steps: Steps) -> Plan {
        OperatorExec::plan(CollectGroups {
            input: Gather::one_partition(input),
            what,
            grouping,
            steps,
        })
    }
}

impl Operator for CollectGroups {
    const NAME: &'static str = "CollectGroupsExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Collected::Quantile(phi, _) => write!(f, "quantile({phi})")?,
            Collected::CountValues(label) => write!(f, "count_values({label})")?,
        }
        write!(f, " {:?}", self.grouping)
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = vec![&self.input];
        if let Collected::Quantile(phi, _) = &self.what {
            phi.inputs(&mut out);
        }
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut out = self.clone();
        out.input = inputs.next().unwrap_or(out.input);
        if let Collected::Quantile(phi, _) = &mut out.what {
            *phi = phi.with_inputs(&mut inputs);
        }
        Ok(out)
    }

    fn partitions(&self) -> usize {
        1
    }

    fn estimated_rows(&self, inputs: &[Option<usize>]) -> Option<usize> {
        match &self.what {
            Collected::Quantile(..) if KeyLabels::of_group(&self.grouping).is_single() => Some(1),
            Collected::Quantile(..) => inputs.first().copied().flatten(),
            // A row a value, of which a group has as many as it has elements and steps.
            Collected::CountValues(_) => None,
        }
    }

    type Wire = (WireCollected, Grouping, Steps);

    fn to_wire(&self) -> Self::Wire {
        let what = match &self.what {
            Collected::Quantile(phi, span) => WireCollected::Quantile(scalar_to_wire(phi), *span),
            Collected::CountValues(label) => WireCollected::CountValues(Arc::clone(label)),
        };
        (what, self.grouping.clone(), self.steps)
    }

    fn from_wire((what, grouping, steps): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let input = parts.input()?;
        let what = match what {
            WireCollected::Quantile(phi, span) => Collected::Quantile(parts.scalar(phi)?, span),
            WireCollected::CountValues(label) => Collected::CountValues(label),
        };
        Ok(CollectGroups {
            input,
            what,
            grouping,
            steps,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let phi = match &plan.what {
                Collected::Quantile(phi, span) => {
                    let phi = [phi.evaluate(plan.steps, &query, &task).await?];
                    annotate::quantiles(&phi, &query, *span);
                    let [phi] = phi;
                    phi
                }
                Collected::CountValues(_) => ScalarColumn::Constant(0.0),
            };
            let input = collect(Arc::clone(&plan.input), Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let rows = readers.iter().flat_map(|r| r.rows());
            let mut memory = MemoryGuard::new(&query);
            let batches = match &plan.what {
                Collected::Quantile(..) => quantiles(rows, &phi, &plan, &mut memory)?,
                Collected::CountValues(label) => count_values(rows, label, &plan, &mut memory)?,
            };
            Ok(Gathered { batches, memory })
        }))
    }
}

fn quantiles<'a>(
    rows: impl Iterator<Item = VectorRow<'a>>,
    phi: &ScalarColumn,
    plan: &CollectGroups,
    memory: &mut MemoryGuard,
) -> Result<Vec<arrow_array::RecordBatch>> {
    let keys = KeyLabels::of_group(&plan.grouping);
    let (mut groups, mut members, mut key) = (Interner::new(), Vec::<Vec<VectorRow<'_>>>::new(), Vec::new());
    for row in rows {
        keys.key_into(row.labels, &mut key);
        let group = groups.intern(&key);
        if group == members.len() {
            members.push(Vec::new());
        }
        memory.grow(size_of::<VectorRow<'_>>())?;
        members[group].push(row);
    }
    let mut output = Output::default();
    let mut buffer = RowBuffer::new(plan.steps.len());
    let mut values = Vec::new();
    for (group, members) in members.iter().enumerate() {
        buffer.clear();
        for step in 0..plan.steps.len() {
            values.clear();
            values.extend(members.iter().filter_map(|row| row.at(step)));
            if !values.is_empty() {
                buffer.set(step, quantile(phi.at(step), &mut values));
            }
        }
        output.row()?.push_row(groups.bytes(group), &buffer);
    }
    output.finish()
}

fn count_values<'a>(
    rows: impl Iterator<Item = VectorRow<'a>>,
    label: &Arc<str>,
    plan: &CollectGroups,
    memory: &mut MemoryGuard,
) -> Result<Vec<arrow_array::RecordBatch>> {
    // Each value is a label, so with `by` that label belongs to the group.
    let mut grouping = plan.grouping.clone();
    if !grouping.without {
        grouping.labels.push(Arc::clone(label));
    }
    let keys = KeyLabels::of_group(&grouping);
    let mut counts: Vec<RowBuffer> = Vec::new();
    let (mut groups, mut key) = (Interner::new(), Vec::new());
    for row in rows {
        let set = labels::to_labels(row.labels);
        let mut last: Option<(u64, usize)> = None;
        for (step, value) in row.iter() {
            let group = match last {
                Some((bits, group)) if bits == value.to_bits() => group,
                _ => {
                    let mut builder = set.to_builder();
                    builder.set(label, &go_fixed(value));
                    let with_value: Labels = builder.build();
                    keys.key_into(with_value.as_bytes(), &mut key);
                    let group = groups.intern(&key);
                    if group == counts.len() {
                        memory.grow(plan.steps.len() * 9 + key.len())?;
                        counts.push(RowBuffer::new(plan.steps.len()));
                    }
                    last = Some((value.to_bits(), group));
                    group
                }
            };
            let count = &mut counts[group];
            let before = if count.is_present(step) {
                count.values()[step]
            } else {
                0.0
            };
            count.set(step, before + 1.0);
        }
    }
    let mut output = Output::default();
    for (group, count) in counts.iter().enumerate() {
        output.row()?.push_row(groups.bytes(group), count);
    }
    output.finish()
}
