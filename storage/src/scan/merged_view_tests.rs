//! The merged view against a naive model: rows spread over several sources with duplicates, in all partitions and orders.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::BinaryArray;
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;

use super::*;
use crate::error::Result;
use crate::memory::{MemoryAccountant, MemoryUse};
use crate::model::{LabelMatcher, Labels, MatchOp, STALE_NAN_BITS, SeriesKey, Signal, TimeRange};

/// (line, metadata as sent)
type Entry = (String, u8);

/// (stream, time, length of the line, line where asked for, metadata where asked for)
type FoundEntry = (SeriesKey, i64, u32, Option<String>, Option<u8>);

/// A source over rows in memory. Like a head it may number series in any order.
#[derive(Debug, Default)]
struct FakeSource {
    samples: BTreeMap<SeriesKey, BTreeMap<i64, f64>>,
    logs: BTreeMap<SeriesKey, Vec<(i64, Entry)>>,
    fine_bounds: bool,
    streams: bool,
}

/// Lines that hold an `a`.
#[derive(Debug)]
struct HoldsA;

impl LineFilter for HoldsA {
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend((0..lines.len() as u32).filter(|row| lines.line(*row as usize).contains(&b'a')));
    }
}

impl FakeSource {
    fn keys(&self) -> Vec<SeriesKey> {
        self.samples.keys().chain(self.logs.keys()).cloned().collect()
    }

    fn bounds(&self, key: &SeriesKey) -> (TimeRange, u64) {
        let times: Vec<i64> = match self.samples.get(key) {
            Some(rows) => rows.keys().copied().collect(),
            None => self.logs[key].iter().map(|r| r.0).collect(),
        };
        (TimeRange::closed(times[0], times[times.len() - 1]), times.len() as u64)
    }

    /// Ordinals run against the order of series here.
    fn key(&self, ordinal: u32) -> SeriesKey {
        let keys = self.keys();
        keys[keys.len() - 1 - ordinal as usize].clone()
    }
}

#[async_trait]
impl SeriesSource for FakeSource {
    fn time_range(&self) -> TimeRange {
        let all = self.keys().iter().map(|k| self.bounds(k).0).collect::<Vec<_>>();
        let start = all.iter().map(|r| r.start).min().unwrap_or(0);
        TimeRange::new(start, all.iter().map(|r| r.end).max().unwrap_or(0))
    }

    async fn select(&self, matchers: &[LabelMatcher], range: TimeRange, _: &ScanContext) -> Result<Vec<SourceSeries>> {
        assert!(
            self.time_range().overlaps(&range),
            "a source that cannot have rows was asked"
        );
        let keys = self.keys();
        let found = keys.iter().enumerate().map(|(i, key)| {
            let (range, rows) = self.bounds(key);
            SourceSeries {
                labels: key.0.clone(),
                ordinal: (keys.len() - 1 - i) as u32,
                range,
                rows,
            }
        });
        let wanted =
            |s: &SourceSeries| s.range.overlaps(&range) && matchers.iter().all(|m| m.matches_labels(&s.labels));
        Ok(found.filter(wanted).collect())
    }

    async fn read_samples(&self, ordinals: &[u32], range: TimeRange, _: &ScanContext) -> Result<SampleColumns> {
        let mut out = SampleColumns {
            offsets: vec![0],
            ..Default::default()
        };
        for ordinal in ordinals {
            for (time, value) in self.samples[&self.key(*ordinal)]
                .iter()
                .filter(|(t, _)| range.contains(**t))
            {
                out.timestamps.push(*time);
                out.values.push(*value);
            }
            out.offsets.push(out.timestamps.len() as u32);
        }
        Ok(out)
    }

    fn streams_logs(&self) -> bool {
        self.streams
    }

