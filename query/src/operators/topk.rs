//! `topk`, `bottomk`, `limitk`: at each step the k elements of each group with the greatest, least or any values.
//!
//! Runs on every partition alone and once more over what is left, so that a wide input is cut down where it is read.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;

use super::exec::{Operator, OperatorExec, Plan, partitions};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::scalar::ScalarExpr;
use super::stream::{Gathered, MemoryGuard, Output, gathered};
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::plan::{Grouping, Steps};
use crate::vector::{Interner, RowBuffer, ScalarColumn, VectorReader, vector_schema};

/// Which elements stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            (Pick::Top, false, false) => b.total_cmp(&a),
            (Pick::Bottom, false, false) => a.total_cmp(&b),
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
}

impl TopK {
    /// The picked elements of `input`.
    pub fn plan(input: Plan, pick: Pick, k: ScalarExpr, grouping: &Grouping, steps: Steps) -> Plan {
        let keys = KeyLabels::of_group(grouping);
        let make = |input| {
            OperatorExec::plan(TopK {
                input,
                pick,
                k: k.clone(),
                keys: keys.clone(),
                steps,
            })
        };
        if partitions(&input) == 1 {
            return make(input);
        }
        make(Gather::one_partition(make(input)))
    }
}

impl Operator for TopK {
    const NAME: &'static str = "TopKExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} k={} {:?}", self.pick, self.k, self.keys)
    }

    fn inputs(&self) -> Vec<&Plan> {
        let mut out = vec![&self.input];
        self.k.inputs(&mut out);
        out
    }

    fn with_inputs(&self, inputs: Vec<Plan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut out = self.clone();
        out.input = inputs.next().unwrap_or(out.input);
        out.k = self.k.with_inputs(&mut inputs);
        Ok(out)
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
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
                return Ok(Gathered {
                    batches: Vec::new(),
                    memory: MemoryGuard::new(&query),
                });
            };
            let mut picks = Picks::new(&plan, limits, &query);
            while let Some(batch) = input.try_next().await? {
                query.check()?;
                for row in VectorReader::new(&batch)?.rows() {
                    picks.add(row.labels, row.iter())?;
                }
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
        return Err(QueryError::execution(format!("Scalar value {min} underflows int64")));
    }
    if max >= i64::MAX as f64 {
        return Err(QueryError::execution(format!("Scalar value {max} overflows int64")));
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

struct Picks {
    pick: Pick,
    limits: Vec<usize>,
    keys: KeyLabels,
    groups: Interner,
    series: Interner,
    /// Best first, at `group * steps + step`.
    chosen: Vec<Vec<Chosen>>,
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
            memory: MemoryGuard::new(query),
            key: Vec::new(),
        }
    }

    fn add(&mut self, labels: &[u8], values: impl Iterator<Item = (usize, f64)>) -> Result<(), QueryError> {
        let steps = self.limits.len();
        self.keys.key_into(labels, &mut self.key);
        let group = self.groups.intern(&self.key);
        if self.chosen.len() < (group + 1) * steps {
            self.memory.grow(steps * size_of::<Vec<Chosen>>() + self.key.len())?;
            self.chosen.resize_with((group + 1) * steps, Vec::new);
        }
        let mut series = None;
        for (step, value) in values {
            let best = &mut self.chosen[group * steps + step];
            // Of equal values the one met first stays.
            let place = best.partition_point(|c| self.pick.order(c.value, value) != Ordering::Greater);
            if place >= self.limits[step] {
                continue;
            }
            let series = match series {
                Some(series) => series,
                None => {
                    self.memory.grow(labels.len() + 16)?;
                    *series.insert(self.series.intern(labels) as u32)
                }
            };
            if best.len() == self.limits[step] {
                best.pop();
            } else {
                self.memory.grow(size_of::<Chosen>())?;
            }
            best.insert(place, Chosen { value, series });
        }
        Ok(())
    }

    /// With one step, elements in the order of their values; with more, one row a series.
    fn finish(self) -> Result<Gathered> {
        let steps = self.limits.len();
        let mut output = Output::default();
        if steps == 1 {
            for chosen in self.chosen.iter().flatten() {
                let labels = self.series.bytes(chosen.series as usize);
                output.row()?.push_dense(labels, 0, &[chosen.value]);
            }
        } else {
            let mut by_series: Vec<Vec<(usize, f64)>> = vec![Vec::new(); self.series.len()];
            for (cell, chosen) in self.chosen.iter().enumerate() {
                for c in chosen {
                    by_series[c.series as usize].push((cell % steps, c.value));
                }
            }
            let mut row = RowBuffer::new(steps);
            for (series, points) in by_series.iter().enumerate() {
                row.clear();
                points.iter().for_each(|(step, value)| row.set(*step, *value));
                output.row()?.push_row(self.series.bytes(series), &row);
            }
        }
        Ok(Gathered {
            batches: output.finish()?,
            memory: self.memory,
        })
    }
}
