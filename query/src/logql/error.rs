//! Errors of LogQL texts, with Loki's texts.

use crate::error::QueryError;

/// A query that cannot be parsed or whose stages cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// 1-based line; 0 together with `column` where no position is known.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
    /// Whether the message stands alone, without "parse error".
    pub bare: bool,
}

impl ParseError {
    /// An error without a position.
    pub fn new(message: impl Into<String>) -> Self {
        ParseError::at(message, 0, 0)
    }

    /// An error at a position.
    pub fn at(message: impl Into<String>, line: usize, column: usize) -> Self {
        ParseError {
            message: message.into(),
            line,
            column,
            bare: false,
        }
    }

    /// An error whose message stands alone.
    pub fn bare(message: impl Into<String>) -> Self {
        ParseError {
            bare: true,
            ..ParseError::new(message)
        }
    }

    /// An error of one pipeline stage, named by its text.
    pub fn stage(stage: &str, message: impl std::fmt::Display) -> Self {
        ParseError::new(format!("stage '{stage}' : {message}"))
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.bare {
            return f.write_str(&self.message);
        }
        if self.line == 0 && self.column == 0 {
            return write!(f, "parse error : {}", self.message);
        }
        write!(
            f,
            "parse error at line {}, col {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl std::error::Error for ParseError {}

/// A query that does not parse is the client's mistake.
impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        QueryError::bad_data(error.to_string())
    }
}
