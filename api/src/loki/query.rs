//! `/loki/api/v1/query`: a query at one time.

use axum::extract::State;
use axum::response::Response;

use super::answer::LokiAnswer;
use super::options::{Flags, instant_options};
use super::params::time;
use crate::error::TextFailure;
use crate::server::{ReadAsk, SharedApp, answer, loki_json};

/// Answers one request.
pub async fn query(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let time_ns = time(&ask.params, app.clock.now())?;
    let flags = Flags::of(&ask.headers);
    let options = instant_options(&app, &ask, &flags)?;
    let engine = app.engine.clone();
    let work = async move {
        engine
            .logql_instant_of(ask.tenants.all(), ask.params.get("query"), time_ns, options)
            .await
    };
    Ok(answer(
        &app,
        work,
        move |output| LokiAnswer::new(output, flags.given, flags.categorize),
        loki_json,
    )
    .await?)
}
