//! `/otlp/v1/logs`: log records of OpenTelemetry (loki `pkg/loghttp/push/push.go`).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use garner_ingest::{OtlpPush, push_otlp};

use crate::otlp::OtlpFailure;
use crate::server::{SharedApp, header_text, read_body};
use crate::tenant::tenant_of;

/// Answers one request with 204, or with a `google.rpc.Status` that says what was refused.
pub async fn logs(State(app): State<SharedApp>, request: Request) -> Result<Response, OtlpFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let push = OtlpPush {
        content_type: header_text(&parts.headers, header::CONTENT_TYPE),
        content_encoding: header_text(&parts.headers, header::CONTENT_ENCODING),
        body: &body,
    };
    let limits = &app.settings.logs.push;
    let outcome = push_otlp(app.log_sink(), &tenant, push, limits, app.clock.now()).await?;
    match outcome.error() {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(refused) => Err(refused.into()),
    }
}
