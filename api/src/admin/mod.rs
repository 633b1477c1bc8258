//! garner's own endpoints: readiness, metrics, flush, compaction and what it has to do.

mod cache_metrics;
pub mod compact;
pub mod config_page;
pub mod flush;
pub mod lifecycle;
pub mod log_level;
pub mod metrics;
pub mod pages;
mod query_metrics;
pub mod ready;
pub mod shutdown;
pub mod upkeep;
mod upkeep_metrics;
