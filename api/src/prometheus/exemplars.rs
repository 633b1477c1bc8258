//! `/api/v1/query_exemplars`: exemplars of the series that a query selects.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_query::promql::{ParseOptions, parse_expr};
use garner_storage::model::{Exemplar, Labels, NANOS_PER_MILLI, Signal};
use http::StatusCode;

use super::list::{Item, ListAnswer};
use super::params::metadata_range;
use super::query_ast::selectors;
use crate::error::{Failure, JsonFailure};
use crate::json::{push_labels, push_prometheus_float, push_seconds};
use crate::server::{Ask, MetadataQuery, SharedApp, answer, prometheus_json};

/// Answers one request. A query without a selector has no answer at all, as in Prometheus (`web/api/v1/api.go`,
/// `queryExemplars`).
pub async fn query_exemplars(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    let range = metadata_range(&ask.params)?;
    if range.is_empty() {
        return Err(Failure::bad_data("end timestamp must not be before start timestamp").into());
    }
    let expr = parse_expr(ask.params.get("query"), &ParseOptions::default())
        .map_err(|error| Failure::bad_data(error.to_string()))?;
    let selectors = selectors(&expr);
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let query = MetadataQuery::new(&app, &ask.tenant, Signal::Metrics, range, selectors);
    let stats = query.stats();
    Ok(answer(
        &app,
        query.exemplars(),
        move |found: Vec<(Labels, Vec<Exemplar>)>| {
            let mut series: Vec<SeriesExemplars> = found.into_iter().map(|(l, e)| SeriesExemplars(l, e)).collect();
            series.sort_by(|a, b| a.0.iter().cmp(b.0.iter()));
            ListAnswer::new(series, 0).with_stats(stats)
        },
        prometheus_json,
    )
    .await?)
}

/// A series and its exemplars (prometheus `model/exemplar/exemplar.go`, `QueryResult`).
struct SeriesExemplars(Labels, Vec<Exemplar>);

impl Item for SeriesExemplars {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"seriesLabels":"#);
        push_labels(out, &self.0);
        out.extend_from_slice(br#","exemplars":["#);
        for (index, exemplar) in self.1.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"labels":"#);
            push_labels(out, &exemplar.labels);
            out.extend_from_slice(br#","value":""#);
            push_prometheus_float(out, exemplar.value);
            out.extend_from_slice(br#"","timestamp":"#);
            push_seconds(out, exemplar.time.div_euclid(NANOS_PER_MILLI));
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}
