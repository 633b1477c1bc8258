//! `/ready`, `/-/ready` and `/-/healthy`.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use garner_storage::engine::Readiness;

use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::SharedApp;

/// `ready` once everything is served; 503 while the WAL is replayed and when the server is on its way out.
pub async fn ready(State(app): State<SharedApp>) -> Response {
    let reason = match app.storage.readiness() {
        _ if app.stopping.load(Ordering::Relaxed) => "the server is stopping".to_string(),
        Readiness::Ready => return "ready\n".into_response(),
        Readiness::Replaying => "the WAL is being replayed".to_string(),
        Readiness::Failed(reason) => reason,
        Readiness::Closed => "the server is stopping".to_string(),
    };
    TextFailure(Failure::new(FailureKind::Unavailable, reason)).into_response()
}

/// The process answers.
pub async fn healthy() -> &'static str {
    "garner is healthy\n"
}
