//! `topk`, `bottomk`, `limitk`: at each step the k elements of each group with the greatest, least or any values.
//!
//! Runs on every partition alone and once more over what is left, so that a wide input is cut down where it is read.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use garner_storage::model::Histogram;
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan, partitions};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::scalar::{ScalarExpr, inputs_of, put_inputs};
use super::stream::{Gathered, MemoryGuard, Output, gathered};
use super::wire::Parts;
use super::wire::forms::{WireScalar, scalar_to_wire};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::annotate;
use crate::functions::number::go_general;
use crate::plan::{Grouping, Span, Steps};
use crate::vector::{Interner, RowBuffer, ScalarColumn, VectorReader, VectorRow, vector_schema};

/// Which elements stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// The greatest.
    Top,
    /// The least.
    Bottom,
    /// The first met.
    Any,
}

impl Pick {
    /// Orders values best first; NaN last.
    fn order(self, a: f64, b: f64) -> Ordering {
        match (self, a.is_nan(), b.is_nan()) {
            (Pick::Any, ..) => Ordering::Equal,
            // Zeros of both signs are equal.
            (Pick::Top, false, false) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
            (Pick::Bottom, false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (_, a, b) => a.cmp(&b),
        }
    }
}

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct TopK {
    input: Plan,
    pick: Pick,
    k: ScalarExpr,
    keys: KeyLabels,
    steps: Steps,
    /// Whether this picks from all rows, not from those of one partition.
    last: bool,
    /// Where the aggregation stands.
    span: Span,
}

impl TopK {
    /// The picked elements of `input`.
    pub fn plan(input: Plan, pick: Pick, k: ScalarExpr, grouping: &Grouping, steps: Steps, span: Span) -> Plan {
        let keys = KeyLabels::of_group(grouping).without_mark();
        let make = |input, last| {
            OperatorExec::plan(TopK {
                input,
                pick,
                k: k.clone(),
                keys: keys.clone(),
                steps,
                last,
                span,
            })
        };
        if partitions(&input) == 1 {
            return make(input, true);
        }
        make(Gather::one_partition(make(input, false)), true)
    }
}

impl Operator for TopK {
    const NAME: &'static str = "TopKExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} k={} {:?}", self.pick, self.k, self.keys)
    }

    fn inputs(&self) -> Vec<&Plan> {
        inputs_of(&self.input, &self.k)
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut out = self.clone();
        put_inputs(inputs, &mut out.input, &mut out.k);
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    fn needs_one_partition(&self) -> bool {
        self.last
    }

    type Wire = (Pick, WireScalar, KeyLabels, Steps, bool, Span);

    fn to_wire(&self) -> Self::Wire {
        let k = scalar_to_wire(&self.k);
        (self.pick, k, self.keys.clone(), self.steps, self.last, self.span)
    }

    fn from_wire((pick, k, keys, steps, last, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(TopK {
            input: parts.input()?,
            pick,
            k: parts.scalar(k)?,
            keys,
            steps,
            last,
            span,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, Arc::clone(&task))?;
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            let k = plan.k.evaluate(plan.steps, &query, &task).await?;
            let Some(limits) = limits(&k, plan.steps)? else {
                // What the input has to tell is told, and its errors are errors.
                while input.try_next().await?.is_some() {
                    query.check()?;
                }
                return Ok(Gathered {
                    batches: Vec::new(),
                    memory: MemoryGuard::new(&query),
                });
            };
            let mut picks = Picks::new(&plan, limits, &query);
            while let Some(batch) = input.try_next().await? {
                query.check()?;
                for row in VectorReader::new(&batch)?.rows() {
                    picks.add(row)?;
                }
            }
            if picks.ignored_histograms {
                let aggregation = if plan.pick == Pick::Top { "topk" } else { "bottomk" };
                annotate::histogram_ignored(aggregation, &query, plan.span);
            }
            picks.finish()
        }))
    }
}

/// k at each step; nothing where it never reaches 1 (prometheus promql/engine.go, `rangeEvalAgg`).
fn limits(k: &ScalarColumn, steps: Steps) -> Result<Option<Vec<usize>>, QueryError> {
    let values = k.values();
    // A NaN makes upstream's greatest value NaN, which is not less than 1.
    if values.iter().any(|v| v.is_nan()) {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    if max < 1.0 {
        return Ok(None);
    }
    if min <= i64::MIN as f64 {
        return Err(QueryError::execution(format!(
            "Scalar value {} underflows int64",
            go_general(min)
        )));
    }
    if max >= i64::MAX as f64 {
        return Err(QueryError::execution(format!(
            "Scalar value {} overflows int64",
            go_general(max)
        )));
    }
    Ok(Some(
        (0..steps.len()).map(|step| k.at(step).max(0.0) as usize).collect(),
    ))
}

/// An element that is among the best of its group at a step.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    value: f64,
    series: u32,
}

/// Elements of one group at one step, at times cut down to the best.
#[derive(Debug, Default)]
struct Candidates {
    all: Vec<Chosen>,
    /// So many at the front are the best of those met before, best first.
    sorted: usize,
}

/// Candidates that are collected before they are cut, also where k is less.
const MIN_CUT: usize = 16;

