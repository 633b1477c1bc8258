//! `/loki/api/v1/query_range`: log lines of a range, or a metric query at each of its steps.

use axum::extract::State;
use axum::response::Response;

use super::params::{bounds, direction, interval, limit, step};
use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::{Ask, SharedApp};

/// Answers one request.
pub async fn query_range(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let limit = limit(&ask.params)?;
    let (start, end) = bounds(&ask.params, app.clock.now())?;
    if end <= start {
        return Err(Failure::bad_data("end timestamp must not be before or equal to start time").into());
    }
    let direction = direction(&ask.params)?;
    let step = step(&ask.params, start, end)?;
    let interval = interval(&ask.params)?;
    let _ = (limit, direction, step, interval);
    Err(Failure::new(FailureKind::NotImplemented, "not wired yet").into())
}
