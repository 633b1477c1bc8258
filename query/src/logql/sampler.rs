//! What a range function makes of each line: pipelines and unwraps behind [`LogSampler`].

use std::sync::Arc;

use ahash::AHashMap;
use garner_storage::model::Labels;
use garner_storage::scan::{LogBatch, LogColumns, LogRead};

use super::ast::{Conversion, Grouping, LabelFormatValue, LogRange, RangeOp, Stage};
use super::error::ParseError;
use super::lines;
use super::matchers;
use super::pipeline::{
    Beginning, ERROR, Filter, JsonJudge, PRESERVE_ERROR, Pipeline, Row, StreamLabels, Verdict, Wanted, decode_pairs,
};
use super::units;
use crate::error::QueryError;
use crate::operators::log_input::{LogSampler, SampleSink, SampleWorker};

/// The error of an unwrapped value that is no number.
const SAMPLE_ERROR: &str = "SampleExtractionErr";

/// Beginnings of lines that are kept for one stream in a batch; metadata that differs in every line is not worth keeping.
const MAX_BEGINNINGS: usize = 64;

/// Makes a sample of each line.
#[derive(Debug, Clone)]
pub struct LineSampler(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// What it was compiled from.
    op: RangeOp,
    range: LogRange,
    grouping: Option<Grouping>,
    pipeline: Pipeline,
    value: SampleValue,
    /// Labels of the answer's `by` or `without`, sorted.
    groups: Vec<String>,
    without: bool,
    no_labels: bool,
    /// Whether labels that a stage has set to nothing stay in a group of all labels, or of all but some.
    keeps_empty: bool,
    /// Whether the labels to group by are on every stream that is read, so that nothing else can bring them.
    stream_has_groups: bool,
}

impl Parts {
    /// Whether a line's group is that of its stream and metadata, and its value that of every line or its length.
    fn by_stream(&self) -> bool {
        !self.pipeline.has_steps() && !matches!(self.value, SampleValue::Label { .. })
    }

    /// Whether a line that is kept without an error counts for the group of its stream, whatever is parsed out of it.
    fn counts_by_stream(&self) -> bool {
        let groups_on_stream = self.no_labels || (self.stream_has_groups && !self.without);
        groups_on_stream && matches!(self.value, SampleValue::One)
    }
}

#[derive(Debug)]
enum SampleValue {
    /// 1 a line.
    One,
    /// The line's length in bytes.
    Length,
    /// A label's number.
    Label {
        name: String,
        conversion: Conversion,
        filters: Vec<Filter>,
    },
}

impl LineSampler {
    /// Compiles the lines' side of a range function. `groups` are the labels that the answer keeps, `None` all.
    pub fn compile(op: RangeOp, range: &LogRange, grouping: Option<&Grouping>) -> Result<Self, ParseError> {
        let mut groups = grouping.map(|g| g.labels.clone()).unwrap_or_default();
        let mut without = grouping.is_some_and(|g| g.without);
        // Absence has no labels of its own.
        let no_labels = op == RangeOp::Absent || grouping.is_some_and(Grouping::is_single_group);
        let value = match &range.unwrap {
            Some(unwrap) => {
                if groups.is_empty() || without {
                    without = true;
                    groups.push(unwrap.label.clone());
                }
                let filters = unwrap.filters.iter().map(Filter::compile).collect::<Result<_, _>>();
                SampleValue::Label {
                    name: unwrap.label.clone(),
                    conversion: unwrap.conversion,
                    filters: filters.map_err(ParseError::new)?,
                }
            }
            None if matches!(op, RangeOp::Bytes | RangeOp::BytesRate) => SampleValue::Length,
            None => SampleValue::One,
        };
        groups.sort();
        groups.dedup();
        let wanted = Wanted {
            groups: groups.clone(),
            without,
            no_labels,
            value: range.unwrap.as_ref().map(|u| u.label.clone()),
            filters_after: range.unwrap.as_ref().map(|u| u.filters.clone()).unwrap_or_default(),
        };
        let matchers = matchers::compile_all(&range.log.matchers)?;
        let on_streams = |name: &String| matchers.iter().any(|m| m.name() == name && !m.matches_absent());
        let stream_has_groups = !groups.is_empty() && !without && groups.iter().all(on_streams);
        Ok(LineSampler(Arc::new(Parts {
            op,
            range: range.clone(),
            grouping: grouping.cloned(),
            pipeline: Pipeline::compile(&stages_that_count(op, &range.log.stages), &wanted)?,
            value,
            groups,
            without,
            no_labels,
            keeps_empty: !merges_series(op, range, grouping),
            stream_has_groups,
        })))
    }
}

