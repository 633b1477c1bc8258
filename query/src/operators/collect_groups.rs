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
use crate::error::QueryError;
use crate::functions::annotate;
use crate::functions::native::text::text;
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
    /// Where the input stands.
    span: Span,
}

impl CollectGroups {
    /// The aggregation of `input`, which stands at `span`.
    pub fn plan(input: Plan, what: Collected, grouping: Grouping, steps: Steps, span: Span) -> Plan {
        OperatorExec::plan(CollectGroups {
            input: Gather::one_partition(input),
            what,
            grouping,
            steps,
            span,
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

    type Wire = (WireCollected, Grouping, Steps, Span);

    fn to_wire(&self) -> Self::Wire {
        let what = match &self.what {
            Collected::Quantile(phi, span) => WireCollected::Quantile(scalar_to_wire(phi), *span),
            Collected::CountValues(label) => WireCollected::CountValues(Arc::clone(label)),
        };
        (what, self.grouping.clone(), self.steps, self.span)
    }

    fn from_wire((what, grouping, steps, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
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
            span,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let phi = match &plan.what {
                Collected::Quantile(phi, span) => {
                    let phi = phi.evaluate(plan.steps, &query, &task).await?;
                    annotate::aggregated_quantiles(&phi, &query, *span);
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
            let rows = || readers.iter().flat_map(|r| r.rows());
            if matches!(plan.what, Collected::Quantile(..)) && rows().any(|r| r.histograms().is_some()) {
                annotate::histogram_ignored("quantile", &query, plan.span);
            }
            let mut memory = MemoryGuard::new(&query);
            let batches = match &plan.what {
                Collected::Quantile(..) => quantiles(rows(), &phi, &plan, &mut memory)?,
                Collected::CountValues(label) => count_values(rows(), label, &plan, &mut memory)?,
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
    let mut counter = ValueCounter {
        label,
        keys: KeyLabels::of_group(&grouping),
        steps: plan.steps.len(),
        groups: Interner::new(),
        counts: Vec::new(),
        key: Vec::new(),
    };
    for row in rows {
        let set = labels::to_labels(row.labels);
        let mut last: Option<(u64, usize)> = None;
        for (step, value) in row.iter() {
            let group = match last {
                Some((bits, group)) if bits == value.to_bits() => group,
                _ => {
                    let group = counter.group(&set, &go_fixed(value), memory)?;
                    last = Some((value.to_bits(), group));
                    group
                }
            };
            counter.count(group, step);
        }
        for run in 0..row.histograms().map_or(0, |runs| runs.len()) {
            let Some(runs) = row.histograms() else { break };
            let group = counter.group(&set, &text(&runs.read(run)), memory)?;
            let (first, count) = runs.steps(run);
            (first..first + count).for_each(|step| counter.count(group, step as usize));
        }
    }
    let ValueCounter { groups, counts, .. } = counter;
    let mut output = Output::default();
    for (group, count) in counts.iter().enumerate() {
        output.row()?.push_row(groups.bytes(group), count);
    }
    output.finish()
}

/// How often each value occurs at each step.
struct ValueCounter<'a> {
    label: &'a str,
    keys: KeyLabels,
    steps: usize,
    groups: Interner,
    counts: Vec<RowBuffer>,
    key: Vec<u8>,
}

impl ValueCounter<'_> {
    /// The group of a value.
    fn group(&mut self, set: &Labels, value: &str, memory: &mut MemoryGuard) -> Result<usize, QueryError> {
        let mut builder = set.to_builder();
        builder.set(self.label, value);
        let with_value: Labels = builder.build();
        self.keys.key_into(with_value.as_bytes(), &mut self.key);
        let group = self.groups.intern(&self.key);
        if group == self.counts.len() {
            memory.grow(self.steps * 9 + self.key.len())?;
            self.counts.push(RowBuffer::new(self.steps));
        }
        Ok(group)
    }

    fn count(&mut self, group: usize, step: usize) {
        let count = &mut self.counts[group];
        let before = if count.is_present(step) {
            count.values()[step]
        } else {
            0.0
        };
        count.set(step, before + 1.0);
    }
}
