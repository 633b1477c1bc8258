//! What went wrong with a request, and the one place where that becomes a status of each dialect.
//!
//! Overload and a full disk are 503 with `Retry-After`, never 429: Prometheus drops samples on 429 by default
//! (prometheus `storage/remote/client.go`, `Store`). 429 is for a tenant's own limits, and for Loki's queries when too many
//! wait (loki `pkg/queue`).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use garner_ingest::{IngestError, IngestErrorKind};
use garner_query::error::{QueryError, QueryErrorKind};
use garner_storage::{Error as StorageError, ErrorKind as StorageErrorKind};

use crate::json::push_string;

/// What a client is asked to wait before it tries again.
const RETRY_AFTER_SECONDS: &str = "5";

/// Loki's text for a query whose time ran out, in the queue or after it (loki `pkg/util/server/error.go`,
/// `ErrDeadlineExceeded`).
const OUT_OF_TIME: &str = "Request timed out, decrease the duration of the request or add more label matchers (prefer \
                           exact match over regex match) to reduce the amount of data processed.";

/// What a client should conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The request is wrong; the text says where.
    BadData,
    /// No tenant where one is required.
    Unauthorized,
    /// The tenant may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The client took too long to send its body.
    SlowBody,
    /// The body is over its limit, compressed or not.
    TooLarge,
    /// A content type or encoding that the endpoint does not take.
    UnsupportedMedia,
    /// Nothing in the request can be stored.
    Unprocessable,
    /// A limit of the tenant's; the same request may pass later.
    RateLimited,
    /// The query cannot be evaluated over this data.
    Execution,
    /// The query reached a named limit.
    QueryLimit,
    /// The query took longer than it may.
    QueryTimeout,
    /// More queries wait than may.
    TooManyQueries,
    /// The client left.
    Canceled,
    /// The server cannot do this now.
    Unavailable,
    /// Not built yet.
    NotImplemented,
    /// A defect of garner.
    Internal,
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    message: String,
}

