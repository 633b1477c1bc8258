//! Prometheus' API: remote write, queries and metadata. One endpoint a file.
//!
//! Source of paths, parameters and texts: prometheus `web/api/v1/api.go`.

mod answer;
pub mod labels;
mod list;
mod params;
pub mod query;
pub mod query_range;
mod selectors;
pub mod series;
pub mod status;
pub mod write;

pub use list::ListAnswer;
