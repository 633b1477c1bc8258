//! What became of a request that could be read.

use crate::error::IngestError;
use crate::validate::Refusals;

/// What was stored of a request, and what was not. Stored means durable: the store has acknowledged it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PushOutcome {
    /// Entries or samples stored; native histograms are samples.
    pub accepted_rows: u64,
    /// Bytes of lines and structured metadata stored; for metrics 16 a sample, and of a native histogram what it takes in
    /// memory.
    pub accepted_bytes: u64,
    /// Bytes of the body after decompression.
    pub decompressed_bytes: u64,
    /// Native histograms among the samples stored.
    pub written_histograms: u64,
    /// Exemplars stored.
    pub written_exemplars: u64,
    /// Exemplars that were passed over: of unknown series, over the limit, or with labels that are too long. Senders are not
    /// told.
    pub dropped_exemplars: u64,
    /// Metric metadata stored; what is known already does not count.
    pub written_metadata: u64,
    /// Metric metadata that was passed over, likewise.
    pub dropped_metadata: u64,
    /// Rows that were refused, with the reasons for the answer.
    pub refused: Refusals,
}

impl PushOutcome {
    /// The error to answer with although the valid rows are stored; `None` where all is well.
    pub fn error(&self) -> Option<IngestError> {
        self.refused.error()
    }
}
