//! Patterns of log lines: what the lines of a stream have in common, found while they are ingested and kept for a few
//! hours (loki `pkg/pattern`; the algorithm is Drain: He et al., "Drain: An Online Log Parsing Approach with Fixed Depth
//! Tree", ICWS 2017).
//!
//! [`tokens`] splits lines, [`drain`] finds the cluster of a line, [`counts`] counts its lines in steps of ten seconds,
//! [`stream`] does so for each level of a stream, [`store`] keeps the streams of all tenants inside a memory limit and
//! answers what was seen, [`feed`] stands between a push and the store.

mod counts;
mod drain;
mod feed;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;

pub use feed::Observed;
pub use store::{PatternSeries, Patterns};
