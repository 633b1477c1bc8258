//! Cells of histograms on their way from partial to final aggregation, as Arrow columns behind those of the floats.
//!
//! ```text
//! metric:     Binary          name of the newest metric of the group
//! totals:     List<Struct>    a run a cell: the sum or mean (see vector::histograms)
//! lost:       List<Struct>    as many runs: what rounding lost of each
//! states:     List<Float64>   count and flags of each, two numbers a cell
//! ```

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BinaryArray, Float64Array, ListArray, RecordBatch};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field};
use datafusion_common::{Result, internal_datafusion_err};
use garner_storage::model::Histogram;

use super::histogram_fold::{HistogramCell, HistogramFold};
use crate::functions::native::add::Lost;
use crate::functions::native::total::{Seen, Total, lost_histogram};
use crate::vector::{HistogramBuilder, HistogramRuns, histograms_column, histograms_field, value_field};

const INCREMENTAL: u8 = 1;
const RESET: u8 = 1 << 1;
const NOT_RESET: u8 = 1 << 2;
const RECONCILED: u8 = 1 << 3;
const CLOSED: u8 = 1 << 4;
const AFTER_FLOATS: u8 = 1 << 5;

/// The fields of the columns.
pub fn fields() -> [Arc<Field>; 4] {
    let named = |name: &str| Arc::new(Field::new(name, histograms_field().data_type().clone(), false));
    [
        Arc::new(Field::new("metric", DataType::Binary, false)),
        named("totals"),
        named("lost"),
        Arc::new(Field::new("states", DataType::List(value_field()), false)),
    ]
}

/// The columns of `groups`.
pub fn write(fold: &HistogramFold, groups: &[usize]) -> Result<[ArrayRef; 4], ArrowError> {
    let (mut totals, mut lost) = (HistogramBuilder::default(), HistogramBuilder::default());
    let (mut states, mut lengths) = (Vec::new(), Vec::new());
    for group in groups {
        let before = states.len();
        for (step, cell) in fold.cells(*group) {
            let step = u32::try_from(step).unwrap_or(u32::MAX);
            match cell {
                HistogramCell::Total(total) => {
                    totals.push_run(step, 1, &total.value);
                    lost.push_run(step, 1, &lost_histogram(&total.value, &total.lost));
                    states.extend([total.count, f64::from(flags(total))]);
                }
                HistogramCell::Closed { after_floats } => {
                    totals.push_run(step, 1, &Histogram::default());
                    lost.push_run(step, 1, &Histogram::default());
                    let flags = if *after_floats { CLOSED | AFTER_FLOATS } else { CLOSED };
                    states.extend([0.0, f64::from(flags)]);
                }
            }
        }
        totals.end_row();
        lost.end_row();
        lengths.push(states.len() - before);
    }
    let metrics = BinaryArray::from_iter_values(groups.iter().map(|g| fold.metric(*g)));
    let states = Arc::new(Float64Array::from(states));
    Ok([
        Arc::new(metrics),
        Arc::new(totals.finish()?),
        Arc::new(lost.finish()?),
        Arc::new(ListArray::try_new(
            value_field(),
            OffsetBuffer::from_lengths(lengths),
            states,
            None,
        )?),
    ])
}

/// The columns of a batch, from column `first` on.
pub struct HistogramCells<'a> {
    metrics: &'a BinaryArray,
    totals: &'a ListArray,
    lost: &'a ListArray,
    states: &'a ListArray,
}

impl<'a> HistogramCells<'a> {
    /// Reads them; nothing where the batch has none.
    pub fn new(batch: &'a RecordBatch, first: usize) -> Result<Option<Self>> {
        let columns = batch.columns();
        let Some([metrics, totals, lost, states]) = columns.get(first..first + 4) else {
            return Ok(None);
        };
        let bad = || internal_datafusion_err!("a partial aggregation has bad columns of histograms");
        Ok(Some(HistogramCells {
            metrics: metrics.as_binary_opt::<i32>().ok_or_else(bad)?,
            totals: totals.as_list_opt::<i32>().ok_or_else(bad)?,
            lost: lost.as_list_opt::<i32>().ok_or_else(bad)?,
            states: states.as_list_opt::<i32>().ok_or_else(bad)?,
        }))
    }

    /// The name of the newest metric of row `index`.
    pub fn metric(&self, index: usize) -> &'a str {
        std::str::from_utf8(self.metrics.value(index)).unwrap_or_default()
    }

    /// Calls `f` with each step and cell of row `index`.
    pub fn for_each(&self, index: usize, mut f: impl FnMut(usize, HistogramCell) -> Result<()>) -> Result<()> {
        let (Some(totals), Some(lost)) = (
            histograms_column(self.totals, index)?,
            histograms_column(self.lost, index)?,
        ) else {
            return Ok(());
        };
        let states = self.states.value(index);
        let states = states.as_primitive::<Float64Type>().values();
        for run in 0..totals.len() {
            let (step, _) = totals.steps(run);
            let (Some(count), Some(flags)) = (states.get(run * 2), states.get(run * 2 + 1)) else {
                continue;
            };
            f(step as usize, read(&totals, &lost, run, *count, *flags as u8))?;
        }
        Ok(())
    }
}

fn read(totals: &HistogramRuns<'_>, lost: &HistogramRuns<'_>, run: usize, count: f64, flags: u8) -> HistogramCell {
    if flags & CLOSED != 0 {
        return HistogramCell::Closed {
            after_floats: flags & AFTER_FLOATS != 0,
        };
    }
    let lost = lost.read(run);
    HistogramCell::Total(Box::new(Total {
        value: totals.read(run),
        lost: Lost {
            zero_count: lost.zero_count,
            count: lost.count,
            sum: lost.sum,
            positive: lost.positive_buckets,
            negative: lost.negative_buckets,
        },
        count,
        incremental: flags & INCREMENTAL != 0,
        seen: Seen {
            reset: flags & RESET != 0,
            not_reset: flags & NOT_RESET != 0,
            bounds_reconciled: flags & RECONCILED != 0,
        },
    }))
}

fn flags(total: &Total) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    flag(total.incremental, INCREMENTAL)
        | flag(total.seen.reset, RESET)
        | flag(total.seen.not_reset, NOT_RESET)
        | flag(total.seen.bounds_reconciled, RECONCILED)
}
