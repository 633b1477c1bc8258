//! `/loki/api/v1/drilldown-limits`: what Logs Drilldown asks to know which of its tabs work (loki
//! `pkg/loki/drilldown_config.go`): the limits that Loki publishes (`pkg/loki/loki.go`, `TenantLimitsAllowPublish`), in the JSON
//! of its own types.

use axum::extract::State;
use axum::response::Response;
use garner_ingest::otlp::{AttributeAction, AttributeRule, OtlpConfig};
use garner_storage::model::{LabelMatcher, Signal};
use garner_storage::retention::{RetentionRules, StreamRule};
use serde_json::{Map, Value, json};

use super::status::LOKI_VERSION;
use crate::config::duration::format_duration;
use crate::error::TextFailure;
use crate::params::go_quote;
use crate::server::{ReadAsk, SharedApp, prometheus_json};

/// Most groups that a client should ask `/index/volume` for; Loki's default, as the app knows it.
const MAX_VOLUME_SERIES: u32 = 1000;

/// Answers one request; of several tenants, with the limits of the first.
pub async fn limits(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let logs = &app.settings.logs;
    let retention = app
        .settings
        .storage
        .store
        .retention
        .rules(ask.tenants.first()?, Signal::Logs);
    let mut limits = json!({
        "discover_log_levels": logs.push.discover_log_levels,
        "discover_service_name": logs.push.discover_service_name,
        "log_level_fields": logs.push.log_level_fields,
        "max_entries_limit_per_query": logs.max_entries_per_query,
        "max_line_size_truncate": logs.push.max_line_size_truncate,
        "max_query_bytes_read": "0B",
        "max_query_length": format_duration(logs.max_query_length),
        "max_query_lookback": "0s",
        "max_query_range": "0s",
        "max_query_series": logs.max_query_series,
        "metric_aggregation_enabled": false,
        "otlp_config": otlp_config(&logs.push.otlp),
        "pattern_persistence_enabled": false,
        "query_timeout": format_duration(logs.query_timeout),
        "retention_period": format_duration(retention.period),
        "volume_enabled": true,
        "volume_max_series": MAX_VOLUME_SERIES,
    });
    if !retention.streams.is_empty() {
        limits["retention_stream"] = retention_stream(retention);
    }
    let body = json!({
        "limits": limits,
        "pattern_ingester_enabled": app.patterns.is_enabled(),
        "version": LOKI_VERSION,
    });
    // As Go's encoder ends it.
    Ok(prometheus_json(format!("{body}\n")))
}

/// As loki `pkg/loghttp/push/otlplabels/config.go` writes it: what is empty is left out, the group of resources never.
fn otlp_config(config: &OtlpConfig) -> Value {
    let mut all = Map::new();
    let mut resource = Map::new();
    if !config.resource.is_empty() {
        resource.insert("attributes_config".to_string(), attribute_rules(&config.resource));
    }
    all.insert("resource_attributes".to_string(), resource.into());
    for (name, rules) in [("scope_attributes", &config.scope), ("log_attributes", &config.log)] {
        if !rules.is_empty() {
            all.insert(name.to_string(), attribute_rules(rules));
        }
    }
    if config.severity_text_as_label {
        all.insert("severity_text_as_label".to_string(), true.into());
    }
    all.into()
}

fn attribute_rules(rules: &[AttributeRule]) -> Value {
    let rule = |rule: &AttributeRule| {
        let action = match rule.action {
            AttributeAction::IndexLabel => "index_label",
            AttributeAction::StructuredMetadata => "structured_metadata",
            AttributeAction::Drop => "drop",
        };
        match &rule.pattern {
            None => json!({"action": action, "attributes": rule.names}),
            // Without what makes it one of whole names.
            Some(pattern) => {
                let text = pattern.as_str();
                let written = text.strip_prefix("^(?s:").and_then(|t| t.strip_suffix(")$"));
                json!({"action": action, "regex": written.unwrap_or(text)})
            }
        }
    };
    rules.iter().map(rule).collect()
}

fn retention_stream(rules: &RetentionRules) -> Value {
    let rule = |rule: &StreamRule| {
        json!({
            "period": format_duration(rule.period),
            "priority": rule.priority,
            "selector": selector(&rule.matchers),
        })
    };
    rules.streams.iter().map(rule).collect()
}

/// `{a="b", c=~"d"}`
pub fn selector(matchers: &[LabelMatcher]) -> String {
    let written = matchers
        .iter()
        .map(|m| format!("{}{}{}", m.name(), m.op().as_str(), go_quote(m.value())));
    format!("{{{}}}", written.collect::<Vec<_>>().join(", "))
}
