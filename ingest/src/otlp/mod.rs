//! The OTLP dialects: what OpenTelemetry collectors and SDKs send. Logs are decoded to the streams and entries of a push,
//! metrics to series and samples.

mod config;
mod json;
mod metrics;
mod protobuf;
mod push;
mod record;
mod streams;
mod value;

pub use config::{AttributeAction, AttributeRule, DEFAULT_INDEX_LABELS, OtlpConfig};
pub(crate) use metrics::translate as translate_metrics;
pub use metrics::{OtlpMetricsConfig, TranslationStrategy};
pub use push::OtlpPush;
pub(crate) use push::{Decompressed, decompress};
