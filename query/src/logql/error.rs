//! Errors of LogQL queries, with Loki's texts.

use garner_storage::error::Error as StorageError;

/// A query that cannot be parsed or whose stages cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// 1-based line; 0 together with `column` where no position is known.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
}

impl ParseError {
    /// An error without a position.
    pub fn new(message: impl Into<String>) -> Self {
        ParseError {
            message: message.into(),
            line: 0,
            column: 0,
        }
    }

    /// An error of one pipeline stage, named by its text.
    pub fn stage(stage: &str, message: impl std::fmt::Display) -> Self {
        ParseError::new(format!("stage '{stage}' : {message}"))
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 && self.column == 0 {
            return write!(f, "parse error : {}", self.message);
        }
        write!(f, "parse error at line {}, col {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Why a LogQL query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LogqlError {
    /// The text is not a query. The caller's fault.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The query is well formed but may not run as asked (limits, pipeline errors in metrics). The caller's fault.
    #[error("{0}")]
    Invalid(String),
    /// The query failed in a way that Loki reports as a server error (vector matching).
    #[error("{0}")]
    Execution(String),
    /// The store refused or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
