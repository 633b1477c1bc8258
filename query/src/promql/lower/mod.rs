//! Syntax tree to [`VectorPlan`](crate::plan::VectorPlan): durations and `@` become numbers, parts that no step changes are
//! marked, names become functions (prometheus `promql/engine.go`, `PreprocessExpr` and `eval`).
//!
//! [`expr`] walks the tree, [`call`] lowers function calls, [`range`] what has brackets, [`text`] arguments that are
//! strings, [`duration`] computes durations, [`request`] is what is known of the query's times.

mod call;
mod duration;
mod expr;
mod info;
mod range;
mod request;
#[cfg(test)]
mod tests;
mod text;

pub use expr::lower;
pub use request::LowerRequest;
