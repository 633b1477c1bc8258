//! `info`: adds labels of info series, matched by the labels that identify a target (prometheus promql/info.go).
//!
//! Both sides are gathered. Which info series are read depends on the targets that the input names, so they are selected while
//! the operator runs. At each step the info series with the newest sample stands for its metric and target.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::StreamExt;
use garner_storage::model::{
    LabelMatcher, Labels, METRIC_NAME, MatchOp, NANOS_PER_MILLI, Signal, TenantId, TimeRange, Timestamp, is_stale,
};
use garner_storage::scan::{HistogramSlice, SeriesRequest};

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::wire::Parts;
use super::wire::forms::WireRequest;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::window::Windows;
use crate::vector::{Interner, RowBuffer, VectorReader, VectorRow, labels, vector_schema};

/// The labels that identify a target. Hard-coded upstream too.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Most values of one identifying label that are asked for by name; with more, all info series are read and then matched.
const MAX_ASKED_VALUES: usize = 1000;

/// The operator's parameters. Different rows can come out with equal labels: put `Unique` above.
#[derive(Clone, Debug)]
pub struct Info {
    input: Plan,
    tenant: TenantId,
    /// Info series of any target, over all windows.
    request: SeriesRequest,
    /// In which samples of info series are looked for.
    windows: Windows,
}

impl Info {
    /// `input` with the labels of the info series that `matchers` select.
    pub fn plan(input: Plan, tenant: TenantId, matchers: Vec<LabelMatcher>, windows: Windows) -> Plan {
        let (first, last) = windows.bounds();
        OperatorExec::plan(Info {
            input: Gather::one_partition(input),
            tenant,
            request: SeriesRequest {
                signal: Signal::Metrics,
                matchers,
                range: TimeRange::closed(first, last),
            },
            windows,
        })
    }
}

impl Operator for Info {
    const NAME: &'static str = "InfoExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.request.matchers)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Info {
            input: inputs.swap_remove(0),
            ..self.clone()
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    type Wire = (TenantId, WireRequest, Windows);

    fn to_wire(&self) -> Self::Wire {
        (self.tenant.clone(), WireRequest::of(&self.request), self.windows)
    }

    fn from_wire((tenant, request, windows): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Info {
            input: parts.input()?,
            tenant: parts.tenant(tenant)?,
            request: request.build(Signal::Metrics)?,
            windows,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let input = collect(Arc::clone(&plan.input), Arc::clone(&query), task).await?;
            let readers = input
                .batches
                .iter()
                .map(VectorReader::new)
                .collect::<Result<Vec<_>>>()?;
            let rows: Vec<VectorRow<'_>> = readers.iter().flat_map(|r| r.rows()).collect();
            let names = plan.name_matchers();
            let mut targets = Targets::default();
            for row in rows.iter().filter(|row| !is_info(row.labels, &names)) {
                targets.add(row.labels);
            }
            let mut memory = MemoryGuard::new(&query);
            let infos = read_infos(&plan, &targets, &query, &mut memory).await?;
            let join = Join {
                infos,
                names,
                data: plan
                    .request
                    .matchers
                    .iter()
                    .filter(|m| m.name() != METRIC_NAME)
                    .collect(),
                steps: plan.windows.steps.len(),
            };
            let mut output = Output::default();
            for row in rows {
                query.check()?;
                join.add(row, &mut output)?;
            }
            Ok(Gathered {
                batches: output.finish()?,
                memory,
            })
        }))
    }
}

impl Info {
    fn name_matchers(&self) -> Vec<&LabelMatcher> {
        let matchers = self.request.matchers.iter();
        matchers.filter(|m| m.name() == METRIC_NAME).collect()
    }
}

/// Whether a row is itself what would be joined; such rows stay as they are.
fn is_info(set: &[u8], names: &[&LabelMatcher]) -> bool {
    let name = labels::text(labels::value_of(set, METRIC_NAME.as_bytes()));
    names.iter().all(|m| m.matches(name))
}

/// The identifying labels of a set, as a canonical label set.
fn target_into(set: &[u8], out: &mut Vec<u8>) {
    out.clear();
    labels::filter_into(set, out, |name| IDENTIFYING.iter().any(|i| i.as_bytes() == name));
}

/// The targets that the input names.
#[derive(Default)]
struct Targets {
    values: [BTreeSet<String>; IDENTIFYING.len()],
}

