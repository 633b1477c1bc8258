//! The store as the rest of garner sees it: [`Storage`] takes appends, answers reads, flushes in the background.
//!
//! ```text
//! begin_*  ->  SampleAppend / LogAppend  --commit-->  WAL (durable)  ->  open head (visible)  ->  Ok
//! seal         open head -> sealed head          under the lane's gate, so that no append is half in
//! flush        sealed heads -> segments -> catalog commit -> lane's view swapped -> WAL files removed
//! read         a lane's view: open head ∪ sealed heads ∪ segments, one atomic pointer
//! ```
//!
//! A *lane* is one (tenant, signal): its gate, its heads, its segments.

mod append;
mod background;
mod config;
mod deletes;
#[cfg(test)]
mod deletes_tests;
mod follow;
mod lane;
mod live;
mod log_again;
mod open;
mod reader;
mod round;
mod shared;
#[cfg(test)]
mod side_tests;
mod stats;
mod storage;
#[cfg(test)]
mod tests;

pub use append::{LogAppend, SampleAppend, SeriesRef};
pub use config::{Components, StorageConfig, WalSync};
pub use deletes::DeleteRequest;
pub use follow::{Dropped, LogFollower};
pub use stats::{FlushSummary, Readiness, ReplaySummary, StorageStats};
pub use storage::Storage;
