//! `/loki/api/v1/labels`, its alias `/label`, and `/loki/api/v1/label/<name>/values`.

use axum::extract::{Path, State};
use axum::response::Response;

use super::options::limited_range;
use super::selectors::query_selector;
use crate::error::TextFailure;
use crate::prometheus::ListAnswer;
use crate::server::{MetadataQuery, ReadAsk, SharedApp, answer, loki_json};

/// Names of labels.
pub async fn names(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let selectors = query_selector(&ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, selectors)?;
    Ok(answer(&app, query.label_names(), ListAnswer::omit_empty, loki_json).await?)
}

/// Values of one label.
pub async fn values(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    ask: ReadAsk,
) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let selectors = query_selector(&ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, selectors)?;
    let work = async move { query.label_values(&name).await };
    Ok(answer(&app, work, ListAnswer::omit_empty, loki_json).await?)
}
