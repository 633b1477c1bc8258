//! Pages that operators of Loki look at: `/services`, the rings, `/memberlist`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_storage::engine::Readiness;
use http::{HeaderMap, header};
use serde_json::json;

use crate::server::{SharedApp, header_text, loki_json};

fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// The parts of the process and whether they serve, as Loki lists its modules.
pub async fn services(State(app): State<SharedApp>) -> Response {
    let store = match app.storage.readiness() {
        Readiness::Ready => "Running",
        Readiness::Replaying => "Starting",
        Readiness::Closed => "Stopping",
        Readiness::Failed(_) => "Failed",
    };
    let server = if app.is_stopping() { "Stopping" } else { "Running" };
    page(format!(
        "server => {server}\nstore => {store}\nquery-engine => {server}\n"
    ))
}

/// There is no ring: one process serves all tenants. Programs that ask for JSON find it as the only member.
pub async fn ring(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    if !header_text(&headers, header::ACCEPT).contains("json") {
        return page("garner runs as one process; it has no ring. /ready tells whether it serves.\n".to_string());
    }
    let state = match app.storage.readiness() {
        Readiness::Ready if !app.is_stopping() => "ACTIVE",
        Readiness::Ready | Readiness::Closed => "LEAVING",
        Readiness::Replaying => "JOINING",
        Readiness::Failed(_) => "Unhealthy",
    };
    let member = json!({
        "id": "garner",
        "state": state,
        "address": app.settings.server.listen.to_string(),
        "zone": "",
        "tokens": [],
        "read_only": false,
    });
    loki_json(json!({"shards": [member]}).to_string())
}

/// Loki's text where it keeps no such list.
pub async fn memberlist() -> Response {
    page("This instance doesn't use memberlist.".to_string())
}
