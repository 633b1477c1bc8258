//! `/loki/api/v1/series`: streams that match.

use axum::extract::State;
use axum::response::Response;

use super::params::metadata_range;
use super::selectors::match_selectors;
use crate::error::TextFailure;
use crate::prometheus::ListAnswer;
use crate::server::{MetadataQuery, ReadAsk, SharedApp, answer, loki_json};

/// Answers one request.
pub async fn series(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = metadata_range(&ask.params, app.clock.now())?;
    let selectors = match_selectors(&ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, selectors)?;
    Ok(answer(&app, query.series(), |series| ListAnswer::new(series, 0), loki_json).await?)
}
