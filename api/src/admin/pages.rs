//! Pages that operators of Loki look at: `/config`, `/services`, `/log_level`, `/ring`.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_storage::engine::Readiness;
use http::header;
use tracing::level_filters::LevelFilter;

use crate::json::push_string;
use crate::server::{SharedApp, loki_json};

fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// The settings in force, by their names; secrets are left out.
pub async fn config(State(app): State<SharedApp>) -> Response {
    let mut text = String::new();
    for (key, value) in &app.settings.effective {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    }
    page(text)
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

/// The log level. It is set at the start (`RUST_LOG`) and cannot be changed here.
pub async fn log_level() -> Response {
    let mut body = br#"{"message":"#.to_vec();
    push_string(&mut body, &format!("Current log level is {}", LevelFilter::current()));
    body.push(b'}');
    loki_json(body)
}

/// There is no ring: one process serves all tenants.
pub async fn ring() -> Response {
    page("garner runs as one process; it has no ring. /ready tells whether it serves.\n".to_string())
}
