//! Parameters that several endpoints of Prometheus' API share, with its texts for wrong ones.

use std::time::Duration;

use garner_query::engine::QueryOptions;
use garner_storage::model::{NANOS_PER_MILLI, TimeRange};

use crate::error::Failure;
use crate::params::{Params, parse_int, parse_prometheus_time, parse_seconds_or_duration};

/// A parameter that is wrong.
pub fn invalid(name: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::bad_data(format!("invalid parameter \"{name}\": {reason}"))
}

/// A time in milliseconds.
pub fn time_ms(params: &Params, name: &str) -> Result<i64, Failure> {
    parse_prometheus_time(params.get(name)).map_err(|reason| invalid(name, reason))
}

/// A time in milliseconds that may be absent (prometheus `web/api/v1/api.go`, `parseTimeParam`).
pub fn optional_time_ms(params: &Params, name: &str) -> Result<Option<i64>, Failure> {
    match params.get(name) {
        "" => Ok(None),
        text => parse_prometheus_time(text)
            .map(Some)
            .map_err(|reason| invalid(name, format!("invalid time value for '{name}': {reason}"))),
    }
}

/// `start` and `end` of a metadata request; either may be absent and then means the end of time.
pub fn metadata_range(params: &Params) -> Result<TimeRange, Failure> {
    let bound = |name: &str, default: i64| {
        let ms = optional_time_ms(params, name)?;
        Ok::<_, Failure>(ms.map_or(default, |ms| ms.saturating_mul(NANOS_PER_MILLI)))
    };
    Ok(TimeRange::closed(bound("start", i64::MIN)?, bound("end", i64::MAX)?))
}

/// `limit`: most items of an answer; 0 means all.
pub fn limit(params: &Params) -> Result<usize, Failure> {
    match params.get("limit") {
        "" => Ok(0),
        text => match parse_int("Atoi", text) {
            Ok(limit) => usize::try_from(limit).map_err(|_| invalid("limit", "limit must be non-negative")),
            Err(reason) => Err(invalid("limit", reason)),
        },
    }
}

/// `timeout` and `lookback_delta`.
pub fn options(params: &Params) -> Result<QueryOptions, Failure> {
    let duration = |name: &str| match params.get(name) {
        "" => Ok(None),
        text => parse_seconds_or_duration(text).map(|ns| Some(Duration::from_nanos(ns.max(0) as u64))),
    };
    Ok(QueryOptions {
        timeout: duration("timeout").map_err(|reason| invalid("timeout", reason))?,
        lookback_delta: duration("lookback_delta")
            .map_err(|reason| Failure::bad_data(format!("error parsing lookback delta duration: {reason}")))?
            .filter(|delta| !delta.is_zero()),
        ..QueryOptions::default()
    })
}
