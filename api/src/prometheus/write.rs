//! `/api/v1/write` and its alias `/api/v1/push`: remote write.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use garner_ingest::prometheus::{WriteVersion, check_headers};
use garner_ingest::remote_write;

use crate::error::TextFailure;
use crate::server::{SharedApp, header_text, read_body};
use crate::tenant::tenant_of;

/// What of a request was stored, told to senders of version 2 (client_golang `exp/api/remote/remote_headers.go`): samples
/// that are numbers, native histograms, exemplars.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// Answers one write: 204, or what was refused of it; accepted samples are stored all the same.
pub async fn write(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    app.check_accepting()?;
    let version = check_headers(
        header_text(&parts.headers, header::CONTENT_TYPE),
        header_text(&parts.headers, header::CONTENT_ENCODING),
    )?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let limits = &app.settings.metrics.write;
    let (written, problem) = match remote_write(&app.storage, &tenant, version, &body, limits, app.clock.now()).await {
        Ok(outcome) => {
            let numbers = outcome.accepted_rows - outcome.written_histograms;
            let written = [numbers, outcome.written_histograms, outcome.written_exemplars];
            (written, outcome.error())
        }
        Err(error) => ([0; 3], Some(error)),
    };
    let mut response = match problem {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(error) => TextFailure::from(error).into_response(),
    };
    if version == WriteVersion::V2 {
        let headers = response.headers_mut();
        for (name, count) in WRITTEN.into_iter().zip(written) {
            headers.insert(name, HeaderValue::from(count));
        }
    }
    Ok(response)
}
