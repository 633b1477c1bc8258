//! `/loki/api/v1/drilldown-limits`: what Logs Drilldown asks to know which of its tabs work (loki
//! `pkg/loki/drilldown_config.go`).

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::status::LOKI_VERSION;
use crate::config::duration::format_duration;
use crate::server::{ReadAsk, SharedApp, loki_json};

/// Most groups that a client should ask `/index/volume` for; Loki's default, as the app knows it.
const MAX_VOLUME_SERIES: u32 = 1000;

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
            "max_query_bytes_read": "0B",
            "max_query_length": format_duration(logs.max_query_length),
            "max_query_lookback": "0s",
            "max_query_range": "0s",
            "max_query_series": logs.max_query_series,
            "metric_aggregation_enabled": false,
            "pattern_persistence_enabled": false,
            "query_timeout": format_duration(logs.query_timeout),
            "volume_enabled": true,
            "volume_max_series": MAX_VOLUME_SERIES,
        },
        "pattern_ingester_enabled": app.patterns.is_enabled(),
        "version": LOKI_VERSION,
    });
    loki_json(body.to_string())
}
