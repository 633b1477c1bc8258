//! The public error of ingest: a kind that callers map to their status, and the text that the original would answer.

use std::error::Error as StdError;
use std::fmt;

use garner_storage::ErrorKind;

/// What a client should conclude from an [`IngestError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IngestErrorKind {
    /// The request is wrong; sending it again changes nothing (400).
    BadRequest,
    /// The body, compressed or not, is over its limit (413).
    TooLarge,
    /// Nothing in the request can be stored (422).
    Unprocessable,
    /// A content type or encoding that the endpoint does not take (415).
    UnsupportedMediaType,
    /// A limit of the tenant was reached; the same request may pass later (429).
    RateLimited,
    /// The store cannot take writes now; the client keeps the data and retries (503).
    Unavailable,
    /// A defect of garner (500).
    Internal,
}

/// Why a request, or a part of it, was not stored. The message is what the client is told.
#[derive(Debug)]
pub struct IngestError {
    kind: IngestErrorKind,
    message: String,
    source: Option<garner_storage::Error>,
}

impl IngestError {
    /// An error of `kind` with the text for the client.
    pub fn new(kind: IngestErrorKind, message: impl Into<String>) -> Self {
        IngestError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        IngestError::new(IngestErrorKind::BadRequest, message)
    }

    /// What the client should conclude.
    pub fn kind(&self) -> IngestErrorKind {
        self.kind
    }

    /// The text for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A server's own shortage is `Unavailable`, never `RateLimited`: Prometheus drops samples on 429 by default
/// (prometheus `storage/remote/client.go`, `Store`).
impl From<garner_storage::Error> for IngestError {
    fn from(source: garner_storage::Error) -> Self {
        let kind = match source.kind() {
            ErrorKind::Invalid => IngestErrorKind::BadRequest,
            ErrorKind::Limit | ErrorKind::Unavailable | ErrorKind::Closed => IngestErrorKind::Unavailable,
            ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Internal => IngestErrorKind::Internal,
        };
        IngestError {
            kind,
            message: source.to_string(),
            source: Some(source),
        }
    }
}

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for IngestError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| s as _)
    }
}
