//! A log query over entries as they arrive.

use std::collections::HashMap;

use garner_storage::model::LabelMatcher;
use garner_storage::scan::LogBatch;

use super::ast::{Expr, LogExpr};
use super::matchers::compile_all;
use super::output::{LogEntry, LogStream};
use super::parser::parse;
use super::pipeline::{Category, Pipeline, Row, StreamLabels, Wanted};
use super::run::printable;
use super::sampler::start_row;
use crate::error::QueryError;

/// Selector and pipeline of a log query, run batch by batch.
#[derive(Debug)]
pub struct TailQuery {
    matchers: Vec<LabelMatcher>,
    pipeline: Pipeline,
    row: Row,
    categorize: bool,
}

impl TailQuery {
    /// Compiles a log query. With `categorize` labels are told apart by where they come from.
    pub fn compile(text: &str, categorize: bool) -> Result<Self, QueryError> {
        match parse(text)? {
            Expr::Log(log) => Self::of(&log, categorize),
            Expr::Metric(_) => Err(QueryError::bad_data("only log selector is supported")),
        }
    }

    fn of(log: &LogExpr, categorize: bool) -> Result<Self, QueryError> {
        Ok(TailQuery {
            matchers: compile_all(&log.matchers)?,
            pipeline: Pipeline::compile(&log.stages, &Wanted::default())?,
            row: Row::default(),
            categorize,
        })
    }

    /// Which streams it reads.
    pub fn matchers(&self) -> &[LabelMatcher] {
        &self.matchers
    }

    /// What becomes of the entries of a batch, all of whose streams pass the matchers: by label set, in order of arrival.
    pub fn run(&mut self, batch: &LogBatch) -> Vec<LogStream> {
        let mut selected = Vec::new();
        self.pipeline.select(batch, &mut selected);
        selected.sort_unstable();
        let mut streams: Vec<LogStream> = Vec::new();
        let mut places: HashMap<Vec<(String, String)>, usize> = HashMap::new();
        let mut current = None;
        for row in selected {
            let stream = batch.offsets.partition_point(|o| *o <= row).saturating_sub(1);
            if current != Some(stream) {
                self.row.set_stream(StreamLabels::new(&batch.streams[stream]));
                current = Some(stream);
            }
            let Some((labels, entry)) = self.entry(batch, row as usize) else {
                continue;
            };
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                streams.push(LogStream {
                    labels: labels.clone(),
                    entries: Vec::new(),
                });
                streams.len() - 1
            });
            streams[place].entries.push(entry);
        }
        streams
    }

    fn entry(&mut self, batch: &LogBatch, row: usize) -> Option<(Vec<(String, String)>, LogEntry)> {
        start_row(&mut self.row, batch, row);
        let line = batch.lines.as_ref().map(|lines| lines.value(row)).unwrap_or_default();
        let time_ns = batch.timestamps[row];
        if !self.pipeline.process(&mut self.row, time_ns, line) {
            return None;
        }
        let (mut labels, mut metadata, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
        self.row.for_each(|category, name, value| {
            let list = match category {
                Category::Metadata if self.categorize => &mut metadata,
                Category::Parsed if self.categorize => &mut parsed,
                _ => &mut labels,
            };
            list.push((name.to_string(), value.to_string()));
        });
        for list in [&mut labels, &mut metadata, &mut parsed] {
            list.sort();
        }
        let entry = LogEntry {
            time_ns,
            line: printable(self.row.line(line)),
            metadata,
            parsed,
        };
        Some((labels, entry))
    }
}
