//! garner's query engine: PromQL and LogQL lowered to one set of vectorised operators over the store's scans.
//!
//! [`plan`] is what both languages lower to, [`vector`] the layout of every batch, [`operators`] the physical operators,
//! [`functions`] the arithmetic inside them, [`engine`] the way in, [`admission`] the gate before it. No HTTP here: statuses and JSON live in garner-api.

pub mod admission;
pub mod annotations;
pub mod context;
pub mod engine;
pub mod error;
pub mod functions;
pub mod goregex;
pub mod logql;
pub mod operators;
pub mod output;
pub mod plan;
pub mod promql;
pub mod results;
pub mod run;
mod selections;
pub mod tenants;
pub mod vector;

#[cfg(test)]
pub(crate) mod testing;
