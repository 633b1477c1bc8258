//! `[limits]`: what a tenant may send as logs, and what one query may take. Names and spellings are Loki's; where garner
//! needs no limit, its default is more generous than Loki's.

use std::time::Duration;

use garner_ingest::LogLimits;

use super::error::ConfigError;
use super::otlp::read_otlp;
use super::reader::{BOOL, COUNT, DURATION, LIST, Reader, SIZE, TEXT};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What a push may hold.
    pub push: LogLimits,
    /// `limits.max_entries_limit_per_query`; 0 means no limit.
    pub max_entries_per_query: usize,
    /// `limits.max_query_series`; 0 means no limit.
    pub max_query_series: usize,
    /// `limits.max_query_length`; zero means no limit.
    pub max_query_length: Duration,
    /// `limits.max_concurrent_tail_requests`; 0 means no limit.
    pub max_concurrent_tail_requests: usize,
    /// `limits.tail_max_duration`; zero means no limit.
    pub tail_max_duration: Duration,
    /// `limits.query_timeout`
    pub query_timeout: Duration,
    /// `limits.pattern_memory`; 0 means that no patterns are kept.
    pub pattern_memory_bytes: usize,
    /// `limits.max_query_memory`
    pub max_query_memory_bytes: u64,
}

impl LogSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(LogSettings {
            push: read_push(from)?,
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
            max_concurrent_tail_requests: from.get(
                "limits.max_concurrent_tail_requests",
                &COUNT,
                "10",
                "Most live tails of a tenant at once; 0 means no limit. Each holds up to 8 MB of waiting lines.",
            )?,
            tail_max_duration: from.get(
                "limits.tail_max_duration",
                &DURATION,
                "1h",
                "How long a live tail may last (Loki: `querier.tail_max_duration`); 0 means no limit.",
            )?,
            query_timeout: from.get(
                "limits.query_timeout",
                &DURATION,
                "1m",
                "How long a query of either language may take, its wait for a turn (`query.max_concurrent`) counted.",
            )?,
            pattern_memory_bytes: from.get(
                "limits.pattern_memory",
                &SIZE_IN_MEMORY,
                "16MB",
                "Memory for the patterns of a tenant's log lines of the last three hours (`/loki/api/v1/patterns`), inside \
                 `memory.limit`; 0 turns them off and saves the time to find them.",
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

fn read_push(from: &mut Reader<'_>) -> Result<LogLimits, ConfigError> {
    Ok(LogLimits {
        reject_old_samples: from.get(
            "limits.reject_old_samples",
            &BOOL,
            "false",
            "Refuse entries older than `limits.reject_old_samples_max_age`. Off by default: garner takes any time.",
        )?,
        reject_old_samples_max_age: from.get(
            "limits.reject_old_samples_max_age",
            &DURATION,
            "1w",
            "Oldest entry that is taken where `limits.reject_old_samples` is set.",
        )?,
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
            "Most labels of a stream, `service_name` not counted (Loki: 15).",
        )?,
        max_line_size: from.get("limits.max_line_size", &SIZE_IN_MEMORY, "256KB", "Longest log line; 0 means no limit.")?,
        max_line_size_truncate: from.get(
            "limits.max_line_size_truncate",
            &BOOL,
            "false",
            "Cut longer lines instead of refusing them.",
        )?,
        max_line_size_truncate_identifier: from.get(
            "limits.max_line_size_truncate_identifier",
            &TEXT,
            "",
            "What a cut line ends with, inside `limits.max_line_size`.",
        )?,
        increment_duplicate_timestamp: from.get(
            "limits.increment_duplicate_timestamp",
            &BOOL,
            "false",
            "Move an entry by a nanosecond where the one before it has the same time and another line.",
        )?,
        max_structured_metadata_size: from.get(
            "limits.max_structured_metadata_size",
            &SIZE_IN_MEMORY,
            "64KB",
            "Most bytes of structured metadata of one entry.",
        )?,
        max_structured_metadata_entries_count: from.get(
            "limits.max_structured_metadata_entries_count",
            &COUNT,
            "128",
            "Most structured metadata pairs of one entry.",
        )?,
        allow_structured_metadata: from.get(
            "limits.allow_structured_metadata",
            &BOOL,
            "true",
            "Take entries with structured metadata.",
        )?,
        max_global_streams_per_user: from.get(
            "limits.max_global_streams_per_user",
            &COUNT,
            "0",
            "Most streams of a tenant in memory at once; entries of further ones are answered 429. 0 means no limit but \
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
            "Labels, metadata and fields that hold a level; the first present one wins.",
        )?,
        log_level_from_json_max_depth: from.get(
            "limits.log_level_from_json_max_depth",
            &COUNT,
            "2",
            "How deep in a JSON line the level is looked for; 0 means at any depth.",
        )?,
        otlp: read_otlp(from)?,
        max_decompressed_size: from.get(
            "limits.max_decompressed_size",
            &SIZE_IN_MEMORY,
            "256MB",
            "Largest push body after decompression; larger ones are answered 413. Memory holds it whole.",
        )?,
        // Rates are not enforced yet, so they are no settings yet.
        ..LogLimits::default()
    })
}

/// A size of something that is held in memory whole.
pub(super) const SIZE_IN_MEMORY: super::reader::Kind<usize> =
    super::reader::Kind::new(r#"a size such as "256KB", "4MB" or a number of bytes"#, |value| {
        usize::try_from(super::size::parse_size(super::reader::scalar_text(value)?)?).ok()
    });
