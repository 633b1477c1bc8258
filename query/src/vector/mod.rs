//! The vector layout: one Arrow schema for every plan of both languages.
//!
//! ```text
//! labels:     Dictionary<UInt32, Binary>   canonical label bytes
//! first_step: UInt32                       step of the first value of the row
//! values:     List<Float64>                dense from the first to the last present step, nulls inside where absent
//! ```
//!
//! [`schema`] names the columns, [`builder`] makes batches of at most [`MAX_BATCH_VALUES`] values or one row, [`reader`]
//! gives rows without copying, [`labels`] handles label bytes, [`Interner`] numbers them.

mod builder;
mod interner;
pub mod labels;
mod reader;
mod row;
mod schema;

pub use builder::{MAX_BATCH_VALUES, VectorBuilder};
pub use interner::Interner;
pub use reader::{VectorReader, VectorRow};
pub use row::{RowBuffer, ScalarColumn};
pub(crate) use schema::value_field;
pub use schema::vector_schema;