/// Whether the series are merged by `without` on their way out of Loki's shards, which drops labels without a value (loki
/// `pkg/logql/shardmapper.go`, `mapRangeAggregationExpr`; `pkg/logql/syntax/ast.go`, `ReducesLabels`). Others keep them.
fn merges_series(op: RangeOp, range: &LogRange, grouping: Option<&Grouping>) -> bool {
    let merged = matches!(
        op,
        RangeOp::Count
            | RangeOp::Rate
            | RangeOp::Bytes
            | RangeOp::BytesRate
            | RangeOp::Sum
            | RangeOp::Max
            | RangeOp::Min
            | RangeOp::Avg
    );
    let reduces = |stage: &Stage| match stage {
        Stage::Drop(_) | Stage::Keep(_) => true,
        Stage::LabelFormat(formats) => formats.iter().any(|f| matches!(f.value, LabelFormatValue::Rename(_))),
        _ => false,
    };
    merged
        && match grouping {
            Some(grouping) if !grouping.labels.is_empty() || !grouping.without => grouping.without,
            _ => range.log.stages.iter().any(reduces),
        }
}

/// The refusal of a series with an error (loki `pkg/logqlmodel/error.go`, `NewPipelineErr`).
fn pipeline_error(error: &str, labels: &[u8]) -> QueryError {
    let series: Vec<String> = decode_pairs(labels)
        .iter()
        .map(|(n, v)| format!("{n}={}", units::quote(v)))
        .collect();
    QueryError::bad_data(format!(
        "pipeline error: '{error}' for series: '{{{}}}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n",
        series.join(", ")
    ))
}

/// The stages without templates for lines that nobody reads afterwards; such a template need not even be one, and what
/// it names need not be parsed (grafana/loki `pkg/logql/optimize.go`, `removeLineformat`).
fn stages_that_count(op: RangeOp, stages: &[Stage]) -> Vec<Stage> {
    let reads_line = |stage: &Stage| {
        matches!(
            stage,
            Stage::LineFilters(_)
                | Stage::Json
                | Stage::JsonExpressions(_)
                | Stage::Logfmt(_)
                | Stage::LogfmtExpressions(..)
                | Stage::Regexp(_)
                | Stage::Pattern(_)
                | Stage::Unpack
        )
    };
    let counts_bytes = matches!(op, RangeOp::Bytes | RangeOp::BytesRate);
    let kept = stages.iter().enumerate().filter(|(at, stage)| {
        !matches!(stage, Stage::LineFormat(_)) || counts_bytes || stages[*at..].iter().any(reads_line)
    });
    kept.map(|(_, stage)| stage.clone()).collect()
}

impl LineSampler {
    /// About how many groups it makes of so many streams; unknown where lines are parsed.
    pub fn groups(&self, streams: usize) -> Option<usize> {
        if self.0.no_labels {
            return Some(1);
        }
        (!self.0.pipeline.has_steps()).then_some(streams)
    }
}

impl LogSampler for LineSampler {
    fn read(&self) -> LogRead {
        let parts = &self.0;
        LogRead {
            columns: LogColumns {
                lines: parts.pipeline.reads_lines(),
                metadata: !(parts.by_stream() && (parts.no_labels || parts.stream_has_groups)),
            },
            lengths: matches!(parts.value, SampleValue::Length),
            filter: parts.pipeline.scan_filter(),
        }
    }

    fn text(&self) -> String {
        lines::sampler_text(self.0.op, &self.0.range, self.0.grouping.as_ref())
    }

    fn start(&self) -> Box<dyn SampleWorker> {
        Box::new(Worker {
            parts: Arc::clone(&self.0),
            row: Row::default(),
            labels: Vec::new(),
            last_labels: Vec::new(),
            last_group: None,
            beginnings: Beginnings::default(),
            groups: AHashMap::new(),
            judge: self.0.pipeline.judge(),
        })
    }
}

/// How lines of one stream begin, by metadata.
#[derive(Default)]
struct Beginnings {
    index: AHashMap<(u32, u32), usize>,
    kept: Vec<KeptBeginning>,
    /// That of the line before.
    last: Option<((u32, u32), usize)>,
}

struct KeptBeginning {
    begins: Beginning,
    /// Whether the text of such lines may be judged before it is parsed.
    can_judge: bool,
    /// The group of such lines where nothing is parsed out of them, once it is known.
    group: Option<u32>,
    has_error: bool,
}

impl Beginnings {
    fn clear(&mut self) {
        self.index.clear();
        self.kept.clear();
        self.last = None;
    }

    fn find(&mut self, key: (u32, u32)) -> Option<usize> {
        if let Some((last, number)) = self.last
            && last == key
        {
            return Some(number);
        }
        let number = *self.index.get(&key)?;
        self.last = Some((key, number));
        Some(number)
    }

