//! `/api/v1/query_range`: a query at each step of a range.

use axum::extract::State;
use axum::response::Response;

use garner_storage::model::NANOS_PER_MILLI;

use super::answer::QueryAnswer;
use super::params::{invalid, limit, options, time_ms};
use super::query::named;
use crate::config::duration::format_duration;
use crate::error::{Failure, FailureKind, JsonFailure};
use crate::params::parse_seconds_or_duration;
use crate::server::{Ask, SharedApp, answer, prometheus_json};

/// Most steps of an answer, as in Prometheus: enough for a step of 60 s over a week or 1 h over a year.
const MAX_STEPS: i64 = 11_000;

/// Answers one request.
pub async fn query_range(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    let limit = limit(&ask.params)?;
    let start_ms = time_ms(&ask.params, "start")?;
    let end_ms = time_ms(&ask.params, "end")?;
    if end_ms < start_ms {
        return Err(invalid("end", "end timestamp must not be before start time").into());
    }
    let step = parse_seconds_or_duration(ask.params.get("step")).map_err(|reason| invalid("step", reason))?;
    // Steps count in milliseconds, as Prometheus' times do; what is shorter is none.
    let step_ms = step / NANOS_PER_MILLI;
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", reason).into());
    }
    if end_ms.saturating_sub(start_ms) / step_ms > MAX_STEPS {
        let reason = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                      (?step=XX)";
        return Err(Failure::bad_data(reason).into());
    }
    let max_length = app.settings.metrics.max_query_length;
    if !max_length.is_zero() && i128::from(end_ms) - i128::from(start_ms) > max_length.as_millis() as i128 {
        // Mimir's text (pkg/util/validation/errors.go, max-total-query-length).
        let reason = format!(
            "the total query time range exceeds the limit (query length: {}, limit: {})",
            format_duration(std::time::Duration::from_millis(end_ms.saturating_sub(start_ms) as u64)),
            format_duration(max_length)
        );
        return Err(Failure::new(FailureKind::QueryLimit, reason).into());
    }
    let options = options(&ask.params)?;
    let stats = ask.params.get("stats").to_string();
    let engine = app.engine.clone();
    let work = async move {
        let text = ask.params.get("query");
        let ns = |ms: i64| ms.saturating_mul(NANOS_PER_MILLI);
        let range = engine.promql_range(&ask.tenant, text, ns(start_ms), ns(end_ms), ns(step_ms), options);
        range.await.map_err(named)
    };
    Ok(answer(
        &app,
        work,
        move |output| QueryAnswer::new(output, limit, &stats),
        prometheus_json,
    )
    .await?)
}
