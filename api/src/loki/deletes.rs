//! `/loki/api/v1/delete`: deletes of log lines, made, listed and cancelled (loki `pkg/compactor/deletion/request_handler.go`,
//! with its parameters and texts). A delete holds at once and for good, not only after a compaction.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_query::logql::deletes::DeleteQuery;
use garner_query::logql::units::parse_go_duration;
use garner_storage::ErrorKind;
use garner_storage::catalog::DeleteStatus;
use garner_storage::engine::DeleteRequest;
use garner_storage::model::{NANOS_PER_MILLI, NANOS_PER_SECOND, Signal, TimeRange, Timestamp};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::config::duration::format_go_duration;
use crate::error::{Failure, FailureKind, TextFailure};
use crate::json::push_string;
use crate::params::{Params, parse_loki_time, parse_rfc3339_ns};
use crate::server::{Ask, SharedApp, prometheus_json};

/// Longest part that Loki lets a delete with filters be cut into (`compactor.delete-max-interval`). garner cuts nothing.
const MAX_INTERVAL_NS: i64 = 24 * 3_600 * NANOS_PER_SECOND;
const REQUEST_ID_HEADER: &str = "X-Delete-Request-ID";

/// Makes a delete: 204 once its lines are out of every answer.
pub async fn create(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    check_enabled(&app)?;
    let text = ask.params.get("query");
    if text.is_empty() {
        return Err(Failure::bad_data("query not set").into());
    }
    let query = DeleteQuery::parse(text).map_err(|_| Failure::bad_data("invalid query expression"))?;
    let (start, end) = range(&ask.params, app.clock.now())?;
    if query.filter.is_some() {
        check_interval(ask.params.get("max_interval"), end - start)?;
    }
    let request = DeleteRequest {
        signal: Signal::Logs,
        matchers: query.matchers,
        filter: query.filter,
        range: TimeRange::closed(start, end),
        query: text.into(),
        cancel_period: app.settings.deletes.cancel_period,
    };
    let made = app.storage.create_deletes(&ask.tenant, vec![request]).await?;
    let mut headers = HeaderMap::new();
    if let Some(id) = made.first()
        && let Ok(id) = HeaderValue::try_from(id.id.to_string())
    {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// All deletes of the tenant, or those that touch a range.
pub async fn list(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    check_enabled(&app)?;
    let now = app.clock.now();
    let mut deletes = app.storage.deletes(&ask.tenant, Signal::Logs);
    if !ask.params.get("start").is_empty() && !ask.params.get("end").is_empty() {
        let start = time(&ask.params, "start", now)?;
        let end = time(&ask.params, "end", now)?;
        let wanted = TimeRange::closed(start, end);
        deletes.retain(|delete| delete.tombstone.range.overlaps(&wanted));
    }
    Ok(prometheus_json(encode(&deletes, now)))
}

/// Takes a delete back.
pub async fn cancel(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    check_enabled(&app)?;
    let unknown = || Failure::new(FailureKind::NotFound, "could not find delete request with given id");
    let now = app.clock.now();
    let id = ask.params.get("request_id").parse().map_err(|_| unknown())?;
    let deletes = app.storage.deletes(&ask.tenant, Signal::Logs);
    let found = deletes
        .iter()
        .find(|delete| delete.tombstone.id == id)
        .ok_or_else(unknown)?;
    if status(found, now) == "processed" {
        let message = "deletion of request which is in process or already processed is not allowed";
        return Err(Failure::bad_data(message).into());
    }
    let force = ask.params.get("force") == "true";
    if (status(found, now) != "received" || found.tombstone.is_final(now)) && !force {
        let period = i64::try_from(app.settings.deletes.cancel_period.as_nanos()).unwrap_or(i64::MAX);
        return Err(Failure::bad_data(format!(
            "Cancellation of partially completed delete request or delete request past the deadline of {} since its creation \
             is not allowed. To force, use the ?force query parameter",
            format_go_duration(period)
        ))
        .into());
    }
    let cancelled = app.storage.cancel_delete(&ask.tenant, Signal::Logs, id, force).await;
    cancelled.map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown(),
        _ => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn check_enabled(app: &SharedApp) -> Result<(), Failure> {
    if app.settings.deletes.enabled {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Forbidden,
        "deletion is not available for this tenant",
    ))
}

/// A time of these requests: RFC 3339, or ten characters of seconds; now where it is missing. In whole milliseconds.
fn time(params: &Params, name: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let text = params.get(name);
    let found = match text {
        "" => Some(now),
        text => parse_rfc3339_ns(text).or_else(|| (text.len() == 10).then(|| parse_loki_time(text).ok()).flatten()),
    };
    let found = found
        .ok_or_else(|| Failure::bad_data(format!("invalid {name} time: require unix seconds or RFC3339 format")))?;
    Ok(found.div_euclid(NANOS_PER_MILLI) * NANOS_PER_MILLI)
}

/// Both ends, which belong to the range.
fn range(params: &Params, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    if params.get("start").is_empty() {
        return Err(Failure::bad_data("start time not set"));
    }
    let start = time(params, "start", now)?;
    let end = time(params, "end", now)?;
    if end > now {
        return Err(Failure::bad_data("deletes in the future are not allowed"));
    }
    if start >= end {
        return Err(Failure::bad_data(
            "start time can't be greater than or equal to end time",
        ));
    }
    Ok((start, end))
}

fn check_interval(text: &str, range_ns: i64) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let interval = parse_go_duration(text).ok().filter(|ns| *ns >= NANOS_PER_SECOND);
    let Some(interval) = interval else {
        return Err(Failure::bad_data(
            "invalid max_interval: valid time units are 's', 'm', 'h'",
        ));
    };
    if interval > MAX_INTERVAL_NS {
        let max = format_go_duration(MAX_INTERVAL_NS);
        return Err(Failure::bad_data(format!("max_interval can't be greater than {max}")));
    }
    if interval > range_ns {
        let range = format_go_duration(range_ns);
        return Err(Failure::bad_data(format!(
            "max_interval can't be greater than the interval to be deleted ({range})"
        )));
    }
    Ok(())
}

/// How far a delete has got. Until its cancel period is over nothing is carried out, though its lines are hidden.
fn status(delete: &DeleteStatus, now: Timestamp) -> String {
    let (first, left) = (delete.covered_at_first, delete.covered.min(delete.covered_at_first));
    let done = first - left;
    match (done, left) {
        (0, 0) if !delete.tombstone.is_final(now) => "received".to_string(),
        (_, 0) => "processed".to_string(),
        (0, _) => "received".to_string(),
        _ => format!("{}% Complete", done * 100 / first),
    }
}

fn encode(deletes: &[DeleteStatus], now: Timestamp) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (at, delete) in deletes.iter().enumerate() {
        let tombstone = &delete.tombstone;
        out.extend_from_slice(if at > 0 {
            br#",{"request_id":"#
        } else {
            br#"{"request_id":"#
        });
        push_string(&mut out, &tombstone.id.to_string());
        let mut times = String::new();
        // Writing into a string cannot fail.
        let _ = write!(
            times,
            r#","start_time":{},"end_time":{},"query":"#,
            seconds(tombstone.range.start),
            seconds(tombstone.range.end - 1)
        );
        out.extend_from_slice(times.as_bytes());
        push_string(&mut out, &tombstone.query);
        out.extend_from_slice(br#","status":"#);
        push_string(&mut out, &status(delete, now));
        let created = format!(r#","created_at":{},"user_id":""}}"#, seconds(tombstone.created_ns));
        out.extend_from_slice(created.as_bytes());
    }
    out.extend_from_slice(b"]\n");
    out
}

/// Seconds with the milliseconds that there are, as `model.Time` writes itself.
fn seconds(time_ns: Timestamp) -> f64 {
    time_ns.div_euclid(NANOS_PER_MILLI) as f64 / 1000.0
}
