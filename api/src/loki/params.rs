//! Parameters that several endpoints of Loki's API share, with its texts for wrong ones (loki `pkg/loghttp/params.go`).

use garner_storage::model::{NANOS_PER_SECOND, TimeRange, Timestamp};

use crate::error::Failure;
use crate::params::{
    Params, go_quote, parse_int, parse_loki_time, parse_prometheus_duration, parse_seconds_or_duration,
};

/// Entries that a log query gives where it names no limit.
const DEFAULT_LIMIT: u32 = 100;
/// How far back requests look that name no start.
const DEFAULT_SINCE_NS: i64 = 3_600 * NANOS_PER_SECOND;
/// Most steps of an answer.
const MAX_STEPS: i64 = 11_000;
/// Steps that a range query has about where it names none.
const DEFAULT_STEPS: f64 = 250.0;

/// Which end of the range a limited log query shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the oldest entry.
    Forward,
    /// From the newest entry.
    Backward,
}

/// `start` and `end`, or `since` before `end`.
pub fn bounds(params: &Params, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    let wrong = |name: &str, reason: String| Failure::bad_data(format!("could not parse '{name}' parameter: {reason}"));
    let since = match params.get("since") {
        "" => DEFAULT_SINCE_NS,
        text => parse_prometheus_duration(text)
            .ok_or_else(|| wrong("since", format!("not a valid duration string: {}", go_quote(text))))?,
    };
    let time = |name: &str, default: Timestamp| match params.get(name) {
        "" => Ok(default),
        text => parse_loki_time(text).map_err(|reason| wrong(name, reason)),
    };
    let end = time("end", now)?;
    // A default start counts from now where the end lies in the future.
    let start = time("start", end.min(now).saturating_sub(since))?;
    Ok((start, end))
}

/// The range of a metadata request: both ends belong to it.
pub fn metadata_range(params: &Params, now: Timestamp) -> Result<TimeRange, Failure> {
    let (start, end) = bounds(params, now)?;
    if end < start {
        return Err(Failure::bad_data(
            "end timestamp must not be before or equal to start time",
        ));
    }
    Ok(TimeRange::closed(start, end))
}

/// `limit`
pub fn limit(params: &Params) -> Result<u32, Failure> {
    limit_named(params, "limit", DEFAULT_LIMIT)
}

/// A limit by another name.
pub fn limit_named(params: &Params, name: &str, default: u32) -> Result<u32, Failure> {
    limit_or(params.get(name), default)
}

/// The text of a limit.
pub fn limit_or(text: &str, default: u32) -> Result<u32, Failure> {
    let limit = match text {
        "" => return Ok(default),
        text => parse_int("Atoi", text).map_err(Failure::bad_data)?,
    };
    if limit > i64::from(u32::MAX) {
        return Err(Failure::bad_data(format!(
            "limit value {limit} is out of range [0, 4294967295]"
        )));
    }
    match u32::try_from(limit) {
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err(Failure::bad_data("limit must be a positive value")),
    }
}

/// `direction`
pub fn direction(params: &Params) -> Result<Direction, Failure> {
    let text = params.get("direction");
    match text.to_ascii_uppercase().as_str() {
        "" | "BACKWARD" => Ok(Direction::Backward),
        "FORWARD" => Ok(Direction::Forward),
        _ => Err(Failure::bad_data(format!("invalid direction '{text}'"))),
    }
}

/// `time` of an instant query.
pub fn time(params: &Params, now: Timestamp) -> Result<Timestamp, Failure> {
    match params.get("time") {
        "" => Ok(now),
        text => parse_loki_time(text).map_err(Failure::bad_data),
    }
}