    async fn read_logs(&self, ordinals: &[u32], range: TimeRange, read: &LogRead, _: &ScanContext) -> Result<LogRows> {
        let columns = read.columns;
        let mut offsets = vec![0];
        let mut rows: Vec<&(i64, Entry)> = Vec::new();
        for ordinal in ordinals {
            let passes = |line: &str| read.filter.is_none() || line.contains('a');
            rows.extend(
                self.logs[&self.key(*ordinal)]
                    .iter()
                    .filter(|(t, (line, _))| range.contains(*t) && passes(line)),
            );
            offsets.push(rows.len() as u32);
        }
        let metadata = |codes: Vec<u32>| if columns.metadata { codes } else { Vec::new() };
        Ok(LogRows {
            offsets,
            timestamps: rows.iter().map(|r| r.0).collect(),
            lines: columns
                .lines
                .then(|| BinaryArray::from_iter_values(rows.iter().map(|r| &r.1.0))),
            line_lengths: match read.lengths {
                true => rows.iter().map(|r| r.1.0.len() as u32).collect(),
                false => Vec::new(),
            },
            metadata_sets: if columns.metadata {
                (0..3).map(metadata_set).collect()
            } else {
                Vec::new()
            },
            metadata: metadata(rows.iter().map(|r| u32::from(r.1.1)).collect()),
            derived: metadata(vec![0; rows.len()]),
        })
    }

    async fn log_pages(
        self: Arc<Self>,
        ordinals: Vec<u32>,
        range: TimeRange,
        read: &LogRead,
        scan: &ScanContext,
    ) -> Result<Arc<dyn LogPages>> {
        if !self.fine_bounds {
            return Ok(Arc::new(OnePage::new(self, ordinals, range, read, scan)));
        }
        let mut pages = FakePages {
            pages: Vec::new(),
            bounds: Vec::new(),
            range,
            read: read.clone(),
            scan: scan.clone(),
        };
        for (index, ordinal) in (0..).zip(ordinals) {
            let key = self.key(ordinal);
            for rows in self.logs[&key].chunks(3) {
                let bounds = TimeRange::closed(rows[0].0, rows[rows.len() - 1].0);
                if bounds.overlaps(&range) {
                    let mut own = FakeSource::default();
                    own.logs.insert(key.clone(), rows.to_vec());
                    pages.pages.push((index, own));
                    pages.bounds.push(RowBounds {
                        range: bounds,
                        rows: rows.len() as u64,
                        bytes: 0,
                    });
                }
            }
        }
        Ok(Arc::new(pages))
    }

    async fn row_bounds(&self, ordinals: &[u32], range: TimeRange, _: &ScanContext) -> Result<Option<Vec<RowBounds>>> {
        let page = |rows: &[(i64, Entry)]| RowBounds {
            range: TimeRange::closed(rows[0].0, rows[rows.len() - 1].0),
            rows: rows.len() as u64 * 1000,
            bytes: 0,
        };
        let pages = ordinals
            .iter()
            .flat_map(|o| self.logs[&self.key(*o)].chunks(3).map(page).collect::<Vec<_>>());
        Ok(self
            .fine_bounds
            .then(|| pages.filter(|p| p.range.overlaps(&range)).collect()))
    }
}

/// Pages of three rows of one stream, each a source of its own.
struct FakePages {
    pages: Vec<(u32, FakeSource)>,
    bounds: Vec<RowBounds>,
    range: TimeRange,
    read: LogRead,
    scan: ScanContext,
}

impl LogPages for FakePages {
    fn bounds(&self) -> &[RowBounds] {
        &self.bounds
    }

    fn read(self: Arc<Self>, pages: Vec<u32>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>> {
        let pieces = stream::iter(pages).then(move |at| {
            let own = Arc::clone(&self);
            async move {
                let (index, page) = &own.pages[at as usize];
                let rows = page.read_logs(&[0], own.range, &own.read, &own.scan).await?;
                let indexes = vec![*index];
                Ok((at, (!rows.is_empty()).then_some(LogPiece { indexes, rows })))
            }
        });
        pieces.boxed()
    }
}

fn metadata_set(i: u8) -> Labels {
    if i == 0 {
        Labels::empty()
    } else {
        Labels::from_pairs([("trace", i.to_string())])
    }
}

fn series(i: u8) -> Labels {
    // Neither the order of numbers nor that of bytes is the order of series here.
    Labels::from_pairs([
        ("__name__", ["b", "a", "a"][i as usize % 3]),
        ("le", ["10", "9", "+Inf"][i as usize / 3 % 3]),
    ])
}

fn context(limit_bytes: u64) -> (MemoryAccountant, ScanContext) {
    let account = MemoryAccountant::new(limit_bytes);
    let scan = ScanContext::new(account.query(limit_bytes), Arc::default());
    (account, scan)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn matchers() -> impl Strategy<Value = Vec<LabelMatcher>> {
    let one = LabelMatcher::new("__name__", MatchOp::Regex, "a|c").unwrap();
    prop_oneof![3 => Just(Vec::new()), 1 => Just(vec![one])]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3i32..3).prop_map(f64::from),
        Just(f64::from_bits(STALE_NAN_BITS)),
        Just(f64::NAN),
        Just(-0.0)
    ]
}

