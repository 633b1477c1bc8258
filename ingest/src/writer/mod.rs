//! Validated rows into one append of the store, and what the client is told about them.

mod logs;
mod metrics;
mod outcome;
mod rows;
#[cfg(test)]
mod tests;

pub use logs::{LogSink, append_otlp, append_push, push_loki, push_otlp};
pub use metrics::{append_write_request, append_write_request_v2, remote_write};
pub use outcome::PushOutcome;
pub use rows::{LogRows, SampleRows};
