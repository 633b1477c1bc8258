//! `/api/v1/metadata`: what senders told of their metrics.

use axum::extract::State;
use axum::response::Response;
use garner_storage::model::{MetadataMap, Signal, TimeRange};

use crate::error::{Failure, JsonFailure};
use crate::json::push_string;
use crate::params::{Params, parse_int};
use crate::server::{Ask, MetadataQuery, SharedApp, Written, answer, prometheus_json};

/// Answers one request (prometheus `web/api/v1/api.go`, `metricMetadata`; of what it leaves to chance this takes the first by
/// name and by type).
pub async fn metadata(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    // Of `limit` a negative number is none, of `limit_per_metric` 0 as well.
    let limit = number(&ask.params, "limit")?.and_then(|n| usize::try_from(n).ok());
    let per_metric = number(&ask.params, "limit_per_metric")?.and_then(|n| usize::try_from(n).ok());
    let per_metric = per_metric.filter(|n| *n > 0).unwrap_or(usize::MAX);
    let metric = ask.params.get("metric").to_string();
    let query = MetadataQuery::new(&app, &ask.tenant, Signal::Metrics, TimeRange::ALL, Vec::new());
    Ok(answer(
        &app,
        query.metric_metadata(),
        move |map| Written(written(&map, &metric, limit.unwrap_or(usize::MAX), per_metric)),
        prometheus_json,
    )
    .await?)
}

fn number(params: &Params, name: &str) -> Result<Option<i64>, Failure> {
    match params.get(name) {
        "" => Ok(None),
        text => match parse_int("Atoi", text) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::bad_data(format!("{name} must be a number"))),
        },
    }
}

fn written(map: &MetadataMap, metric: &str, limit: usize, per_metric: usize) -> Vec<u8> {
    let mut out = br#"{"status":"success","data":{"#.to_vec();
    let asked = map.iter().filter(|(name, _)| metric.is_empty() || *name == metric);
    for (index, (name, known)) in asked.take(limit).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(&mut out, name);
        out.extend_from_slice(b":[");
        let mut known: Vec<_> = known.iter().collect();
        known.sort();
        for (index, metadata) in known.into_iter().take(per_metric).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"type":"#);
            push_string(&mut out, metadata.kind.as_str());
            out.extend_from_slice(br#","unit":"#);
            push_string(&mut out, &metadata.unit);
            out.extend_from_slice(br#","help":"#);
            push_string(&mut out, &metadata.help);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use garner_storage::model::{MetadataRef, MetricType};

    use super::*;

    #[test]
    fn metadata_is_written_by_name_and_limited() {
        let mut map = MetadataMap::default();
        let mut add = |metric: &str, kind: MetricType, help: &str| {
            map.add(metric, MetadataRef { kind, help, unit: "" });
        };
        add("b", MetricType::Gauge, "B.");
        add("a", MetricType::Gauge, "A \"2\".");
        add("a", MetricType::Counter, "A.");
        let check = |metric: &str, limit: usize, per_metric: usize, expected: &str| {
            let data = format!(r#"{{"status":"success","data":{{{expected}}}}}"#);
            let out = written(&map, metric, limit, per_metric);
            assert_eq!(String::from_utf8_lossy(&out), data);
        };
        let b = r#""b":[{"type":"gauge","unit":"","help":"B."}]"#;
        let first = r#"{"type":"counter","unit":"","help":"A."}"#;
        let second = r#"{"type":"gauge","unit":"","help":"A \"2\"."}"#;
        check("", usize::MAX, usize::MAX, &format!(r#""a":[{first},{second}],{b}"#));
        check("", 1, 1, &format!(r#""a":[{first}]"#));
        check("b", 5, 5, b);
        check("c", 5, 5, "");
        check("", 0, 5, "");
    }
}
