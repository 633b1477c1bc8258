//! The public error of the query engine: a kind that maps to one status of each dialect, and the text clients see.

use datafusion_common::DataFusionError;
use garner_storage::error::{Error as StorageError, ErrorKind as StorageErrorKind};

/// What went wrong, from the caller's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryErrorKind {
    /// The query does not parse, has a wrong type, or a parameter is wrong; the text says where.
    BadData,
    /// The query is well formed but cannot be evaluated over this data (Prometheus' `execution`, 422).
    Execution,
    /// A named limit was reached; the text says which.
    Limit,
    /// The query took longer than its timeout.
    Timeout,
    /// More queries wait already than may; try again later.
    TooMany,
    /// The client left.
    Canceled,
    /// The store cannot serve this now; try again later.
    Unavailable,
    /// A defect of garner, or stored bytes that cannot be read.
    Internal,
}

/// An error of a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    kind: QueryErrorKind,
    message: String,
}

impl QueryError {
    /// An error of a kind.
    pub fn new(kind: QueryErrorKind, message: impl Into<String>) -> Self {
        QueryError {
            kind,
            message: message.into(),
        }
    }

    /// The query itself is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(QueryErrorKind::BadData, message)
    }

    /// The query cannot be evaluated over this data.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(QueryErrorKind::Execution, message)
    }

    /// A defect of garner.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(QueryErrorKind::Internal, message)
    }

    /// What the caller can do.
    pub fn kind(&self) -> QueryErrorKind {
        self.kind
    }

    /// The text for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        let kind = match error.kind() {
            StorageErrorKind::Invalid | StorageErrorKind::NotFound => QueryErrorKind::BadData,
            StorageErrorKind::Limit => QueryErrorKind::Limit,
            StorageErrorKind::Unavailable | StorageErrorKind::Closed => QueryErrorKind::Unavailable,
            StorageErrorKind::Corrupt | StorageErrorKind::Internal => QueryErrorKind::Internal,
        };
        QueryError::new(kind, error.to_string())
    }
}

/// Operators speak DataFusion's error; ours travel inside as `External` and come out unchanged.
impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
                Ok(ours) => *ours,
                Err(other) => QueryError::internal(other.to_string()),
            },
            DataFusionError::Context(_, inner) => (*inner).into(),
            other => {
                // A shared error (one input read by several partitions) keeps the cause behind an `Arc`.
                let cause = match other.find_root() {
                    DataFusionError::External(inner) => inner.downcast_ref::<QueryError>().cloned(),
                    _ => None,
                };
                cause.unwrap_or_else(|| QueryError::internal(other.to_string()))
            }
        }
    }
}