impl Targets {
    fn add(&mut self, set: &[u8]) {
        for (name, values) in IDENTIFYING.iter().zip(&mut self.values) {
            let value = labels::text(labels::value_of(set, name.as_bytes()));
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_string());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.values.iter().all(BTreeSet::is_empty)
    }

    /// Matchers for the values, where they are few enough for a pattern.
    fn matchers(&self) -> impl Iterator<Item = LabelMatcher> {
        let named = IDENTIFYING.iter().zip(&self.values);
        named.filter_map(|(name, values)| {
            if values.is_empty() || values.len() > MAX_ASKED_VALUES {
                return None;
            }
            let escaped: Vec<String> = values.iter().map(|v| regex_syntax::escape(v)).collect();
            LabelMatcher::new(name, MatchOp::Regex, &escaped.join("|")).ok()
        })
    }

    /// Whether an info series has values that were asked for.
    fn accept(&self, set: &[u8]) -> bool {
        let named = IDENTIFYING.iter().zip(&self.values);
        let accepts = |(name, values): (&&str, &BTreeSet<String>)| {
            values.is_empty() || values.contains(labels::text(labels::value_of(set, name.as_bytes())))
        };
        named.into_iter().all(accepts)
    }
}

/// No info series at a step.
const NOBODY: u32 = u32::MAX;

/// The info series of one metric and target, at each step the one with the newest sample.
struct Slot {
    series: Vec<u32>,
    times: Vec<Timestamp>,
}

/// Info series by target.
#[derive(Default)]
struct Infos {
    sets: Vec<Labels>,
    targets: Interner,
    /// By target: one slot a metric name, in the order of their coming.
    slots: Vec<Vec<(String, Slot)>>,
}

async fn read_infos(
    plan: &Info,
    targets: &Targets,
    query: &Arc<QueryContext>,
    memory: &mut MemoryGuard,
) -> Result<Infos, QueryError> {
    let mut infos = Infos::default();
    if targets.is_empty() {
        return Ok(infos);
    }
    query.check_tenant(&plan.tenant)?;
    let mut request = plan.request.clone();
    request.matchers.extend(targets.matchers());
    let selection = query.select_samples(&request).await?;
    let mut scan = selection.scan(0, 1);
    let mut key = Vec::new();
    while let Some(batch) = scan.next().await {
        let batch = batch?;
        query.check()?;
        query.count_samples(batch.timestamps.len() as u64)?;
        tokio::task::coop::consume_budget().await;
        for (index, set) in batch.series.iter().enumerate() {
            if targets.accept(set.as_bytes()) {
                let (times, values) = batch.rows(index);
                target_into(set.as_bytes(), &mut key);
                let kinds = batch.histograms(index);
                infos.add(set, &key, (times, values, kinds), &plan.windows, memory)?;
            }
        }
    }
    Ok(infos)
}

impl Infos {
    fn add(
        &mut self,
        set: &Labels,
        target: &[u8],
        (times, values, histograms): (&[Timestamp], &[f64], HistogramSlice<'_>),
        windows: &Windows,
        memory: &mut MemoryGuard,
    ) -> Result<(), QueryError> {
        let steps = windows.steps.len();
        let target = self.targets.intern(target);
        if target == self.slots.len() {
            self.slots.push(Vec::new());
        }
        let slots = &mut self.slots[target];
        let name = set.get(METRIC_NAME).unwrap_or_default();
        let index = match slots.iter().position(|(n, _)| n == name) {
            Some(index) => index,
            None => {
                memory.grow(steps * (size_of::<u32>() + size_of::<Timestamp>()) + name.len() + 64)?;
                let slot = Slot {
                    series: vec![NOBODY; steps],
                    times: vec![0; steps],
                };
                slots.push((name.to_string(), slot));
                slots.len() - 1
            }
        };
        let slot = &mut slots[index].1;
        let number = self.sets.len() as u32;
        let (mut conflict, mut is_histogram) = (None, false);
        windows.for_each(times, |step, low, high| {
            if low == high || is_stale(values[high - 1]) {
                return;
            }
            is_histogram |= histograms.get(high - 1).is_some();
            let time = times[high - 1];
            match slot.series[step] {
                NOBODY => {}
                other if slot.times[step] == time => {
                    conflict.get_or_insert((other, time));
                    return;
                }
                _ if slot.times[step] > time => return,
                _ => {}
            }
            slot.series[step] = number;
            slot.times[step] = time;
        });
        if is_histogram {
            return Err(QueryError::execution(format!(
                "this should be an info metric, with float samples: {set}"
            )));
        }
        if let Some((other, time)) = conflict {
            let (time, other) = (time.div_euclid(NANOS_PER_MILLI), &self.sets[other as usize]);
            return Err(QueryError::execution(format!(
                "found duplicate series for info metric: existing {other} @ {time}, new {set} @ {time}"
            )));
        }
        memory.grow(set.size_bytes() + size_of::<Labels>())?;
        self.sets.push(set.clone());
        Ok(())
    }
}

struct Join<'a> {
    infos: Infos,
    names: Vec<&'a LabelMatcher>,
    /// Matchers on labels, which choose the labels that are added.
    data: Vec<&'a LabelMatcher>,
    steps: usize,
}

