//! The way in: text and parameters of a LogQL query to its answer.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{BinaryArray, DictionaryArray, RecordBatch};
use futures::TryStreamExt;
use garner_storage::model::{Signal, TenantId, TimeRange, Timestamp};
use garner_storage::scan::{LogOrder, SeriesRequest};

use super::ast::{Expr, LogExpr, MetricExpr};
use super::lower::lower;
use super::output::{LogEntry, LogStream, LogqlOutput, LogqlValue};
use super::parser::{parse, parse_for_printing};
use super::pipeline::decode_pairs;
use super::selector::LineSelector;
use super::{matchers, printer};
use crate::admission::Turn;
use crate::context::QueryContext;
use crate::engine::{Engine, EngineQuery, QueryOptions};
use crate::error::{QueryError, QueryErrorKind};
use crate::operators::exec::{OperatorExec, Plan};
use crate::operators::gather::Gather;
use crate::operators::log_select::LogSelect;
use crate::output::Value;
use crate::plan::Steps;
use crate::results::{AskedTimes, Language};

/// Lines below which a log query runs in one partition.
const MIN_ROWS_TO_SPLIT: u64 = 8_000;

/// What a request asks beside its text and times.
#[derive(Clone, Copy, Debug)]
pub struct LogqlOptions {
    /// Most lines of a log query.
    pub limit: usize,
    /// From which end lines come.
    pub order: LogOrder,
    /// Least distance of two lines of a log query in nanoseconds, among the first `limit` lines; 0 keeps all.
    pub interval_ns: i64,
    /// Tells labels apart by where they come from.
    pub categorize_labels: bool,
    /// Most series of a metric query; 0 means no limit.
    pub max_series: usize,
    /// Answers with the first `max_series` series and a warning instead of an error (Logs Drilldown).
    pub partial_series: bool,
    /// A shorter timeout.
    pub timeout: Option<std::time::Duration>,
}

impl Default for LogqlOptions {
    fn default() -> Self {
        LogqlOptions {
            limit: 100,
            order: LogOrder::Backward,
            interval_ns: 0,
            categorize_labels: false,
            max_series: 500,
            partial_series: false,
            timeout: None,
        }
    }
}

/// The query printed for reading (`/loki/api/v1/format_query`).
pub fn format_query(text: &str) -> Result<String, QueryError> {
    Ok(printer::prettify(&parse_for_printing(text)?))
}

impl Engine {
    /// A LogQL metric query at one time; log queries are refused, as in Loki.
    pub async fn logql_instant(
        &self,
        tenant: &TenantId,
        text: &str,
        time_ns: Timestamp,
        options: LogqlOptions,
    ) -> Result<LogqlOutput, QueryError> {
        match parse(text)? {
            Expr::Log(_) => Err(QueryError::bad_data(
                "log queries are not supported as an instant query type, please change your query to a range query type",
            )),
            Expr::Metric(metric) => {
                self.metric(tenant, text, &metric, Steps::instant(time_ns), false, options)
                    .await
            }
        }
    }

    /// A LogQL query over a range: lines with `start_ns <= time < end_ns`, or a metric at each step, the first and last
    /// being multiples of the step around the range, as in Loki.
    pub async fn logql_range(
        &self,
        tenant: &TenantId,
        text: &str,
        start_ns: Timestamp,
        end_ns: Timestamp,
        step_ns: i64,
        options: LogqlOptions,
    ) -> Result<LogqlOutput, QueryError> {
        match parse(text)? {
            Expr::Log(log) => {
                let range = TimeRange::new(start_ns, end_ns);
                let lines = |turn| self.lines(tenant, &log, range, options, turn);
                self.in_turn(tenant, options.timeout, lines).await
            }
            Expr::Metric(metric) => {
                let step_ns = step_ns.max(1);
                let first = start_ns - start_ns.rem_euclid(step_ns);
                let last = end_ns.saturating_add((-end_ns).rem_euclid(step_ns));
                let max_points = i64::from(self.limits().max_points_per_series);
                if last.saturating_sub(first) / step_ns > max_points.saturating_add(1) {
                    return Err(QueryError::bad_data(
                        "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of \
                         the step parameter",
                    ));
                }
                self.metric(tenant, text, &metric, Steps::range(first, last, step_ns), true, options)
                    .await
            }
        }
    }