    fn keep(&mut self, key: (u32, u32), beginning: KeptBeginning) -> Option<usize> {
        if self.kept.len() >= MAX_BEGINNINGS {
            return None;
        }
        let number = self.kept.len();
        self.kept.push(beginning);
        self.index.insert(key, number);
        self.last = Some((key, number));
        Some(number)
    }
}

struct Worker {
    parts: Arc<Parts>,
    row: Row,
    labels: Vec<u8>,
    /// The labels of the sample before, and their group.
    last_labels: Vec<u8>,
    last_group: Option<u32>,
    beginnings: Beginnings,
    /// Groups of one stream by metadata, where only these make the group.
    groups: AHashMap<(u32, u32), u32>,
    /// Tells of some lines what becomes of them before they are parsed.
    judge: Option<JsonJudge>,
}

impl SampleWorker for Worker {
    fn run(&mut self, batch: &LogBatch, sink: &mut dyn SampleSink) -> Result<(), QueryError> {
        let parts = Arc::clone(&self.parts);
        let by_set = parts.by_stream();
        let whole = by_set && matches!(parts.value, SampleValue::One) && batch.metadata.is_empty();
        for (index, labels) in batch.streams.iter().enumerate() {
            let (start, end) = (batch.offsets[index] as usize, batch.offsets[index + 1] as usize);
            if start == end {
                continue;
            }
            self.row.set_stream(StreamLabels::new(labels));
            self.groups.clear();
            self.beginnings.clear();
            if whole {
                let group = self.group(batch, start, sink)?;
                sink.ones(group, &batch.timestamps[start..end]);
                continue;
            }
            for row in start..end {
                self.sample(batch, row, by_set, sink)?;
            }
        }
        Ok(())
    }
}

/// The metadata sets of a row, as sent and derived.
fn metadata(batch: &LogBatch, row: usize) -> [Option<&Labels>; 2] {
    let set = |column: &[u32]| column.get(row).and_then(|i| batch.metadata_sets.get(*i as usize));
    [set(&batch.metadata), set(&batch.derived)]
}

/// Starts a line: its metadata, nothing of the line before.
pub(super) fn start_row(row: &mut Row, batch: &LogBatch, index: usize) {
    row.reset();
    for set in metadata(batch, index).into_iter().flatten() {
        row.add_metadata(set);
    }
}

impl Worker {
    fn sample(
        &mut self,
        batch: &LogBatch,
        row: usize,
        by_set: bool,
        sink: &mut dyn SampleSink,
    ) -> Result<(), QueryError> {
        let time = batch.timestamps[row];
        if by_set {
            let key = (
                batch.metadata.get(row).copied().unwrap_or(u32::MAX),
                batch.derived.get(row).copied().unwrap_or(u32::MAX),
            );
            let group = match self.groups.get(&key) {
                Some(group) => *group,
                None => {
                    let group = self.group(batch, row, sink)?;
                    self.groups.insert(key, group);
                    group
                }
            };
            let value = match self.parts.value {
                SampleValue::Length => f64::from(batch.line_lengths.get(row).copied().unwrap_or(0)),
                _ => 1.0,
            };
            sink.sample(group, time, value);
            return Ok(());
        }
        let key = (
            batch.metadata.get(row).copied().unwrap_or(u32::MAX),
            batch.derived.get(row).copied().unwrap_or(u32::MAX),
        );
        let line = batch.lines.as_ref().map(|lines| lines.value(row)).unwrap_or_default();
        let beginning = match self.beginnings.find(key) {
            Some(number) => Some(number),
            None => {
                start_row(&mut self.row, batch, row);
                let kept = KeptBeginning {
                    begins: self.row.beginning(),
                    can_judge: self.judge.as_ref().is_some_and(|judge| judge.can_judge(&self.row)),
                    group: None,
                    has_error: self.row.has_error(),
                };
                self.beginnings.keep(key, kept)
            }
        };
        if let Some(number) = beginning {
            if self.judged(number, line, time, sink)? {
                return Ok(());
            }
            self.row.begin_with(&self.beginnings.kept[number].begins);
        }
        if !self.parts.pipeline.process(&mut self.row, time, line) {
            return Ok(());
        }
        let line_len = batch.line_lengths.get(row).copied().unwrap_or(0);
        let Some(value) = self.value(line, line_len) else {
            return Ok(());
        };
        self.refuse_error(time, sink)?;
        std::mem::swap(&mut self.labels, &mut self.last_labels);
        self.encode();
        if self.row.has_parsed_error() {
            self.refuse_parsed_error(time, sink)?;
        }
        let group = match self.last_group {
            // Neighbours mostly are of one group.
            Some(group) if self.labels == self.last_labels => group,
            _ => sink.group(&self.labels)?,
        };
        self.last_group = Some(group);
        sink.sample(group, time, value);
        Ok(())
    }