/// What becomes of a row at the steps at which the same info series hold.
struct Outcome {
    picked: Vec<u32>,
    /// `None` where the row has no value then.
    labels: Option<Vec<u8>>,
}

impl Join<'_> {
    fn add(&self, row: VectorRow<'_>, output: &mut Output) -> Result<()> {
        if is_info(row.labels, &self.names) {
            output.row()?.push_copy(row.labels, row);
            return Ok(());
        }
        let mut target = Vec::new();
        target_into(row.labels, &mut target);
        let slots = match self.infos.targets.get(&target) {
            Some(target) => &self.infos.slots[target][..],
            None => &[],
        };
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut chosen = Vec::with_capacity(row.values.len());
        let mut picked = Vec::with_capacity(slots.len());
        for step in row.steps() {
            picked.clear();
            picked.extend(slots.iter().map(|(_, slot)| slot.series[step]));
            let known = outcomes.iter().rposition(|o| o.picked == picked);
            let outcome = match known {
                Some(outcome) => outcome,
                None => {
                    outcomes.push(Outcome {
                        labels: self.enriched(row.labels, &picked)?,
                        picked: picked.clone(),
                    });
                    outcomes.len() - 1
                }
            };
            chosen.push((step, outcome));
        }
        if let [only] = &outcomes[..] {
            if let Some(labels) = &only.labels {
                output.row()?.push_copy(labels, row);
            }
            return Ok(());
        }
        let mut buffer = RowBuffer::new(self.steps);
        for (index, outcome) in outcomes.iter().enumerate() {
            let Some(labels) = &outcome.labels else { continue };
            buffer.clear();
            for (step, _) in chosen.iter().filter(|(_, o)| *o == index) {
                match (row.at(*step), row.histogram_at(*step)) {
                    (Some(value), _) => buffer.set(*step, value),
                    (None, Some(histogram)) => buffer.set_histogram(*step, Arc::new(histogram)),
                    (None, None) => {}
                }
            }
            output.row()?.push_row(labels, &buffer);
        }
        Ok(())
    }

    /// The labels of a row with those of the info series picked for it.
    fn enriched(&self, base: &[u8], picked: &[u32]) -> Result<Option<Vec<u8>>, QueryError> {
        let sets = picked.iter().filter(|p| **p != NOBODY);
        let sets: Vec<&Labels> = sets.map(|p| &self.infos.sets[*p as usize]).collect();
        if sets.is_empty() && !self.data.iter().all(|m| m.matches_absent()) {
            return Ok(None);
        }
        let mut added: Vec<labels::Pair<'_>> = Vec::new();
        for pair in sets.iter().flat_map(|set| labels::pairs(set.as_bytes())) {
            let asked = |m: &&LabelMatcher| m.name().as_bytes() == pair.name;
            if pair.name == METRIC_NAME.as_bytes() || !(self.data.is_empty() || self.data.iter().any(asked)) {
                continue;
            }
            match added.iter().find(|a| a.name == pair.name) {
                Some(other) if other.value != pair.value => {
                    let name = labels::text(pair.name);
                    return Err(QueryError::execution(format!("conflicting label: {name}")));
                }
                Some(_) => {}
                None if labels::pairs(base).any(|own| own.name == pair.name) => {}
                None => added.push(pair),
            }
        }
        let mut all: Vec<labels::Pair<'_>> = labels::pairs(base).chain(added).collect();
        all.sort_by_key(|p| p.name);
        Ok(Some(all.iter().flat_map(|p| p.bytes).copied().collect()))
    }
}
