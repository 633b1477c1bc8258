//! Arithmetic and comparison of two vectors, matched by labels: one to one, many to one (`group_left`), one to many
//! (`group_right`).
//!
//! Both sides are gathered. Rows of each side fall into match groups by their key; every pair of a "many" and a "one" row of
//! a group gives values where both are present, and pairs that give one label set become one row. The checks are those
//! that Prometheus makes step by step (promql/engine.go, `VectorBinop`).

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::Histogram;
use garner_storage::model::go_text::go_labels;

use super::exec::{Operator, OperatorExec, Plan};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::match_labels::ResultLabels;
use super::stream::{Gathered, MemoryGuard, Output, collect, gathered};
use super::unique::same_labelset;
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::binary::element_op;
use crate::functions::native::binary::{Element, Outcome, Told, combine};
use crate::plan::{BinaryOp, Cardinality, Matching, Span, Steps};
use crate::vector::labels::{self, NameRemoval};
use crate::vector::{Interner, RowBuffer, VectorReader, VectorRow, vector_schema};

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct BinaryVector {
    /// Left side.
    pub left: Plan,
    /// Right side.
    pub right: Plan,
    /// The operator.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How elements find each other.
    pub matching: Matching,
    /// The grid.
    pub steps: Steps,
    /// Where the operation stands.
    pub span: Span,
}

impl BinaryVector {
    /// The operation as a plan; gathers both sides.
    pub fn plan(mut self) -> Plan {
        self.left = Gather::one_partition(self.left);
        self.right = Gather::one_partition(self.right);
        OperatorExec::plan(self)
    }
}

impl Operator for BinaryVector {
    const NAME: &'static str = "BinaryVectorExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bool_text = if self.return_bool { " bool" } else { "" };
        write!(f, "{}{bool_text} {:?}", self.op.as_str(), self.matching)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.left, &self.right]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(BinaryVector {
            right: inputs.swap_remove(1),
            left: inputs.swap_remove(0),
            ..self.clone()
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    fn estimated_rows(&self, inputs: &[Option<usize>]) -> Option<usize> {
        // A row for each of the "many" side, and with fill values for each of both.
        let (left, right) = ((*inputs.first()?)?, (*inputs.get(1)?)?);
        let fills = self.matching.fill_left.is_some() || self.matching.fill_right.is_some();
        Some(match self.matching.cardinality {
            _ if fills => left.saturating_add(right),
            Cardinality::OneToMany => right,
            Cardinality::OneToOne => left.min(right),
            Cardinality::ManyToOne | Cardinality::ManyToMany => left,
        })
    }

    type Wire = (BinaryOp, bool, Matching, Steps, Span);

    fn to_wire(&self) -> Self::Wire {
        (self.op, self.return_bool, self.matching.clone(), self.steps, self.span)
    }

    fn from_wire((op, return_bool, matching, steps, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(BinaryVector {
            left: parts.input()?,
            right: parts.input()?,
            op,
            return_bool,
            matching,
            steps,
            span,
        })
    }

    fn run(&self, _: usize, query: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.clone();
        Ok(gathered(vector_schema(), async move {
            // The right side is read where nothing can come of it too: its errors and annotations belong to the answer.
            let left = collect(Arc::clone(&plan.left), Arc::clone(&query), Arc::clone(&task)).await?;
            let right = collect(Arc::clone(&plan.right), Arc::clone(&query), task).await?;
            let (many, one) = if plan.matching.cardinality == Cardinality::OneToMany {
                (right, left)
            } else {
                (left, right)
            };
            join(&plan, &many, &one, &query)
        }))
    }
}

/// Rows of both sides with one match key.
#[derive(Default)]
struct MatchGroup<'a> {
    many: Vec<Ranked<'a>>,
    one: Vec<Ranked<'a>>,
    /// Whether an operation may have no result: a row has histograms, or the operator has none of two floats.
    partial: bool,
    /// Of one to one, at which steps the group has a result; filled where it is `partial`.
    matched: Vec<bool>,
}

/// A row, and which of its side it is.
#[derive(Clone, Copy)]
struct Ranked<'a> {
    row: VectorRow<'a>,
    rank: usize,
}

/// What stands at a step of a pair; `None` is a side that a fill value stands in for.
#[derive(Clone, Copy)]
struct Pair<'a> {
    group: usize,
    many: Option<VectorRow<'a>>,
    one: Option<VectorRow<'a>>,
    /// When its operation is done among those of a step: in the order of "many" rows, then in that of "one" rows that
    /// nothing matched.
    place: usize,
}

