//! The store as the rest of garner sees it: [`Storage`] takes appends, answers reads, flushes in the background.
//!
//! ```text
//! begin_*  ->  SampleAppend / LogAppend  --commit-->  WAL (durable)  ->  open head (visible)  ->  Ok
//! seal         open head -> sealed head          under the lane's gate, so that no append is half in
//! flush        sealed heads -> segments -> catalog commit -> lane's view swapped -> WAL files removed
//! compact      segments -> segment -> catalog commit -> views swapped -> (grace) -> objects removed
//! retain       expired segments leave the catalog and the views -> (grace) -> objects removed
//! read         a lane's view: open head ∪ sealed heads ∪ segments, one atomic pointer
//! ```
//!
//! A *lane* is one (tenant, signal): its gate, its heads, its segments.

mod append;
mod background;
#[cfg(test)]
mod cache_tests;
mod clear;
mod compact;
mod config;
mod deletes;
#[cfg(test)]
mod deletes_tests;
mod follow;
mod jobs;
mod lane;
mod live;
mod log_again;
mod maintain;
mod open;
mod reader;
mod remove;
mod retain;
mod round;
mod shared;
#[cfg(test)]
mod side_tests;
mod stats;
mod step;
mod storage;
#[cfg(test)]
mod tests;
mod upkeep;
#[cfg(test)]
mod upkeep_tests;

pub use crate::wal::WalThread;
pub use append::{LogAppend, SampleAppend, SeriesRef};
pub use config::{Components, StorageConfig, WalSync};
pub use deletes::DeleteRequest;
pub use follow::{Dropped, LogFollower};
pub use stats::{FlushSummary, Readiness, ReplaySummary, StorageStats};
pub use storage::Storage;
pub use upkeep::{RoundProgress, UpkeepReport, UpkeepStatus, UpkeepTotals};
