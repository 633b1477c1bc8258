//! What a log query makes of each line: a pipeline behind [`LogFilter`].

use std::sync::Arc;

use garner_storage::scan::{LogBatch, LogColumns};

use super::ast::LogExpr;
use super::error::ParseError;
use super::pipeline::{Category, Pipeline, Row, StreamLabels, Wanted};
use super::printer;
use super::sampler::start_row;
use crate::error::QueryError;
use crate::operators::log_input::{FilterWorker, LogFilter, LogRows};

/// Runs a pipeline for a log query.
#[derive(Debug, Clone)]
pub struct LineSelector {
    /// What it was compiled from.
    log: Arc<LogExpr>,
    pipeline: Arc<Pipeline>,
}

impl LineSelector {
    /// Compiles the stages.
    pub fn compile(log: &LogExpr) -> Result<Self, ParseError> {
        Ok(LineSelector {
            log: Arc::new(log.clone()),
            pipeline: Arc::new(Pipeline::compile(&log.stages, &Wanted::default())?),
        })
    }
}

impl LogFilter for LineSelector {
    fn columns(&self) -> LogColumns {
        LogColumns {
            lines: true,
            metadata: true,
        }
    }

    fn text(&self) -> String {
        printer::log_expr(&self.log)
    }

    fn start(&self) -> Box<dyn FilterWorker> {
        Box::new(Worker {
            pipeline: Arc::clone(&self.pipeline),
            row: Row::default(),
            stream: None,
            sets: Default::default(),
        })
    }
}

struct Worker {
    pipeline: Arc<Pipeline>,
    row: Row,
    /// The stream that the row has, by its labels.
    stream: Option<garner_storage::model::Labels>,
    sets: [Vec<u8>; 3],
}

impl FilterWorker for Worker {
    fn select(&mut self, batch: &LogBatch, selected: &mut Vec<u32>) {
        self.pipeline.select(batch, selected);
    }

    fn row(&mut self, batch: &LogBatch, stream: usize, row: usize, out: &mut LogRows) -> Result<bool, QueryError> {
        let labels = &batch.streams[stream];
        if self.stream.as_ref() != Some(labels) {
            self.row.set_stream(StreamLabels::new(labels));
            self.stream = Some(labels.clone());
        }
        start_row(&mut self.row, batch, row);
        let line = batch.lines.as_ref().map(|lines| lines.value(row)).unwrap_or_default();
        let time = batch.timestamps[row];
        if !self.pipeline.process(&mut self.row, time, line) {
            return Ok(false);
        }
        let categories = [Category::Stream, Category::Metadata, Category::Parsed];
        for (set, wanted) in self.sets.iter_mut().zip(categories) {
            set.clear();
            self.row.encode(set, true, |category, _| category == wanted);
        }
        let [stream, metadata, parsed] = &self.sets;
        out.push(time, self.row.line(line), stream, metadata, parsed)?;
        Ok(true)
    }
}
