//! The limits of one tenant. Names are Loki's and Mimir's, so that their override files fit; defaults are garner's.

use std::time::Duration;

use crate::otlp::{OtlpConfig, OtlpMetricsConfig};

/// Limits on log pushes, under the names of Loki's `limits_config`. A number of 0 means no limit, as there.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLimits {
    /// Bytes of log lines a second, in MB, for the tenant. Over it, pushes get 429. 0: none. Not enforced yet.
    pub ingestion_rate_mb: f64,
    /// Bytes above the rate that may come at once, in MB. Not enforced yet.
    pub ingestion_burst_size_mb: f64,
    /// Streams that the tenant may have in memory at once; a push that would make more gets 429. By default only the memory
    /// budget of the head limits them.
    pub max_global_streams_per_user: usize,
    /// Labels of a stream, `service_name` not counted. Loki's default is 15; labels of Kubernetes alone often pass that.
    pub max_label_names_per_series: usize,
    /// Longest label name in bytes.
    pub max_label_name_length: usize,
    /// Longest label value in bytes.
    pub max_label_value_length: usize,
    /// Whether entries older than `reject_old_samples_max_age` are refused. garner takes entries of any age.
    pub reject_old_samples: bool,
    /// Oldest accepted entry, if `reject_old_samples` is on.
    pub reject_old_samples_max_age: Duration,
    /// How far ahead of the server's clock an entry may lie.
    pub creation_grace_period: Duration,
    /// Longest line in bytes.
    pub max_line_size: usize,
    /// Whether longer lines are cut instead of refused.
    pub max_line_size_truncate: bool,
    /// What a cut line ends with, within `max_line_size`.
    pub max_line_size_truncate_identifier: String,
    /// Whether an entry with the time of the one before it, but another line, is moved by a nanosecond.
    pub increment_duplicate_timestamp: bool,
    /// Labels whose value becomes `service_name` where a stream has none, in order; empty turns it off.
    pub discover_service_name: Vec<String>,
    /// Whether entries get `detected_level`.
    pub discover_log_levels: bool,
    /// Labels, structured metadata and fields of the line that name the level, in order.
    pub log_level_fields: Vec<String>,
    /// How deep in a JSON line the level is looked for; 0 means at any depth.
    pub log_level_from_json_max_depth: usize,
    /// Whether entries may carry structured metadata.
    pub allow_structured_metadata: bool,
    /// Names and values of an entry's structured metadata, in bytes together.
    pub max_structured_metadata_size: usize,
    /// Pairs of structured metadata of an entry.
    pub max_structured_metadata_entries_count: usize,
    /// What becomes of OpenTelemetry attributes.
    pub otlp: OtlpConfig,
    /// Size of a push body after decompression. Memory holds it whole, so the default is far below Loki's 5 GB; clients
    /// send about 1 MB.
    pub max_decompressed_size: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect();
        LogLimits {
            ingestion_rate_mb: 0.0,
            ingestion_burst_size_mb: 0.0,
            max_global_streams_per_user: 0,
            max_label_names_per_series: 30,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            reject_old_samples: false,
            reject_old_samples_max_age: Duration::from_secs(7 * 86_400),
            creation_grace_period: Duration::from_secs(600),
            max_line_size: 256 << 10,
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            increment_duplicate_timestamp: false,
            // loki `pkg/validation/limits.go`, `RegisterFlags` and `DefaultAllowedLevelFields`.
            discover_service_name: names(&[
                "service",
                "app",
                "application",
                "app_name",
                "name",
                "app_kubernetes_io_name",
                "container",
                "container_name",
                "k8s_container_name",
                "component",
                "workload",
                "job",
                "k8s_job_name",
            ]),
            discover_log_levels: true,
            log_level_fields: names(&[
                "level",
                "LEVEL",
                "Level",
                "log.level",
                "severity",
                "SEVERITY",
                "Severity",
                "SeverityText",
                "lvl",
                "LVL",
                "Lvl",
                "severity_text",
                "Severity_Text",
                "SEVERITY_TEXT",
            ]),
            log_level_from_json_max_depth: 2,
            allow_structured_metadata: true,
            max_structured_metadata_size: 64 << 10,
            max_structured_metadata_entries_count: 128,
            otlp: OtlpConfig::default(),
            max_decompressed_size: 256 << 20,
        }
    }
}

/// Limits on metric writes, under the names of Mimir's `limits`. A number of 0 means no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLimits {
    /// Samples a second for the tenant; 0: none. Not enforced yet.
    pub ingestion_rate: f64,
    /// Samples above the rate that may come at once. Not enforced yet.
    pub ingestion_burst_size: usize,
    /// Series that the tenant may have in memory at once. By default only the memory budget of the head limits them.
    pub max_global_series_per_user: usize,
    /// Labels of a series, the metric name counted. Mimir's default is 30.
    pub max_label_names_per_series: usize,
    /// Longest label name in bytes.
    pub max_label_name_length: usize,
    /// Longest label value in bytes.
    pub max_label_value_length: usize,
    /// How far ahead of the server's clock a sample may lie.
    pub creation_grace_period: Duration,
    /// Whether samples older than `reject_old_samples_max_age` are refused (Cortex' name; Mimir has `past_grace_period`).
    pub reject_old_samples: bool,
    /// Oldest accepted sample, if `reject_old_samples` is on.
    pub reject_old_samples_max_age: Duration,
    /// Buckets of a native histogram, both sides together. Exponential ones over it are kept at a lower resolution.
    pub max_native_histogram_buckets: usize,
    /// Exemplars of the tenant in memory at once; further ones are passed over (Cortex' name; 0 is none at all, as there).
    pub max_exemplars: usize,
    /// Metrics of the tenant with metadata in memory at once; those of further ones are passed over (Cortex' name).
    pub max_metadata_per_user: usize,
    /// Different metadata kept of one metric; further ones are passed over (Cortex' name).
    pub max_metadata_per_metric: usize,
    /// Longest metric name, help text and unit of metadata in bytes: a longer help text is cut, the others make the
    /// metadata be passed over (Mimir's `validation.max-metadata-length`).
    pub max_metadata_length: usize,
    /// Whether series get labels `__type__` and `__unit__` from the metadata they come with (version 2 of remote write and
    /// OTLP only, as in Prometheus).
    pub enable_type_and_unit_labels: bool,
    /// How OTLP metrics are translated.
    pub otlp: OtlpMetricsConfig,
    /// Size of a write body after decompression (Mimir's `-distributor.max-recv-msg-size`).
    pub max_recv_msg_size: usize,
}

impl Default for MetricLimits {
    fn default() -> Self {
        MetricLimits {
            ingestion_rate: 0.0,
            ingestion_burst_size: 0,
            max_global_series_per_user: 0,
            max_label_names_per_series: 64,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            creation_grace_period: Duration::from_secs(600),
            reject_old_samples: false,
            reject_old_samples_max_age: Duration::from_secs(14 * 86_400),
            max_native_histogram_buckets: 16 << 10,
            max_exemplars: 100_000,
            max_metadata_per_user: 8000,
            max_metadata_per_metric: 10,
            max_metadata_length: 1024,
            enable_type_and_unit_labels: false,
            otlp: OtlpMetricsConfig::default(),
            max_recv_msg_size: 100 << 20,
        }
    }
}