impl Candidates {
    /// Whether a new value cannot be among the best.
    fn rejects(&self, pick: Pick, value: f64, limit: usize) -> bool {
        self.sorted == limit && pick.order(self.all[limit - 1].value, value) != Ordering::Greater
    }

    /// Keeps the best, best first; of equal values those met first.
    fn cut(&mut self, pick: Pick, limit: usize) {
        self.all.sort_by(|a, b| pick.order(a.value, b.value));
        self.all.truncate(limit);
        self.sorted = self.all.len();
    }
}

struct Picks {
    pick: Pick,
    limits: Vec<usize>,
    keys: KeyLabels,
    groups: Interner,
    series: Interner,
    /// At `group * steps + step`.
    chosen: Vec<Candidates>,
    /// The histograms among them, by where in `chosen` they stand and by series.
    histograms: HashMap<(usize, u32), Arc<Histogram>>,
    ignored_histograms: bool,
    memory: MemoryGuard,
    key: Vec<u8>,
}

impl Picks {
    fn new(plan: &TopK, limits: Vec<usize>, query: &QueryContext) -> Self {
        Picks {
            pick: plan.pick,
            limits,
            keys: plan.keys.clone(),
            groups: Interner::new(),
            series: Interner::new(),
            chosen: Vec::new(),
            histograms: HashMap::new(),
            ignored_histograms: false,
            memory: MemoryGuard::new(query),
            key: Vec::new(),
        }
    }

    fn add(&mut self, row: VectorRow<'_>) -> Result<(), QueryError> {
        self.add_values(row.labels, row.iter())?;
        let Some(runs) = row.histograms() else {
            return Ok(());
        };
        if self.pick != Pick::Any {
            self.ignored_histograms = true;
            return Ok(());
        }
        self.add_values(row.labels, runs.all_steps().map(|step| (step, f64::NAN)))?;
        let (Some(group), Some(series)) = (self.groups.get(&self.key), self.series.get(row.labels)) else {
            return Ok(());
        };
        for (step, histogram) in runs.points() {
            let cell = group * self.limits.len() + step;
            // The newest of a cell is its last.
            if self.chosen[cell].all.last().is_some_and(|c| c.series == series as u32) {
                self.memory.grow(histogram.size_bytes())?;
                self.histograms.insert((cell, series as u32), histogram);
            }
        }
        Ok(())
    }

    fn add_values(&mut self, labels: &[u8], values: impl Iterator<Item = (usize, f64)>) -> Result<(), QueryError> {
        let steps = self.limits.len();
        self.keys.key_into(labels, &mut self.key);
        let group = self.groups.intern(&self.key);
        if self.chosen.len() < (group + 1) * steps {
            self.memory.grow(steps * size_of::<Candidates>() + self.key.len())?;
            self.chosen.resize_with((group + 1) * steps, Candidates::default);
        }
        let mut series = None;
        for (step, value) in values {
            let limit = self.limits[step];
            let cell = &mut self.chosen[group * steps + step];
            if limit == 0 || cell.rejects(self.pick, value, limit) {
                continue;
            }
            let series = match series {
                Some(series) => series,
                None => {
                    self.memory.grow(labels.len() + 16)?;
                    *series.insert(self.series.intern(labels) as u32)
                }
            };
            if cell.all.len() == cell.all.capacity() {
                self.memory.grow(cell.all.len().max(4) * size_of::<Chosen>())?;
            }
            cell.all.push(Chosen { value, series });
            if cell.all.len() >= limit.saturating_mul(2).max(MIN_CUT) {
                cell.cut(self.pick, limit);
            }
        }
        Ok(())
    }

    /// With one step, elements in the order of their values; with more, one row a series.
    fn finish(mut self) -> Result<Gathered> {
        let steps = self.limits.len();
        for (cell, candidates) in self.chosen.iter_mut().enumerate() {
            candidates.cut(self.pick, self.limits[cell % steps]);
        }
        let mut output = Output::default();
        if steps == 1 {
            for (cell, candidates) in self.chosen.iter().enumerate() {
                for chosen in &candidates.all {
                    let labels = self.series.bytes(chosen.series as usize);
                    match self.histograms.get(&(cell, chosen.series)) {
                        Some(histogram) => output.row()?.push_histogram(labels, 1, histogram),
                        None => output.row()?.push_dense(labels, 0, &[chosen.value]),
                    }
                }
            }
        } else {
            let mut by_series: Vec<Vec<(usize, usize, f64)>> = vec![Vec::new(); self.series.len()];
            for (cell, candidates) in self.chosen.iter().enumerate() {
                for c in &candidates.all {
                    by_series[c.series as usize].push((cell, cell % steps, c.value));
                }
            }
            let mut row = RowBuffer::new(steps);
            for (series, points) in by_series.iter().enumerate() {
                row.clear();
                for (cell, step, value) in points {
                    match self.histograms.get(&(*cell, series as u32)) {
                        Some(histogram) => row.set_histogram(*step, Arc::clone(histogram)),
                        None => row.set(*step, *value),
                    }
                }
                output.row()?.push_row(self.series.bytes(series), &row);
            }
        }
        Ok(Gathered {
            batches: output.finish()?,
            memory: self.memory,
        })
    }
}
