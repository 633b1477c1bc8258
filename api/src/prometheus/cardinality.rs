//! How many series and values labels have: Mimir's `/api/v1/cardinality/…` and Prometheus' `/api/v1/status/tsdb`.
//!
//! Shapes, orders and texts: mimir docs, "HTTP API", cardinality; prometheus `web/api/v1/api.go`, `serveTSDBStatus`.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use garner_query::promql::parse_metric_selector;
use garner_storage::model::{LabelMatcher, Labels, METRIC_NAME, NANOS_PER_MILLI, NANOS_PER_SECOND, Signal, TimeRange};
use serde_json::{Value, json};

use super::query_ast::success;
use crate::error::{Failure, JsonFailure, TextFailure};
use crate::params::{Params, parse_int};
use crate::server::{Ask, MetadataQuery, SharedApp, prometheus_json, run_query};

/// How far back a series counts as one of the head: as long as Prometheus keeps a block open.
const HEAD_NS: i64 = 2 * 3_600 * NANOS_PER_SECOND;
/// How far back a series counts as active, as in Mimir (`active_series_metrics_idle_timeout`).
const ACTIVE_NS: i64 = 20 * 60 * NANOS_PER_SECOND;
/// Items of a list where no limit is given, and the most that may be asked for, as in Mimir.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: i64 = 500;
/// The same of `/api/v1/status/tsdb`.
const DEFAULT_TSDB_LIMIT: usize = 10;
const MAX_TSDB_LIMIT: i64 = 10_000;

/// `/api/v1/cardinality/label_names`
pub async fn label_names(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let (matchers, limit, back) = (selector(&ask.params)?, limit(&ask.params)?, count_method(&ask.params)?);
    let query = recent(&app, &ask, matchers, back);
    let data = run_query(&app, async move {
        let series = query.series().await?;
        let counts = Counts::of(&series);
        let names = most(
            counts.values.iter().map(|(name, v)| (*name, v.len() as u64)),
            usize::MAX,
        );
        let total: u64 = names.iter().map(|(_, count)| count).sum();
        let item = |(name, count): &(&str, u64)| json!({"label_name": name, "label_values_count": count});
        Ok::<_, Failure>(json!({
            "label_values_count_total": total,
            "label_names_count": names.len(),
            "cardinality": names.iter().take(limit).map(item).collect::<Vec<_>>(),
        }))
    });
    Ok(prometheus_json(data.await?.to_string()))
}

/// `/api/v1/cardinality/label_values`
pub async fn label_values(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let mut names: Vec<String> = ask.params.all("label_names[]").map(str::to_string).collect();
    if names.is_empty() {
        return Err(Failure::bad_data("'label_names[]' param is required").into());
    }
    if names.iter().any(String::is_empty) {
        return Err(Failure::bad_data("invalid 'label_names' param ''").into());
    }
    names.sort();
    names.dedup();
    let (matchers, limit, back) = (selector(&ask.params)?, limit(&ask.params)?, count_method(&ask.params)?);
    let query = recent(&app, &ask, matchers, back);
    let data = run_query(&app, async move {
        let series = query.series().await?;
        let counts = Counts::of(&series);
        let mut labels: Vec<(u64, Value)> = Vec::new();
        for name in &names {
            let Some(values) = counts.values.get(name.as_str()) else {
                continue;
            };
            let with_label: u64 = values.values().sum();
            let item = |(value, count): (&str, u64)| json!({"label_value": value, "series_count": count});
            let shown = most(values.iter().map(|(v, c)| (*v, *c)), limit).into_iter().map(item);
            labels.push((
                with_label,
                json!({
                    "label_name": name,
                    "label_values_count": values.len(),
                    "series_count": with_label,
                    "cardinality": shown.collect::<Vec<_>>(),
                }),
            ));
        }
        labels.sort_by_key(|(count, _)| Reverse(*count));
        Ok::<_, Failure>(json!({
            "series_count_total": series.len(),
            "labels": labels.into_iter().map(|(_, label)| label).collect::<Vec<_>>(),
        }))
    });
    Ok(prometheus_json(data.await?.to_string()))
}

/// `/api/v1/cardinality/active_series`
pub async fn active_series(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    if ask.params.all("selector").next().is_none() {
        return Err(Failure::bad_data("missing 'selector' parameter").into());
    }
    let query = recent(&app, &ask, selector(&ask.params)?, ACTIVE_NS);
    let series = crate::server::answer(&app, query.series(), ActiveSeries::new, prometheus_json).await?;
    Ok(series)
}

