//! Foldable aggregations: `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar` over groups × steps.
//!
//! One partition folds and answers at once. More of them fold in [`Phase::Partial`] each, hand cells on, and
//! [`Phase::Final`] merges:
//!
//! ```text
//! Aggregate(Final) <- Gather <- Aggregate(Partial) × partitions <- input × partitions
//! ```

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, ListArray, RecordBatch};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Result, internal_datafusion_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use garner_storage::model::{Histogram, METRIC_NAME};
use serde::{Deserialize, Serialize};

use super::exec::{Operator, OperatorExec, Plan, partitions};
use super::fold::{Cell, Fold, FoldState};
use super::gather::Gather;
use super::grouping::KeyLabels;
use super::histogram_cells::{self, HistogramCells};
use super::histogram_fold::HistogramFold;
use super::stream::{Gathered, MemoryGuard, Output, gathered};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::functions::annotate::{self, Notes};
use crate::plan::{Grouping, Span, Steps};
use crate::vector::{
    HistogramRuns, Interner, RowBuffer, VectorBuilder, VectorReader, labels, value_field, vector_schema,
};

/// Which part of the work is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Rows in, results out.
    Single,
    /// Rows in, cells out.
    Partial,
    /// Cells in, results out.
    Final,
}

/// The operator's parameters.
#[derive(Clone, Debug)]
pub struct Aggregate {
    input: Plan,
    fold: Fold,
    keys: KeyLabels,
    steps: Steps,
    phase: Phase,
    /// Where the input stands.
    span: Span,
}

/// The vector layout and the columns of [`Cell`], one value a step from step 0 on; the flag is 0 or 1. A batch of groups
/// with histograms has the columns of [`histogram_cells`] after them.
static CELL_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields: Vec<Arc<Field>> = vector_schema().fields().iter().cloned().collect();
    for name in ["count", "a", "b", "flag"] {
        fields.push(Arc::new(Field::new(name, DataType::List(value_field()), false)));
    }
    Arc::new(Schema::new(fields))
});

static WIDE_CELL_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields: Vec<Arc<Field>> = CELL_SCHEMA.fields().iter().cloned().collect();
    fields.extend(histogram_cells::fields());
    Arc::new(Schema::new(fields))
});

impl Aggregate {
    /// The aggregation of `input`, in two phases where it has partitions.
    pub fn plan(input: Plan, fold: Fold, grouping: &Grouping, steps: Steps, span: Span) -> Plan {
        let keys = KeyLabels::of_group(grouping);
        let make = |input, phase| {
            OperatorExec::plan(Aggregate {
                input,
                fold,
                keys: keys.clone(),
                steps,
                phase,
                span,
            })
        };
        if partitions(&input) == 1 {
            return make(input, Phase::Single);
        }
        let partial = make(input, Phase::Partial);
        make(Gather::one_partition(partial), Phase::Final)
    }
}

impl Operator for Aggregate {
    const NAME: &'static str = "AggregateExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.fold, self.phase, self.keys)
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Aggregate {
            input: inputs.swap_remove(0),
            ..self.clone()
        })
    }

    fn partitions(&self) -> usize {
        match self.phase {
            Phase::Partial => partitions(&self.input),
            Phase::Single | Phase::Final => 1,
        }
    }

    fn schema(&self) -> SchemaRef {
        match self.phase {
            Phase::Partial => Arc::clone(&CELL_SCHEMA),
            Phase::Single | Phase::Final => vector_schema(),
        }
    }

    fn needs_one_partition(&self) -> bool {
        self.phase != Phase::Partial
    }

    fn estimated_rows(&self, inputs: &[Option<usize>]) -> Option<usize> {
        if self.keys.is_single() {
            return Some(self.partitions());
        }
        inputs.first().copied().flatten()
    }

    type Wire = (Fold, KeyLabels, Steps, Phase, Span);

    fn to_wire(&self) -> Self::Wire {
        (self.fold, self.keys.clone(), self.steps, self.phase, self.span)
    }

    fn from_wire((fold, keys, steps, phase, span): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Aggregate {
            input: parts.input()?,
            fold,
            keys,
            steps,
            phase,
            span,
        })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, task)?;
        let plan = self.clone();
        Ok(gathered(self.schema(), async move {
            let mut groups = Groups::new(&plan, &query);
            while let Some(batch) = input.try_next().await? {
                query.check()?;
                match plan.phase {
                    Phase::Single | Phase::Partial => groups.add_rows(&batch, &plan, &query)?,
                    Phase::Final => groups.add_cells(&batch, &plan, &query)?,
                }
            }
            groups.finish(&plan, &query)
        }))
    }
}

