//! Whole requests into rows collected in memory: what is stored, what is refused, what the client is told.
#![allow(clippy::unwrap_used, clippy::panic)]

mod collected;
mod garbage;
mod histograms;
mod logs;
mod metrics;
mod metrics_v2;
mod otlp;
mod otlp_metrics;
