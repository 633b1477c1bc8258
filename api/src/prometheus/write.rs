//! `/api/v1/write` and its alias `/api/v1/push`: remote write.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::{SharedApp, read_body};
use crate::tenant::tenant_of;

/// Answers one write.
pub async fn write(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let _ = (tenant, body, StatusCode::NO_CONTENT.into_response());
    Err(Failure::new(FailureKind::NotImplemented, "not wired yet").into())
}
