//! What clients ask to find out whom they talk to, and lists that garner has nothing for.

use axum::extract::State;
use axum::response::Response;

use crate::json::{push_int, push_string};
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

/// `/api/v1/metadata`: remote write 1.0 carries none that is kept.
pub async fn metadata(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{}}"#)
}

/// `/api/v1/rules`: there is no ruler. Loki's form of the empty answer, which Prometheus' clients read as well.
pub async fn rules(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"groups":[]},"errorType":"","error":""}"#)
}

/// `/api/v1/alerts`
pub async fn alerts(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"alerts":[]},"errorType":"","error":""}"#)
}

/// `/api/v1/query_exemplars`: none are kept.
pub async fn exemplars(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":[]}"#)
}

/// `/api/v1/status/flags`
pub async fn flags() -> Response {
    prometheus_json(r#"{"status":"success","data":{}}"#)
}

/// `/api/v1/status/runtimeinfo`
pub async fn runtimeinfo(State(app): State<SharedApp>) -> Response {
    let stats = app.storage.stats();
    let mut body = Vec::new();
    body.extend_from_slice(br#"{"status":"success","data":{"reloadConfigSuccess":true,"corruptionCount":0,"goroutineCount":0,"timeSeriesCount":"#);
    push_int(&mut body, stats.head_series[1] as i64);
    body.extend_from_slice(br#","storageRetention":""}}"#);
    prometheus_json(body)
}
