//! The vector layout: one Arrow schema for every plan of both languages, and one column more where histograms occur.
//!
//! ```text
//! labels:     Dictionary<UInt32, Binary>   canonical label bytes
//! first_step: UInt32                       step of the first value of the row
//! values:     List<Float64>                dense from the first to the last step with a float, nulls inside where absent
//! histograms: List<Struct>                 runs of steps with one histogram; only in batches that have any
//! ```
//!
//! An element is a float or a histogram. What reads floats alone sees a histogram as an absent value, so floats cost the same
//! whether or not there are histograms elsewhere. Plans declare the schema without the last column; who sends batches to a
//! process that insists on one schema [`widen`]s them all.
//!
//! [`schema`] names the columns, [`builder`] makes batches of at most [`MAX_BATCH_VALUES`] values or one row, [`reader`]
//! gives rows without copying, [`histogram_builder`] and [`histograms`] do both for the last column, [`labels`] handles label
//! bytes, [`Interner`] numbers them.

mod builder;
mod histogram_builder;
mod histograms;
mod interner;
pub mod labels;
mod reader;
mod row;
mod schema;
#[cfg(test)]
mod tests;

pub use builder::{MAX_BATCH_VALUES, VectorBuilder, widen};
pub use histogram_builder::HistogramBuilder;
pub use histograms::HistogramRuns;
pub(crate) use histograms::histograms_column;
pub use interner::Interner;
pub use reader::{VectorReader, VectorRow};
pub use row::{RowBuffer, ScalarColumn};
pub(crate) use schema::{histograms_field, value_field};
pub use schema::{vector_schema, wide_schema};