/// The rule said another way: the greatest by (not stale, total order).
fn expected_value(values: &[f64]) -> u64 {
    let best = values.iter().max_by(|a, b| {
        let fresh = |v: &f64| v.to_bits() != STALE_NAN_BITS;
        fresh(a).cmp(&fresh(b)).then(a.total_cmp(b))
    });
    best.unwrap().to_bits()
}

const SOURCES: usize = 4;

proptest! {
    #[test]
    fn samples_equal_the_naive_model(
        rows in proptest::collection::vec((0..SOURCES, 0u8..9, -20i64..20, value()), 0..200),
        (start, len) in (-25i64..25, 0i64..50),
        matchers in matchers(),
        partitions in 1usize..6,
    ) {
        let range = TimeRange::new(start, start + len);
        let mut sources: Vec<FakeSource> = (0..SOURCES).map(|_| FakeSource::default()).collect();
        let mut model: BTreeMap<SeriesKey, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        for (source, i, time, value) in rows {
            let key = SeriesKey(series(i));
            let slot = sources[source].samples.entry(key.clone()).or_default().entry(time).or_insert(value);
            *slot = dedup::resolve_values(*slot, value);
            model.entry(key).or_default().entry(time).or_default().push(value);
        }
        let matched = model.iter().filter(|(key, _)| matchers.iter().all(|m| m.matches_labels(&key.0)));
        let mut expected: Vec<(Labels, Vec<(i64, u64)>)> = Vec::new();
        for (key, rows) in matched {
            let rows = rows.iter().filter(|(t, _)| range.contains(**t)).map(|(t, v)| (*t, expected_value(v)));
            expected.push((key.0.clone(), rows.collect()));
        }
        let (account, scan) = context(1 << 30);
        let sources = sources.into_iter().map(|s| Arc::new(s) as Arc<dyn SeriesSource>).collect();
        let view = MergedView::new(sources, Vec::new());
        let request = SeriesRequest { signal: Signal::Metrics, matchers, range };
        let selection = wait(view.select_samples(&request, &scan)).unwrap();
        prop_assert_eq!(
            wait(view.series(&request, &scan)).unwrap().len(),
            selection.series_count()
        );
        let mut found: Vec<(Labels, Vec<(i64, u64)>)> = Vec::new();
        for partition in 0..partitions {
            for batch in wait(selection.scan(partition, partitions).try_collect::<Vec<_>>()).unwrap() {
                prop_assert_eq!(batch.offsets.len(), batch.series.len() + 1);
                for (i, labels) in batch.series.iter().enumerate() {
                    let (times, values) = batch.rows(i);
                    let rows = times.iter().zip(values).map(|(t, v)| (*t, v.to_bits()));
                    found.push((labels.clone(), rows.collect()));
                }
            }
        }
        // A series may be selected by its bounds and have no row inside.
        let with_rows = |all: Vec<(Labels, Vec<(i64, u64)>)>| all.into_iter().filter(|s| !s.1.is_empty()).collect::<Vec<_>>();
        prop_assert_eq!(found.iter().map(|s| &s.0).collect::<BTreeSet<_>>().len(), found.len());
        prop_assert_eq!(selection.series_count(), found.len());
        prop_assert_eq!(with_rows(found), with_rows(expected));
        drop((selection, scan));
        prop_assert_eq!(account.used_bytes(MemoryUse::Query), 0);
    }

    #[test]
    fn logs_equal_the_naive_model(
        rows in proptest::collection::vec((0..SOURCES, 0u8..9, -20i64..20, "[ab]{0,2}", 0u8..3), 0..200),
        (start, len) in (-25i64..25, 0i64..50),
        matchers in matchers(),
        partitions in 1usize..4,
        order in prop_oneof![Just(LogOrder::Forward), Just(LogOrder::Backward), Just(LogOrder::Streams), Just(LogOrder::Any)],
        columns in (any::<bool>(), any::<bool>()).prop_map(|(lines, metadata)| LogColumns { lines, metadata }),
        (lengths, filtered) in (any::<bool>(), any::<bool>()),
        (fine_bounds, streams) in (any::<bool>(), any::<u8>()),
    ) {
        let range = TimeRange::new(start, start + len);
        let mut sources: Vec<FakeSource> = (0..SOURCES)
            .map(|i| FakeSource { fine_bounds, streams: streams >> i & 1 == 1, ..Default::default() })
            .collect();
        let mut model: BTreeMap<SeriesKey, BTreeSet<(i64, Entry)>> = BTreeMap::new();
        for (source, i, time, line, metadata) in rows {
            let key = SeriesKey(series(i));
            let row = (time, (line, metadata));
            let stream = sources[source].logs.entry(key.clone()).or_default();
            if !stream.contains(&row) {
                let at = stream.partition_point(|r| r.0 <= time);
                stream.insert(at, row.clone());
            }
            model.entry(key).or_default().insert(row);
        }
        let mut expected: Vec<FoundEntry> = Vec::new();
        for (key, rows) in model.iter().filter(|(key, _)| matchers.iter().all(|m| m.matches_labels(&key.0))) {
            for (time, (line, metadata)) in rows.iter().filter(|r| range.contains(r.0) && (!filtered || r.1.0.contains('a'))) {
                let (len, line) = (if lengths { line.len() as u32 } else { 0 }, columns.lines.then(|| line.clone()));
                expected.push((key.clone(), *time, len, line, columns.metadata.then_some(*metadata)));
            }
        }
        expected.sort();

        let mut alone = Vec::new();
        for key in model.keys().filter(|key| matchers.iter().all(|m| m.matches_labels(&key.0))) {
            let holders: Vec<_> = sources.iter().filter_map(|s| s.logs.get(key)).collect();
            if let [rows] = holders[..] {
                let passing = rows.iter().filter(|r| range.contains(r.0) && (!filtered || r.1.0.contains('a')));
                alone.push((key.0.clone(), passing.map(|r| (r.0, r.1.0.clone().into_bytes())).collect::<Vec<_>>()));
            }
        }

        let (account, scan) = context(1 << 30);
        let sources = sources.into_iter().map(|s| Arc::new(s) as Arc<dyn SeriesSource>).collect();
        let view = MergedView::new(Vec::new(), sources);
        let request = SeriesRequest { signal: Signal::Logs, matchers, range };
        let selection = wait(view.select_logs(&request, &scan)).unwrap();
        let read = LogRead {
            lengths,
            filter: filtered.then(|| Arc::new(HoldsA) as Arc<dyn LineFilter>),
            ..LogRead::from(columns)
        };
        let (mut found, mut arrived) = (Vec::new(), Vec::new());
        for partition in 0..partitions {
            let slabs = wait(selection.scan(partition, partitions, order, read.clone()).try_collect::<Vec<_>>()).unwrap();
            for pair in slabs.windows(2) {
                if order == LogOrder::Streams {
                    let last = |s: &LogSlab| s.batch.streams.last().map(|l| SeriesKey(l.clone()));
                    prop_assert!(last(&pair[0]) <= last(&pair[1]));
                }
            }
            // What one slab says of those behind it holds for all of them.
            for (at, slab) in slabs.iter().enumerate() {
                let behind = slabs[at + 1..].iter().flat_map(|s| &s.batch.timestamps);
                prop_assert!(behind.into_iter().all(|time| slab.rest.contains(*time)), "{:?}", slab.rest);
            }
            for LogSlab { batch, range, page, .. } in slabs {
                prop_assert_eq!(batch.lines.is_some(), columns.lines);
                for (s, labels) in batch.streams.iter().enumerate() {
                    let rows = batch.offsets[s] as usize..batch.offsets[s + 1] as usize;
                    prop_assert!(!rows.is_empty());
                    for row in rows.clone() {
                        arrived.push((labels.clone(), batch.timestamps[row], page, row, batch.lines.as_ref().map(|l| l.value(row).to_vec())));
                    }
                    prop_assert!(batch.timestamps[rows.clone()].is_sorted());
                    for row in rows {
                        prop_assert!(range.contains(batch.timestamps[row]));
                        let line = batch.lines.as_ref().map(|l| String::from_utf8(l.value(row).to_vec()).unwrap());
                        let set = batch.metadata.get(row).map(|code| batch.metadata_sets[*code as usize].clone());
                        let set = set.map(|set| (0..3).find(|i| metadata_set(*i) == set).unwrap());
                        let key = SeriesKey(labels.clone());
                        let len = batch.line_lengths.get(row).copied().filter(|_| lengths).unwrap_or(0);
                        found.push((key, batch.timestamps[row], len, line, set));
                    }
                }
            }
        }
        found.sort();
        prop_assert_eq!(found, expected);
        if matches!(order, LogOrder::Forward | LogOrder::Backward) && columns.lines {
            // Of a stream that one source holds, the pages tell how rows of one nanosecond arrived.
            arrived.sort_by_key(|row| (row.1, row.2, row.3));
            for (labels, rows) in alone {
                let lines = arrived.iter().filter(|row| row.0 == labels).map(|row| (row.1, row.4.clone().unwrap()));
                prop_assert_eq!(lines.collect::<Vec<_>>(), rows);
            }
        }
        drop((selection, scan));
        prop_assert_eq!(account.used_bytes(MemoryUse::Query), 0);
    }
}

