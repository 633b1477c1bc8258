//! garner's own endpoints: readiness, metrics, flush, compaction and what it has to do.

pub mod compact;
pub mod flush;
pub mod metrics;
pub mod pages;
pub mod ready;
pub mod upkeep;
mod upkeep_metrics;
