//! Histograms of a row, read from their column.
//!
//! ```text
//! run:  step, steps                          the histogram stands at `step .. step + steps`
//!       schema, counter_reset                hints as numbers: 0 unknown, 1 reset, 2 not reset, 3 gauge
//!       zero_threshold, zero_count, count, sum
//!       positive_spans, negative_spans       lists of (offset, length)
//!       positive_buckets, negative_buckets, custom_values    lists of floats
//! ```

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, UInt8Type, UInt32Type};
use arrow_array::{ListArray, RecordBatch, StructArray};
use datafusion_common::{Result, internal_datafusion_err};
use garner_storage::model::{BucketSpan, CounterReset, Histogram};

use super::schema::histogram_fields;

/// Where the column stands in a batch of the vector layout.
const COLUMN: usize = 3;

/// The column of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistogramsColumn<'a> {
    offsets: &'a [i32],
    runs: &'a StructArray,
}

impl<'a> HistogramsColumn<'a> {
    /// Column `index` of `batch`, nothing where the batch has no such column.
    pub fn new(batch: &'a RecordBatch) -> Result<Option<Self>> {
        let Some(column) = batch.columns().get(COLUMN) else {
            return Ok(None);
        };
        let bad = || internal_datafusion_err!("a batch has a bad column of histograms: {}", batch.schema());
        let list = column.as_list_opt::<i32>().ok_or_else(bad)?;
        let runs = list.values().as_struct_opt().ok_or_else(bad)?;
        if *runs.fields() != histogram_fields() {
            return Err(bad());
        }
        Ok(Some(HistogramsColumn {
            offsets: list.value_offsets(),
            runs,
        }))
    }

    /// The runs of row `index`; nothing where it has none.
    pub fn row(&self, index: usize) -> Option<HistogramRuns<'a>> {
        let (start, end) = (self.offsets[index] as usize, self.offsets[index + 1] as usize);
        (start < end).then_some(HistogramRuns {
            runs: self.runs,
            start,
            end,
        })
    }
}

/// The runs of row `index` of a column of histograms; nothing where the row has none.
pub(crate) fn histograms_column(list: &ListArray, index: usize) -> Result<Option<HistogramRuns<'_>>> {
    let bad = || internal_datafusion_err!("a column holds no histograms");
    let runs = list.values().as_struct_opt().ok_or_else(bad)?;
    if *runs.fields() != histogram_fields() {
        return Err(bad());
    }
    let offsets = list.value_offsets();
    let column = HistogramsColumn { offsets, runs };
    Ok(column.row(index))
}

/// The histograms of one row, at least one.
#[derive(Clone, Copy, Debug)]
pub struct HistogramRuns<'a> {
    runs: &'a StructArray,
    start: usize,
    end: usize,
}

impl<'a> HistogramRuns<'a> {
    /// Number of runs.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first step of a run, and how many there are.
    pub fn steps(&self, run: usize) -> (u32, u32) {
        (self.numbers(0)[run], self.numbers(1)[run])
    }

    /// All steps in order.
    pub fn all_steps(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (first, counts) = (self.numbers(0), self.numbers(1));
        first
            .iter()
            .zip(counts)
            .flat_map(|(first, count)| *first as usize..(*first + *count) as usize)
    }

    /// The run that stands at a step.
    pub fn run_at(&self, step: usize) -> Option<usize> {
        let first = self.numbers(0);
        let run = first.partition_point(|f| *f as usize <= step).checked_sub(1)?;
        (step < (first[run] + self.numbers(1)[run]) as usize).then_some(run)
    }

    /// The histogram of a run.
    pub fn read(&self, run: usize) -> Histogram {
        let mut out = Histogram::default();
        self.read_into(run, &mut out);
        out
    }

    /// The histogram of a run, in the place (and the allocations) of another.
    pub fn read_into(&self, run: usize, out: &mut Histogram) {
        let at = self.start + run;
        out.schema = self.runs.column(2).as_primitive::<Int32Type>().value(at);
        out.counter_reset = match self.runs.column(3).as_primitive::<UInt8Type>().value(at) {
            1 => CounterReset::Reset,
            2 => CounterReset::NotReset,
            3 => CounterReset::Gauge,
            _ => CounterReset::Unknown,
        };
        let float = |column: usize| self.runs.column(column).as_primitive::<Float64Type>().value(at);
        out.zero_threshold = float(4);
        out.zero_count = float(5);
        out.count = float(6);
        out.sum = float(7);
        self.read_spans(8, at, &mut out.positive_spans);
        self.read_spans(9, at, &mut out.negative_spans);
        self.read_floats(10, at, &mut out.positive_buckets);
        self.read_floats(11, at, &mut out.negative_buckets);
        self.read_floats(12, at, &mut out.custom_values);
    }

    /// Calls `f` for every run with its steps; the histogram is read into `scratch`.
    pub fn for_each(&self, scratch: &mut Histogram, mut f: impl FnMut(Range<usize>, &Histogram)) {
        for run in 0..self.len() {
            let (first, count) = self.steps(run);
            self.read_into(run, scratch);
            f(first as usize..(first + count) as usize, scratch);
        }
    }

    /// Every step with its histogram.
    pub fn points(self) -> impl Iterator<Item = (usize, Arc<Histogram>)> + use<'a> {
        (0..self.len()).flat_map(move |run| {
            let (first, count) = self.steps(run);
            let histogram = Arc::new(self.read(run));
            (first..first + count).map(move |step| (step as usize, Arc::clone(&histogram)))
        })
    }

    fn numbers(&self, column: usize) -> &'a [u32] {
        &self.runs.column(column).as_primitive::<UInt32Type>().values()[self.start..self.end]
    }

    fn read_spans(&self, column: usize, at: usize, out: &mut Vec<BucketSpan>) {
        let list = self.runs.column(column).as_list::<i32>();
        let (start, end) = (list.value_offsets()[at] as usize, list.value_offsets()[at + 1] as usize);
        let spans = list.values().as_struct();
        let offsets = &spans.column(0).as_primitive::<Int32Type>().values()[start..end];
        let lengths = &spans.column(1).as_primitive::<UInt32Type>().values()[start..end];
        out.clear();
        out.extend(offsets.iter().zip(lengths).map(|(offset, length)| BucketSpan {
            offset: *offset,
            length: *length,
        }));
    }

    fn read_floats(&self, column: usize, at: usize, out: &mut Vec<f64>) {
        let list = self.runs.column(column).as_list::<i32>();
        let (start, end) = (list.value_offsets()[at] as usize, list.value_offsets()[at + 1] as usize);
        out.clear();
        out.extend_from_slice(&list.values().as_primitive::<Float64Type>().values()[start..end]);
    }
}
