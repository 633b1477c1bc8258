//! A pipeline ready to run: line filters first, inside the scan, then the other stages line by line.

use std::sync::Arc;

use garner_storage::scan::{LineFilter, LineSlice, LogBatch};

use super::hints::Hints;
use super::json_filter::{JsonFilters, JsonJudge, Verdict};
use super::label_filter::Filter;
use super::line_filter::LineMatches;
use super::row::Row;
use super::stages::{Outcome, Step};
use crate::logql::ast::{LabelFilter, Stage};
use crate::logql::error::ParseError;

/// A compiled pipeline.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// Line filters that stand before any stage that changes the line.
    first: Arc<LineMatches>,
    steps: Vec<Step>,
    hints: Hints,
    /// Label filters that can be tried before `steps`.
    json_filters: Option<JsonFilters>,
}

/// What the answer needs of a line's labels.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Labels of `by` or `without`.
    pub groups: Vec<String>,
    /// `without`.
    pub without: bool,
    /// Nothing at all.
    pub no_labels: bool,
    /// The unwrapped label.
    pub value: Option<String>,
    /// Label filters after the unwrap.
    pub filters_after: Vec<LabelFilter>,
}

impl Pipeline {
    /// Compiles stages.
    pub fn compile(stages: &[Stage], wanted: &Wanted) -> Result<Self, ParseError> {
        let mut steps = Vec::with_capacity(stages.len());
        for stage in reorder(stages) {
            match Step::compile(&stage)? {
                Step::LabelFilter(Filter::Always) => {}
                step => steps.push(step),
            }
        }
        let mut used = Vec::new();
        let mut filters = Vec::new();
        for step in &steps {
            step.labels(&mut used);
            if let Step::LabelFilter(filter) = step {
                push_hint_filter(filter, &mut filters);
            }
        }
        for filter in &wanted.filters_after {
            let compiled = Filter::compile(filter).map_err(ParseError::new)?;
            compiled.labels(&mut used);
            if wanted.filters_after.len() == 1 {
                push_hint_filter(&compiled, &mut filters);
            }
        }
        let hints = Hints::new(
            &used,
            &wanted.groups,
            wanted.without,
            wanted.no_labels,
            wanted.value.as_deref(),
            filters,
        );
        let first = match steps.first_mut() {
            Some(Step::Lines(filters)) => std::mem::take(filters),
            _ => Vec::new(),
        };
        if !first.is_empty() {
            steps.remove(0);
        }
        let first = Arc::new(LineMatches::new(first));
        Ok(Pipeline {
            first,
            json_filters: JsonFilters::of(&steps),
            steps,
            hints,
        })
    }

    /// Whether some stage behind the first line filters looks at the line.
    pub fn reads_lines(&self) -> bool {
        self.steps.iter().any(Step::reads_line)
    }

    /// The first line filters, for the scan.
    pub fn scan_filter(&self) -> Option<Arc<dyn LineFilter>> {
        (!self.first.is_empty()).then(|| Arc::clone(&self.first) as Arc<dyn LineFilter>)
    }

    /// Whether stages stand behind the first line filters.
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The rows of a batch of unfiltered lines that pass the first line filters, ascending.
    pub fn select(&self, batch: &LogBatch, selected: &mut Vec<u32>) {
        match &batch.lines {
            Some(lines) if !self.first.is_empty() => {
                let lines = LineSlice {
                    data: lines.value_data(),
                    offsets: lines.value_offsets(),
                };
                self.first.select(lines, selected);
            }
            _ => {
                selected.clear();
                selected.extend(0..batch.len() as u32);
            }
        }
    }

    /// Whether a line passes the first line filters.
    pub fn passes_first(&self, line: &[u8]) -> bool {
        self.first.passes(line)
    }

    /// Who can tell of some lines whether they will be dropped, before [`Pipeline::process`].
    pub fn judge(&self) -> Option<JsonJudge> {
        self.json_filters.as_ref().map(JsonJudge::new)
    }

    #[cfg(test)]
    pub(super) fn json_filters(&self) -> Option<&JsonFilters> {
        self.json_filters.as_ref()
    }

    /// What the judge says of a line whose row has begun as [`JsonJudge::can_judge`] asks.
    pub fn verdict(&self, judge: &mut JsonJudge, line: &[u8]) -> Verdict {
        judge.judge(line, &self.hints)
    }

    /// Runs the stages behind the first line filters on a row whose stream and metadata are set; false where the line
    /// is dropped. The line afterwards is [`Row::line`].
    pub fn process(&self, row: &mut Row, time_ns: i64, input: &[u8]) -> bool {
        for step in &self.steps {
            let buffer = std::mem::take(&mut row.buffers.line);
            let line = if row.buffers.changed { buffer.as_slice() } else { input };
            let outcome = step.apply(row, time_ns, line, &self.hints);
            match outcome {
                Outcome::Keep => row.buffers.line = buffer,
                Outcome::Drop => {
                    row.buffers.line = buffer;
                    return false;
                }
                Outcome::Line(line) => {
                    row.buffers.spare = buffer;
                    row.buffers.line = line;
                    row.buffers.changed = true;
                }
            }
        }
        true
    }
}

/// Filters on one label can drop a line as soon as a parser sets that label.
fn push_hint_filter(filter: &Filter, into: &mut Vec<(String, Filter)>) {
    if matches!(filter, Filter::And(..) | Filter::Or(..) | Filter::Always) {
        return;
    }
    let mut labels = Vec::new();
    filter.labels(&mut labels);
    into.extend(labels.into_iter().map(|l| (l, filter.clone())));
}

/// Moves line filters ahead of parsers, as far as no stage in between changes the line or filters by labels.
fn reorder(stages: &[Stage]) -> Vec<Stage> {
    let mut out = Vec::new();
    let mut lines = Vec::new();
    let mut others = Vec::new();
    let flush = |lines: &mut Vec<_>, others: &mut Vec<Stage>, out: &mut Vec<Stage>| {
        if !lines.is_empty() {
            out.push(Stage::LineFilters(std::mem::take(lines)));
        }
        out.append(others);
    };
    for stage in stages {
        match stage {
            Stage::LabelFilter(_) => {
                flush(&mut lines, &mut others, &mut out);
                out.push(stage.clone());
            }
            Stage::LineFilters(filters) => lines.extend(filters.iter().cloned()),
            Stage::LineFormat(_) | Stage::Unpack => {
                others.push(stage.clone());
                flush(&mut lines, &mut others, &mut out);
            }
            _ => others.push(stage.clone()),
        }
    }
    flush(&mut lines, &mut others, &mut out);
    out
}
