//! `/-/quit` and `/-/reload`: answered as a Prometheus answers them whose lifecycle API is off (prometheus `web/web.go`).
//! garner is stopped by signals and reads its settings when it starts.

use http::StatusCode;

/// POST and PUT.
pub async fn disabled() -> (StatusCode, &'static str) {
    (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// GET.
pub async fn wrong_method() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}
