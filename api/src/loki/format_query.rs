//! `/loki/api/v1/format_query`: a query printed for reading.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_query::logql::run::format_query as prettify;
use http::StatusCode;

use crate::json::push_string;
use crate::server::{ReadAsk, SharedApp, loki_json};

/// Answers one request; a query that does not parse has an error of this endpoint's own shape.
pub async fn format_query(State(_app): State<SharedApp>, ask: ReadAsk) -> Response {
    let mut body = Vec::new();
    match prettify(ask.params.get("query")) {
        Ok(text) => {
            body.extend_from_slice(br#"{"status":"success","data":"#);
            push_string(&mut body, &text);
            body.push(b'}');
            loki_json(body)
        }
        Err(error) => {
            body.extend_from_slice(br#"{"status":"invalid-query","error":"#);
            push_string(&mut body, error.message());
            body.push(b'}');
            (StatusCode::BAD_REQUEST, loki_json(body)).into_response()
        }
    }
}