    async fn metric(
        &self,
        tenant: &TenantId,
        text: &str,
        metric: &MetricExpr,
        steps: Steps,
        range: bool,
        options: LogqlOptions,
    ) -> Result<LogqlOutput, QueryError> {
        let plan = lower(metric)?;
        let ask = EngineQuery {
            tenant,
            language: Language::Logql,
            text,
            // Lowering sees none.
            times: AskedTimes::instant(steps.start_ns),
            plan: &plan,
            steps,
            range,
            options: QueryOptions {
                timeout: options.timeout,
                ..QueryOptions::default()
            },
        };
        let mut output = self.run(ask).await.map_err(as_loki_says)?;
        let mut warnings: Vec<String> = output.stats.damage_warning().into_iter().collect();
        limit_series(&mut output.value, &options, &mut warnings)?;
        Ok(LogqlOutput {
            value: LogqlValue::Metric(output.value),
            warnings,
            stats: output.stats,
        })
    }

    /// The lines of a log query that has its turn.
    pub(crate) async fn lines(
        &self,
        tenant: &TenantId,
        log: &LogExpr,
        range: TimeRange,
        options: LogqlOptions,
        turn: Turn,
    ) -> Result<LogqlOutput, QueryError> {
        let request = SeriesRequest {
            signal: Signal::Logs,
            matchers: matchers::compile_all(&log.matchers)?,
            range,
        };
        let filter = Arc::new(LineSelector::compile(log)?);
        let query = self.turn_context(tenant, turn, QueryOptions::default())?;
        let selection = query.select_logs(&request).await?;
        let split = selection.estimated_rows() >= MIN_ROWS_TO_SPLIT && selection.stream_count() > 1;
        let plan = OperatorExec::plan(LogSelect {
            tenant: tenant.clone(),
            request: request.clone(),
            filter,
            order: options.order,
            limit: options.limit,
            partitions: if split { query.target_partitions() } else { 1 },
            rows: usize::try_from(selection.estimated_rows()).unwrap_or(usize::MAX),
        });
        let streams = self
            .collect_lines(Gather::one_partition(plan), &query, &options)
            .await?;
        let stats = self.stats(&query, turn.started_ns, turn.waited_ns);
        Ok(LogqlOutput {
            value: LogqlValue::Streams(streams),
            warnings: stats.damage_warning().into_iter().collect(),
            stats,
        })
    }

    /// Merges the partitions' lines in time and groups them into streams.
    async fn collect_lines(
        &self,
        plan: Plan,
        query: &Arc<QueryContext>,
        options: &LogqlOptions,
    ) -> Result<Vec<LogStream>, QueryError> {
        let task = self.task(query);
        let batches: Vec<RecordBatch> = plan.execute(0, task)?.try_collect().await?;
        let mut rows: Vec<(Timestamp, usize, usize)> = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            let times = batch.column(0).as_primitive::<Int64Type>().values();
            rows.extend(times.iter().enumerate().map(|(row, time)| (*time, at, row)));
        }
        match options.order {
            LogOrder::Forward | LogOrder::Streams | LogOrder::Any => {
                rows.sort_by_key(|(time, at, row)| (*time, *at, *row))
            }
            LogOrder::Backward => rows.sort_by_key(|(time, at, row)| (std::cmp::Reverse(*time), *at, *row)),
        }
        rows.truncate(options.limit);
        thin_out(&mut rows, options.interval_ns);
        let mut streams = Streams::default();
        let mut readers: Vec<BatchReader<'_>> = batches.iter().map(BatchReader::new).collect();
        for (time_ns, at, row) in rows {
            let reader = &mut readers[at];
            let stream = reader.stream(row, options.categorize_labels, &mut streams);
            let mut entry = reader.entry(row, options.categorize_labels);
            entry.time_ns = time_ns;
            streams.entries[stream].push(entry);
        }
        Ok(streams.sorted())
    }
}

/// The text of a line: each byte that is no UTF-8 becomes U+FFFD, as in Go's JSON.
pub(super) fn printable(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_string(),
        Err(_) => line
            .utf8_chunks()
            .flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().map(|_| '\u{fffd}')))
            .collect(),
    }
}