fn logs(rows: &[(u8, i64, &str)]) -> Arc<dyn SeriesSource> {
    let mut source = FakeSource::default();
    for (i, time, line) in rows {
        source
            .logs
            .entry(SeriesKey(series(*i)))
            .or_default()
            .push((*time, (line.to_string(), 0)));
    }
    Arc::new(source)
}

fn all(signal: Signal) -> SeriesRequest {
    SeriesRequest {
        signal,
        matchers: Vec::new(),
        range: TimeRange::ALL,
    }
}

#[test]
fn entries_of_one_nanosecond_keep_the_order_of_arrival() {
    let view = MergedView::new(
        Vec::new(),
        vec![
            logs(&[(0, 5, "z"), (0, 5, "a"), (0, 6, "e")]),
            logs(&[(0, 5, "m"), (0, 5, "b"), (0, 7, "x")]),
        ],
    );
    let (_, scan) = context(1 << 20);
    let selection = wait(view.select_logs(&all(Signal::Logs), &scan)).unwrap();
    let columns = LogColumns {
        lines: true,
        metadata: false,
    };
    let slabs = wait(
        selection
            .scan(0, 1, LogOrder::Forward, columns.into())
            .try_collect::<Vec<_>>(),
    )
    .unwrap();
    let lines: Vec<_> = slabs
        .iter()
        .flat_map(|s| s.batch.lines.iter().flat_map(|l| l.iter().flatten()))
        .collect();
    assert_eq!(lines, [b"m", b"b", b"z", b"a", b"e", b"x"]);
}

