//! `/otlp/v1/logs`: log records of OpenTelemetry, answered as its protocol wants it (loki `pkg/loghttp/push/push.go`,
//! `OTLPError`; opentelemetry-proto `docs/specification.md`, "Failures").

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use garner_ingest::{OtlpPush, push_otlp};

use crate::error::{Failure, TextFailure};
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

/// A failure that answers with a `google.rpc.Status` message.
#[derive(Debug)]
pub struct OtlpFailure(Failure);

impl<E: Into<Failure>> From<E> for OtlpFailure {
    fn from(error: E) -> Self {
        OtlpFailure(error.into())
    }
}

impl IntoResponse for OtlpFailure {
    fn into_response(self) -> Response {
        let message = self.0.message().to_string();
        // Status, Retry-After and the log are those of every other push.
        let plain = TextFailure(self.0).into_response();
        let (mut parts, _) = plain.into_parts();
        if parts.status == StatusCode::UNAUTHORIZED {
            // The tenant is checked before the request is known to be OTLP.
            return Response::from_parts(parts, (message + "\n").into());
        }
        if parts.status == StatusCode::INTERNAL_SERVER_ERROR {
            // Clients never send again after 500.
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        parts.headers.insert(header::CONTENT_TYPE, protobuf);
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, status_message(&message).into())
    }
}

/// `Status { message = 2 }`; the code is left out, as in Loki.
fn status_message(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 4);
    if text.is_empty() {
        return out;
    }
    out.push(2 << 3 | 2);
    let mut len = text.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FailureKind;

    #[test]
    fn failures_are_status_messages() {
        let long = "x".repeat(200);
        for (kind, text, status, start) in [
            (FailureKind::BadData, "no", 400, b"\x12\x02no".as_slice()),
            (FailureKind::Internal, "no", 503, b"\x12\x02no"),
            (FailureKind::BadData, &long, 400, b"\x12\xc8\x01xxx"),
        ] {
            assert!(status_message(text).starts_with(start));
            let response = OtlpFailure::from(Failure::new(kind, text)).into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-protobuf");
        }
    }
}
