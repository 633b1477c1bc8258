//! The OTLP logs dialect: what OpenTelemetry collectors and SDKs send, decoded to the streams and entries of a push.

mod config;
mod json;
mod protobuf;
mod push;
mod record;
mod streams;
mod value;

pub use config::{AttributeAction, AttributeRule, DEFAULT_INDEX_LABELS, OtlpConfig};
pub use push::OtlpPush;
pub(crate) use push::{Decompressed, decompress};
