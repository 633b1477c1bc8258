//! `/loki/api/v1/index/stats`, `/index/volume` and `/index/volume_range`: how much a selector holds, from the store's own
//! counts (loki `pkg/loghttp/params.go`, `pkg/storage/stores/index/seriesvolume`).

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use garner_query::admission::Turn;
use garner_query::output::QueryStats;
use garner_storage::model::{LabelMatcher, Labels, MatchOp, NANOS_PER_MILLI, Signal, TimeRange};
use garner_storage::scan::{SeriesRequest, StreamVolume, Volume, VolumeGrid};

use super::options::limited_range;
use super::params::{direction, interval, limit, step, time};
use super::selectors::matchers;
use super::stats::push_stats;
use crate::error::{Failure, TextFailure};
use crate::json::{push_int, push_seconds, push_string};
use crate::server::{App, ReadAsk, SharedApp, Written, answer, loki_json};
use crate::tenant::Tenants;

/// Groups of each step where a request names no limit (loki `pkg/storage/stores/index/seriesvolume`).
const DEFAULT_LIMIT: usize = 100;
/// Means every stream, where others say so by leaving the selector out.
const MATCH_ANY: &str = "{}";

/// Streams, chunks, bytes and entries of a selector.
pub async fn stats(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let matchers = matchers(ask.params.get("query"))?;
    let work = volumes(app.clone(), ask.tenants, matchers, range, 0);
    let encode = |(streams, _): (Vec<StreamVolume>, QueryStats)| Written(total_volume(&streams));
    Ok(answer(&app, work, encode, loki_json).await?)
}

