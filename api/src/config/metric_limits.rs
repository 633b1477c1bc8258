//! `[limits.metrics]`: what a tenant may send as metrics. Names and spellings are Mimir's (those of age are Cortex').

use std::time::Duration;

use garner_ingest::MetricLimits;

use super::error::ConfigError;
use super::log_limits::SIZE_IN_MEMORY;
use super::otlp_metrics::read_otlp_metrics;
use super::reader::{BOOL, COUNT, DURATION, Reader};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct MetricSettings {
    /// What a write may hold.
    pub write: MetricLimits,
    /// `limits.metrics.max_total_query_length`; zero means no limit.
    pub max_query_length: Duration,
}

impl MetricSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(MetricSettings {
            write: read_write(from)?,
            max_query_length: from.get(
                "limits.metrics.max_total_query_length",
                &DURATION,
                "0",
                "Longest time range of a PromQL range query; 0 means no limit.",
            )?,
        })
    }
}

fn read_write(from: &mut Reader<'_>) -> Result<MetricLimits, ConfigError> {
    Ok(MetricLimits {
        reject_old_samples: from.get(
            "limits.metrics.reject_old_samples",
            &BOOL,
            "false",
            "Refuse samples older than `limits.metrics.reject_old_samples_max_age`. Off by default: garner takes any time.",
        )?,
        reject_old_samples_max_age: from.get(
            "limits.metrics.reject_old_samples_max_age",
            &DURATION,
            "2w",
            "Oldest sample that is taken where `limits.metrics.reject_old_samples` is set.",
        )?,
        creation_grace_period: from.get(
            "limits.metrics.creation_grace_period",
            &DURATION,
            "10m",
            "How far ahead of the server's clock a sample may lie; later ones are refused.",
        )?,
        max_label_name_length: from.get(
            "limits.metrics.max_label_name_length",
            &COUNT,
            "1024",
            "Longest label name in bytes.",
        )?,
        max_label_value_length: from.get(
            "limits.metrics.max_label_value_length",
            &COUNT,
            "2048",
            "Longest label value in bytes.",
        )?,
        max_label_names_per_series: from.get(
            "limits.metrics.max_label_names_per_series",
            &COUNT,
            "64",
            "Most labels of a series, its name counted (Mimir: 30).",
        )?,
        max_global_series_per_user: from.get(
            "limits.metrics.max_global_series_per_user",
            &COUNT,
            "0",
            "Most series of a tenant in memory at once; samples of further ones are refused. 0 means no limit but memory \
             (Mimir: 150000).",
        )?,
        max_native_histogram_buckets: from.get(
            "limits.metrics.max_native_histogram_buckets",
            &COUNT,
            "16384",
            "Most buckets of a native histogram. Exponential ones over it are kept at a lower resolution, others refused; 0 means no limit (Mimir: 0).",
        )?,
        max_exemplars: from.get(
            "limits.metrics.max_exemplars",
            &COUNT,
            "100000",
            "Exemplars of a tenant in memory at once; further ones are passed over. 0 keeps none (Cortex: 0).",
        )?,
        max_metadata_per_user: from.get(
            "limits.metrics.max_metadata_per_user",
            &COUNT,
            "8000",
            "Metrics of a tenant whose metadata is in memory at once; that of further ones is passed over. 0 means no limit.",
        )?,
        max_metadata_per_metric: from.get(
            "limits.metrics.max_metadata_per_metric",
            &COUNT,
            "10",
            "Different metadata kept of one metric; further ones are passed over. 0 means no limit.",
        )?,
        max_metadata_length: from.get(
            "limits.metrics.max_metadata_length",
            &COUNT,
            "1024",
            "Longest metric name, help text and unit of metadata in bytes: help texts are cut, metadata with longer names or units is passed over. 0 means no limit.",
        )?,
        max_recv_msg_size: from.get(
            "limits.metrics.max_recv_msg_size",
            &SIZE_IN_MEMORY,
            "100MB",
            "Largest write body after decompression; larger ones are answered 413. Memory holds it whole.",
        )?,
        otlp: read_otlp_metrics(from)?,
        // Rates are not enforced yet, so they are no settings yet; type and unit labels are one of `[promql]`.
        ..MetricLimits::default()
    })
}
