//! What may be stored: limits under Loki's and Mimir's names, label rules, time windows, and the fields made at ingest.
//!
//! A row that breaks a rule is refused alone; [`Refusals`] collects the reasons for the answer.

mod histogram_rules;
mod level;
mod level_line;
mod limits;
mod log_rules;
mod logfmt;
mod metadata;
mod metric_rules;
mod refusals;
mod service_name;

pub(crate) use histogram_rules::checked_histogram;
pub(crate) use level::LevelDetector;
pub use limits::{LogLimits, MetricLimits};
pub(crate) use log_rules::{EntryWindow, MetadataSize, check_entry, check_stream, truncate_line};
pub(crate) use metadata::{Metadata, normal_name, normalize_metadata, valid_utf8};
pub(crate) use metric_rules::{SampleWindow, SeriesLabels, series_limit_reached};
pub use refusals::Refusals;
pub(crate) use service_name::{UNKNOWN_SERVICE, discover_service_name};
