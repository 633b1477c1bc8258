//! Rows of a batch in the vector layout, without copying.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_buffer::NullBuffer;
use datafusion_common::{Result, internal_datafusion_err};
use garner_storage::model::Histogram;

use super::histograms::{HistogramRuns, HistogramsColumn};

/// The columns of one batch.
#[derive(Debug)]
pub struct VectorReader<'a> {
    keys: &'a [u32],
    labels: &'a BinaryArray,
    first_steps: &'a [u32],
    offsets: &'a [i32],
    values: &'a [f64],
    nulls: Option<&'a NullBuffer>,
    histograms: Option<HistogramsColumn<'a>>,
}

/// One element: a label set with its floats and histograms. What is said of values is said of floats.
#[derive(Clone, Copy, Debug)]
pub struct VectorRow<'a> {
    /// Canonical label bytes.
    pub labels: &'a [u8],
    /// The step of `values[0]`.
    pub first_step: usize,
    /// Values from the first to the last present step; what stands at an absent one has no meaning.
    pub values: &'a [f64],
    nulls: Option<&'a NullBuffer>,
    offset: usize,
    histograms: Option<HistogramRuns<'a>>,
}

impl<'a> VectorReader<'a> {
    /// The columns of `batch`, which must have the vector schema, with or without histograms.
    pub fn new(batch: &'a RecordBatch) -> Result<Self> {
        let mut reader = Self::without_histograms(batch)?;
        reader.histograms = HistogramsColumn::new(batch)?;
        Ok(reader)
    }

    /// As [`VectorReader::new`], of a batch whose further columns are others.
    pub(crate) fn without_histograms(batch: &'a RecordBatch) -> Result<Self> {
        let bad = || internal_datafusion_err!("a batch is not in the vector layout: {}", batch.schema());
        if batch.num_columns() < 3 {
            return Err(bad());
        }
        let dictionary = batch.column(0).as_dictionary_opt::<UInt32Type>().ok_or_else(bad)?;
        let list = batch.column(2).as_list_opt::<i32>().ok_or_else(bad)?;
        let values = list.values().as_primitive_opt::<Float64Type>().ok_or_else(bad)?;
        Ok(VectorReader {
            keys: dictionary.keys().values(),
            labels: dictionary.values().as_binary_opt::<i32>().ok_or_else(bad)?,
            first_steps: batch
                .column(1)
                .as_primitive_opt::<UInt32Type>()
                .ok_or_else(bad)?
                .values(),
            offsets: list.value_offsets(),
            values: values.values(),
            nulls: values.nulls().filter(|n| n.null_count() > 0),
            histograms: None,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.first_steps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.first_steps.is_empty()
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> VectorRow<'a> {
        let (start, end) = (self.offsets[index] as usize, self.offsets[index + 1] as usize);
        VectorRow {
            labels: self.labels.value(self.keys[index] as usize),
            first_step: self.first_steps[index] as usize,
            values: &self.values[start..end],
            nulls: self.nulls,
            offset: start,
            histograms: self.histograms.as_ref().and_then(|h| h.row(index)),
        }
    }

    /// All rows in order.
    pub fn rows(&self) -> impl Iterator<Item = VectorRow<'a>> {
        (0..self.len()).map(|i| self.row(i))
    }
}

impl<'a> VectorRow<'a> {
    /// Whether `values[index]` is present.
    pub fn is_present(&self, index: usize) -> bool {
        self.nulls.is_none_or(|n| n.is_valid(self.offset + index))
    }

    /// Whether absent values stand between the present ones (or may).
    pub fn may_have_gaps(&self) -> bool {
        self.nulls.is_some()
    }

    /// The value at `step` of the grid.
    pub fn at(&self, step: usize) -> Option<f64> {
        let index = step.checked_sub(self.first_step)?;
        let value = *self.values.get(index)?;
        self.is_present(index).then_some(value)
    }

    /// The histograms, where there are any.
    pub fn histograms(&self) -> Option<HistogramRuns<'a>> {
        self.histograms
    }

    /// The row as if it had no histograms.
    pub fn floats(mut self) -> VectorRow<'a> {
        self.histograms = None;
        self
    }

    /// The histogram at `step` of the grid.
    pub fn histogram_at(&self, step: usize) -> Option<Histogram> {
        let runs = self.histograms?;
        runs.run_at(step).map(|run| runs.read(run))
    }

    /// Whether `step` of the grid has a float or a histogram.
    pub fn is_at(&self, step: usize) -> bool {
        self.at(step).is_some() || self.histograms.is_some_and(|h| h.run_at(step).is_some())
    }

    /// Every step with a histogram.
    pub fn histogram_points(&self) -> impl Iterator<Item = (usize, Arc<Histogram>)> + use<'a> {
        self.histograms.into_iter().flat_map(HistogramRuns::points)
    }

    /// Steps with a float, and after them those with a histogram.
    pub fn steps(&self) -> impl Iterator<Item = usize> + use<'a> {
        let histograms = self.histograms.into_iter().flat_map(|h| h.all_steps());
        self.iter().map(|(step, _)| step).chain(histograms)
    }

    /// Present values with their steps.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f64)> + use<'a> {
        let row = *self;
        (0..row.values.len())
            .filter(move |i| row.is_present(*i))
            .map(move |i| (row.first_step + i, row.values[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::VectorBuilder;
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_pushed() -> Result<()> {
        let mut builder = VectorBuilder::new();
        builder.push_dense(b"a", 2, &[1.0, 2.0]);
        assert!(builder.push_steps(b"b", &[9.0, 1.0, 8.0, 3.0, 7.0], |i| i == 1 || i == 3));
        assert!(!builder.push_steps(b"c", &[9.0], |_| false));
        builder.push_dense(b"d", 0, &[f64::NAN]);
        let batch = builder.finish()?;
        assert!(builder.is_empty());
        let reader = VectorReader::new(&batch)?;
        let rows: Vec<_> = reader
            .rows()
            .map(|r| (r.labels, r.iter().collect::<Vec<_>>()))
            .collect();
        assert_eq!(rows[0], (&b"a"[..], vec![(2, 1.0), (3, 2.0)]));
        assert_eq!(rows[1], (&b"b"[..], vec![(1, 1.0), (3, 3.0)]));
        assert_eq!(reader.row(1).at(2), None);
        assert_eq!(reader.row(1).at(3), Some(3.0));
        assert!(reader.row(2).at(0).is_some_and(f64::is_nan));
        assert_eq!(rows.len(), 3);
        Ok(())
    }
}
