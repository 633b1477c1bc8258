//! `/loki/api/v1/query_range`: log lines of a range, or a metric query at each of its steps.

use axum::extract::State;
use axum::response::Response;

use super::answer::LokiAnswer;
use super::options::{Flags, check_query_limits, options};
use super::params::{bounds, step};
use crate::error::{Failure, TextFailure};
use crate::server::{ReadAsk, SharedApp, answer, loki_json};

/// Answers one request.
pub async fn query_range(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let (start_ns, end_ns) = bounds(&ask.params, app.clock.now())?;
    if end_ns < start_ns {
        return Err(Failure::bad_data("end timestamp must not be before or equal to start time").into());
    }
    let step_ns = step(&ask.params, start_ns, end_ns)?;
    let flags = Flags::of(&ask.headers);
    let options = options(&app, &ask, &flags)?;
    check_query_limits(
        &app,
        ask.params.get("query"),
        options.limit,
        end_ns.saturating_sub(start_ns),
    )?;
    let engine = app.engine.clone();
    let work = async move {
        let text = ask.params.get("query");
        engine
            .logql_range_of(ask.tenants.all(), text, (start_ns, end_ns, step_ns), options)
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
