//! `/loki/api/v1/patterns`: what the lines of streams have in common (loki `pkg/loghttp/patterns.go`,
//! `pkg/util/marshal/marshal.go`).

use axum::extract::State;
use axum::response::Response;
use garner_ingest::patterns::PatternSeries;
use garner_query::logql::{matchers, parser::parse_matchers};
use garner_storage::model::NANOS_PER_SECOND;

use super::params::{bounds, step};
use crate::error::{Failure, TextFailure};
use crate::json::{push_int, push_string};
use crate::server::{ReadAsk, SharedApp, Written, answer, loki_json};

/// Answers one request. Of several tenants the patterns stand one behind the other.
pub async fn patterns(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let now_ns = app.clock.now();
    let (start_ns, end_ns) = bounds(&ask.params, now_ns)?;
    let step_ns = step(&ask.params, start_ns, end_ns)?;
    let wrong = |error: garner_query::logql::error::ParseError| Failure::bad_data(error.to_string());
    let parsed = parse_matchers(ask.params.get("query"), true).map_err(wrong)?;
    let compiled = matchers::compile_all(&parsed).map_err(wrong)?;
    let shared = app.clone();
    let work = async move {
        let read = async |_| {
            let mut series = Vec::new();
            for tenant in ask.tenants.all() {
                series.extend(
                    shared
                        .patterns
                        .query(tenant, &compiled, start_ns, end_ns, step_ns, now_ns),
                );
            }
            Ok::<_, Failure>(Written(encode(&series)))
        };
        shared.engine.in_turn(ask.tenants.first()?, None, read).await
    };
    Ok(answer(&app, work, |written| written, loki_json).await?)
}

fn encode(series: &[PatternSeries]) -> Vec<u8> {
    let mut out = br#"{"status":"success","data":["#.to_vec();
    for (at, series) in series.iter().enumerate() {
        out.extend_from_slice(if at > 0 { br#",{"pattern":"# } else { br#"{"pattern":"# });
        push_string(&mut out, &series.pattern);
        out.extend_from_slice(br#","level":"#);
        push_string(&mut out, series.level);
        out.extend_from_slice(br#","samples":["#);
        for (at, (time_ns, lines)) in series.samples.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",[" } else { b"[" });
            push_int(&mut out, time_ns.div_euclid(NANOS_PER_SECOND));
            out.push(b',');
            push_int(&mut out, i64::try_from(*lines).unwrap_or(i64::MAX));
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_lokis_shape() {
        let series = [PatternSeries {
            pattern: "a <_>".to_string(),
            level: "info",
            samples: vec![(10 * NANOS_PER_SECOND, 3), (20 * NANOS_PER_SECOND, 0)],
        }];
        let text = String::from_utf8(encode(&series)).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(
            json,
            serde_json::json!({"status": "success", "data": [{"pattern": "a <_>", "level": "info", "samples": [[10, 3], [20, 0]]}]})
        );
        assert_eq!(encode(&[]), b"{\"status\":\"success\",\"data\":[]}\n");
    }
}
