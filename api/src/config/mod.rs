//! Settings: what may be set, where it may be set, and what it means.
//!
//! [`raw`] holds what was given by flags, `GARNER_…` variables and the TOML file; [`reader`] turns it into typed values
//! and remembers what was asked for; each group of settings is declared by one file ([`server`], [`storage`], [`cache`],
//! [`log_limits`], [`metric_limits`], [`retention`], [`promql`], [`query`]); [`Settings`] is the resolved whole. `docs/configuration.md`
//! lists every key.

pub mod cache;
pub mod deletes;
pub mod duration;
pub mod error;
pub mod log_limits;
pub mod machine;
pub mod metric_limits;
mod otlp;
mod otlp_metrics;
pub mod promql;
pub mod query;
pub mod raw;
pub mod reader;
pub mod retention;
pub mod server;
pub mod settings;
pub mod size;
pub mod storage;

pub use error::ConfigError;
pub use raw::RawSettings;
pub use settings::Settings;

#[cfg(test)]
mod tests;
