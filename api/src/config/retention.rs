//! How long rows are kept: `limits.retention_…`, the same of metrics, and of single tenants in `[overrides.<tenant>]`.

use std::collections::BTreeMap;
use std::time::Duration;

use garner_query::logql::{matchers::compile_all, parser::parse_matchers};
use garner_query::promql::parse_match_params;
use garner_storage::model::{LabelMatcher, TenantId};
use garner_storage::retention::{RetentionRules, RetentionSettings, StreamRule};

use super::duration::parse_duration;
use super::error::ConfigError;
use super::raw::RawValue;
use super::reader::{DURATION, Kind, Reader, SIZE};

const LOG_RULES: Kind<Vec<StreamRule>> = Kind::new(
    r#"a list of tables such as {selector = '{namespace="dev"}', priority = 1, period = "24h"}, or the same as JSON"#,
    |value| rules(value, log_matchers),
);

const METRIC_RULES: Kind<Vec<StreamRule>> = Kind::new(
    r#"a list of tables such as {selector = 'up{env="dev"}', priority = 1, period = "24h"}, or the same as JSON"#,
    |value| rules(value, metric_matchers),
);

/// Declares and reads everything about retention.
pub fn read(from: &mut Reader<'_>) -> Result<RetentionSettings, ConfigError> {
    let max_store_bytes = from.get(
        "storage.retention_size",
        &SIZE,
        "0",
        "Bytes of all objects in use over which the oldest ones are dropped, whichever tenant's; 0 means no limit.",
    )?;
    let logs = RetentionRules {
        period: from.get(
            "limits.retention_period",
            &DURATION,
            "0",
            "How long log entries are kept; 0 means for ever. Older ones are not answered at once, and deleted when a whole \
             segment has expired or enough of it to write the rest again.",
        )?,
        streams: from.get(
            "limits.retention_stream",
            &LOG_RULES,
            "",
            "Periods for the streams that a selector matches, as in Loki: tables of `selector`, `priority` and `period`. The \
             highest priority wins, then the shortest period.",
        )?,
    };
    let metrics = RetentionRules {
        period: from.get(
            "limits.metrics.compactor_blocks_retention_period",
            &DURATION,
            "0",
            "How long samples are kept; 0 means for ever.",
        )?,
        streams: from.get(
            "limits.metrics.retention_stream",
            &METRIC_RULES,
            "",
            "As `limits.retention_stream`, for series of metrics.",
        )?,
    };
    let overrides = Overrides {
        log_periods: from.per_tenant(
            "overrides.<tenant>.retention_period",
            &DURATION,
            "A tenant's own `limits.retention_period`.",
        )?,
        log_rules: from.per_tenant(
            "overrides.<tenant>.retention_stream",
            &LOG_RULES,
            "A tenant's own `limits.retention_stream`.",
        )?,
        metric_periods: from.per_tenant(
            "overrides.<tenant>.metrics.compactor_blocks_retention_period",
            &DURATION,
            "A tenant's own `limits.metrics.compactor_blocks_retention_period`.",
        )?,
        metric_rules: from.per_tenant(
            "overrides.<tenant>.metrics.retention_stream",
            &METRIC_RULES,
            "A tenant's own `limits.metrics.retention_stream`.",
        )?,
    };
    let mut settings = RetentionSettings {
        defaults: [logs, metrics],
        max_store_bytes,
        ..RetentionSettings::default()
    };
    overrides.apply(&mut settings)?;
    Ok(settings)
}

/// By tenant.
struct Overrides {
    log_periods: BTreeMap<String, Duration>,
    log_rules: BTreeMap<String, Vec<StreamRule>>,
    metric_periods: BTreeMap<String, Duration>,
    metric_rules: BTreeMap<String, Vec<StreamRule>>,
}

impl Overrides {
    /// What a tenant says replaces the default, one by one.
    fn apply(self, settings: &mut RetentionSettings) -> Result<(), ConfigError> {
        let defaults = settings.defaults.clone();
        let mut rules = |name: &str, change: &mut dyn FnMut(&mut [RetentionRules; 2])| {
            let tenant = TenantId::new(name).map_err(|e| ConfigError(format!("overrides of tenant {name:?}: {e}")))?;
            change(settings.tenants.entry(tenant).or_insert_with(|| defaults.clone()));
            Ok::<(), ConfigError>(())
        };
        for (signal, periods) in [(0, &self.log_periods), (1, &self.metric_periods)] {
            for (tenant, period) in periods {
                rules(tenant, &mut |rules| rules[signal].period = *period)?;
            }
        }
        for (signal, streams) in [(0, &self.log_rules), (1, &self.metric_rules)] {
            for (tenant, own) in streams {
                rules(tenant, &mut |rules| rules[signal].streams = own.clone())?;
            }
        }
        Ok(())
    }
}

/// Rules as tables of the file, or as JSON text in a variable.
fn rules(value: &RawValue, matchers: fn(&str) -> Option<Vec<LabelMatcher>>) -> Option<Vec<StreamRule>> {
    let tables = match value {
        RawValue::Tables(tables) => tables.clone(),
        RawValue::List(items) if items.is_empty() => Vec::new(),
        RawValue::List(_) => return None,
        RawValue::Scalar(text) if text.trim().is_empty() => Vec::new(),
        RawValue::Scalar(text) => {
            let rows: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(text).ok()?;
            let cell = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            let row = |row: BTreeMap<String, serde_json::Value>| row.into_iter().map(|(k, v)| (k, cell(v))).collect();
            rows.into_iter().map(row).collect()
        }
    };
    tables.iter().map(|table| rule(table, matchers)).collect()
}

fn rule(table: &BTreeMap<String, String>, matchers: fn(&str) -> Option<Vec<LabelMatcher>>) -> Option<StreamRule> {
    if table
        .keys()
        .any(|key| !["selector", "priority", "period"].contains(&key.as_str()))
    {
        return None;
    }
    Some(StreamRule {
        matchers: matchers(table.get("selector")?)?,
        priority: table.get("priority").map_or(Some(0), |text| text.parse().ok())?,
        period: parse_duration(table.get("period")?)?,
    })
}

fn log_matchers(selector: &str) -> Option<Vec<LabelMatcher>> {
    compile_all(&parse_matchers(selector, true).ok()?).ok()
}

fn metric_matchers(selector: &str) -> Option<Vec<LabelMatcher>> {
    parse_match_params([selector]).ok()?.pop()
}