/// `step`: above zero, with at most [`MAX_STEPS`] steps in the range.
pub fn step(params: &Params, start: Timestamp, end: Timestamp) -> Result<i64, Failure> {
    let length = end.saturating_sub(start);
    let step = match params.get("step") {
        "" => {
            let seconds = (length as f64 / NANOS_PER_SECOND as f64 / DEFAULT_STEPS)
                .floor()
                .max(1.0);
            seconds as i64 * NANOS_PER_SECOND
        }
        text => parse_seconds_or_duration(text).map_err(Failure::bad_data)?,
    };
    if step <= 0 {
        return Err(Failure::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if length / step > MAX_STEPS {
        return Err(Failure::bad_data(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
        ));
    }
    Ok(step)
}

/// `interval`: least distance of two entries of a stream in an answer; 0 means all.
pub fn interval(params: &Params) -> Result<i64, Failure> {
    let interval = match params.get("interval") {
        "" => return Ok(0),
        text => parse_seconds_or_duration(text).map_err(Failure::bad_data)?,
    };
    if interval < 0 {
        return Err(Failure::bad_data("interval must be >= 0"));
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_768_010_000 * NANOS_PER_SECOND;

    fn params(query: &str) -> Params {
        Params::new(Some(query), b"")
    }

    #[test]
    fn bounds_default_to_the_last_hours() {
        let check = |query: &str, expected: Result<(i64, i64), &str>| {
            let got = bounds(&params(query), NOW).map_err(|f| f.message().to_string());
            assert_eq!(got, expected.map_err(str::to_string), "{query}");
        };
        check("", Ok((NOW - DEFAULT_SINCE_NS, NOW)));
        check("since=2h", Ok((NOW - 7_200 * NANOS_PER_SECOND, NOW)));
        check(
            "end=1768009000&since=1h",
            Ok((1_768_005_400 * NANOS_PER_SECOND, 1_768_009_000 * NANOS_PER_SECOND)),
        );
        check(
            "start=5&end=7&since=1h",
            Ok((5 * NANOS_PER_SECOND, 7 * NANOS_PER_SECOND)),
        );
        let later = NOW + NANOS_PER_SECOND;
        check(
            &format!("end={later}&since=1h"),
            Ok((NOW - 3_600 * NANOS_PER_SECOND, later)),
        );
        check(
            "start=x",
            Err(r#"could not parse 'start' parameter: strconv.ParseInt: parsing "x": invalid syntax"#),
        );
        check(
            "since=x",
            Err(r#"could not parse 'since' parameter: not a valid duration string: "x""#),
        );
    }

    #[test]
    fn limits_and_directions_fail_with_lokis_texts() {
        let check = |query: &str, expected: Result<u32, &str>| {
            let got = limit(&params(query)).map_err(|f| f.message().to_string());
            assert_eq!(got, expected.map_err(str::to_string), "{query}");
        };
        check("", Ok(100));
        check("limit=7", Ok(7));
        check("limit=0", Err("limit must be a positive value"));
        check("limit=-3", Err("limit must be a positive value"));
        check("limit=abc", Err(r#"strconv.Atoi: parsing "abc": invalid syntax"#));
        check(
            "limit=99999999999",
            Err("limit value 99999999999 is out of range [0, 4294967295]"),
        );
        assert_eq!(direction(&params("direction=Forward")), Ok(Direction::Forward));
        assert_eq!(direction(&params("")), Ok(Direction::Backward));
        let wrong = direction(&params("direction=sideways"));
        assert_eq!(
            wrong.map_err(|f| f.message().to_string()),
            Err("invalid direction 'sideways'".to_string())
        );
    }

    #[test]
    fn steps_are_bounded() {
        let check = |query: &str, seconds: i64, expected: Result<i64, &str>| {
            let got = step(&params(query), 0, seconds * NANOS_PER_SECOND).map_err(|f| f.message().to_string());
            assert_eq!(got, expected.map_err(str::to_string), "{query} over {seconds}s");
        };
        check("", 600, Ok(2 * NANOS_PER_SECOND));
        check("", 10, Ok(NANOS_PER_SECOND));
        check("step=90.5", 600, Ok(90_500_000_000));
        let zero = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        check("step=0", 600, Err(zero));
        check("step=-60", 600, Err(zero));
        let many = "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter";
        check("step=1", 14_400, Err(many));
        check("step=x", 600, Err(r#"cannot parse "x" to a valid duration"#));
    }
}
