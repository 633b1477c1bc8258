//! `/api/v1/write` and its alias `/api/v1/push`: remote write.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use garner_ingest::prometheus::check_headers;
use garner_ingest::remote_write;

use crate::error::TextFailure;
use crate::server::{SharedApp, header_text, read_body};
use crate::tenant::tenant_of;

/// Answers one write: 204, or what was refused of it; accepted samples are stored all the same.
pub async fn write(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    check_headers(
        header_text(&parts.headers, header::CONTENT_TYPE),
        header_text(&parts.headers, header::CONTENT_ENCODING),
    )?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let limits = &app.settings.metrics.write;
    let outcome = remote_write(&app.storage, &tenant, &body, limits, app.clock.now()).await?;
    match outcome.error() {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(refused) => Err(refused.into()),
    }
}
