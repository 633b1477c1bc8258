//! `[limits]`: what a tenant may send as logs, and what one query may take. Names and spellings are Loki's; where garner
//! needs no limit, its default is more generous than Loki's.

use std::time::Duration;

use super::error::ConfigError;
use super::reader::{BOOL, COUNT, DURATION, LIST, Reader, SIZE};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `limits.reject_old_samples` with `limits.reject_old_samples_max_age`
    pub max_age: Option<Duration>,
    /// `limits.creation_grace_period`
    pub creation_grace_period: Duration,
    /// `limits.max_label_name_length`
    pub max_label_name_length: usize,
    /// `limits.max_label_value_length`
    pub max_label_value_length: usize,
    /// `limits.max_label_names_per_series`
    pub max_label_names_per_series: usize,
    /// `limits.max_line_size`
    pub max_line_bytes: u64,
    /// `limits.max_structured_metadata_size`
    pub max_structured_metadata_bytes: u64,
    /// `limits.max_structured_metadata_entries_count`
    pub max_structured_metadata_entries: usize,
    /// `limits.max_global_streams_per_user`; 0 means no limit.
    pub max_streams: usize,
    /// `limits.discover_service_name`
    pub discover_service_name: Vec<String>,
    /// `limits.discover_log_levels`
    pub discover_log_levels: bool,
    /// `limits.log_level_fields`
    pub log_level_fields: Vec<String>,
    /// `limits.max_entries_limit_per_query`; 0 means no limit.
    pub max_entries_per_query: usize,
    /// `limits.max_query_series`; 0 means no limit.
    pub max_query_series: usize,
    /// `limits.max_query_length`; zero means no limit.
    pub max_query_length: Duration,
    /// `limits.query_timeout`
    pub query_timeout: Duration,
    /// `limits.max_query_memory`
    pub max_query_memory_bytes: u64,
}

impl LogSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let reject_old = from.get(
            "limits.reject_old_samples",
            &BOOL,
            "false",
            "Refuse entries older than `limits.reject_old_samples_max_age`. Off by default: garner takes any time.",
        )?;
        let max_age = from.get(
            "limits.reject_old_samples_max_age",
            &DURATION,
            "1w",
            "Oldest entry that is taken where `limits.reject_old_samples` is set.",
        )?;
        Ok(LogSettings {
            max_age: reject_old.then_some(max_age),
            creation_grace_period: from.get(
                "limits.creation_grace_period",
                &DURATION,
                "10m",
                "How far ahead of the server's clock an entry may lie; later ones are refused.",
            )?,
            max_label_name_length: from.get(
                "limits.max_label_name_length",
                &COUNT,
                "1024",
                "Longest label name in bytes.",
            )?,
            max_label_value_length: from.get(
                "limits.max_label_value_length",
                &COUNT,
                "2048",
                "Longest label value in bytes.",
            )?,
            max_label_names_per_series: from.get(
                "limits.max_label_names_per_series",
                &COUNT,
                "30",
                "Most labels of a stream (Loki: 15).",
            )?,
            max_line_bytes: from.get("limits.max_line_size", &SIZE, "256KB", "Longest log line; 0 means no limit.")?,
            max_structured_metadata_bytes: from.get(
                "limits.max_structured_metadata_size",
                &SIZE,
                "64KB",
                "Most bytes of structured metadata of one entry.",
            )?,
            max_structured_metadata_entries: from.get(
                "limits.max_structured_metadata_entries_count",
                &COUNT,
                "128",
                "Most structured metadata pairs of one entry.",
            )?,
            max_streams: from.get(
                "limits.max_global_streams_per_user",
                &COUNT,
                "0",
                "Most streams of a tenant in memory; entries of further ones are refused with 429. 0 means no limit but \
                 memory (Loki: 5000).",
            )?,
            discover_service_name: from.get(
                "limits.discover_service_name",
                &LIST,
                "service,app,application,app_name,name,app_kubernetes_io_name,container,container_name,k8s_container_name,\
                 component,workload,job,k8s_job_name",
                "Labels of which the first present one becomes `service_name` where a stream has none; an empty list turns \
                 this off.",
            )?,
            discover_log_levels: from.get(
                "limits.discover_log_levels",
                &BOOL,
                "true",
                "Find each entry's level and keep it as structured metadata `detected_level`.",
            )?,
            log_level_fields: from.get(
                "limits.log_level_fields",
                &LIST,
                "level,LEVEL,Level,log.level,severity,SEVERITY,Severity,SeverityText,lvl,LVL,Lvl,severity_text,\
                 Severity_Text,SEVERITY_TEXT",
                "Labels, metadata and fields that hold a level, the first present one wins.",
            )?,
            max_entries_per_query: from.get(
                "limits.max_entries_limit_per_query",
                &COUNT,
                "5000",
                "Most entries that a log query may ask for; 0 means no limit but memory.",
            )?,
            max_query_series: from.get(
                "limits.max_query_series",
                &COUNT,
                "5000",
                "Most series of a LogQL metric query's answer (Loki: 500); 0 means no limit but memory.",
            )?,
            max_query_length: from.get(
                "limits.max_query_length",
                &DURATION,
                "0",
                "Longest time range of a LogQL query (Loki: 30d1h); 0 means no limit.",
            )?,
            query_timeout: from.get(
                "limits.query_timeout",
                &DURATION,
                "1m",
                "How long a query of either language may run.",
            )?,
            max_query_memory_bytes: from.get(
                "limits.max_query_memory",
                &SIZE,
                "1GB",
                "Most memory that one query of either language may hold, inside `memory.limit`; a query that needs more is \
                 refused.",
            )?,
        })
    }
}