    /// Whether a line of this beginning was settled without parsing it.
    fn judged(&mut self, number: usize, line: &[u8], time: i64, sink: &mut dyn SampleSink) -> Result<bool, QueryError> {
        let (Some(judge), Some(kept)) = (&mut self.judge, self.beginnings.kept.get_mut(number)) else {
            return Ok(false);
        };
        if !kept.can_judge {
            return Ok(false);
        }
        match self.parts.pipeline.verdict(judge, line) {
            Verdict::Drop => Ok(true),
            Verdict::Keep if self.parts.counts_by_stream() && !kept.has_error => {
                let group = match kept.group {
                    Some(group) => group,
                    None => {
                        self.row.begin_with(&kept.begins);
                        self.encode();
                        let group = sink.group(&self.labels)?;
                        self.last_group = Some(group);
                        self.beginnings.kept[number].group = Some(group);
                        group
                    }
                };
                sink.sample(group, time, 1.0);
                Ok(true)
            }
            Verdict::Keep | Verdict::Unknown => Ok(false),
        }
    }

    /// The group of a row that no stage but the first line filters touches.
    fn group(&mut self, batch: &LogBatch, row: usize, sink: &mut dyn SampleSink) -> Result<u32, QueryError> {
        start_row(&mut self.row, batch, row);
        self.encode();
        sink.group(&self.labels)
    }

    fn value(&mut self, input: &[u8], input_len: u32) -> Option<f64> {
        let parts = Arc::clone(&self.parts);
        match &parts.value {
            SampleValue::One => Some(1.0),
            // Without the lines no stage can have changed them.
            SampleValue::Length if input.is_empty() && self.row.line(input).is_empty() => {
                Some(if parts.pipeline.reads_lines() {
                    0.0
                } else {
                    f64::from(input_len)
                })
            }
            SampleValue::Length => Some(self.row.line(input).len() as f64),
            SampleValue::Label {
                name,
                conversion,
                filters,
            } => {
                let text = self.row.get(name).filter(|t| !t.is_empty())?;
                let number = match conversion {
                    Conversion::Float => units::parse_float(text),
                    Conversion::Bytes => units::parse_bytes(text).map(|b| b as f64),
                    Conversion::Duration | Conversion::DurationSeconds => {
                        units::parse_go_duration(text).map(|ns| ns as f64 / 1e9)
                    }
                };
                let number = number.unwrap_or_else(|details| {
                    self.row.set_error(SAMPLE_ERROR);
                    self.row.set_error_details(&details);
                    0.0
                });
                filters.iter().all(|f| f.passes(&mut self.row)).then_some(number)
            }
        }
    }

    /// A line with an error inside some window fails the query, unless it asked for errors.
    fn refuse_error(&mut self, time: i64, sink: &dyn SampleSink) -> Result<(), QueryError> {
        if !self.row.has_error() || self.row.get(PRESERVE_ERROR) == Some("true") || !sink.is_seen(time) {
            return Ok(());
        }
        self.labels.clear();
        self.row.encode(&mut self.labels, true, |_, _| true);
        Err(pipeline_error(self.row.error(), &self.labels))
    }

    /// The same where no stage failed and the group has a label of that name, which a parser found in the line: Loki looks at
    /// the labels alone (loki `pkg/logql/evaluator.go`, `RangeVectorEvaluator`).
    fn refuse_parsed_error(&self, time: i64, sink: &dyn SampleSink) -> Result<(), QueryError> {
        let labels = decode_pairs(&self.labels);
        let value = |name: &str| labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match value(ERROR) {
            Some(error) if value(PRESERVE_ERROR) != Some("true") && sink.is_seen(time) => {
                Err(pipeline_error(error, &self.labels))
            }
            _ => Ok(()),
        }
    }

    /// Writes the labels of the row's group.
    fn encode(&mut self) {
        let parts = &self.parts;
        self.labels.clear();
        if self.row.has_error() {
            self.row.encode(&mut self.labels, parts.keeps_empty, |_, _| true);
        } else if parts.no_labels {
        } else if parts.groups.is_empty() {
            self.row.encode(&mut self.labels, parts.keeps_empty, |_, _| true);
        } else if parts.without {
            self.row.encode(&mut self.labels, parts.keeps_empty, |_, name| {
                !parts.groups.iter().any(|g| g == name)
            });
        } else {
            self.row.encode_by(&mut self.labels, &parts.groups);
        }
    }
}
