//! Building the log rows of an answer from rows of several pages or sources, with metadata sets renumbered.

use std::ops::Range;

use ahash::RandomState;
use arrow_array::{Array, BinaryArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashMap;

use super::{LogColumns, LogRows};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

/// Most bytes of lines in one answer; offsets of an Arrow array are 32 bits.
const MAX_LINE_BYTES: usize = i32::MAX as usize;

/// Collects rows stream by stream.
#[derive(Debug)]
pub struct LogRowsBuilder {
    columns: LogColumns,
    rows: LogRows,
    line_offsets: Vec<i32>,
    line_bytes: Vec<u8>,
    codes: HashMap<Labels, u32, RandomState>,
}

/// How the metadata sets of one [`LogRows`] are numbered in the answer being built. One for each input, kept while its rows
/// are appended.
#[derive(Debug, Default)]
pub struct SetCodes(Vec<u32>);

const UNKNOWN: u32 = u32::MAX;

impl LogRowsBuilder {
    /// An empty answer with these columns.
    pub fn new(columns: LogColumns) -> Self {
        LogRowsBuilder {
            columns,
            rows: LogRows {
                offsets: vec![0],
                timestamps: Vec::new(),
                lines: None,
                line_lengths: Vec::new(),
                metadata_sets: Vec::new(),
                metadata: Vec::new(),
                derived: Vec::new(),
            },
            line_offsets: vec![0],
            line_bytes: Vec::new(),
            codes: HashMap::default(),
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
        self.rows.size_bytes() + self.line_bytes.len() + 4 * self.line_offsets.len()
    }

    /// Appends rows `rows` of `from`, which has at least the columns of this answer.
    pub fn append(&mut self, from: &LogRows, rows: Range<usize>, codes: &mut SetCodes) -> Result<()> {
        self.rows.timestamps.extend_from_slice(&from.timestamps[rows.clone()]);
        self.rows
            .line_lengths
            .extend_from_slice(&from.line_lengths[rows.clone()]);
        if self.columns.lines {
            let lines = from
                .lines
                .as_ref()
                .filter(|l| l.len() >= rows.end)
                .ok_or_else(missing_column)?;
            self.append_lines(lines, rows.clone())?;
        }
        if self.columns.metadata {
            for row in rows {
                let metadata = self.code(from, from.metadata.get(row), codes)?;
                let derived = self.code(from, from.derived.get(row), codes)?;
                self.rows.metadata.push(metadata);
                self.rows.derived.push(derived);
            }
        }
        Ok(())
    }

    /// Ends the rows of a stream.
    pub fn end_stream(&mut self) {
        self.rows.offsets.push(self.rows.timestamps.len() as u32);
    }

    /// The answer.
    pub fn finish(mut self) -> Result<LogRows> {
        if self.columns.lines {
            let offsets = OffsetBuffer::new(ScalarBuffer::from(self.line_offsets));
            let lines = BinaryArray::try_new(offsets, Buffer::from_vec(self.line_bytes), None).map_err(|e| {
                Error::with_source(ErrorKind::Internal, "the lines of an answer do not fit together", e)
            })?;
            self.rows.lines = Some(lines);
        }
        Ok(self.rows)
    }

    fn append_lines(&mut self, lines: &BinaryArray, rows: Range<usize>) -> Result<()> {
        let offsets = &lines.value_offsets()[rows.start..=rows.end];
        let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        let start = self.line_bytes.len();
        if start + (last - first) > MAX_LINE_BYTES {
            return Err(Error::new(
                ErrorKind::Limit,
                "more than 2 GiB of log lines in one batch; narrow the query's time range",
            ));
        }
        self.line_bytes.extend_from_slice(&lines.value_data()[first..last]);
        let shifted = offsets[1..].iter().map(|end| (start + (*end as usize - first)) as i32);
        self.line_offsets.extend(shifted);
        Ok(())
    }

    fn code(&mut self, from: &LogRows, code: Option<&u32>, codes: &mut SetCodes) -> Result<u32> {
        let code = *code.ok_or_else(missing_column)? as usize;
        if codes.0.is_empty() {
            codes.0.resize(from.metadata_sets.len(), UNKNOWN);
        }
        let known = codes.0.get_mut(code).ok_or_else(missing_column)?;
        if *known == UNKNOWN {
            let set = &from.metadata_sets[code];
            let next = self.rows.metadata_sets.len() as u32;
            *known = *self.codes.entry_ref(set).or_insert_with(|| {
                self.rows.metadata_sets.push(set.clone());
                next
            });
        }
        Ok(*known)
    }
}

fn missing_column() -> Error {
    Error::new(ErrorKind::Internal, "log rows lack a column that was asked for")
}
