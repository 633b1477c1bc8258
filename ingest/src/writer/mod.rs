//! Validated rows into one append of the store, and what the client is told about them.

mod logs;
mod metrics;
mod otlp_metrics;
mod outcome;
mod rows;
mod sample_sink;
#[cfg(test)]
mod tests;

pub use logs::{LogSink, append_otlp, append_push, push_loki, push_otlp};
pub use metrics::{append_write_request, append_write_request_v2, remote_write};
pub use otlp_metrics::{append_otlp_metrics, push_otlp_metrics};
pub use outcome::PushOutcome;
pub use rows::{LogRows, SampleRows};
pub(crate) use sample_sink::SampleSink;
