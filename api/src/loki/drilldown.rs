//! `/loki/api/v1/drilldown-limits`: what Logs Drilldown asks to know which of its tabs work (loki
//! `pkg/loki/drilldown_config.go`).

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::status::LOKI_VERSION;
use crate::config::duration::format_duration;
use crate::server::{ReadAsk, SharedApp, loki_json};

/// Answers one request.
pub async fn limits(State(app): State<SharedApp>, _ask: ReadAsk) -> Response {
    let logs = &app.settings.logs;
    let body = json!({
        "limits": {
            "discover_log_levels": logs.push.discover_log_levels,
            "discover_service_name": logs.push.discover_service_name,
            "log_level_fields": logs.push.log_level_fields,
            "max_entries_limit_per_query": logs.max_entries_per_query,
            "max_line_size_truncate": logs.push.max_line_size_truncate,
            "max_query_length": format_duration(logs.max_query_length),
            "max_query_series": logs.max_query_series,
            "query_timeout": format_duration(logs.query_timeout),
            "volume_enabled": true,
        },
        "pattern_ingester_enabled": app.patterns.is_enabled(),
        "version": LOKI_VERSION,
    });
    loki_json(body.to_string())
}
