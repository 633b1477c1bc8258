//! What holds for every LogQL text and for every line that a pipeline meets, however odd. The fuzz targets `logql` and
//! `pipeline` call this, and tests replay their corpora.

use arrow_array::BinaryArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use garner_storage::deletes::EntryFilterCompiler;
use garner_storage::model::Labels;
use garner_storage::scan::{LineSlice, LogBatch, LogRead};

use super::ast::{Expr, LogExpr, MetricExpr};
use super::deletes::{DeleteQuery, LogqlEntryFilters};
use super::lines::LogqlLines;
use super::lower::lower;
use super::parser::{parse, parse_log_selector, parse_matchers, parse_unvalidated_log_selector};
use super::pipeline::decode_pairs;
use super::printer::{log_expr, prettify, to_string};
use super::run::format_query;
use super::selector::LineSelector;
use crate::error::QueryError;
use crate::operators::log_input::{LineLanguage, LogFilter, LogRows, LogSampler, SampleSink};

/// When the lines of [`check_pipeline`] begin.
const START_NS: i64 = 1_768_003_200_000_000_000;
/// Lines that one input may have.
const MAX_LINES: usize = 16;
/// The byte between the query and each of its lines.
const SEPARATOR: u8 = 0;

/// Parses, prints, lowers and compiles `text`. Panics where what was printed is another query, and nowhere else: plans are
/// sent as text (`operators/wire`).
#[allow(clippy::panic, reason = "a fuzz target reports by panicking")]
pub fn check(text: &str) {
    let _ = parse_matchers(text, false);
    let _ = parse_unvalidated_log_selector(text);
    // A delete that is accepted is stored as text.
    if let Ok(DeleteQuery {
        filter: Some(filter), ..
    }) = DeleteQuery::parse(text)
    {
        assert!(
            LogqlEntryFilters.compile(&filter).is_ok(),
            "{text:?} is kept as {filter:?}, which is refused"
        );
    }
    let _ = format_query(text);
    let Ok(expr) = parse(text) else { return };
    let works = match &expr {
        Expr::Log(log) => LineSelector::compile(log).is_ok(),
        Expr::Metric(metric) => lower(metric).is_ok(),
    };
    if !works {
        return;
    }
    for log in selectors(&expr) {
        let again = log_expr(log);
        match parse_log_selector(&again) {
            Ok(same) if same == *log => {}
            Ok(other) => panic!("{text:?} holds {again:?}, which is {other:?} and not {log:?}"),
            Err(error) if again.len() > text.len() && is_limit(&error.to_string()) => {}
            Err(error) => panic!("{text:?} holds {again:?}, which is refused: {error}"),
        }
    }
    // Of numbers outside of pipelines Loki's text keeps only so much, but it must not change when it is written again.
    let printed = to_string(&expr);
    // What is folded to no number or an infinite one has no literal.
    if ["NaN", "+Inf", "-Inf"].iter().any(|number| printed.contains(number)) {
        return;
    }
    for (form, again) in [("printed", printed.clone()), ("formatted", prettify(&expr))] {
        match parse(&again) {
            Ok(same) if to_string(&same) == printed => {}
            Ok(other) => panic!("{text:?} {form} is {again:?}, which is {}", to_string(&other)),
            // What is printed has more parentheses and spaces, so that it can reach a limit that the text did not.
            Err(error) if again.len() > text.len() && is_limit(&error.to_string()) => {}
            Err(error) => panic!("{text:?} {form} is {again:?}, which is refused: {error}"),
        }
    }
}

/// Every selector with its pipeline.
fn selectors(expr: &Expr) -> Vec<&LogExpr> {
    fn of_metric<'a>(expr: &'a MetricExpr, out: &mut Vec<&'a LogExpr>) {
        match expr {
            MetricExpr::Range { range, .. } => out.push(&range.log),
            MetricExpr::Vector { inner, .. } | MetricExpr::LabelReplace { inner, .. } => of_metric(inner, out),
            MetricExpr::Binary { left, right, .. } => {
                of_metric(left, out);
                of_metric(right, out);
            }
            MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) | MetricExpr::Invalid(_) => {}
        }
    }
    let mut out = Vec::new();
    match expr {
        Expr::Log(log) => out.push(log),
        Expr::Metric(metric) => of_metric(metric, &mut out),
    }
    out
}

