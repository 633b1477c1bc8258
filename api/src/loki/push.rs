//! `/loki/api/v1/push` and the older `/api/prom/push`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use garner_ingest::{LokiPush, push_loki};

use crate::error::TextFailure;
use crate::server::{SharedApp, header_text, read_body};
use crate::tenant::tenant_of;

/// Answers one push: 204 and nothing else, since some senders take no other success (vector `sinks/loki/service.rs`), or
/// what was refused of it; accepted entries are stored all the same.
pub async fn push(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    take(app, request, false).await
}

/// As [`push`], with JSON of another form.
pub async fn push_legacy(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    take(app, request, true).await
}

async fn take(app: SharedApp, request: Request, legacy: bool) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let push = LokiPush {
        content_type: header_text(&parts.headers, header::CONTENT_TYPE),
        content_encoding: header_text(&parts.headers, header::CONTENT_ENCODING),
        body: &body,
        legacy,
    };
    let limits = &app.settings.logs.push;
    let outcome = push_loki(app.log_sink(), &tenant, push, limits, app.clock.now()).await?;
    match outcome.error() {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(refused) => Err(refused.into()),
    }
}
