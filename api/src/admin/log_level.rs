//! `/log_level`: tells and changes how much the log says (loki `pkg/util/log/log.go`, `LevelHandler`).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tracing::level_filters::LevelFilter;

use crate::error::TextFailure;
use crate::params::go_quote;
use crate::server::{SharedApp, loki_json, params_of};

/// The level.
pub async fn get() -> Response {
    let message = format!("Current log level is {}", LevelFilter::current());
    loki_json(json!({"message": message}).to_string())
}

/// Sets the level to `log_level` until the next start.
pub async fn set(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let params = params_of(&app, &parts, body).await?;
    let level = params.get("log_level").to_ascii_lowercase();
    if !matches!(level.as_str(), "debug" | "info" | "warn" | "error") {
        let message = format!("unrecognized log level {}", go_quote(params.get("log_level")));
        let body = loki_json(json!({"status": "failed", "message": message}).to_string());
        return Ok((StatusCode::BAD_REQUEST, body).into_response());
    }
    if let Some(log) = app.log.get() {
        log.set_level(&level);
    }
    let message = format!("Log level set to {level}");
    Ok(loki_json(json!({"status": "success", "message": message}).to_string()))
}
