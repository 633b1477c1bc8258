//! `/loki/api/v1/push`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::{SharedApp, read_body};
use crate::tenant::tenant_of;

/// Answers one push: 204 and nothing else, since some senders take no other success (vector `sinks/loki/service.rs`).
pub async fn push(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let _ = (tenant, body, StatusCode::NO_CONTENT.into_response());
    Err(Failure::new(FailureKind::NotImplemented, "not wired yet").into())
}
