//! `/loki/api/v1/cache/generation_numbers`: Loki's queriers drop cached answers when the number changes. garner's answers
//! never outlive their data, so it has none.

use axum::response::Response;
use http::StatusCode;

use crate::server::{Ask, loki_json};

/// The number, as Loki writes the one of a tenant that deleted nothing.
pub async fn generation(_ask: Ask) -> Response {
    loki_json("\"\"\n")
}

/// A new number.
pub async fn increase(_ask: Ask) -> StatusCode {
    StatusCode::NO_CONTENT
}
