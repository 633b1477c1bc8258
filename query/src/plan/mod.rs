//! Logical nodes common to PromQL and LogQL: both languages lower to a [`VectorPlan`] over one grid of [`Steps`], and
//! nothing below this module knows which language asked.
//!
//! `steps` is the time grid, `node` the tree, `leaf` what a language-owned leaf must do, [`physical`] (with `labels`) makes operators of the
//! tree; the enums of functions live beside their implementations in `functions/`.

mod labels;
mod leaf;
mod node;
mod ops;
pub mod physical;
mod steps;

#[cfg(test)]
mod tests;

pub use leaf::{LeafPlan, PlannedLeaf};
pub use node::{InfoNode, Quantity, RawRange, SamplesNode, Select, SubqueryNode, VectorPlan};
pub use ops::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching, SetOp, Span};
pub use steps::Steps;