fn is_limit(error: &str) -> bool {
    ["nested deeper", "input size too long"]
        .iter()
        .any(|part| error.contains(part))
}

/// Runs a query over lines: `query 0x00 line 0x00 line …`. What becomes of a line must not depend on the lines beside it,
/// and the query written as text and read again must do the same.
pub fn check_pipeline(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == SEPARATOR);
    let Some(Ok(text)) = parts.next().map(std::str::from_utf8) else {
        return;
    };
    let lines: Vec<&[u8]> = parts.take(MAX_LINES).collect();
    match parse(text) {
        Ok(Expr::Log(_)) => check_filter(text, &lines),
        Ok(Expr::Metric(_)) => check_sampler(text, &lines),
        Err(_) => {}
    }
}

fn check_filter(text: &str, lines: &[&[u8]]) {
    let Ok(log) = parse_log_selector(text) else { return };
    let Ok(filter) = LineSelector::compile(&log) else {
        return;
    };
    let together = filtered(&filter, &batch(lines, 0));
    let apart: Result<Vec<_>, QueryError> = (0..lines.len()).map(|at| filtered(&filter, &one(lines, at))).collect();
    assert_alike(text, &together, &apart);
    let again = LogqlLines
        .filter(&filter.text())
        .expect("a filter's text is read again");
    if let (Ok(one), Ok(other)) = (&together, filtered(&*again, &batch(lines, 0))) {
        assert_eq!(*one, other, "{text} and {} differ", filter.text());
    }
}

fn check_sampler(text: &str, lines: &[&[u8]]) {
    let Ok(sampler) = LogqlLines.sampler(text) else { return };
    let together = sampled(&*sampler, &batch(lines, 0));
    let apart: Result<Vec<_>, QueryError> = (0..lines.len()).map(|at| sampled(&*sampler, &one(lines, at))).collect();
    assert_alike(text, &together, &apart);
    let again = LogqlLines
        .sampler(&sampler.text())
        .expect("a sampler's text is read again");
    if let (Ok(one), Ok(other)) = (&together, sampled(&*again, &batch(lines, 0))) {
        assert_eq!(*one, other, "{text} and {} differ", sampler.text());
    }
}

/// What becomes of lines together is what becomes of each apart.
fn assert_alike<T: Clone + PartialEq + std::fmt::Debug>(
    text: &str,
    together: &Result<Vec<T>, QueryError>,
    apart: &Result<Vec<Vec<T>>, QueryError>,
) {
    match (together, apart) {
        (Ok(together), Ok(apart)) => assert_eq!(*together, apart.concat(), "{text}: lines influence each other"),
        _ => assert!(
            together.is_err() && apart.is_err(),
            "{text}: lines influence each other's errors"
        ),
    }
}

/// Lines of one stream with metadata on every other; times begin `first` nanoseconds behind the start.
fn batch(lines: &[&[u8]], first: usize) -> LogBatch {
    let rows = lines.len();
    LogBatch {
        streams: vec![Labels::from_pairs([("app", "x"), ("level", "info"), ("n", "5")])],
        offsets: vec![0, rows as u32],
        timestamps: (0..rows).map(|row| START_NS + (first + row) as i64).collect(),
        lines: Some(BinaryArray::from_iter_values(lines)),
        line_lengths: lines.iter().map(|line| line.len() as u32).collect(),
        metadata_sets: vec![
            Labels::empty(),
            Labels::from_pairs([("n", "7"), ("trace_id", "abc")]),
            Labels::from_pairs([("detected_level", "error")]),
        ],
        metadata: (0..rows).map(|row| ((first + row) % 2) as u32).collect(),
        derived: vec![2; rows],
    }
}

fn one(lines: &[&[u8]], at: usize) -> LogBatch {
    batch(&lines[at..=at], at)
}

