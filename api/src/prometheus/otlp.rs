//! `/api/v1/otlp/v1/metrics` and its alias `/otlp/v1/metrics`: metrics of OpenTelemetry (prometheus
//! `storage/remote/write_otlp_handler.go`). What can be stored is; where Prometheus refuses the whole request, the answer
//! counts the points that were refused, as OTLP has it for a success in part.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use garner_ingest::{OtlpPush, PushOutcome, push_otlp_metrics};

use crate::error::Failure;
use crate::json::push_string;
use crate::otlp::{Encoding, OtlpFailure, int_field, text_field};
use crate::server::{SharedApp, header_text, read_body};
use crate::tenant::tenant_of;

/// Answers one request: 200, with what was refused; 400 where nothing could be stored.
pub async fn metrics(State(app): State<SharedApp>, request: Request) -> Result<Response, OtlpFailure> {
    let encoding = Encoding::of(header_text(request.headers(), header::CONTENT_TYPE));
    let outcome = push(&app, request)
        .await
        .map_err(|failure| OtlpFailure::new(failure, encoding))?;
    let body = match outcome.error() {
        None => answer(encoding, None),
        Some(error) if outcome.accepted_rows == 0 => return Err(OtlpFailure::new(error, encoding)),
        Some(error) => answer(encoding, Some((outcome.refused.rows(), error.message()))),
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response())
}

async fn push(app: &SharedApp, request: Request) -> Result<PushOutcome, Failure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let push = OtlpPush {
        content_type: header_text(&parts.headers, header::CONTENT_TYPE),
        content_encoding: header_text(&parts.headers, header::CONTENT_ENCODING),
        body: &body,
    };
    let limits = &app.settings.metrics.write;
    Ok(push_otlp_metrics(&app.storage, &tenant, push, limits, app.clock.now()).await?)
}

/// `ExportMetricsServiceResponse { partial_success = 1 { rejected_data_points = 1, error_message = 2 } }`
fn answer(encoding: Encoding, refused: Option<(u64, &str)>) -> Vec<u8> {
    match (encoding, refused) {
        (Encoding::Protobuf, None) => Vec::new(),
        (Encoding::Protobuf, Some((points, message))) => {
            text_field(1, [int_field(1, points), text_field(2, message)].concat())
        }
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Json, Some((points, message))) => {
            let mut body =
                format!(r#"{{"partialSuccess":{{"rejectedDataPoints":"{points}","errorMessage":"#).into_bytes();
            push_string(&mut body, message);
            body.extend_from_slice(b"}}");
            body
        }
    }
}
