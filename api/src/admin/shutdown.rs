//! `/ingester/prepare_shutdown` (loki `pkg/ingester/ingester.go`, `PrepareShutdown`): asks for what a stop of garner always
//! does, to flush everything first. What was asked is remembered until the process ends.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::server::SharedApp;

/// `set` or `unset`.
pub async fn get(State(app): State<SharedApp>) -> Response {
    let text = if app.shutdown_prepared.load(Ordering::Relaxed) {
        "set"
    } else {
        "unset"
    };
    ([(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// Asks for it.
pub async fn set(State(app): State<SharedApp>) -> StatusCode {
    app.shutdown_prepared.store(true, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// Takes it back.
pub async fn unset(State(app): State<SharedApp>) -> StatusCode {
    app.shutdown_prepared.store(false, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}
