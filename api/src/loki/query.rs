//! `/loki/api/v1/query`: a query at one time.

use axum::extract::State;
use axum::response::Response;

use super::params::{direction, limit, time};
use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::{Ask, SharedApp};

/// Answers one request.
pub async fn query(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let limit = limit(&ask.params)?;
    let time = time(&ask.params, app.clock.now())?;
    let direction = direction(&ask.params)?;
    let _ = (limit, time, direction);
    Err(Failure::new(FailureKind::NotImplemented, "not wired yet").into())
}
