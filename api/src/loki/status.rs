//! `/loki/api/v1/status/buildinfo`: a flat object, unlike Prometheus'.

use axum::response::Response;

use crate::json::push_string;
use crate::server::loki_json;

/// The Loki whose API is answered: clients choose features by it (Logs Drilldown asks for 3.5 and later).
pub const LOKI_VERSION: &str = "3.6.8";

/// Answers one request.
pub async fn buildinfo() -> Response {
    let mut body = Vec::new();
    body.extend_from_slice(br#"{"version":"#);
    push_string(&mut body, LOKI_VERSION);
    body.extend_from_slice(br#","revision":"#);
    push_string(&mut body, concat!("garner-", env!("CARGO_PKG_VERSION")));
    body.extend_from_slice(br#","branch":"","buildUser":"","buildDate":"","goVersion":""}"#);
    loki_json(body)
}