/// `/api/v1/status/tsdb`. The head is the series of the last two hours; chunks are not counted.
pub async fn tsdb(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    let limit = match ask.params.get("limit") {
        "" => DEFAULT_TSDB_LIMIT,
        text => match parse_int("Atoi", text) {
            Ok(limit) if limit > MAX_TSDB_LIMIT => {
                return Err(Failure::bad_data(format!("limit must not exceed {MAX_TSDB_LIMIT}")).into());
            }
            Ok(limit) if limit > 0 => limit as usize,
            _ => return Err(Failure::bad_data("limit must be a positive number").into()),
        },
    };
    let now = app.clock.now();
    let query = recent(&app, &ask, Vec::new(), HEAD_NS);
    let data = run_query(&app, async move {
        let series = query.series().await?;
        let counts = Counts::of(&series);
        let list = |items: Vec<(String, u64)>| -> Value {
            items
                .into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect()
        };
        let metrics = counts.values.get(METRIC_NAME);
        let pairs = counts
            .values
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |(value, count)| ((*name, *value), *count)));
        let bytes = |name: &str, values: &HashMap<&str, u64>| -> u64 {
            values
                .iter()
                .map(|(value, count)| (name.len() + value.len()) as u64 * count)
                .sum()
        };
        let owned = |(name, count): (&str, u64)| (name.to_string(), count);
        let by_metric = most(metrics.into_iter().flatten().map(|(n, c)| (*n, *c)), limit);
        let by_label = most(counts.values.iter().map(|(n, v)| (*n, v.len() as u64)), limit);
        let memory = most(counts.values.iter().map(|(n, v)| (*n, bytes(n, v))), limit);
        let by_pair = most(pairs, limit);
        Ok::<_, Failure>(json!({
            "headStats": {
                "numSeries": series.len(),
                "numLabelPairs": counts.values.values().map(HashMap::len).sum::<usize>(),
                "chunkCount": 0,
                "minTime": now.saturating_sub(HEAD_NS).div_euclid(NANOS_PER_MILLI),
                "maxTime": now.div_euclid(NANOS_PER_MILLI),
            },
            "seriesCountByMetricName": list(by_metric.into_iter().map(owned).collect()),
            "labelValueCountByLabelName": list(by_label.into_iter().map(owned).collect()),
            "memoryInBytesByLabelName": list(memory.into_iter().map(owned).collect()),
            "seriesCountByLabelValuePair": list(
                by_pair.into_iter().map(|((name, value), count)| (format!("{name}={value}"), count)).collect()
            ),
        }))
    });
    Ok(success(data.await?))
}

/// Series per value per label.
struct Counts<'a> {
    values: HashMap<&'a str, HashMap<&'a str, u64>>,
}

impl<'a> Counts<'a> {
    fn of(series: &'a [Labels]) -> Self {
        let mut values: HashMap<&str, HashMap<&str, u64>> = HashMap::new();
        for (name, value) in series.iter().flat_map(Labels::iter) {
            *values.entry(name).or_default().entry(value).or_default() += 1;
        }
        Counts { values }
    }
}

/// The `limit` items with the highest counts, equal ones by name.
fn most<N: Ord + Copy>(items: impl Iterator<Item = (N, u64)>, limit: usize) -> Vec<(N, u64)> {
    let mut items: Vec<(N, u64)> = items.collect();
    items.sort_unstable_by_key(|(name, count)| (Reverse(*count), *name));
    items.truncate(limit);
    items
}

/// The series that may have samples since `back` nanoseconds ago.
fn recent(app: &SharedApp, ask: &Ask, matchers: Vec<LabelMatcher>, back: i64) -> MetadataQuery {
    let now = app.clock.now();
    let range = TimeRange::closed(now.saturating_sub(back), i64::MAX);
    MetadataQuery::new(app, &ask.tenant, Signal::Metrics, range, vec![matchers])
}

fn selector(params: &Params) -> Result<Vec<LabelMatcher>, Failure> {
    let mut selectors = params.all("selector");
    match (selectors.next(), selectors.next()) {
        (None, _) => Ok(Vec::new()),
        (Some(text), None) => {
            parse_metric_selector(text).map_err(|error| Failure::bad_data(format!("failed to parse selector: {error}")))
        }
        _ => Err(Failure::bad_data("multiple 'selector' params are not allowed")),
    }
}

fn limit(params: &Params) -> Result<usize, Failure> {
    let mut limits = params.all("limit");
    match (limits.next(), limits.next()) {
        (None, _) => Ok(DEFAULT_LIMIT),
        (Some(text), None) => match parse_int("Atoi", text).map_err(Failure::bad_data)? {
            limit if limit < 0 => Err(Failure::bad_data("'limit' param cannot be less than '0'")),
            limit if limit > MAX_LIMIT => Err(Failure::bad_data(format!(
                "'limit' param cannot be greater than '{MAX_LIMIT}'"
            ))),
            limit => Ok(limit as usize),
        },
        _ => Err(Failure::bad_data("multiple 'limit' params are not allowed")),
    }
}

/// How far back to count.
fn count_method(params: &Params) -> Result<i64, Failure> {
    match params.get("count_method") {
        "" | "inmemory" => Ok(HEAD_NS),
        "active" => Ok(ACTIVE_NS),
        other => Err(Failure::bad_data(format!(
            "invalid 'count_method' param '{other}'. valid options are: [active,inmemory]"
        ))),
    }
}

/// Writes `{"data":[…]}`.
struct ActiveSeries {
    series: std::vec::IntoIter<Labels>,
    begun: bool,
}

impl ActiveSeries {
    fn new(series: Vec<Labels>) -> Self {
        ActiveSeries {
            series: series.into_iter(),
            begun: false,
        }
    }
}

impl crate::server::Encode for ActiveSeries {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let first = !self.begun;
        if first {
            self.begun = true;
            out.extend_from_slice(br#"{"data":["#);
        }
        let Some(labels) = self.series.next() else {
            out.extend_from_slice(b"]}");
            return false;
        };
        if !first {
            out.push(b',');
        }
        crate::json::push_labels(out, &labels);
        true
    }
}
