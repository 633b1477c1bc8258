//! `/loki/api/v1/format_query`: a query printed for reading.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_query::logql::run::format_query as prettify;
use http::StatusCode;

use crate::json::push_html_string;
use crate::server::{ReadAsk, SharedApp, loki_json};

/// Answers one request (loki `pkg/loki/format_query_handler.go` writes it with Go's encoder for HTML); a query that does not parse has an error of this endpoint's own shape.
pub async fn format_query(State(_app): State<SharedApp>, ask: ReadAsk) -> Response {
    let mut body = Vec::new();
    match prettify(ask.params.get("query")) {
        Ok(text) => {
            body.extend_from_slice(br#"{"status":"success","data":"#);
            push_html_string(&mut body, &text);
            body.extend_from_slice(b"}\n");
            loki_json(body)
        }
        Err(error) => {
            body.extend_from_slice(br#"{"status":"invalid-query","error":"#);
            push_html_string(&mut body, error.message());
            body.extend_from_slice(b"}\n");
            (StatusCode::BAD_REQUEST, loki_json(body)).into_response()
        }
    }
}
