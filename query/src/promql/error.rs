//! Errors of a query's text, printed as Prometheus prints them: `1:5: parse error: …`.

use std::fmt;

use crate::error::QueryError;

/// A stretch of the query in bytes, half open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl PosRange {
    /// `[start, end)`.
    pub fn new(start: usize, end: usize) -> Self {
        PosRange { start, end }
    }

    /// From the start of `self` to the end of `last`.
    pub fn to(self, last: PosRange) -> Self {
        PosRange::new(self.start, last.end)
    }

    /// `line:column` of the start, both from 1, columns in bytes; words where there is no such place (prometheus
    /// `promql/parser/posrange`, `StartPosInput`).
    pub fn locate(&self, query: &str) -> String {
        let Some(before) = query.as_bytes().get(..self.start).filter(|_| !query.is_empty()) else {
            return if query.is_empty() {
                "unknown position"
            } else {
                "invalid position"
            }
            .to_string();
        };
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        format!("{line}:{}", before.len() - line_start + 1)
    }
}

/// Why a text is no query. Only the first mistake is told, as in Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Where, in bytes.
    pub range: PosRange,
    /// Where, as `line:column`.
    pub location: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.location, self.message)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        QueryError::bad_data(error.to_string())
    }
}

/// A mistake that does not know its query yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub range: PosRange,
    pub message: String,
}

impl Mistake {
    pub fn new(range: PosRange, message: impl Into<String>) -> Self {
        Mistake {
            range,
            message: message.into(),
        }
    }

    /// With the line and column in `query`.
    pub fn in_query(self, query: &str) -> ParseError {
        ParseError {
            location: self.range.locate(query),
            range: self.range,
            message: self.message,
        }
    }
}
