//! Answers of LogQL queries.

use garner_storage::model::Timestamp;

use crate::output::{QueryStats, Value};

/// What a LogQL query gives.
#[derive(Clone, Debug)]
pub struct LogqlOutput {
    /// The result itself.
    pub value: LogqlValue,
    /// Texts that say the answer is not whole.
    pub warnings: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
}

/// The result, by its type.
#[derive(Clone, Debug)]
pub enum LogqlValue {
    /// Of a log query: streams sorted by labels.
    Streams(Vec<LogStream>),
    /// Of a metric query: vector, matrix or scalar.
    Metric(Value),
}

/// Lines with one label set, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// Labels sorted by name. Values can be empty here: a parser that finds nothing sets such labels.
    pub labels: Vec<(String, String)>,
    /// The lines.
    pub entries: Vec<LogEntry>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Nanoseconds.
    pub time_ns: Timestamp,
    /// The text; bytes that are no UTF-8 are replaced.
    pub line: String,
    /// Structured metadata; only where labels are told apart by where they come from.
    pub metadata: Vec<(String, String)>,
    /// Labels made by the pipeline; only where labels are told apart.
    pub parsed: Vec<(String, String)>,
}
