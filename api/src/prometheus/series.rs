//! `/api/v1/series`: label sets that match.

use axum::extract::State;
use axum::response::Response;

use garner_storage::model::Signal;

use super::list::ListAnswer;
use super::params::{invalid, limit, metadata_range};
use super::selectors::matcher_sets;
use crate::error::{Failure, JsonFailure};
use crate::server::{Ask, MetadataQuery, SharedApp, answer, prometheus_json};

/// Answers one request.
pub async fn series(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    if ask.params.all("match[]").next().is_none() {
        return Err(Failure::bad_data("no match[] parameter provided").into());
    }
    let limit = limit(&ask.params)?;
    let range = metadata_range(&ask.params)?;
    // Here alone Prometheus names the parameter before the reason.
    let selectors = matcher_sets(&ask.params).map_err(|failure| invalid("match[]", failure.message()))?;
    let query = MetadataQuery::new(&app, &ask.tenant, Signal::Metrics, range, selectors);
    let stats = query.stats();
    Ok(answer(
        &app,
        query.series(),
        move |series| ListAnswer::new(series, limit).with_stats(stats),
        prometheus_json,
    )
    .await?)
}
