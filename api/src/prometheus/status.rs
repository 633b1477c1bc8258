//! What clients ask to find out whom they talk to: build, settings, state.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_storage::engine::Readiness;
use garner_storage::model::NANOS_PER_SECOND;
use http::header;
use serde_json::json;

use super::query_ast::success;
use crate::config::duration::format_duration;
use crate::json::push_string;
use crate::server::{Ask, SharedApp, prometheus_json};

/// The Prometheus whose API is answered: clients choose features by it (Grafana `buildInfo.ts`, VictoriaMetrics#5370).
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// `/api/v1/status/buildinfo`. `features` stays away: a non-empty one means "Mimir with a ruler" to Grafana.
pub async fn buildinfo() -> Response {
    let mut body = br#"{"status":"success","data":"#.to_vec();
    push_build(&mut body);
    body.extend_from_slice(br#","application":"garner"}}"#);
    prometheus_json(body)
}

/// `/version`: the same without an envelope, as text (prometheus `web/web.go`, `version`).
pub async fn version() -> Response {
    let mut body = Vec::new();
    push_build(&mut body);
    body.extend_from_slice(b"}\n");
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// The build as an object that is still open.
fn push_build(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"version":"#);
    push_string(out, PROMETHEUS_VERSION);
    out.extend_from_slice(br#","revision":"#);
    push_string(out, concat!("garner-", env!("CARGO_PKG_VERSION")));
    out.extend_from_slice(br#","branch":"","buildUser":"","buildDate":"","goVersion":"""#);
}

/// `/api/v1/status/walreplay`: how far the start has brought the WAL's files back.
pub async fn walreplay(State(app): State<SharedApp>, _ask: Ask) -> Response {
    let files = app.storage.stats().wal_files;
    let current = match app.storage.readiness() {
        Readiness::Ready | Readiness::Closed => files,
        Readiness::Replaying | Readiness::Failed(_) => 0,
    };
    success(json!({"min": 0, "max": files, "current": current}))
}

/// `/api/v1/status/flags`: the flags of Prometheus that say something true of garner.
pub async fn flags(State(app): State<SharedApp>, _ask: Ask) -> Response {
    let limits = app.engine.limits();
    success(json!({
        "query.max-concurrency": app.engine.limits().gate.max_concurrent.to_string(),
        "query.lookback-delta": format_duration(limits.lookback_delta),
        "query.max-samples": limits.max_samples.to_string(),
        "query.timeout": format_duration(limits.timeout),
        "storage.remote.read-sample-limit": super::remote_read::MAX_SAMPLES.to_string(),
        "web.enable-admin-api": app.settings.deletes.enabled.to_string(),
        "web.enable-lifecycle": "false",
        "web.enable-otlp-receiver": "true",
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