fn join(plan: &BinaryVector, many: &Gathered, one: &Gathered, query: &QueryContext) -> Result<Gathered> {
    let mut memory = MemoryGuard::new(query);
    let many_readers = many.batches.iter().map(VectorReader::new).collect::<Result<Vec<_>>>()?;
    let one_readers = one.batches.iter().map(VectorReader::new).collect::<Result<Vec<_>>>()?;
    let keys = KeyLabels::of_match(&plan.matching);
    let (mut names, mut groups, mut key) = (Interner::new(), Vec::<MatchGroup<'_>>::new(), Vec::new());
    let mut many_present = vec![false; plan.steps.len()];
    for (rank, row) in many_readers.iter().flat_map(|r| r.rows()).enumerate() {
        keys.key_into(row.labels, &mut key);
        let group = group_of(&mut names, &mut groups, &key, &mut memory)?;
        group.partial |= plan.op.is_trim() || row.histograms().is_some();
        group.many.push(Ranked { row, rank });
        row.steps().for_each(|step| many_present[step] = true);
    }
    for (rank, row) in one_readers.iter().flat_map(|r| r.rows()).enumerate() {
        keys.key_into(row.labels, &mut key);
        let group = group_of(&mut names, &mut groups, &key, &mut memory)?;
        group.partial |= plan.op.is_trim() || row.histograms().is_some();
        group.one.push(Ranked { row, rank });
    }
    let fills = plan.matching.fill_left.is_some() || plan.matching.fill_right.is_some();
    let many_rows = many_readers.iter().map(|r| r.len()).sum();
    let mut pairs = Pairs::new(plan, query.names(), many_rows);
    for (index, group) in groups.iter_mut().enumerate() {
        let alone = fills || plan.matching.one_side_alone;
        check_one_side(plan, group, names.bytes(index), |step| alone || many_present[step])?;
        if plan.matching.cardinality == Cardinality::OneToOne {
            if group.partial {
                memory.grow(plan.steps.len())?;
                group.matched = vec![false; plan.steps.len()];
            } else {
                check_one_to_one(plan, group)?;
            }
        }
        pairs.add_group(index, group, &mut memory)?;
    }
    let batches = pairs.evaluate(&mut groups, &mut memory)?;
    pairs.told.tell(plan.op, query, plan.span);
    Ok(Gathered { batches, memory })
}

fn group_of<'g, 'a>(
    names: &mut Interner,
    groups: &'g mut Vec<MatchGroup<'a>>,
    key: &[u8],
    memory: &mut MemoryGuard,
) -> Result<&'g mut MatchGroup<'a>, QueryError> {
    let index = names.intern(key);
    if index == groups.len() {
        memory.grow(key.len() + size_of::<MatchGroup<'_>>())?;
        groups.push(MatchGroup::default());
    }
    memory.grow(size_of::<Ranked<'_>>())?;
    Ok(&mut groups[index])
}

/// The "one" side must have one element of a group at each step that has anything to match.
fn check_one_side(
    plan: &BinaryVector,
    group: &MatchGroup<'_>,
    key: &[u8],
    matters: impl Fn(usize) -> bool,
) -> Result<(), QueryError> {
    if group.one.len() < 2 {
        return Ok(());
    }
    let mut holder: Vec<Option<usize>> = vec![None; plan.steps.len()];
    for (index, Ranked { row, .. }) in group.one.iter().enumerate() {
        for step in row.steps().filter(|step| matters(*step)) {
            let Some(first) = holder[step].replace(index) else {
                continue;
            };
            let side = match plan.matching.cardinality {
                Cardinality::OneToMany => "left",
                _ => "right",
            };
            let mut duplicates = [row, &group.one[first].row].map(|r| go_labels(labels::to_labels(r.labels).iter()));
            duplicates.sort_unstable();
            return Err(QueryError::execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
                 many-to-many matching not allowed: matching labels must be unique on one side",
                go_labels(labels::to_labels(key).iter()),
                duplicates[0],
                duplicates[1],
            )));
        }
    }
    Ok(())
}

/// One to one, two left elements of a group must not meet at a step where the right side has one. Where operations may have
/// no result, this is seen only while they are done.
fn check_one_to_one(plan: &BinaryVector, group: &MatchGroup<'_>) -> Result<(), QueryError> {
    if group.many.len() < 2 || (group.one.is_empty() && plan.matching.fill_right.is_none()) {
        return Ok(());
    }
    let mut seen = vec![false; plan.steps.len()];
    for Ranked { row, .. } in &group.many {
        for step in row.steps() {
            let matched = plan.matching.fill_right.is_some() || group.one.iter().any(|o| o.row.is_at(step));
            if matched && std::mem::replace(&mut seen[step], true) {
                return Err(must_be_explicit());
            }
        }
    }
    Ok(())
}

fn must_be_explicit() -> QueryError {
    QueryError::execution("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
}

/// All pairs, by the labels of their result.
struct Pairs<'a, 'p> {
    plan: &'p BinaryVector,
    labels: ResultLabels,
    results: Interner,
    pairs: Vec<Vec<Pair<'a>>>,
    many_rows: usize,
    told: Told,
}

impl<'a, 'p> Pairs<'a, 'p> {
    fn new(plan: &'p BinaryVector, names: NameRemoval, many_rows: usize) -> Self {
        Pairs {
            plan,
            labels: ResultLabels::new(plan.op, plan.return_bool, &plan.matching, names),
            results: Interner::new(),
            pairs: Vec::new(),
            many_rows,
            told: Told::default(),
        }
    }

    fn add_group(&mut self, index: usize, group: &MatchGroup<'a>, memory: &mut MemoryGuard) -> Result<(), QueryError> {
        let matching = &self.plan.matching;
        let (fill_many, fill_one) = (matching.fill_left.is_some(), matching.fill_right.is_some());
        for many in &group.many {
            for one in &group.one {
                self.add(index, Some(*many), Some(*one), memory)?;
            }
            if fill_one {
                self.add(index, Some(*many), None, memory)?;
            }
        }
        // Last, since they depend on what matched.
        if fill_many {
            for one in &group.one {
                self.add(index, None, Some(*one), memory)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        group: usize,
        many: Option<Ranked<'a>>,
        one: Option<Ranked<'a>>,
        memory: &mut MemoryGuard,
    ) -> Result<(), QueryError> {
        let place = many.map_or_else(|| self.many_rows + one.map_or(0, |o| o.rank), |m| m.rank);
        let (many, one) = (many.map(|r| r.row), one.map(|r| r.row));
        let set = self.labels.of(many.map(|r| r.labels), one.map(|r| r.labels));
        let result = self.results.intern(set);
        if result == self.pairs.len() {
            memory.grow(set.len() + size_of::<Vec<Pair<'_>>>() + 16)?;
            self.pairs.push(Vec::new());
        }
        memory.grow(size_of::<Pair<'_>>())?;
        self.pairs[result].push(Pair {
            group,
            many,
            one,
            place,
        });
        Ok(())
    }

    fn evaluate(
        &mut self,
        groups: &mut [MatchGroup<'a>],
        memory: &mut MemoryGuard,
    ) -> Result<Vec<arrow_array::RecordBatch>> {
        let steps = self.plan.steps.len();
        let mut output = Output::default();
        let mut row = RowBuffer::new(steps);
        // The match group whose pair was at a step, also where the comparison did not hold there.
        let mut touched: Vec<Option<usize>> = vec![None; steps];
        let all = std::mem::take(&mut self.pairs);
        for (result, pairs) in all.iter().enumerate() {
            row.clear();
            if pairs.len() > 1 {
                touched.fill(None);
            }
            for pair in pairs {
                let (group, shared) = (&mut groups[pair.group], pairs.len() > 1);
                if group.partial {
                    self.evaluate_mixed(pair, group, shared, &mut touched, &mut row)?;
                } else {
                    self.evaluate_pair(pair, group, shared, &mut touched, &mut row)?;
                }
            }
            memory.grow(row.histogram_bytes())?;
            output.row()?.push_row(self.results.bytes(result), &row);
        }
        output.finish()
    }

    fn evaluate_pair(
        &self,
        pair: &Pair<'a>,
        group: &MatchGroup<'a>,
        shared: bool,
        touched: &mut [Option<usize>],
        row: &mut RowBuffer,
    ) -> Result<(), QueryError> {
        let matching = &self.plan.matching;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let Some(driver) = pair.many.or(pair.one) else {
            return Ok(());
        };
        for (step, value) in driver.iter() {
            let values = match (pair.many, pair.one) {
                (Some(_), Some(one)) => one.at(step).map(|other| (value, other)),
                (Some(_), None) => {
                    let unmatched = group.one.iter().all(|o| !o.row.is_at(step));
                    matching.fill_right.filter(|_| unmatched).map(|fill| (value, fill))
                }
                _ => {
                    let unmatched = group.many.iter().all(|m| !m.row.is_at(step));
                    matching.fill_left.filter(|_| unmatched).map(|fill| (fill, value))
                }
            };
            let Some((many, one)) = values else { continue };
            if shared && touched[step].replace(pair.group) == Some(pair.group) {
                return Err(QueryError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            let (left, right) = if swapped { (one, many) } else { (many, one) };
            if let Some(value) = element_op(self.plan.op, self.plan.return_bool, left, right) {
                if row.is_present(step) {
                    return Err(same_labelset());
                }
                row.set(step, value);
            }
        }
        Ok(())
    }
    /// As [`Pairs::evaluate_pair`], where a side has histograms.
    fn evaluate_mixed(
        &mut self,
        pair: &Pair<'a>,
        group: &mut MatchGroup<'a>,
        shared: bool,
        touched: &mut [Option<usize>],
        row: &mut RowBuffer,
    ) -> Result<(), QueryError> {
        let matching = &self.plan.matching;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let Some(driver) = pair.many.or(pair.one) else {
            return Ok(());
        };
        for step in driver.steps() {
            let sides = match (pair.many, pair.one) {
                (Some(many), Some(one)) => (Side::at(many, step), Side::at(one, step)),
                (Some(many), None) => {
                    let unmatched = group.one.iter().all(|o| !o.row.is_at(step));
                    (
                        Side::at(many, step),
                        matching.fill_right.filter(|_| unmatched).map(Side::Float),
                    )
                }
                (None, Some(one)) => {
                    let one = Side::at(one, step);
                    let fill = matching.fill_left.filter(|_| {
                        // What has no result counts as no match.
                        let matches = |m: &Ranked<'_>| {
                            let many = Side::at(m.row, step)?;
                            let (left, right) = if swapped {
                                (one.as_ref()?, &many)
                            } else {
                                (&many, one.as_ref()?)
                            };
                            result_of(self.plan, left, right, &mut Told::default())
                        };
                        group.many.iter().all(|m| matches(m).is_none())
                    });
                    (fill.map(Side::Float), one)
                }
                (None, None) => (None, None),
            };
            let (Some(many), Some(one)) = sides else { continue };
            let (left, right) = if swapped { (&one, &many) } else { (&many, &one) };
            self.told.set_place(step, pair.place);
            let Some(result) = result_of(self.plan, left, right, &mut self.told) else {
                continue;
            };
            if matching.cardinality == Cardinality::OneToOne {
                if std::mem::replace(&mut group.matched[step], true) {
                    return Err(must_be_explicit());
                }
            } else if shared && touched[step].replace(pair.group) == Some(pair.group) {
                return Err(QueryError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            let Some(result) = result else { continue };
            if row.is_present(step) {
                return Err(same_labelset());
            }
            match result {
                Side::Float(value) => row.set(step, value),
                Side::Histogram(histogram) => row.set_histogram(step, histogram),
            }
        }
        Ok(())
    }
}

/// What a side has at a step.
#[derive(Clone)]
enum Side {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Side {
    fn at(row: VectorRow<'_>, step: usize) -> Option<Side> {
        let float = row.at(step).map(Side::Float);
        float.or_else(|| row.histogram_at(step).map(|h| Side::Histogram(Arc::new(h))))
    }

    fn element(&self) -> Element<'_> {
        match self {
            Side::Float(value) => Element::Float(*value),
            Side::Histogram(histogram) => Element::Histogram(histogram),
        }
    }
}

/// What two sides give; `Some(None)` where a comparison does not hold, nothing where there is no such operation, which then
/// counts as no match.
fn result_of(plan: &BinaryVector, left: &Side, right: &Side, told: &mut Told) -> Option<Option<Side>> {
    if let (Side::Float(left), Side::Float(right)) = (left, right)
        && !plan.op.is_trim()
    {
        return Some(element_op(plan.op, plan.return_bool, *left, *right).map(Side::Float));
    }
    match combine(plan.op, left.element(), right.element(), told) {
        Outcome::Histogram(made) => Some(Some(Side::Histogram(Arc::new(made)))),
        Outcome::Holds(holds) if plan.return_bool => Some(Some(Side::Float(f64::from(u8::from(holds))))),
        Outcome::Holds(holds) => Some(holds.then(|| left.clone())),
        Outcome::Nothing => None,
    }
}