#[test]
fn labels_of_all_sources_are_united() {
    let view = MergedView::new(
        Vec::new(),
        vec![logs(&[(0, 1, ""), (4, 2, "")]), logs(&[(0, 3, ""), (8, 4, "")])],
    );
    let (_, scan) = context(1 << 20);
    let request = all(Signal::Logs);
    assert_eq!(wait(view.label_names(&request, &scan)).unwrap(), ["__name__", "le"]);
    assert_eq!(
        wait(view.label_values("le", &request, &scan)).unwrap(),
        ["+Inf", "10", "9"]
    );
    let late = SeriesRequest {
        range: TimeRange::new(3, 9),
        ..request
    };
    assert_eq!(wait(view.label_values("le", &late, &scan)).unwrap(), ["+Inf", "10"]);
    assert!(wait(view.label_names(&all(Signal::Metrics), &scan)).unwrap().is_empty());
    assert!(wait(view.select_samples(&late, &scan)).is_err());
}

#[test]
fn a_batch_over_the_query_cap_is_refused() {
    let mut source = FakeSource::default();
    source
        .samples
        .insert(SeriesKey(series(0)), (0..10_000).map(|t| (t, 0.0)).collect());
    let view = MergedView::new(vec![Arc::new(source)], Vec::new());
    for (limit_bytes, fits) in [(300_000, true), (100_000, false)] {
        let (_, scan) = context(limit_bytes);
        let selection = wait(view.select_samples(&all(Signal::Metrics), &scan)).unwrap();
        let batches = wait(selection.scan(0, 1).try_collect::<Vec<_>>());
        assert_eq!(batches.is_ok(), fits, "{limit_bytes}");
    }
}