struct Groups {
    fold: Fold,
    steps: usize,
    keys: KeyLabels,
    sets: Interner,
    state: FoldState,
    histograms: Option<HistogramFold>,
    /// Whether histograms were left out.
    ignored_histograms: bool,
    scratch: Histogram,
    memory: MemoryGuard,
    key: Vec<u8>,
}

impl Groups {
    fn new(plan: &Aggregate, query: &QueryContext) -> Self {
        Groups {
            fold: plan.fold,
            steps: plan.steps.len(),
            keys: plan.keys.clone(),
            sets: Interner::new(),
            state: FoldState::new(plan.fold, plan.steps.len()),
            histograms: HistogramFold::new(plan.fold, plan.steps.len()),
            ignored_histograms: false,
            scratch: Histogram::default(),
            memory: MemoryGuard::new(query),
            key: Vec::new(),
        }
    }

    /// The number of the group whose key is in `self.key`.
    fn group(&mut self) -> Result<usize, QueryError> {
        let before = self.sets.len();
        let group = self.sets.intern(&self.key);
        if group == before {
            let bytes = FoldState::bytes_per_group(self.fold, self.steps) + self.key.len() + 16;
            self.memory.grow(bytes)?;
            self.state.resize(group + 1);
        }
        Ok(group)
    }

    fn add_rows(&mut self, batch: &RecordBatch, plan: &Aggregate, query: &QueryContext) -> Result<()> {
        for row in VectorReader::new(batch)?.rows() {
            self.keys.key_into(row.labels, &mut self.key);
            let group = self.group()?;
            if row.may_have_gaps() {
                let present = |i| row.is_present(i);
                self.state.add_row(group, row.first_step, row.values, Some(&present));
            } else {
                self.state.add_row(group, row.first_step, row.values, None);
            }
            if let Some(runs) = row.histograms() {
                self.add_histograms(group, row.labels, runs, plan, query)?;
            }
        }
        Ok(())
    }

    fn add_histograms(
        &mut self,
        group: usize,
        set: &[u8],
        runs: HistogramRuns<'_>,
        plan: &Aggregate,
        query: &QueryContext,
    ) -> Result<(), QueryError> {
        let Some(fold) = &mut self.histograms else {
            match self.fold {
                Fold::Count | Fold::Group => runs.all_steps().for_each(|step| self.state.count(group, step)),
                _ => self.ignored_histograms = true,
            }
            return Ok(());
        };
        let metric = labels::text(labels::value_of(set, METRIC_NAME.as_bytes()));
        fold.enter(group, metric, &mut self.memory)?;
        let mut compatible = true;
        for run in 0..runs.len() {
            let (first, count) = runs.steps(run);
            runs.read_into(run, &mut self.scratch);
            for step in first..first + count {
                let step = step as usize;
                let after_floats = self.state.cell(group, step).count > 0.0;
                compatible &= fold.add(group, step, &self.scratch, after_floats, &mut self.memory)?;
            }
        }
        if !compatible {
            Notes::MIXED_BUCKETS.tell(metric, query, plan.span);
        }
        Ok(())
    }

    fn add_cells(&mut self, batch: &RecordBatch, plan: &Aggregate, query: &QueryContext) -> Result<()> {
        let reader = VectorReader::without_histograms(batch)?;
        let histograms = HistogramCells::new(batch, 7)?;
        let bad = || internal_datafusion_err!("a partial aggregation lacks a column");
        let mut columns = Vec::with_capacity(4);
        for i in 3..7 {
            let list = batch
                .columns()
                .get(i)
                .and_then(|c| c.as_list_opt::<i32>())
                .ok_or_else(bad)?;
            let values = list.values().as_primitive_opt::<Float64Type>().ok_or_else(bad)?;
            columns.push(&values.values()[..]);
        }
        let &[count, a, b, flag] = &columns[..] else {
            return Err(bad());
        };
        for index in 0..reader.len() {
            self.key.clear();
            self.key.extend_from_slice(reader.row(index).labels);
            let group = self.group()?;
            for step in 0..self.steps {
                let at = index * self.steps + step;
                let cell = Cell {
                    count: count[at],
                    a: a[at],
                    b: b[at],
                    flag: flag[at] != 0.0,
                };
                self.state.merge(group, step, cell);
            }
            if let Some(cells) = &histograms {
                self.merge_histograms(group, cells, index, plan, query)?;
            }
        }
        Ok(())
    }

