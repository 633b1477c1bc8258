//! Prometheus' API: remote write and read, OTLP metrics, queries, metadata and federation. One endpoint a file.
//!
//! Source of paths, parameters and texts: prometheus `web/api/v1/api.go`.

pub mod admin_tsdb;
mod answer;
pub mod cardinality;
pub mod empty;
pub mod exemplars;
pub mod features;
pub mod federate;
mod histogram;
pub mod labels;
mod list;
pub mod metadata;
pub mod otlp;
mod params;
pub mod query;
pub mod query_ast;
pub mod query_range;
pub mod remote_read;
mod selectors;
pub mod series;
pub mod status;
pub mod write;

pub use list::ListAnswer;
