//! Makes batches of the vector layout, row by row.

use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, BinaryArray, DictionaryArray, Float64Array, ListArray, RecordBatch, UInt32Array};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use garner_storage::model::Histogram;

use super::histogram_builder::HistogramBuilder;
use super::schema::{value_field, vector_schema, wide_schema};
use super::{RowBuffer, VectorRow};

/// Values in a batch: 1 MiB of them. A row that alone has more makes a batch of its own.
pub const MAX_BATCH_VALUES: usize = (1 << 20) / size_of::<f64>();

/// Rows in a batch, so that instant queries (one value a row) do not grow batches of huge label columns.
const MAX_BATCH_ROWS: usize = 8192;

/// Collects rows into a batch.
#[derive(Debug)]
pub struct VectorBuilder {
    label_bytes: Vec<u8>,
    label_offsets: Vec<i32>,
    first_steps: Vec<u32>,
    offsets: Vec<i32>,
    values: Vec<f64>,
    /// Made with the first absent value; until then every value is present.
    valid: Option<BooleanBufferBuilder>,
    /// Made with the first histogram.
    histograms: Option<Box<HistogramBuilder>>,
}

impl Default for VectorBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl VectorBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        VectorBuilder {
            label_bytes: Vec::new(),
            label_offsets: vec![0],
            first_steps: Vec::new(),
            offsets: vec![0],
            values: Vec::new(),
            valid: None,
            histograms: None,
        }
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.first_steps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.first_steps.is_empty()
    }

    /// Whether the batch should be finished before another row is added.
    pub fn is_full(&self) -> bool {
        self.values.len() >= MAX_BATCH_VALUES
            || self.first_steps.len() >= MAX_BATCH_ROWS
            || self.histogram_bytes() >= MAX_BATCH_VALUES * size_of::<f64>()
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.label_bytes.len() + self.values.len() * 9 + self.first_steps.len() * 16 + self.histogram_bytes()
    }

    /// Heap bytes held by histograms.
    pub fn histogram_bytes(&self) -> usize {
        self.histograms.as_ref().map_or(0, |h| h.size_bytes())
    }

    /// Adds a row whose values start at step 0: `values[i]` stands at step `i` where `present(i)`. Absent ends are cut
    /// off; a row with no present value is left out. Returns whether a row was added.
    pub fn push_steps(&mut self, labels: &[u8], values: &[f64], present: impl Fn(usize) -> bool) -> bool {
        match self.push_values(values, present) {
            Some(first) => {
                self.finish_row(labels, first);
                true
            }
            None => false,
        }
    }

    /// Adds the present values of a row without their ends that are absent, and gives the index of the first.
    #[inline]
    fn push_values(&mut self, values: &[f64], present: impl Fn(usize) -> bool) -> Option<usize> {
        let first = (0..values.len()).find(|i| present(*i))?;
        let last = (first..values.len()).rev().find(|i| present(*i)).unwrap_or(first);
        let mut absent = false;
        for i in first..=last {
            absent |= !present(i);
        }
        if absent && self.valid.is_none() {
            self.start_validity();
        }
        self.values.extend_from_slice(&values[first..=last]);
        if let Some(valid) = &mut self.valid {
            if absent {
                for i in first..=last {
                    valid.append(present(i));
                }
            } else {
                valid.append_n(last + 1 - first, true);
            }
        }
        Some(first)
    }

    /// Adds the floats and histograms of a row under other labels.
    pub fn push_copy(&mut self, labels: &[u8], row: VectorRow<'_>) -> bool {
        if let Some(runs) = row.histograms() {
            let present = row.iter().next().map(|(first, _)| first);
            if present.is_some() {
                self.push_values(row.values, |i| row.is_present(i));
            }
            let first = present.unwrap_or(0);
            self.histograms_mut().push_runs(runs);
            self.finish_row(labels, first);
            return true;
        }
        if !row.may_have_gaps() {
            self.push_dense(labels, row.first_step, row.values);
            return true;
        }
        let added = self.push_steps(labels, row.values, |i| row.is_present(i));
        if added && let Some(first) = self.first_steps.last_mut() {
            *first += row.first_step as u32;
        }
        added
    }

    /// Adds the row of a scratch buffer, as [`VectorBuilder::push_steps`] does, with its histograms.
    pub fn push_row(&mut self, labels: &[u8], row: &RowBuffer) -> bool {
        let present = row.present();
        if !row.has_histograms() {
            return !row.is_empty() && self.push_steps(labels, row.values(), |i| present[i]);
        }
        let first = self.push_values(row.values(), |i| present[i]);
        let histograms = self.histograms_mut();
        for (step, histogram) in row.histograms().iter().enumerate() {
            if let Some(histogram) = histogram {
                histograms.push_step(step, histogram);
            }
        }
        self.finish_row(labels, first.unwrap_or(0));
        true
    }

    /// Adds a row of present values from `first_step` on.
    pub fn push_dense(&mut self, labels: &[u8], first_step: usize, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        self.values.extend_from_slice(values);
        if let Some(valid) = &mut self.valid {
            valid.append_n(values.len(), true);
        }
        self.finish_row(labels, first_step);
    }

    /// Adds a row of one histogram at `steps` steps from step 0 on.
    pub fn push_histogram(&mut self, labels: &[u8], steps: u32, histogram: &Histogram) {
        self.histograms_mut().push_run(0, steps, histogram);
        self.finish_row(labels, 0);
    }

    /// The batch so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = u32::try_from(self.first_steps.len()).map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        let labels = BinaryArray::try_new(
            OffsetBuffer::new(std::mem::replace(&mut self.label_offsets, vec![0]).into()),
            std::mem::take(&mut self.label_bytes).into(),
            None,
        )?;
        let keys = UInt32Array::from_iter_values(0..rows);
        let labels = DictionaryArray::<UInt32Type>::try_new(keys, Arc::new(labels))?;
        let nulls = self.valid.take().map(|mut valid| NullBuffer::new(valid.finish()));
        let values = Float64Array::try_new(ScalarBuffer::from(std::mem::take(&mut self.values)), nulls)?;
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(labels),
            Arc::new(UInt32Array::from(std::mem::take(&mut self.first_steps))),
            Arc::new(ListArray::try_new(value_field(), offsets, Arc::new(values), None)?),
        ];
        let Some(histograms) = self.histograms.take() else {
            return RecordBatch::try_new(vector_schema(), columns);
        };
        columns.push(Arc::new(histograms.finish()?));
        RecordBatch::try_new(wide_schema(), columns)
    }

    fn histograms_mut(&mut self) -> &mut HistogramBuilder {
        let rows = self.first_steps.len();
        self.histograms
            .get_or_insert_with(|| Box::new(HistogramBuilder::after_rows(rows)))
    }

    fn start_validity(&mut self) {
        let mut valid = BooleanBufferBuilder::new(self.values.len() + 64);
        valid.append_n(self.values.len(), true);
        self.valid = Some(valid);
    }

    fn finish_row(&mut self, labels: &[u8], first_step: usize) {
        self.label_bytes.extend_from_slice(labels);
        // Bounded by MAX_BATCH_ROWS rows of labels and one row beyond MAX_BATCH_VALUES values, far inside i32.
        self.label_offsets.push(self.label_bytes.len() as i32);
        self.first_steps.push(first_step as u32);
        self.offsets.push(self.values.len() as i32);
        if let Some(histograms) = &mut self.histograms {
            histograms.end_row();
        }
    }
}

/// The batch with a column of histograms, whether or not it has any: for who insists on one schema.
pub fn widen(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() > vector_schema().fields().len() {
        return Ok(batch);
    }
    let none = HistogramBuilder::after_rows(batch.num_rows()).finish()?;
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(none));
    RecordBatch::try_new(wide_schema(), columns)
}
