//! `/api/v1/admin/tsdb/delete_series` and `clean_tombstones` (prometheus `web/api/v1/api.go`, `deleteSeries`,
//! `cleanTombstones`).

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_query::promql::parse_metric_selector;
use garner_storage::engine::DeleteRequest;
use garner_storage::model::Signal;
use http::StatusCode;

use super::params::{invalid, metadata_range};
use crate::error::{Failure, FailureKind, JsonFailure};
use crate::server::{Ask, SharedApp};

/// Most selectors of one request. Each is a delete of its own, and all of them are one commit.
const MAX_SELECTORS: usize = 100;

/// Hides the samples that the selectors name, both ends of the time range included, from all queries at once. As in
/// Prometheus there is no way back; the room on the object store is free after the next compaction.
pub async fn delete_series(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    check_enabled(&app)?;
    let selectors: Vec<&str> = ask.params.all("match[]").collect();
    if selectors.is_empty() {
        return Err(Failure::bad_data("no match[] parameter provided").into());
    }
    if selectors.len() > MAX_SELECTORS {
        let message = format!("more than {MAX_SELECTORS} match[] parameters; send several requests");
        return Err(Failure::bad_data(message).into());
    }
    let range = metadata_range(&ask.params)?;
    let delete = |text: &str| {
        let matchers = parse_metric_selector(text).map_err(|error| invalid("match[]", error))?;
        Ok(DeleteRequest {
            signal: Signal::Metrics,
            matchers,
            filter: None,
            range,
            query: text.into(),
            cancel_period: Duration::ZERO,
        })
    };
    let requests: Result<Vec<DeleteRequest>, Failure> = selectors.into_iter().map(delete).collect();
    let requests = requests?;
    // Nothing lies in such a range, and Prometheus says so by doing nothing.
    if !range.is_empty() {
        app.storage.create_deletes(&ask.tenant, requests).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Begins to write the segments that hold deleted samples again without them. Prometheus answers once it has; ours are out of
/// all queries already, so nobody has to wait.
pub async fn clean_tombstones(State(app): State<SharedApp>, _ask: Ask) -> Result<Response, JsonFailure> {
    check_enabled(&app)?;
    app.storage.clean_deletes()?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn check_enabled(app: &SharedApp) -> Result<(), Failure> {
    if app.settings.deletes.enabled {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Unavailable, "admin APIs disabled"))
}
