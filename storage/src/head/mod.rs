//! Recent rows in memory: who the series are, their rows, and reading them while they grow.
//!
//! [`SeriesIndex`] knows the series of one (tenant, signal) and outlives heads; [`Head`] holds the rows that came between
//! two seals. A head is appended to while it is *open*; once sealed it only answers reads until its segment replaces it.

mod aliases;
mod exemplars;
#[allow(clippy::module_inception, reason = "the module's one type has its name")]
mod head;
mod histograms;
mod index;
mod log_block;
mod logs;
mod order;
mod paged;
mod pairs;
mod postings;
mod read_logs;
mod rows;
mod samples;
mod select;
mod side;
mod source;
mod start_times;
mod time_columns;
mod value_stream;

pub use exemplars::ExemplarRows;
pub use head::Head;
pub use index::SeriesIndex;
pub use rows::{LogRows, MetadataTable, Rows, SampleRows};
