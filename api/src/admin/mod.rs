//! garner's own endpoints: readiness, metrics, flush, compaction.

pub mod compact;
pub mod flush;
pub mod metrics;
pub mod pages;
pub mod ready;
