//! `[limits.metrics]`: what a tenant may send as metrics. Names and spellings are Mimir's (those of age are Cortex').

use std::time::Duration;

use super::error::ConfigError;
use super::reader::{BOOL, COUNT, DURATION, Reader};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct MetricSettings {
    /// `limits.metrics.reject_old_samples` with `limits.metrics.reject_old_samples_max_age`
    pub max_age: Option<Duration>,
    /// `limits.metrics.creation_grace_period`
    pub creation_grace_period: Duration,
    /// `limits.metrics.max_label_name_length`
    pub max_label_name_length: usize,
    /// `limits.metrics.max_label_value_length`
    pub max_label_value_length: usize,
    /// `limits.metrics.max_label_names_per_series`
    pub max_label_names_per_series: usize,
    /// `limits.metrics.max_global_series_per_user`; 0 means no limit.
    pub max_series: usize,
    /// `limits.metrics.max_total_query_length`; zero means no limit.
    pub max_query_length: Duration,
}

impl MetricSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let reject_old = from.get(
            "limits.metrics.reject_old_samples",
            &BOOL,
            "false",
            "Refuse samples older than `limits.metrics.reject_old_samples_max_age`. Off by default: garner takes any time.",
        )?;
        let max_age = from.get(
            "limits.metrics.reject_old_samples_max_age",
            &DURATION,
            "2w",
            "Oldest sample that is taken where `limits.metrics.reject_old_samples` is set.",
        )?;
        Ok(MetricSettings {
            max_age: reject_old.then_some(max_age),
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
                "Most labels of a series, its name included (Mimir: 30).",
            )?,
            max_series: from.get(
                "limits.metrics.max_global_series_per_user",
                &COUNT,
                "0",
                "Most series of a tenant in memory; samples of further ones are refused with 400. 0 means no limit but \
                 memory (Mimir: 150000).",
            )?,
            max_query_length: from.get(
                "limits.metrics.max_total_query_length",
                &DURATION,
                "0",
                "Longest time range of a PromQL range query; 0 means no limit.",
            )?,
        })
    }
}
