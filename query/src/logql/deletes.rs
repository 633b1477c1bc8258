//! LogQL in deletes of logs: a query split into what the store selects by and a filter text for the rest, and such a text
//! read again.

use std::sync::Arc;

use garner_storage::deletes::{EntryFilter, EntryFilterCompiler, EntryRef, StreamFilter};
use garner_storage::model::{LabelMatcher, Labels};
use garner_storage::{Error as StorageError, ErrorKind as StorageErrorKind};

use super::ast::{LogExpr, Stage};
use super::matchers::compile_all;
use super::parser::parse_unvalidated_log_selector;
use super::pipeline::{Pipeline, Row, StreamLabels, Wanted};
use super::printer;
use crate::error::QueryError;

/// A delete's query, split.
#[derive(Clone, Debug)]
pub struct DeleteQuery {
    /// Streams.
    pub matchers: Vec<LabelMatcher>,
    /// What [`LogqlEntryFilters`] compiles; `None` where all entries of the streams go.
    pub filter: Option<Arc<str>>,
}

impl DeleteQuery {
    /// Reads a query as Loki does (loki `pkg/compactor/deletion/util.go`, `parseDeletionQuery`): any log query, also one
    /// whose matchers every stream passes. Stages count only where one of them can drop a line (`HasFilter`).
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let log = parse_unvalidated_log_selector(text)?;
        let filters = log
            .stages
            .iter()
            .any(|stage| matches!(stage, Stage::LineFilters(_) | Stage::LabelFilter(_)));
        let matchers = compile_all(&log.matchers)?;
        pipeline_of(&log)?;
        Ok(DeleteQuery {
            matchers,
            filter: filters.then(|| printer::log_expr(&log).into()),
        })
    }
}

fn pipeline_of(log: &LogExpr) -> Result<Pipeline, QueryError> {
    Ok(Pipeline::compile(&log.stages, &Wanted::default())?)
}

/// LogQL as the language of deletes' filters. A text is a whole log query; its matchers are not looked at, since the store
/// has selected by them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogqlEntryFilters;

impl EntryFilterCompiler for LogqlEntryFilters {
    fn compile(&self, text: &str) -> Result<Arc<dyn EntryFilter>, StorageError> {
        let invalid = |error: QueryError| {
            let message = format!("the line filter {text:?} of a delete");
            StorageError::with_source(StorageErrorKind::Invalid, message, error.message().to_string())
        };
        let log = parse_unvalidated_log_selector(text).map_err(|error| invalid(error.into()))?;
        Ok(Arc::new(LineDelete(Arc::new(pipeline_of(&log).map_err(invalid)?))))
    }
}

#[derive(Debug)]
struct LineDelete(Arc<Pipeline>);

impl EntryFilter for LineDelete {
    fn of_stream(&self, stream: &Labels) -> Box<dyn StreamFilter> {
        let mut row = Row::default();
        row.set_stream(StreamLabels::new(stream));
        Box::new(StreamDelete {
            pipeline: Arc::clone(&self.0),
            row,
        })
    }
}

struct StreamDelete {
    pipeline: Arc<Pipeline>,
    row: Row,
}

impl StreamFilter for StreamDelete {
    fn matches(&mut self, entry: EntryRef<'_>) -> bool {
        if !self.pipeline.passes_first(entry.line) {
            return false;
        }
        self.row.reset();
        // In the order in which queries see them.
        self.row.add_metadata(entry.metadata);
        self.row.add_metadata(entry.derived);
        // Loki gives its pipeline no time either (loki `pkg/compactor/deletion/delete_request.go`, `FilterFunction`).
        self.pipeline.process(&mut self.row, 0, entry.line)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn queries_are_split_into_selector_and_filter() {
        let check = |text: &str, matchers: usize, filter: Option<&str>| {
            let query = DeleteQuery::parse(text).unwrap();
            assert_eq!(query.matchers.len(), matchers, "{text}");
            assert_eq!(query.filter.as_deref(), filter, "{text}");
        };
        check(r#"{app="a"}"#, 1, None);
        check(r#"{app=~".*"}"#, 1, None);
        check(r#"{app="a"} | json"#, 1, None);
        check(r#"{app="a", b!="c"} |= "x""#, 2, Some(r#"{app="a", b!="c"} |= "x""#));
        check(r#"{app="a"} | trace="1""#, 1, Some(r#"{app="a"} | trace="1""#));
        for bad in ["", "{", r#"rate({app="a"}[1m])"#, r#"{app="a"} |~ "(""#] {
            assert!(DeleteQuery::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_see_line_stream_and_metadata() {
        let stream = Labels::from_pairs([("app", "web")]);
        let (metadata, derived) = (
            Labels::from_pairs([("trace", "7")]),
            Labels::from_pairs([("detected_level", "error")]),
        );
        let check = |text: &str, line: &str, expected: bool| {
            let query = DeleteQuery::parse(text).unwrap();
            let filter = LogqlEntryFilters.compile(&query.filter.unwrap()).unwrap();
            let entry = EntryRef {
                time: 5,
                line: line.as_bytes(),
                metadata: &metadata,
                derived: &derived,
            };
            let mut stream = filter.of_stream(&stream);
            assert_eq!(stream.matches(entry), expected, "{text} on {line}");
            assert_eq!(stream.matches(entry), expected, "again: {text} on {line}");
        };
        check(r#"{app="web"} |= "secret""#, "a secret", true);
        check(r#"{app="web"} |= "secret""#, "nothing", false);
        check(r#"{app="web"} != "x" |~ "s.c""#, "sec", true);
        check(r#"{app="web"} | trace="7""#, "", true);
        check(r#"{app="web"} | trace="8""#, "", false);
        check(r#"{app="web"} | detected_level="error""#, "", true);
        check(
            r#"{app="web"} | app="web" | json | user="bob""#,
            r#"{"user":"bob"}"#,
            true,
        );
        check(
            r#"{app="web"} | app="web" | json | user="bob""#,
            r#"{"user":"eve"}"#,
            false,
        );
        check(r#"{app="web"} | line_format "{{.trace}}" |= "7""#, "", true);
        assert!(LogqlEntryFilters.compile("{").is_err());
    }
}
