//! Loki's API: push, queries and metadata. One endpoint a file.
//!
//! Sources of paths, parameters and texts: loki `pkg/loghttp/params.go`, `pkg/loghttp/query.go`,
//! `pkg/util/server/error.go`, `pkg/distributor/http.go`.

mod answer;
pub mod cache;
pub mod deletes;
pub mod detected_fields;
pub mod detected_labels;
pub mod drilldown;
pub mod format_query;
pub mod index;
mod json_path;
pub mod labels;
pub mod legacy;
mod options;
pub mod otlp;
mod params;
pub mod patterns;
pub mod push;
pub mod query;
pub mod query_range;
pub mod rules;
mod selectors;
pub mod series;
pub mod shards;
mod stats;
pub mod status;
pub mod tail;
mod tail_frame;