/// Streams, chunks, bytes and entries as an object.
pub(super) fn total_volume(streams: &[StreamVolume]) -> Vec<u8> {
    let mut total = Volume::default();
    streams.iter().for_each(|stream| total.add(stream.total()));
    let parts: u64 = streams.iter().map(|stream| u64::from(stream.parts)).sum();
    let figures = [
        (r#"{"streams":"#, streams.len() as u64),
        (r#","chunks":"#, parts),
        (r#","bytes":"#, total.bytes),
        (r#","entries":"#, total.rows),
    ];
    let mut out = Vec::new();
    for (name, figure) in figures {
        out.extend_from_slice(name.as_bytes());
        push_int(&mut out, i64::try_from(figure).unwrap_or(i64::MAX));
    }
    out.push(b'}');
    out
}

/// Bytes by labels over the whole range.
pub async fn volume(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    volume_answer(app, ask, false).await
}

/// Bytes by labels at each step.
pub async fn volume_range(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    volume_answer(app, ask, true).await
}

async fn volume_answer(app: SharedApp, ask: ReadAsk, steps: bool) -> Result<Response, TextFailure> {
    let closed = limited_range(&app, &ask.params)?;
    // Loki leaves the end itself out here; it is the time of the last step.
    let range = TimeRange::new(closed.start, closed.end - 1);
    // No groups wanted means the default.
    let limit = match ask.params.get("limit") {
        "0" => DEFAULT_LIMIT,
        _ => limit(&ask.params)? as usize,
    };
    // What a query over the same range or at one time would be refused for is refused here too.
    direction(&ask.params)?;
    let step_ns = if steps {
        interval(&ask.params)?;
        step(&ask.params, range.start, range.end)?
    } else {
        time(&ask.params, 0)?;
        0
    };
    let by_label = match ask.params.get("aggregateBy") {
        "" | "series" => false,
        "labels" => true,
        _ => return Err(Failure::bad_data("invalid aggregation option").into()),
    };
    let mut grouping = Grouping::of(ask.params.get("query"), ask.params.get("targetLabels"))?;
    grouping.by_label = by_label;
    let work = volumes(app.clone(), ask.tenants, grouping.matchers.clone(), range, step_ns);
    let encode = move |(streams, stats): (Vec<StreamVolume>, QueryStats)| {
        let grid = VolumeGrid::new(range, step_ns);
        let cells = limited(grouping.cells(&streams), limit);
        Written(encode_volumes(&cells, &grid, steps, &stats))
    };
    Ok(answer(&app, work, encode, loki_json).await?)
}

pub(super) async fn volumes(
    app: SharedApp,
    tenants: Tenants,
    matchers: Vec<LabelMatcher>,
    range: TimeRange,
    width_ns: i64,
) -> Result<(Vec<StreamVolume>, QueryStats), Failure> {
    let read = async |turn: Turn| {
        let scan = app.scan_context();
        let request = SeriesRequest {
            signal: Signal::Logs,
            matchers,
            range,
        };
        let selection = App::view_of(&app, &tenants, false)?
            .select_logs(&request, &scan)
            .await?;
        let streams = selection.volumes(width_ns).await?;
        let stats = QueryStats {
            queued_ns: turn.waited_ns,
            elapsed_ns: u64::try_from(app.clock.now().saturating_sub(turn.started_ns)).unwrap_or(0),
            ..QueryStats::default()
        };
        Ok((streams, stats))
    };
    app.engine.in_turn(tenants.first()?, None, read).await
}

/// By which labels volumes are summed.
#[derive(Debug)]
struct Grouping {
    matchers: Vec<LabelMatcher>,
    /// Labels that make a group; none means all of a stream's.
    names: BTreeSet<String>,
    /// Whether each label is a group of its own, without its value.
    by_label: bool,
}

/// The labels of a group: pairs by name.
type Group = Vec<(String, String)>;

impl Grouping {
    /// Without target labels, streams are summed by the labels of the selector. A stream must have all target labels.
    fn of(query: &str, targets: &str) -> Result<Self, Failure> {
        let mut matchers = match query.replace(' ', "").as_str() {
            MATCH_ANY => Vec::new(),
            _ => matchers(query)?,
        };
        let targets: BTreeSet<String> = targets
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_string)
            .collect();
        for name in &targets {
            if !matchers.iter().any(|m| m.name() == name) {
                let present = LabelMatcher::new(name, MatchOp::Regex, ".+");
                matchers.push(present.map_err(|error| Failure::bad_data(error.to_string()))?);
            }
        }
        Ok(Grouping {
            matchers,
            names: targets,
            by_label: false,
        })
    }

    fn groups(&self, labels: &Labels) -> Vec<Group> {
        let wanted = |name: &str| self.names.is_empty() || self.names.contains(name);
        if self.by_label {
            let names = labels.iter().filter(|(name, _)| wanted(name));
            return names.map(|(name, _)| vec![(name.to_string(), String::new())]).collect();
        }
        let of_selector = |name: &str| self.matchers.is_empty() || self.matchers.iter().any(|m| m.name() == name);
        let pairs = labels
            .iter()
            .filter(|(name, _)| wanted(name) && (!self.names.is_empty() || of_selector(name)));
        vec![
            pairs
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        ]
    }

    /// Bytes of each group in each cell.
    fn cells(&self, streams: &[StreamVolume]) -> BTreeMap<u32, BTreeMap<Group, u64>> {
        let mut cells: BTreeMap<u32, BTreeMap<Group, u64>> = BTreeMap::new();
        for stream in streams {
            for group in self.groups(&stream.labels) {
                for (cell, volume) in &stream.cells {
                    let groups = cells.entry(*cell).or_default();
                    *groups.entry(group.clone()).or_default() += volume.bytes;
                }
            }
        }
        cells
    }
}

/// A group with its bytes by cell, ascending.
type GroupCells = (Group, Vec<(u32, u64)>);

/// The largest groups of each cell, as Loki limits each step by itself; the group first that is largest where it begins.
fn limited(cells: BTreeMap<u32, BTreeMap<Group, u64>>, limit: usize) -> Vec<GroupCells> {
    let mut groups: BTreeMap<Group, Vec<(u32, u64)>> = BTreeMap::new();
    for (cell, found) in cells {
        let mut found: Vec<(Group, u64)> = found.into_iter().collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (group, bytes) in found.into_iter().take(limit) {
            groups.entry(group).or_default().push((cell, bytes));
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    let first = |cells: &[(u32, u64)]| cells.first().map_or(0, |(_, bytes)| *bytes);
    groups.sort_by(|a, b| first(&b.1).cmp(&first(&a.1)).then_with(|| a.0.cmp(&b.0)));
    groups
}

fn encode_volumes(groups: &[GroupCells], grid: &VolumeGrid, steps: bool, stats: &QueryStats) -> Vec<u8> {
    let mut out = Vec::new();
    // Loki tells the type by the values: one each is a vector, over a range too.
    let matrix = steps && groups.iter().any(|(_, cells)| cells.len() > 1);
    let kind: &[u8] = if matrix { b"matrix" } else { b"vector" };
    out.extend_from_slice(br#"{"status":"success","data":{"resultType":""#);
    out.extend_from_slice(kind);
    out.extend_from_slice(br#"","result":["#);
    for (index, (group, cells)) in groups.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        out.extend_from_slice(br#""metric":{"#);
        for (at, (name, value)) in group.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_string(&mut out, name);
            out.push(b':');
            push_string(&mut out, value);
        }
        out.extend_from_slice(if matrix { br#"},"values":["# } else { br#"},"value":"# });
        for (at, (cell, bytes)) in cells.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.push(b'[');
            push_seconds(&mut out, cell_time_ms(grid, *cell));
            out.extend_from_slice(b",\"");
            out.extend_from_slice(bytes.to_string().as_bytes());
            out.extend_from_slice(b"\"]");
        }
        out.extend_from_slice(if matrix { b"]}" } else { b"}" });
    }
    out.extend_from_slice(br#"],"stats":"#);
    push_stats(&mut out, stats, groups.len());
    out.extend_from_slice(b"}}");
    out
}

/// The time that stands for a cell: the range's end for the last one, else a millisecond before the next begins.
fn cell_time_ms(grid: &VolumeGrid, cell: u32) -> i64 {
    let end = grid.end(cell);
    match end >= grid.range().end {
        true => end.div_euclid(NANOS_PER_MILLI),
        false => end.div_euclid(NANOS_PER_MILLI) - 1,
    }
}
