//! `/api/prom/…`: reads as Loki answered them before its first version (loki `pkg/util/marshal/legacy`).

use axum::extract::{Path, State};
use axum::response::Response;
use garner_query::logql::output::{LogqlOutput, LogqlValue};
use garner_query::logql::{ast::Expr, parser::parse};
use garner_storage::model::{NANOS_PER_SECOND, Timestamp};

use super::options::{Flags, check_query_limits, limited_range, options};
use super::params::bounds;
use super::stats::push_stats;
use super::tail::query_text;
use crate::error::{Failure, TextFailure};
use crate::json::{push_string, push_strings};
use crate::server::{MetadataQuery, ReadAsk, SharedApp, Written, answer, loki_json, run_query};

/// A log query over a range; other queries are refused.
pub async fn query(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let (start_ns, end_ns) = bounds(&ask.params, app.clock.now())?;
    if end_ns < start_ns {
        return Err(Failure::bad_data("end timestamp must not be before or equal to start time").into());
    }
    let text = query_text(ask.params.get("query"), ask.params.get("regexp"));
    let flags = Flags {
        given: Vec::new(),
        categorize: false,
    };
    // A metric query over a range is refused before it costs anything.
    if matches!(parse(&text), Ok(Expr::Metric(_))) {
        return Err(only_streams().into());
    }
    let options = options(&app, &ask, &flags)?;
    check_query_limits(&app, &text, options.limit, end_ns.saturating_sub(start_ns))?;
    let engine = app.engine.clone();
    let work = async move {
        let range = (start_ns, end_ns, NANOS_PER_SECOND);
        engine.logql_range_of(ask.tenants.all(), &text, range, options).await
    };
    let output = run_query(&app, work).await?;
    Ok(loki_json(encode(&output)?))
}

/// Names of labels.
pub async fn label_names(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, Vec::new())?;
    Ok(answer(&app, query.label_names(), encode_values, loki_json).await?)
}

/// Values of one label.
pub async fn label_values(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    ask: ReadAsk,
) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, Vec::new())?;
    let work = async move { query.label_values(&name).await };
    Ok(answer(&app, work, encode_values, loki_json).await?)
}

fn encode_values(values: Vec<String>) -> Written {
    let mut out = b"{".to_vec();
    if !values.is_empty() {
        out.extend_from_slice(br#""values":"#);
        push_strings(&mut out, &values);
    }
    out.push(b'}');
    Written(out)
}

fn only_streams() -> Failure {
    // As it comes out of Loki's gRPC between frontend and querier.
    Failure::bad_data("rpc error: code = Code(400) desc = legacy endpoints only support streams result type")
}

fn encode(output: &LogqlOutput) -> Result<Vec<u8>, Failure> {
    let LogqlValue::Streams(streams) = &output.value else {
        return Err(only_streams());
    };
    let mut out = br#"{"streams":["#.to_vec();
    let mut entries = 0;
    for (index, stream) in streams.iter().enumerate() {
        out.extend_from_slice(if index > 0 { br#",{"labels":"# } else { br#"{"labels":"# });
        push_string(&mut out, &label_text(&stream.labels));
        out.extend_from_slice(br#","entries":["#);
        for (at, entry) in stream.entries.iter().enumerate() {
            out.extend_from_slice(if at > 0 { br#",{"ts":"# } else { br#"{"ts":"# });
            push_string(&mut out, &rfc3339(entry.time_ns));
            out.extend_from_slice(br#","line":"#);
            push_string(&mut out, &entry.line);
            out.push(b'}');
        }
        entries += stream.entries.len();
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(br#"],"stats":"#);
    push_stats(&mut out, &output.stats, entries);
    out.push(b'}');
    Ok(out)
}

/// `{a="b", c="d"}`
fn label_text(labels: &[(String, String)]) -> String {
    let pairs = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", garner_query::logql::units::quote(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// A time in UTC with as many digits as it needs, as Go writes RFC 3339.
fn rfc3339(time_ns: Timestamp) -> String {
    let seconds = time_ns.div_euclid(NANOS_PER_SECOND);
    let nanos = time_ns.rem_euclid(NANOS_PER_SECOND);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in eras of 400 years (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let fraction = match nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_string(),
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (time_ns, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_735_689_600_000_000_000, "2025-01-01T00:00:00Z"),
            (1_709_210_096_120_000_000, "2024-02-29T12:34:56.12Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(time_ns), expected);
        }
    }

    #[test]
    fn labels_are_written_as_a_selector() {
        let pairs = [("a", "x"), ("b", "y\"z")].map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(label_text(&pairs), r#"{a="x", b="y\"z"}"#);
    }
}
