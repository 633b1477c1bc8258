//! What became of a request that could be read.

use crate::error::IngestError;
use crate::validate::Refusals;

/// What was stored of a request, and what was not. Stored means durable: the store has acknowledged it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PushOutcome {
    /// Entries or samples stored.
    pub accepted_rows: u64,
    /// Bytes of lines and structured metadata stored; for metrics 16 a sample.
    pub accepted_bytes: u64,
    /// Bytes of the body after decompression.
    pub decompressed_bytes: u64,
    /// Exemplars that were passed over: they are not stored yet, which refuses nothing.
    pub ignored_exemplars: u64,
    /// Metric metadata entries that were passed over, likewise.
    pub ignored_metadata: u64,
    /// Rows that were refused, with the reasons for the answer.
    pub refused: Refusals,
}

impl PushOutcome {
    /// The error to answer with although the valid rows are stored; `None` where all is well.
    pub fn error(&self) -> Option<IngestError> {
        self.refused.error()
    }
}