    fn merge_histograms(
        &mut self,
        group: usize,
        cells: &HistogramCells<'_>,
        index: usize,
        plan: &Aggregate,
        query: &QueryContext,
    ) -> Result<()> {
        let Some(fold) = &mut self.histograms else {
            return Ok(());
        };
        let metric = cells.metric(index);
        let (memory, state) = (&mut self.memory, &self.state);
        fold.enter(group, metric, memory)?;
        let mut compatible = true;
        cells.for_each(index, |step, cell| {
            let after_floats = state.cell(group, step).count > 0.0;
            compatible &= fold.merge(group, step, cell, after_floats, memory)?;
            Ok(())
        })?;
        if !compatible {
            Notes::MIXED_BUCKETS.tell(metric, query, plan.span);
        }
        Ok(())
    }

    fn finish(mut self, plan: &Aggregate, query: &QueryContext) -> Result<Gathered> {
        if self.ignored_histograms {
            annotate::histogram_ignored(self.fold.as_str(), query, plan.span);
        }
        let batches = match plan.phase {
            Phase::Partial => self.cell_batches()?,
            Phase::Single | Phase::Final => {
                let mut notes = Notes::default();
                let batches = self.result_batches(&mut notes)?;
                notes.tell("", query, plan.span);
                batches
            }
        };
        Ok(Gathered {
            batches,
            memory: self.memory,
        })
    }

    fn result_batches(&mut self, notes: &mut Notes) -> Result<Vec<RecordBatch>> {
        let mut output = Output::default();
        let mut row = RowBuffer::new(self.steps);
        for group in 0..self.sets.len() {
            row.clear();
            for step in 0..self.steps {
                if let Some(value) = self.state.result(group, step) {
                    row.set(step, value);
                }
            }
            if let Some(fold) = self.histograms.as_ref().filter(|f| !f.is_empty()) {
                for (step, cell) in fold.cells(group) {
                    let floats = row.is_present(step);
                    row.unset(step);
                    if let Some(histogram) = fold.result(cell, floats, notes) {
                        row.set_histogram(step, Arc::new(histogram));
                    }
                }
                self.memory.grow(row.histogram_bytes())?;
            }
            output.row()?.push_row(self.sets.bytes(group), &row);
        }
        output.finish()
    }

    fn cell_batches(&self) -> Result<Vec<RecordBatch>> {
        let rows_a_batch = (crate::vector::MAX_BATCH_VALUES / self.steps.max(1)).max(1);
        let groups: Vec<usize> = (0..self.sets.len()).collect();
        groups
            .chunks(rows_a_batch)
            .map(|chunk| self.cell_batch(chunk))
            .collect()
    }

    fn cell_batch(&self, groups: &[usize]) -> Result<RecordBatch> {
        let mut builder = VectorBuilder::new();
        let mut columns: [Vec<f64>; 4] = Default::default();
        for group in groups {
            builder.push_dense(self.sets.bytes(*group), 0, &[0.0]);
            for step in 0..self.steps {
                let cell = self.state.cell(*group, step);
                let values = [cell.count, cell.a, cell.b, f64::from(u8::from(cell.flag))];
                columns.iter_mut().zip(values).for_each(|(c, v)| c.push(v));
            }
        }
        let mut arrays: Vec<ArrayRef> = builder.finish()?.columns().to_vec();
        for column in columns {
            let offsets = OffsetBuffer::from_lengths(groups.iter().map(|_| self.steps));
            let values = Arc::new(Float64Array::from(column));
            arrays.push(Arc::new(ListArray::try_new(value_field(), offsets, values, None)?));
        }
        if let Some(fold) = self.histograms.as_ref().filter(|f| !f.is_empty()) {
            arrays.extend(histogram_cells::write(fold, groups)?);
            return Ok(RecordBatch::try_new(Arc::clone(&WIDE_CELL_SCHEMA), arrays)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&CELL_SCHEMA), arrays)?)
    }
}
