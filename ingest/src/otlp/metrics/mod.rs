//! The OTLP metrics dialect: data points of OpenTelemetry, translated to Prometheus' series by Prometheus' rules
//! (prometheus `storage/remote/otlptranslator/prometheusremotewrite`).

mod buckets;
mod config;
mod json;
mod labels;
mod names;
mod point;
mod protobuf;
mod translate;

pub use config::{OtlpMetricsConfig, TranslationStrategy};
pub(crate) use translate::translate;
