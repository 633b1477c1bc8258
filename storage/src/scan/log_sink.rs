//! The columns of log rows while rows are gathered: what heads, pages and merges fill alike.

use std::ops::Range;

use arrow_array::BinaryArray;

use super::{LineGather, LogColumns, LogRows};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

/// See the module docs. Each row gets a time, and a value of every other column that the answer has.
#[derive(Debug)]
pub struct LogSink {
    columns: LogColumns,
    rows: LogRows,
    /// Become a column at the end.
    lines: LineGather,
}

impl LogSink {
    /// No row yet.
    pub fn new(columns: LogColumns) -> Self {
        LogSink {
            columns,
            rows: LogRows::default(),
            lines: LineGather::default(),
        }
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Heap bytes held so far.
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes() + self.lines.size_bytes()
    }

    /// Times so far.
    pub fn timestamps(&self) -> &[i64] {
        &self.rows.timestamps
    }

    /// Appends times.
    pub fn times(&mut self, times: impl IntoIterator<Item = i64>) {
        self.rows.timestamps.extend(times);
    }

    /// Appends lengths of lines.
    pub fn lengths(&mut self, lengths: impl IntoIterator<Item = u32>) {
        self.rows.line_lengths.extend(lengths);
    }

    /// Appends a line.
    pub fn line(&mut self, line: &[u8]) -> Result<()> {
        self.lines.append_line(line)
    }

    /// Appends lines `rows` of `lines`, which has that many.
    pub fn lines(&mut self, lines: &BinaryArray, rows: Range<usize>) -> Result<()> {
        self.lines.append(lines, rows)
    }

    /// The code of a metadata set that is not there yet.
    pub fn add_set(&mut self, set: Labels) -> u32 {
        self.rows.metadata_sets.push(set);
        self.rows.metadata_sets.len() as u32 - 1
    }

    /// Appends the code of the metadata set of a row.
    pub fn metadata(&mut self, code: u32) {
        self.rows.metadata.push(code);
    }

    /// Appends the code of what was derived of a row.
    pub fn derived(&mut self, code: u32) {
        self.rows.derived.push(code);
    }

    /// Ends the rows of a stream.
    pub fn end_stream(&mut self) -> Result<()> {
        let end = u32::try_from(self.rows.timestamps.len()).map_err(|_| {
            let message = "one read of log entries holds more than 2^32 rows; narrow the time range";
            Error::new(ErrorKind::Limit, message)
        })?;
        self.rows.offsets.push(end);
        Ok(())
    }

    /// The rows.
    pub fn finish(mut self) -> Result<LogRows> {
        if self.columns.lines {
            self.rows.lines = Some(self.lines.finish()?);
        }
        Ok(self.rows)
    }
}
