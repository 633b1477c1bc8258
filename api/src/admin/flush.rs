//! `POST /flush`: brings everything acknowledged to the object store.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::error::TextFailure;
use crate::server::{Ask, SharedApp};

/// 204 once every row that was acknowledged before the request is in committed segments.
pub async fn flush(State(app): State<SharedApp>) -> Result<Response, TextFailure> {
    let summary = app.storage.flush().await?;
    tracing::info!(
        rows = summary.rows,
        segments = summary.segments,
        objects = summary.objects,
        bytes = summary.bytes,
        "flushed on request"
    );
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /flush/tenant`: as [`flush`], asked by a tenant.
pub async fn tenant(app: State<SharedApp>, _ask: Ask) -> Result<Response, TextFailure> {
    flush(app).await
}
