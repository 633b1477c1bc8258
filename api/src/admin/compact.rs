//! `POST /garner/api/v1/admin/compact`: expires, merges and deletes until nothing is left to do.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::upkeep::report_json;
use crate::error::TextFailure;
use crate::server::{SharedApp, prometheus_json};

/// What was done. Rows that are not flushed yet are not touched: `POST /flush` before brings them along.
pub async fn compact(State(app): State<SharedApp>) -> Result<Response, TextFailure> {
    let report = app.storage.compact_all().await?;
    Ok(prometheus_json(
        json!({"status": "success", "data": report_json(&report)}).to_string(),
    ))
}
