//! `/api/v1/query`: a query at one time.

use axum::extract::State;
use axum::response::Response;

use garner_storage::model::NANOS_PER_MILLI;

use super::answer::QueryAnswer;
use super::params::{limit, optional_time_ms, options};
use crate::error::JsonFailure;
use crate::server::{Ask, SharedApp, answer, prometheus_json};

/// Answers one request.
pub async fn query(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    let limit = limit(&ask.params)?;
    let time_ms = optional_time_ms(&ask.params, "time")?.unwrap_or_else(|| app.clock.now().div_euclid(NANOS_PER_MILLI));
    let options = options(&ask.params)?;
    let stats = ask.params.get("stats").to_string();
    let engine = app.engine.clone();
    let work = async move {
        let text = ask.params.get("query");
        let time_ns = time_ms.saturating_mul(NANOS_PER_MILLI);
        engine
            .promql_instant(&ask.tenant, text, time_ns, options)
            .await
            .map_err(named)
    };
    Ok(answer(
        &app,
        work,
        move |output| QueryAnswer::new(output, limit, &stats),
        prometheus_json,
    )
    .await?)
}

/// A query that does not parse is a wrong parameter (prometheus `web/api/v1/api.go`, `invalidParamError`).
pub(super) fn named(error: garner_query::error::QueryError) -> crate::error::Failure {
    use garner_query::error::QueryErrorKind;
    match error.kind() {
        QueryErrorKind::BadData => super::params::invalid("query", error),
        _ => error.into(),
    }
}
