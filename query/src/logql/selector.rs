//! What a log query makes of each line: a pipeline behind [`LogFilter`].

use std::sync::Arc;

use ahash::AHashMap;
use garner_storage::scan::{LogBatch, LogColumns, LogRead};

use super::ast::LogExpr;
use super::error::ParseError;
use super::pipeline::{Category, JsonJudge, Pipeline, Row, StreamLabels, Verdict, Wanted};
use super::printer;
use super::sampler::start_row;
use crate::error::QueryError;
use crate::operators::log_input::{FilterWorker, LogFilter, LogRows, SetKeys};

/// Label sets that are remembered for one batch.
const MAX_KNOWN: usize = 4096;

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
    fn read(&self) -> LogRead {
        LogRead {
            columns: LogColumns {
                lines: true,
                metadata: true,
            },
            lengths: false,
            filter: self.pipeline.scan_filter(),
        }
    }

    fn text(&self) -> String {
        printer::log_expr(&self.log)
    }

    fn start(&self) -> Box<dyn FilterWorker> {
        Box::new(Worker {
            pipeline: Arc::clone(&self.pipeline),
            judge: self.pipeline.judge(),
            row: Row::default(),
            streams: Vec::new(),
            known: AHashMap::new(),
            sets: Default::default(),
        })
    }
}

struct Worker {
    pipeline: Arc<Pipeline>,
    /// Tells of some lines that they are dropped before they are parsed.
    judge: Option<JsonJudge>,
    row: Row,
    /// The streams of the batch, split when one of their rows is looked at.
    streams: Vec<Option<Arc<StreamLabels>>>,
    /// Where no stage follows the line filters: the answer's label sets by stream and metadata.
    known: AHashMap<(u32, u32, u32), SetKeys>,
    sets: [Vec<u8>; 3],
}

impl FilterWorker for Worker {
    fn begin(&mut self, batch: &LogBatch) {
        self.streams.clear();
        self.streams.resize(batch.streams.len(), None);
        self.known.clear();
    }

    fn row(&mut self, batch: &LogBatch, stream: usize, row: usize, out: &mut LogRows) -> Result<bool, QueryError> {
        let line = batch.lines.as_ref().map(|lines| lines.value(row)).unwrap_or_default();
        let time = batch.timestamps[row];
        let code = |codes: &[u32]| codes.get(row).copied().unwrap_or(u32::MAX);
        let key = (stream as u32, code(&batch.metadata), code(&batch.derived));
        let plain = !self.pipeline.has_steps();
        if plain && let Some(keys) = self.known.get(&key) {
            out.push(time, line, *keys);
            return Ok(true);
        }
        let labels = match self.streams.get_mut(stream) {
            Some(slot) => Arc::clone(slot.get_or_insert_with(|| StreamLabels::new(&batch.streams[stream]))),
            None => StreamLabels::new(&batch.streams[stream]),
        };
        self.row.set_stream(labels);
        start_row(&mut self.row, batch, row);
        if let Some(judge) = &mut self.judge
            && judge.can_judge(&self.row)
            && self.pipeline.verdict(judge, line) == Verdict::Drop
        {
            return Ok(false);
        }
        if !self.pipeline.process(&mut self.row, time, line) {
            return Ok(false);
        }
        let categories = [Category::Stream, Category::Metadata, Category::Parsed];
        for (set, wanted) in self.sets.iter_mut().zip(categories) {
            set.clear();
            self.row.encode(set, true, |category, _| category == wanted);
        }
        let [stream, metadata, parsed] = &self.sets;
        let keys = out.sets(stream, metadata, parsed)?;
        if plain && self.known.len() < MAX_KNOWN {
            self.known.insert(key, keys);
        }
        out.push(time, self.row.line(line), keys);
        Ok(true)
    }
}
