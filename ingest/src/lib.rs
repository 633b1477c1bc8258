//! garner's write path above the store: wire bytes in, validated rows out, one acknowledgement.
//!
//! ```text
//! body -> body (decompress under a limit) -> loki | otlp | prometheus (zero-copy decode) -> validate (limits, labels, times)
//!      -> writer (rows into one append of the store, commit)
//! ```
//!
//! Knows no HTTP: callers hand in header values as text and map [`IngestErrorKind`] to their status codes.

mod body;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod json_scan;
pub mod loki;
pub mod otlp;
pub mod patterns;
pub mod prometheus;
mod text;
pub mod validate;
mod wire;
pub mod writer;

pub use error::{IngestError, IngestErrorKind};
pub use loki::LokiPush;
pub use otlp::OtlpPush;
pub use patterns::Patterns;
pub use validate::{LogLimits, MetricLimits, Refusals};
pub use writer::{LogSink, PushOutcome, push_loki, push_otlp, push_otlp_metrics, remote_write};
