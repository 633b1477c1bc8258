//! Many small segments become few large ones.
//!
//! ```text
//! catalog state ─ policy ─> Job: segments of one window ─> WholeSegments ─ SeriesWalk ─> who is in them, once
//!   metrics: series by series      ┐ merged by the scan's own code, rows past retention left out
//!   logs: era by era (hours)       ┘─> segment writer ─ pages ─> ObjectWriter
//! ```
//!
//! [`policy`] is pure; [`merge`] writes the segments of some jobs into one object and changes nothing else. The engine
//! drives the arrows around them (object, catalog commit, view swap, later deletion), as it does for a flush.

mod eras;
mod input;
mod job;
mod merge;
mod merge_logs;
mod merge_samples;
mod pace;
mod policy;
#[cfg(test)]
mod policy_tests;
mod streams;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use job::Job;
pub(crate) use merge::{MergeContext, MergeFailure, Merged, merge};
pub use pace::Pace;
pub(crate) use policy::plan;
pub use policy::{Depth, PolicySettings};