/// Keeps rows that lie at least `interval_ns` from the one kept before. Loki does this after the limit, so an answer can
/// have fewer lines than the limit although more would fit.
fn thin_out(rows: &mut Vec<(Timestamp, usize, usize)>, interval_ns: i64) {
    if interval_ns <= 0 {
        return;
    }
    let mut last: Option<Timestamp> = None;
    rows.retain(|(time, _, _)| {
        let keep = last.is_none_or(|l| time.abs_diff(l) >= interval_ns.unsigned_abs());
        if keep {
            last = Some(*time);
        }
        keep
    });
}

/// The streams of an answer, by label set.
#[derive(Default)]
struct Streams {
    places: BTreeMap<Vec<(String, String)>, usize>,
    entries: Vec<Vec<LogEntry>>,
}

impl Streams {
    fn place(&mut self, labels: Vec<(String, String)>) -> usize {
        *self.places.entry(labels).or_insert_with(|| {
            self.entries.push(Vec::new());
            self.entries.len() - 1
        })
    }

    fn sorted(mut self) -> Vec<LogStream> {
        let streams = self.places.into_iter().map(|(labels, place)| LogStream {
            labels,
            entries: std::mem::take(&mut self.entries[place]),
        });
        streams.collect()
    }
}

/// Label sets of one row: stream, metadata, parsed, by dictionary keys.
type SetKeys = (u32, u32, u32);

/// Reads the rows of a batch; label sets are put together once for each combination of keys, not for each row.
struct BatchReader<'a> {
    lines: &'a BinaryArray,
    sets: [&'a DictionaryArray<UInt32Type>; 3],
    places: HashMap<SetKeys, usize, ahash::RandomState>,
}

impl<'a> BatchReader<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        BatchReader {
            lines: batch.column(1).as_binary::<i32>(),
            sets: [2, 3, 4].map(|column| batch.column(column).as_dictionary::<UInt32Type>()),
            places: HashMap::default(),
        }
    }

    fn key(&self, set: usize, row: usize) -> u32 {
        self.sets[set].keys().value(row)
    }

    fn pairs(&self, set: usize, key: u32) -> Vec<(String, String)> {
        decode_pairs(self.sets[set].values().as_binary::<i32>().value(key as usize))
    }

    /// The stream of a row: by all its labels, or where labels are told apart by those of its stream.
    fn stream(&mut self, row: usize, categorize: bool, streams: &mut Streams) -> usize {
        let keys = match categorize {
            true => (self.key(0, row), u32::MAX, u32::MAX),
            false => (self.key(0, row), self.key(1, row), self.key(2, row)),
        };
        if let Some(place) = self.places.get(&keys) {
            return *place;
        }
        let mut labels = self.pairs(0, keys.0);
        if !categorize {
            labels.extend(self.pairs(1, keys.1));
            labels.extend(self.pairs(2, keys.2));
            labels.sort();
        }
        let place = streams.place(labels);
        self.places.insert(keys, place);
        place
    }

    fn entry(&self, row: usize, categorize: bool) -> LogEntry {
        let pairs = |set: usize| match categorize {
            true => self.pairs(set, self.key(set, row)),
            false => Vec::new(),
        };
        LogEntry {
            time_ns: 0,
            line: printable(self.lines.value(row)),
            metadata: pairs(1),
            parsed: pairs(2),
        }
    }
}

/// Refuses (or cuts) answers with more series than allowed.
fn limit_series(value: &mut Value, options: &LogqlOptions, warnings: &mut Vec<String>) -> Result<(), QueryError> {
    let max = options.max_series;
    let count = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        _ => 0,
    };
    if max == 0 || count <= max {
        return Ok(());
    }
    if !options.partial_series {
        return Err(QueryError::new(
            QueryErrorKind::Limit,
            format!(
                "maximum number of series ({max}) reached for a single query; consider reducing query cardinality by \
                 adding more specific stream selectors, reducing the time range, or aggregating results with \
                 functions like sum(), count() or topk()"
            ),
        ));
    }
    warnings.push(format!(
        "maximum number of series ({max}) reached for a single query; returning partial results"
    ));
    match value {
        Value::Vector(samples) => samples.truncate(max),
        Value::Matrix(series) => series.truncate(max),
        _ => {}
    }
    Ok(())
}

/// Loki's words for failures of shared operators.
fn as_loki_says(error: QueryError) -> QueryError {
    let text = error.message();
    if text.starts_with("found duplicate series for the match group") {
        let side = if text.contains(" on the left hand-side") {
            "left"
        } else {
            "right"
        };
        return QueryError::execution(format!(
            "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching labels must \
             be unique on one side"
        ));
    }
    error
}
