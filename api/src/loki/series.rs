//! `/loki/api/v1/series`: streams that match.

use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use http::HeaderValue;

use super::options::limited_range;
use super::selectors::match_selectors;
use crate::error::{Failure, TextFailure};
use crate::prometheus::ListAnswer;
use crate::server::{MetadataQuery, ReadAsk, SharedApp, answer, loki_json};
use crate::tenant::TENANT_HEADER;

/// `/ui/api/v1/tenants/<tenant>/analyze-labels`: the streams of the tenant in the path (loki `pkg/ui/handler.go`).
pub async fn analyze_labels(
    State(app): State<SharedApp>,
    Path(tenant): Path<String>,
    mut request: Request,
) -> Result<Response, TextFailure> {
    let tenant = HeaderValue::from_str(&tenant).map_err(|_| Failure::bad_data("the tenant's name is none"))?;
    request.headers_mut().insert(TENANT_HEADER, tenant);
    let ask = ReadAsk::from_request(request, &app).await?;
    series(State(app), ask).await
}

/// Answers one request.
pub async fn series(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let selectors = match_selectors(&ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, selectors)?;
    Ok(answer(&app, query.series(), |series| ListAnswer::new(series, 0), loki_json).await?)
}
