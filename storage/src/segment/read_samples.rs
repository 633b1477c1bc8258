//! From sample pages to the columns of an answer.

use super::bytes::{Broken, Parsed};
use super::directory::ColumnId;
use super::page;
use super::reader::PageInput;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;
use crate::scan::SampleColumns;

/// Gathers samples page by page. Pages lie in series order and a series' pages in time order, so rows are only appended.
pub(super) struct SampleAssembler {
    range: TimeRange,
    counts: Vec<u32>,
    out: SampleColumns,
    /// Position of the series whose rows were appended last.
    at: u32,
}

impl SampleAssembler {
    pub fn new(series: usize, range: TimeRange) -> Self {
        SampleAssembler {
            range,
            counts: vec![0; series],
            out: SampleColumns::default(),
            at: 0,
        }
    }

    /// Appends what is wanted of a page, or nothing of it.
    pub fn add(&mut self, input: &PageInput<'_>) -> Parsed<()> {
        let chunk_rows = input.tail.chunk_rows(input.page);
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::Times)?;
        let times = page::decode_times(codec, bytes, chunk_rows, input.entry.rows)?;
        let (codec, bytes) = input.fetched.column(input.entry, ColumnId::Values)?;
        let values = page::decode_values(codec, bytes, chunk_rows, input.entry.rows)?;
        for (_, chunk) in input.chunks {
            let own = &times[chunk.row as usize..(chunk.row + chunk.rows) as usize];
            if !own.is_sorted_by(|a, b| a < b) || own.first() != Some(&chunk.first) || own.last() != Some(&chunk.last) {
                return Err(Broken("time column"));
            }
        }
        for (index, chunk) in input.chunks {
            let rows = chunk.row as usize..(chunk.row + chunk.rows) as usize;
            let (times, values) = (&times[rows.clone()], &values[rows]);
            let from = times.partition_point(|t| *t < self.range.start);
            let to = times.partition_point(|t| *t < self.range.end);
            // Writers keep this order; were it broken, rows would land under another series.
            if *index < self.at {
                return Err(Broken("order of pages"));
            }
            self.at = *index;
            if let Some(count) = self.counts.get_mut(*index as usize) {
                *count += (to - from) as u32;
                self.out.timestamps.extend_from_slice(&times[from..to]);
                self.out.values.extend_from_slice(&values[from..to]);
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<SampleColumns> {
        self.out.offsets = offsets(&self.counts)?;
        Ok(self.out)
    }
}

/// Row offsets from row counts.
pub(super) fn offsets(counts: &[u32]) -> Result<Vec<u32>> {
    let mut out = Vec::with_capacity(counts.len() + 1);
    let mut total = 0u32;
    out.push(0);
    for count in counts {
        total = total.checked_add(*count).ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                "more than 4 billion rows in one read; narrow the time range",
            )
        })?;
        out.push(total);
    }
    Ok(out)
}