/// What a scan hands out of the batch, which has one stream: the rows whose line passes its filter.
fn scanned(read: &LogRead, batch: &LogBatch) -> LogBatch {
    let (Some(filter), Some(lines)) = (&read.filter, &batch.lines) else {
        return batch.clone();
    };
    let mut rows = Vec::new();
    let slice = LineSlice {
        data: lines.value_data(),
        offsets: lines.value_offsets(),
    };
    filter.select(slice, &mut rows);
    let rows = || rows.iter().map(|row| *row as usize);
    let passed = rows().count() as u32;
    LogBatch {
        // No stream comes without rows.
        streams: batch.streams[..usize::from(passed > 0)].to_vec(),
        offsets: if passed > 0 { vec![0, passed] } else { vec![0] },
        timestamps: rows().map(|row| batch.timestamps[row]).collect(),
        lines: Some(BinaryArray::from_iter_values(rows().map(|row| lines.value(row)))),
        line_lengths: rows().map(|row| batch.line_lengths[row]).collect(),
        metadata_sets: batch.metadata_sets.clone(),
        metadata: rows().map(|row| batch.metadata[row]).collect(),
        derived: rows().map(|row| batch.derived[row]).collect(),
    }
}

/// A row of an answer: time, line, and the labels of the stream, of metadata, and parsed ones.
type Answered = (i64, Vec<u8>, [Vec<(String, String)>; 3]);

fn filtered(filter: &dyn LogFilter, batch: &LogBatch) -> Result<Vec<Answered>, QueryError> {
    let batch = &scanned(&filter.read(), batch);
    let mut worker = filter.start();
    worker.begin(batch);
    let mut rows = LogRows::default();
    for row in 0..batch.timestamps.len() {
        worker.row(batch, 0, row, &mut rows)?;
    }
    let found = rows.finish().expect("rows make a batch");
    let times = found.column(0).as_primitive::<Int64Type>();
    let sets = [2, 3, 4].map(|column| found.column(column).as_dictionary::<UInt32Type>());
    Ok((0..found.num_rows())
        .map(|row| {
            let pairs = sets.map(|set| {
                let key = set.keys().value(row) as usize;
                decode_pairs(set.values().as_binary::<i32>().value(key))
            });
            (
                times.value(row),
                found.column(1).as_binary::<i32>().value(row).to_vec(),
                pairs,
            )
        })
        .collect())
}

/// Samples with the labels of their groups.
#[derive(Default)]
struct Samples {
    groups: Vec<Vec<u8>>,
    samples: Vec<(Vec<u8>, i64, u64)>,
}

impl SampleSink for Samples {
    fn group(&mut self, labels: &[u8]) -> Result<u32, QueryError> {
        let known = self.groups.iter().position(|group| group == labels);
        let at = known.unwrap_or_else(|| {
            self.groups.push(labels.to_vec());
            self.groups.len() - 1
        });
        Ok(at as u32)
    }

    fn sample(&mut self, group: u32, time_ns: i64, value: f64) {
        self.samples
            .push((self.groups[group as usize].clone(), time_ns, value.to_bits()));
    }

    fn is_seen(&self, _time_ns: i64) -> bool {
        true
    }

    fn ones(&mut self, group: u32, times_ns: &[i64]) {
        for time_ns in times_ns {
            self.sample(group, *time_ns, 1.0);
        }
    }
}

fn sampled(sampler: &dyn LogSampler, batch: &LogBatch) -> Result<Vec<(Vec<u8>, i64, u64)>, QueryError> {
    let mut sink = Samples::default();
    sampler.start().run(&scanned(&sampler.read(), batch), &mut sink)?;
    Ok(sink.samples)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.collect()
    }

    #[test]
    fn the_corpora_of_the_fuzz_targets_hold() {
        let texts = corpus("logql");
        for text in &texts {
            let text = String::from_utf8_lossy(text);
            eprintln!("{text}");
            check(&text);
        }
        let pipelines = corpus("pipeline");
        for data in &pipelines {
            eprintln!("{}", String::from_utf8_lossy(data));
            check_pipeline(data);
        }
        assert!(
            texts.len() > 50 && pipelines.len() > 50,
            "{} and {}",
            texts.len(),
            pipelines.len()
        );
    }
}
