//! What clients ask to find out whom they talk to: build, settings, state.

use axum::extract::State;
use axum::response::Response;
use garner_storage::model::NANOS_PER_SECOND;
use serde_json::json;

use super::query_ast::success;
use crate::config::duration::format_duration;
use crate::json::push_string;
use crate::server::{Ask, SharedApp, prometheus_json};

/// The Prometheus whose API is answered: clients choose features by it (Grafana `buildInfo.ts`, VictoriaMetrics#5370).
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// `/api/v1/status/buildinfo`. `features` stays away: a non-empty one means "Mimir with a ruler" to Grafana.
pub async fn buildinfo() -> Response {
    let mut body = Vec::new();
    body.extend_from_slice(br#"{"status":"success","data":{"version":"#);
    push_string(&mut body, PROMETHEUS_VERSION);
    body.extend_from_slice(br#","revision":"#);
    push_string(&mut body, concat!("garner-", env!("CARGO_PKG_VERSION")));
    body.extend_from_slice(br#","branch":"","buildUser":"","buildDate":"","goVersion":"","application":"garner"}}"#);
    prometheus_json(body)
}

/// `/api/v1/status/flags`: the flags of Prometheus that say something true of garner.
pub async fn flags(State(app): State<SharedApp>, _ask: Ask) -> Response {
    let limits = app.engine.limits();
    success(json!({
        "query.lookback-delta": format_duration(limits.lookback_delta),
        "query.max-samples": limits.max_samples.to_string(),
        "query.timeout": format_duration(limits.timeout),
        "storage.remote.read-sample-limit": super::remote_read::MAX_SAMPLES.to_string(),
        "web.enable-admin-api": "false",
        "web.enable-lifecycle": "false",
        "web.enable-otlp-receiver": "false",
        "web.enable-remote-write-receiver": "true",
    }))
}

/// `/api/v1/status/config`: garner scrapes nothing, so that only the part that queries depend on is left. Its own settings are
/// the operator's, not the tenants' business.
pub async fn config(State(app): State<SharedApp>, _ask: Ask) -> Response {
    let interval = format_duration(app.engine.limits().default_subquery_step);
    success(json!({"yaml": format!("global:\n  evaluation_interval: {interval}\n")}))
}

/// `/api/v1/status/runtimeinfo`. What belongs to Go's runtime is empty.
pub async fn runtimeinfo(State(app): State<SharedApp>, _ask: Ask) -> Response {
    let stats = app.storage.stats();
    let time = |ns: i64| garner_query::functions::date::rfc3339(ns.div_euclid(NANOS_PER_SECOND));
    success(json!({
        "startTime": time(app.started_ns),
        "CWD": "",
        "hostname": "",
        "serverTime": time(app.clock.now()),
        "reloadConfigSuccess": true,
        "lastConfigTime": time(app.started_ns),
        "timeSeriesCount": stats.head_series[1],
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": app.query_runtime.metrics().num_workers(),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": "",
    }))
}
