//! Building the log rows of an answer from rows of several pages or sources, with metadata sets renumbered.

use std::ops::Range;

use ahash::RandomState;
use arrow_array::Array;
use hashbrown::HashMap;

use super::{LogColumns, LogRows, LogSink};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

/// Collects rows stream by stream.
#[derive(Debug)]
pub struct LogRowsBuilder {
    columns: LogColumns,
    out: LogSink,
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
            out: LogSink::new(columns),
            codes: HashMap::default(),
        }
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Heap bytes held so far.
    pub fn size_bytes(&self) -> usize {
        self.out.size_bytes()
    }

    /// Appends rows `rows` of `from`, which has at least the columns of this answer.
    pub fn append(&mut self, from: &LogRows, rows: Range<usize>, codes: &mut SetCodes) -> Result<()> {
        self.out.times(from.timestamps[rows.clone()].iter().copied());
        // Lengths can be absent; they are then absent from every input of this answer.
        let lengths = from.line_lengths.get(rows.clone()).unwrap_or_default();
        self.out.lengths(lengths.iter().copied());
        if self.columns.lines {
            let lines = from
                .lines
                .as_ref()
                .filter(|l| l.len() >= rows.end)
                .ok_or_else(missing_column)?;
            self.out.lines(lines, rows.clone())?;
        }
        if self.columns.metadata {
            for row in rows {
                let metadata = self.code(from, from.metadata.get(row), codes)?;
                let derived = self.code(from, from.derived.get(row), codes)?;
                self.out.metadata(metadata);
                self.out.derived(derived);
            }
        }
        Ok(())
    }

    /// Ends the rows of a stream.
    pub fn end_stream(&mut self) -> Result<()> {
        self.out.end_stream()
    }

    /// The answer.
    pub fn finish(self) -> Result<LogRows> {
        self.out.finish()
    }

    fn code(&mut self, from: &LogRows, code: Option<&u32>, codes: &mut SetCodes) -> Result<u32> {
        let code = *code.ok_or_else(missing_column)? as usize;
        if codes.0.is_empty() {
            codes.0.resize(from.metadata_sets.len(), UNKNOWN);
        }
        let known = codes.0.get_mut(code).ok_or_else(missing_column)?;
        if *known == UNKNOWN {
            let set = &from.metadata_sets[code];
            let add = || self.out.add_set(set.clone());
            *known = *self.codes.entry_ref(set).or_insert_with(add);
        }
        Ok(*known)
    }
}

fn missing_column() -> Error {
    Error::new(ErrorKind::Internal, "log rows lack a column that was asked for")
}