impl Failure {
    /// A failure with the text for the client.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
        }
    }

    /// A wrong request.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::BadData, message)
    }

    /// What the client should conclude.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status in Loki's API and of all pushes (loki `pkg/util/server/error.go`, `pkg/distributor/http.go`).
    fn text_status(&self) -> StatusCode {
        match self.kind {
            FailureKind::BadData | FailureKind::QueryLimit => StatusCode::BAD_REQUEST,
            FailureKind::Unauthorized => StatusCode::UNAUTHORIZED,
            FailureKind::Forbidden => StatusCode::FORBIDDEN,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::SlowBody => StatusCode::REQUEST_TIMEOUT,
            FailureKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FailureKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::RateLimited | FailureKind::TooManyQueries => StatusCode::TOO_MANY_REQUESTS,
            FailureKind::QueryTimeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Canceled => client_closed(),
            FailureKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            FailureKind::Execution | FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status and `errorType` in Prometheus' API (prometheus `web/api/v1/api.go`, `respondError`).
    fn json_status(&self) -> (StatusCode, &'static str) {
        match self.kind {
            FailureKind::Execution | FailureKind::QueryLimit => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            FailureKind::QueryTimeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            FailureKind::Canceled => (client_closed(), "canceled"),
            // Prometheus has no queue that fills up: a query whose time ends in its queue is 503 there too.
            FailureKind::Unavailable | FailureKind::TooManyQueries => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            FailureKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            FailureKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            _ => (self.text_status(), "bad_data"),
        }
    }

    fn finish(&self, mut response: Response) -> Response {
        if self.kind == FailureKind::Internal {
            tracing::error!(error = %self.message, "a request failed");
        }
        if matches!(
            self.kind,
            FailureKind::Unavailable | FailureKind::RateLimited | FailureKind::TooManyQueries
        ) {
            let value = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

/// 499, as Loki and Prometheus count a client that left.
fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A failure that answers in plain text: Loki's API and every push.
#[derive(Debug)]
pub struct TextFailure(pub Failure);

/// A failure that answers in Prometheus' JSON.
#[derive(Debug)]
pub struct JsonFailure(pub Failure);

impl IntoResponse for TextFailure {
    fn into_response(self) -> Response {
        let status = self.0.text_status();
        // Go's http.Error ends the text with a line break and forbids sniffing.
        let mut text = match self.0.kind {
            FailureKind::QueryTimeout => OUT_OF_TIME.to_string(),
            _ => self.0.message.clone(),
        };
        text.push('\n');
        let response = (status, [("x-content-type-options", "nosniff")], text).into_response();
        self.0.finish(response)
    }
}

impl IntoResponse for JsonFailure {
    fn into_response(self) -> Response {
        // The tenant is checked before the API is reached, in plain text as Mimir and Cortex answer it.
        if self.0.kind == FailureKind::Unauthorized {
            return TextFailure(self.0).into_response();
        }
        let (status, error_type) = self.0.json_status();
        let mut body = Vec::with_capacity(self.0.message.len() + 64);
        body.extend_from_slice(br#"{"status":"error","errorType":""#);
        body.extend_from_slice(error_type.as_bytes());
        body.extend_from_slice(br#"","error":"#);
        push_string(&mut body, &self.0.message);
        body.push(b'}');
        let response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        self.0.finish(response)
    }
}

impl<E: Into<Failure>> From<E> for TextFailure {
    fn from(error: E) -> Self {
        TextFailure(error.into())
    }
}

impl<E: Into<Failure>> From<E> for JsonFailure {
    fn from(error: E) -> Self {
        JsonFailure(error.into())
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let kind = match error.kind() {
            StorageErrorKind::Invalid => FailureKind::BadData,
            StorageErrorKind::NotFound => FailureKind::NotFound,
            StorageErrorKind::Limit => FailureKind::QueryLimit,
            StorageErrorKind::Unavailable | StorageErrorKind::Closed => FailureKind::Unavailable,
            StorageErrorKind::Corrupt | StorageErrorKind::Internal => FailureKind::Internal,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        let kind = match error.kind() {
            IngestErrorKind::BadRequest => FailureKind::BadData,
            IngestErrorKind::TooLarge => FailureKind::TooLarge,
            IngestErrorKind::Unprocessable => FailureKind::Unprocessable,
            IngestErrorKind::UnsupportedMediaType => FailureKind::UnsupportedMedia,
            IngestErrorKind::RateLimited => FailureKind::RateLimited,
            IngestErrorKind::Unavailable => FailureKind::Unavailable,
            IngestErrorKind::Internal => FailureKind::Internal,
        };
        Failure::new(kind, error.message())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind() {
            QueryErrorKind::BadData => FailureKind::BadData,
            QueryErrorKind::Execution => FailureKind::Execution,
            QueryErrorKind::Limit => FailureKind::QueryLimit,
            QueryErrorKind::Timeout => FailureKind::QueryTimeout,
            QueryErrorKind::TooMany => FailureKind::TooManyQueries,
            QueryErrorKind::Canceled => FailureKind::Canceled,
            QueryErrorKind::Unavailable => FailureKind::Unavailable,
            QueryErrorKind::Internal => FailureKind::Internal,
        };
        Failure::new(kind, error.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status_in_both_dialects() {
        let check = |kind: FailureKind, text: u16, json: u16, error_type: &str, retry: bool| {
            let failure = Failure::new(kind, "x");
            assert_eq!(failure.text_status().as_u16(), text, "{kind:?}");
            assert_eq!(
                (failure.json_status().0.as_u16(), failure.json_status().1),
                (json, error_type),
                "{kind:?}"
            );
            for response in [
                TextFailure(failure.clone()).into_response(),
                JsonFailure(failure).into_response(),
            ] {
                assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry, "{kind:?}");
            }
        };
        check(FailureKind::BadData, 400, 400, "bad_data", false);
        check(FailureKind::Unauthorized, 401, 401, "bad_data", false);
        check(FailureKind::NotFound, 404, 404, "not_found", false);
        check(FailureKind::TooLarge, 413, 413, "bad_data", false);
        check(FailureKind::Unprocessable, 422, 422, "bad_data", false);
        check(FailureKind::RateLimited, 429, 429, "bad_data", true);
        check(FailureKind::Execution, 500, 422, "execution", false);
        check(FailureKind::QueryLimit, 400, 422, "execution", false);
        check(FailureKind::QueryTimeout, 504, 503, "timeout", false);
        check(FailureKind::TooManyQueries, 429, 503, "unavailable", true);
        check(FailureKind::Canceled, 499, 499, "canceled", false);
        check(FailureKind::Unavailable, 503, 503, "unavailable", true);
        check(FailureKind::Internal, 500, 500, "internal", false);
    }
}
