//! Makes the column of histograms, run by run.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, ListArray, StructArray, UInt8Array, UInt32Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::ArrowError;
use garner_storage::model::{BucketSpan, CounterReset, Histogram};

use super::histograms::HistogramRuns;
use super::schema::{histogram_field, histogram_fields, span_field, span_fields, value_field};

/// Collects runs: a histogram and the steps at which it stands. A list of them belongs to each row.
#[derive(Debug, Default)]
pub struct HistogramBuilder {
    /// Runs of each row.
    row_lengths: Vec<usize>,
    rows_end: usize,
    steps: Vec<u32>,
    counts: Vec<u32>,
    schemas: Vec<i32>,
    resets: Vec<u8>,
    zero_thresholds: Vec<f64>,
    zero_counts: Vec<f64>,
    observations: Vec<f64>,
    sums: Vec<f64>,
    positive_spans: Spans,
    negative_spans: Spans,
    positive_buckets: Floats,
    negative_buckets: Floats,
    custom_values: Floats,
    /// The histogram of the last run, where the next step could go on with it.
    last: Option<Arc<Histogram>>,
}

#[derive(Debug, Default)]
struct Spans {
    lengths: Vec<usize>,
    offsets: Vec<i32>,
    buckets: Vec<u32>,
}

#[derive(Debug, Default)]
struct Floats {
    lengths: Vec<usize>,
    values: Vec<f64>,
}

impl HistogramBuilder {
    /// A column that begins with so many rows without histograms.
    pub fn after_rows(rows: usize) -> Self {
        HistogramBuilder {
            row_lengths: vec![0; rows],
            ..HistogramBuilder::default()
        }
    }

    /// Adds a step to the row; steps ascend. Where the histogram is the very one of the step before, it is not copied.
    pub fn push_step(&mut self, step: usize, histogram: &Arc<Histogram>) {
        let step = step as u32;
        if let (Some(last), Some(first), Some(count)) = (&self.last, self.steps.last(), self.counts.last_mut())
            && Arc::ptr_eq(last, histogram)
            && first + *count == step
        {
            *count += 1;
            return;
        }
        self.push_run(step, 1, histogram);
        self.last = Some(Arc::clone(histogram));
    }

    /// Adds a run to the row.
    pub fn push_run(&mut self, step: u32, steps: u32, histogram: &Histogram) {
        self.steps.push(step);
        self.counts.push(steps);
        self.schemas.push(histogram.schema);
        self.resets.push(reset_code(histogram.counter_reset));
        self.zero_thresholds.push(histogram.zero_threshold);
        self.zero_counts.push(histogram.zero_count);
        self.observations.push(histogram.count);
        self.sums.push(histogram.sum);
        self.positive_spans.push(&histogram.positive_spans);
        self.negative_spans.push(&histogram.negative_spans);
        self.positive_buckets.push(&histogram.positive_buckets);
        self.negative_buckets.push(&histogram.negative_buckets);
        self.custom_values.push(&histogram.custom_values);
    }

    /// Adds the runs of a row of another batch.
    pub fn push_runs(&mut self, runs: HistogramRuns<'_>) {
        let mut scratch = Histogram::default();
        for run in 0..runs.len() {
            let (step, steps) = runs.steps(run);
            runs.read_into(run, &mut scratch);
            self.push_run(step, steps, &scratch);
        }
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.row_lengths.push(self.steps.len() - self.rows_end);
        self.rows_end = self.steps.len();
        self.last = None;
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        let spans = |s: &Spans| s.lengths.len() * 8 + s.offsets.len() * 8;
        let floats = |f: &Floats| f.lengths.len() * 8 + f.values.len() * 8;
        self.row_lengths.len() * 8
            + self.steps.len() * 45
            + spans(&self.positive_spans)
            + spans(&self.negative_spans)
            + floats(&self.positive_buckets)
            + floats(&self.negative_buckets)
            + floats(&self.custom_values)
    }

    /// The column: a list for each row ended.
    pub fn finish(self) -> Result<ListArray, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.steps)),
            Arc::new(UInt32Array::from(self.counts)),
            Arc::new(Int32Array::from(self.schemas)),
            Arc::new(UInt8Array::from(self.resets)),
            Arc::new(Float64Array::from(self.zero_thresholds)),
            Arc::new(Float64Array::from(self.zero_counts)),
            Arc::new(Float64Array::from(self.observations)),
            Arc::new(Float64Array::from(self.sums)),
            Arc::new(self.positive_spans.finish()?),
            Arc::new(self.negative_spans.finish()?),
            Arc::new(self.positive_buckets.finish()?),
            Arc::new(self.negative_buckets.finish()?),
            Arc::new(self.custom_values.finish()?),
        ];
        let runs = StructArray::try_new(histogram_fields(), columns, None)?;
        ListArray::try_new(histogram_field(), offsets(&self.row_lengths)?, Arc::new(runs), None)
    }
}

impl Spans {
    fn push(&mut self, spans: &[BucketSpan]) {
        self.lengths.push(spans.len());
        self.offsets.extend(spans.iter().map(|s| s.offset));
        self.buckets.extend(spans.iter().map(|s| s.length));
    }

    fn finish(self) -> Result<ListArray, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.offsets)),
            Arc::new(UInt32Array::from(self.buckets)),
        ];
        let spans = StructArray::try_new(span_fields(), columns, None)?;
        ListArray::try_new(span_field(), offsets(&self.lengths)?, Arc::new(spans), None)
    }
}

impl Floats {
    fn push(&mut self, values: &[f64]) {
        self.lengths.push(values.len());
        self.values.extend_from_slice(values);
    }

    fn finish(self) -> Result<ListArray, ArrowError> {
        let values = Arc::new(Float64Array::from(self.values));
        ListArray::try_new(value_field(), offsets(&self.lengths)?, values, None)
    }
}

/// Offsets of lists; refuses more elements than 31 bits count, which a single enormous row could have.
fn offsets(lengths: &[usize]) -> Result<OffsetBuffer<i32>, ArrowError> {
    let total: usize = lengths.iter().sum();
    i32::try_from(total).map_err(|_| ArrowError::OffsetOverflowError(total))?;
    Ok(OffsetBuffer::from_lengths(lengths.iter().copied()))
}

fn reset_code(hint: CounterReset) -> u8 {
    match hint {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    }
}
