//! Round trips and damage of whole segments.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::BinaryArray;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::footer::{Footer, SectionId};
use super::{LogSegmentWriter, SampleSegmentWriter, SegmentBytes, SegmentReader, TailCache, UnplacedMeta};
use crate::memory::{MemoryAccountant, MemoryUse};
use crate::model::{LabelMatcher, Labels, MatchOp, STALE_NAN_BITS, SeriesKey, Signal, TenantId, TimeRange};
use crate::object::{Bucket, RetryPolicy, Verb};
use crate::scan::{
    LineFilter, LineSlice, LogColumns, LogOrder, LogPiece, LogRead, LogRows, MergedView, ScanContext, ScanStats,
    SeriesRequest, SeriesSource, Share, StoreView,
};

const ALL_COLUMNS: LogColumns = LogColumns {
    lines: true,
    metadata: true,
};
/// Bytes of something else before the segment in its object.
const BEFORE: usize = 77;

pub(super) struct Fixture {
    pub runtime: Runtime,
    pub bucket: Bucket,
    pub account: MemoryAccountant,
    pub cache: Arc<TailCache>,
}

impl Fixture {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store = Arc::new(InMemory::new());
        let policy = RetryPolicy {
            backoff_max: Duration::from_micros(10),
            ..Default::default()
        };
        let bucket = Bucket::new(store, "pre/fix", runtime.handle().clone(), policy, 7);
        let account = MemoryAccountant::new(1 << 30);
        Fixture {
            runtime,
            bucket,
            cache: Arc::new(TailCache::new(account.clone(), 64 << 20)),
            account,
        }
    }

    /// A reader of the segment that is all of a file.
    pub fn open_file(&self, path: &str) -> SegmentReader {
        let bytes = std::fs::read(path).unwrap();
        let footer = Footer::decode(&bytes).unwrap();
        let meta = UnplacedMeta {
            tenant: footer.tenant,
            signal: footer.signal,
            len: bytes.len() as u64,
            tail_len: footer.tail_len,
            range: footer.range,
            rows: footer.rows,
            series: footer.series,
            raw_bytes: footer.raw_bytes,
            level: footer.level,
        };
        self.place(path, &SegmentBytes { bytes, meta })
    }

    pub fn scan(&self) -> ScanContext {
        ScanContext::passing(self.account.query(1 << 30), Arc::new(ScanStats::default()))
    }

    /// Puts `segment` into an object `name` behind other bytes.
    pub fn place(&self, name: &str, segment: &SegmentBytes) -> SegmentReader {
        let mut object = vec![0xaa; BEFORE];
        object.extend_from_slice(&segment.bytes);
        object.extend_from_slice(b"after");
        self.runtime.block_on(self.bucket.put(name, object.into())).unwrap();
        let meta = segment.meta.clone().at(name.into(), BEFORE as u64);
        SegmentReader::new(self.bucket.clone(), Arc::new(meta), Arc::clone(&self.cache))
    }
}

pub(super) fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

type Samples = BTreeMap<SeriesOrd, Vec<(i64, f64)>>;
type SeriesOrd = SeriesKey;

fn write_samples(series: &Samples) -> Option<SegmentBytes> {
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    for (key, rows) in series {
        let (times, values): (Vec<i64>, Vec<f64>) = rows.iter().copied().unzip();
        writer.push_series(&key.0, &times, &values).unwrap();
    }
    writer.finish().unwrap()
}

fn key(pairs: &[(&str, &str)]) -> SeriesKey {
    SeriesKey(Labels::from_pairs(pairs.iter().copied()))
}

fn labels_strategy() -> impl Strategy<Value = SeriesKey> {
    let name = prop::sample::select(vec!["__name__", "a", "b", "le", "pod", "ключ", "with space"]);
    let value = prop_oneof!["[a-c]{1,2}", "[0-9.]{1,3}", Just("ü\u{1F600}".to_string())];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| SeriesKey(Labels::from_pairs(pairs)))
}

/// Strictly ascending times of any size.
fn times_strategy(len: usize) -> impl Strategy<Value = Vec<i64>> {
    let wild = prop::collection::btree_set(any::<i64>().prop_filter("storable", |t| *t < i64::MAX), 1..=len);
    let regular = (any::<i32>(), 1..5_000_000_000i64, 1..=len).prop_map(|(start, step, n)| {
        (0..n as i64)
            .map(|i| i64::from(start) + i * step + i % 3 % step)
            .collect::<std::collections::BTreeSet<_>>()
    });
    prop_oneof![wild, regular].prop_map(|set| set.into_iter().collect())
}

fn samples_strategy() -> impl Strategy<Value = Samples> {
    let rows = times_strategy(200).prop_flat_map(|times| {
        let n = times.len();
        let bits = prop_oneof![any::<u64>(), (0..1000u64).prop_map(|n| (n as f64 / 10.0).to_bits())];
        prop::collection::vec(bits, n).prop_map(move |bits| {
            times
                .iter()
                .copied()
                .zip(bits.into_iter().map(f64::from_bits))
                .collect()
        })
    });
    prop::collection::btree_map(labels_strategy(), rows, 0..12)
}

fn bits(rows: &[(i64, f64)]) -> Vec<(i64, u64)> {
    rows.iter().map(|(t, v)| (*t, v.to_bits())).collect()
}

/// Everything a reader gives in `range`, by series.
fn read_all_samples(
    fixture: &Fixture,
    reader: &SegmentReader,
    range: TimeRange,
) -> BTreeMap<SeriesKey, Vec<(i64, u64)>> {
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        let series = reader.select(&[], range, &scan).await.unwrap();
        assert!(
            series
                .windows(2)
                .all(|w| SeriesKey(w[0].labels.clone()) < SeriesKey(w[1].labels.clone()))
        );
        let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
        let columns = reader.read_samples(&ordinals, range, &scan).await.unwrap();
        columns.check(ordinals.len()).unwrap();
        let mut out = BTreeMap::new();
        for (i, series) in series.into_iter().enumerate() {
            let (times, values) = columns.rows(i);
            let rows: Vec<(i64, f64)> = times.iter().copied().zip(values.iter().copied()).collect();
            assert!(rows.iter().all(|(t, _)| series.range.contains(*t)));
            if !rows.is_empty() {
                out.insert(SeriesKey(series.labels), bits(&rows));
            }
        }
        out
    })
}

fn inside(series: &Samples, range: TimeRange) -> BTreeMap<SeriesKey, Vec<(i64, u64)>> {
    let cut = |rows: &Vec<(i64, f64)>| {
        let rows: Vec<_> = rows.iter().copied().filter(|(t, _)| range.contains(*t)).collect();
        bits(&rows)
    };
    series
        .iter()
        .map(|(k, rows)| (k.clone(), cut(rows)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn samples_come_back(series in samples_strategy(), a in any::<i64>(), b in any::<i64>()) {
        let fixture = Fixture::new();
        let Some(segment) = write_samples(&series) else {
            prop_assert!(series.is_empty());
            return Ok(());
        };
        let rows: usize = series.values().map(Vec::len).sum();
        prop_assert_eq!((segment.meta.rows, segment.meta.series as usize), (rows as u64, series.len()));
        let reader = fixture.place("o", &segment);
        for range in [TimeRange::ALL, TimeRange::new(a.min(b), a.max(b)), segment.meta.range] {
            prop_assert_eq!(read_all_samples(&fixture, &reader, range), inside(&series, range));
        }
    }

    #[test]
    fn damaged_segments_never_panic(series in samples_strategy(), at in any::<prop::sample::Index>(), mask in 1..=255u8,
                                    cut in any::<prop::sample::Index>()) {
        let Some(segment) = write_samples(&series) else { return Ok(()) };
        let fixture = Fixture::new();
        let mut flipped = segment.clone();
        flipped.bytes[at.index(segment.bytes.len())] ^= mask;
        let mut short = segment.clone();
        short.bytes.truncate(cut.index(segment.bytes.len()));
        for (name, bad) in [("flipped", flipped), ("short", short)] {
            let reader = fixture.place(name, &bad);
            let scan = fixture.scan();
            let all = inside(&series, TimeRange::ALL);
            fixture.runtime.block_on(async {
                let found = reader.select(&[], TimeRange::ALL, &scan).await.unwrap();
                let corrupt = || scan.stats.pages_corrupt.load(Ordering::Relaxed);
                assert!(found.len() == series.len() || corrupt() > 0);
                let ordinals: Vec<u32> = found.iter().map(|s| s.ordinal).collect();
                let columns = reader.read_samples(&ordinals, TimeRange::ALL, &scan).await.unwrap();
                columns.check(ordinals.len()).unwrap();
                // What is answered is right; what is damaged is left out and counted.
                for (i, series) in found.iter().enumerate() {
                    let (times, values) = columns.rows(i);
                    let rows: Vec<_> = times.iter().copied().zip(values.iter().map(|v| v.to_bits())).collect();
                    let expected = &all[&SeriesKey(series.labels.clone())];
                    assert!(rows == *expected || corrupt() > 0);
                    assert!(rows.iter().all(|row| expected.contains(row)));
                }
            });
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    time: i64,
    line: Vec<u8>,
    metadata: Labels,
    derived: Labels,
}

type Logs = BTreeMap<SeriesKey, Vec<Entry>>;

fn log_rows(streams: &Logs) -> LogRows {
    let mut rows = LogRows {
        offsets: vec![0],
        timestamps: Vec::new(),
        lines: None,
        line_lengths: Vec::new(),
        metadata_sets: Vec::new(),
        metadata: Vec::new(),
        derived: Vec::new(),
    };
    let mut lines: Vec<&[u8]> = Vec::new();
    for entry in streams.values().flatten() {
        rows.timestamps.push(entry.time);
        rows.line_lengths.push(entry.line.len() as u32);
        lines.push(&entry.line);
        // Sets may be named twice: writers must not rely on their being distinct.
        rows.metadata.push(rows.metadata_sets.len() as u32);
        rows.metadata_sets.push(entry.metadata.clone());
        rows.derived.push(rows.metadata_sets.len() as u32);
        rows.metadata_sets.push(entry.derived.clone());
    }
    for entries in streams.values() {
        rows.offsets
            .push(rows.offsets[rows.offsets.len() - 1] + entries.len() as u32);
    }
    rows.lines = Some(BinaryArray::from_vec(lines));
    rows
}

fn write_logs(streams: &Logs) -> Option<SegmentBytes> {
    let rows = log_rows(streams);
    let mut writer = LogSegmentWriter::new(tenant(), 0);
    for (i, key) in streams.keys().enumerate() {
        let range = rows.offsets[i] as usize..rows.offsets[i + 1] as usize;
        writer.push_series(&key.0, &rows, range).unwrap();
    }
    writer.finish().unwrap()
}

fn read_all_logs(fixture: &Fixture, reader: &SegmentReader, range: TimeRange, columns: LogColumns) -> Logs {
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        let series = reader.select(&[], range, &scan).await.unwrap();
        let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
        let rows = reader
            .read_logs(&ordinals, range, &columns.into(), &scan)
            .await
            .unwrap();
        rows.check(ordinals.len(), &columns.into()).unwrap();
        let set = |codes: &[u32], row: usize| match columns.metadata {
            true => rows.metadata_sets[codes[row] as usize].clone(),
            false => Labels::empty(),
        };
        let mut out = Logs::new();
        for (i, series) in series.into_iter().enumerate() {
            let own = rows.offsets[i] as usize..rows.offsets[i + 1] as usize;
            let entries: Vec<Entry> = own
                .map(|row| Entry {
                    time: rows.timestamps[row],
                    line: match &rows.lines {
                        Some(lines) => lines.value(row).to_vec(),
                        None => vec![0; rows.line_lengths[row] as usize],
                    },
                    metadata: set(&rows.metadata, row),
                    derived: set(&rows.derived, row),
                })
                .collect();
            if !entries.is_empty() {
                out.insert(SeriesKey(series.labels), entries);
            }
        }
        out
    })
}

/// What a read of `columns` in `range` must give.
fn expected_logs(streams: &Logs, range: TimeRange, columns: LogColumns) -> Logs {
    let mask = |e: &Entry| Entry {
        time: e.time,
        line: if columns.lines {
            e.line.clone()
        } else {
            vec![0; e.line.len()]
        },
        metadata: if columns.metadata {
            e.metadata.clone()
        } else {
            Labels::empty()
        },
        derived: if columns.metadata {
            e.derived.clone()
        } else {
            Labels::empty()
        },
    };
    let cut = |entries: &Vec<Entry>| {
        entries
            .iter()
            .filter(|e| range.contains(e.time))
            .map(mask)
            .collect::<Vec<_>>()
    };
    streams
        .iter()
        .map(|(k, e)| (k.clone(), cut(e)))
        .filter(|(_, e)| !e.is_empty())
        .collect()
}

fn logs_strategy() -> impl Strategy<Value = Logs> {
    let metadata = prop::collection::vec(("[a-c]", "[a-z]{0,3}"), 0..3).prop_map(Labels::from_pairs);
    let derived = prop_oneof![
        Just(Labels::empty()),
        Just(Labels::from_pairs([("detected_level", "info")]))
    ];
    let time = prop_oneof![
        (0..10i64).prop_map(|n| n * 1_700_000_000_000),
        any::<i64>().prop_filter("storable", |t| *t < i64::MAX)
    ];
    let line = prop::collection::vec(any::<u8>(), 0..80);
    let entry = (time, line, metadata, derived).prop_map(|(time, line, metadata, derived)| Entry {
        time,
        line,
        metadata,
        derived,
    });
    let entries = prop::collection::vec(entry, 1..60).prop_map(|mut entries| {
        entries.sort_by_key(|e| e.time);
        entries
    });
    prop::collection::btree_map(labels_strategy(), entries, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn log_entries_come_back(streams in logs_strategy(), a in any::<i64>(), b in any::<i64>()) {
        let fixture = Fixture::new();
        let Some(segment) = write_logs(&streams) else {
            prop_assert!(streams.is_empty());
            return Ok(());
        };
        let reader = fixture.place("o", &segment);
        for range in [TimeRange::ALL, TimeRange::new(a.min(b), a.max(b)), TimeRange::new(0, 5_000_000_000_000)] {
            for columns in [ALL_COLUMNS, LogColumns { lines: false, metadata: false }, LogColumns { lines: false, metadata: true }] {
                prop_assert_eq!(
                    read_all_logs(&fixture, &reader, range, columns),
                    expected_logs(&streams, range, columns)
                );
            }
        }
    }
}

/// Lines of even length.
#[derive(Debug)]
struct EvenLines;

impl LineFilter for EvenLines {
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend((0..lines.len() as u32).filter(|row| lines.line(*row as usize).len().is_multiple_of(2)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn filtered_shares_hold_every_row_that_passes_once(streams in logs_strategy(), a in any::<i64>(), b in any::<i64>(), of in 1usize..4) {
        let fixture = Fixture::new();
        let Some(segment) = write_logs(&streams) else { return Ok(()) };
        let reader = Arc::new(fixture.place("o", &segment));
        for (range, filtered) in [(TimeRange::ALL, true), (TimeRange::new(a.min(b), a.max(b)), true), (TimeRange::ALL, false)] {
            let scan = fixture.scan();
            let read = LogRead {
                filter: filtered.then(|| Arc::new(EvenLines) as Arc<dyn LineFilter>),
                ..LogRead::from(ALL_COLUMNS)
            };
            let series = fixture.runtime.block_on(reader.select(&[], range, &scan)).unwrap();
            let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
            let mut found = Vec::new();
            for number in 0..of {
                let share = Share { number, of };
                let pieces = Arc::clone(&reader).stream_logs(ordinals.clone(), range, read.clone(), share, scan.clone());
                for LogPiece { indexes, rows } in fixture.runtime.block_on(pieces.try_collect::<Vec<_>>()).unwrap() {
                    rows.check(indexes.len(), &read).unwrap();
                    for (i, index) in indexes.iter().enumerate() {
                        for row in rows.offsets[i] as usize..rows.offsets[i + 1] as usize {
                            let set = |codes: &[u32]| rows.metadata_sets[codes[row] as usize].clone();
                            let line = rows.lines.as_ref().unwrap().value(row).to_vec();
                            prop_assert_eq!(rows.line_lengths[row] as usize, line.len());
                            let labels = series[*index as usize].labels.clone();
                            found.push((labels, rows.timestamps[row], line, set(&rows.metadata), set(&rows.derived)));
                        }
                    }
                }
            }
            // Pages come in the order in which they are asked for, with the rows of the whole.
            let again = fixture.scan();
            let pages = fixture.runtime.block_on(Arc::clone(&reader).log_pages(ordinals, range, &read, &again)).unwrap();
            let bounds = pages.bounds().to_vec();
            let order: Vec<u32> = (0..bounds.len() as u32).rev().collect();
            let pieces = fixture.runtime.block_on(pages.read(order.clone()).try_collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(pieces.iter().map(|(page, _)| *page).collect::<Vec<_>>(), order);
            let mut times = Vec::new();
            for (page, piece) in pieces {
                let own = piece.map_or(Vec::new(), |piece| piece.rows.timestamps);
                prop_assert!(own.iter().all(|time| bounds[page as usize].range.contains(*time)));
                times.extend(own);
            }
            let mut shared: Vec<i64> = found.iter().map(|row| row.1).collect();
            times.sort_unstable();
            shared.sort_unstable();
            prop_assert_eq!(times, shared);

            let mut expected = Vec::new();
            let mut inside = 0;
            for (key, entries) in &streams {
                for entry in entries.iter().filter(|e| range.contains(e.time)) {
                    inside += 1;
                    if !filtered || entry.line.len() % 2 == 0 {
                        let Entry { time, line, metadata, derived } = entry.clone();
                        expected.push((key.0.clone(), time, line, metadata, derived));
                    }
                }
            }
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            // What a filter looks at is counted, whether it passes or not.
            let looked_at = scan.stats.rows.load(Ordering::Relaxed);
            prop_assert_eq!(looked_at, if filtered { inside } else { 0 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_log_segments_never_panic(streams in logs_strategy(), at in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let Some(mut segment) = write_logs(&streams) else { return Ok(()) };
        let at = at.index(segment.bytes.len());
        segment.bytes[at] ^= mask;
        let fixture = Fixture::new();
        let reader = fixture.place("o", &segment);
        for columns in [ALL_COLUMNS, LogColumns { lines: false, metadata: false }] {
            let expected = expected_logs(&streams, TimeRange::ALL, columns);
            for (stream, entries) in read_all_logs(&fixture, &reader, TimeRange::ALL, columns) {
                prop_assert!(entries.iter().all(|entry| expected[&stream].contains(entry)));
            }
        }
    }
}

/// Streams over hours with pages that fill, and one reader that sees page bounds.
#[test]
fn log_pages_are_cut_at_hours_and_a_megabyte() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut streams = Logs::new();
    for app in 0..3 {
        let entries = (0..600).map(|i| Entry {
            time: i * HOUR / 200,
            line: vec![b'a' + (i % 7) as u8; 2000],
            metadata: Labels::empty(),
            derived: Labels::empty(),
        });
        streams.insert(key(&[("service_name", &format!("app{app}"))]), entries.collect());
    }
    let segment = write_logs(&streams).unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(read_all_logs(&fixture, &reader, TimeRange::ALL, ALL_COLUMNS), streams);
    let scan = fixture.scan();
    let bounds = fixture
        .runtime
        .block_on(reader.row_bounds(&[0, 1, 2], TimeRange::ALL, &scan))
        .unwrap()
        .unwrap();
    assert!(
        bounds
            .iter()
            .all(|b| b.range.start.div_euclid(HOUR) == (b.range.end - 1).div_euclid(HOUR))
    );
    assert_eq!(bounds.iter().map(|b| b.rows).sum::<u64>(), 1800);

    // The newest rows are known as soon as the pages that reach behind them are read.
    let reader = Arc::new(reader);
    let view = MergedView::new(Vec::new(), vec![Arc::clone(&reader) as Arc<dyn SeriesSource>]);
    let request = SeriesRequest {
        signal: Signal::Logs,
        matchers: Vec::new(),
        range: TimeRange::ALL,
    };
    // Of the two pages of an hour one begins at half past, amid the last stream.
    for (order, newest, expected) in [(LogOrder::Backward, true, 2), (LogOrder::Forward, false, 1)] {
        let scan = fixture.scan();
        let selection = fixture.runtime.block_on(view.select_logs(&request, &scan)).unwrap();
        let mut slabs = selection.scan(0, 1, order, ALL_COLUMNS.into());
        let mut pages = 0u64;
        while let Some(slab) = fixture.runtime.block_on(slabs.try_next()).unwrap() {
            pages += 1;
            let settled = match newest {
                true => slab.rest.end < 3 * HOUR - HOUR / 4,
                false => slab.rest.start > HOUR / 4,
            };
            if settled {
                break;
            }
        }
        assert_eq!(pages, expected, "{order:?}");
        assert_eq!(scan.stats.pages.load(Ordering::Relaxed), expected);
    }
    assert_eq!(bounds.iter().map(|b| b.bytes).sum::<u64>(), 3_600_000);
    // 1.2 MB an hour: two pages each.
    assert_eq!(bounds.len(), 6);
    // An hour's rows are read from its pages only, without their lines.
    let scan = fixture.scan();
    let columns = LogColumns {
        lines: false,
        metadata: false,
    };
    let hour = TimeRange::new(HOUR, 2 * HOUR);
    let rows = fixture
        .runtime
        .block_on(reader.read_logs(&[0, 2], hour, &columns.into(), &scan))
        .unwrap();
    assert_eq!(rows.offsets, [0, 200, 400]);
    assert_eq!(scan.stats.pages.load(Ordering::Relaxed), 2);
    assert!(scan.stats.pages_skipped.load(Ordering::Relaxed) >= 2);
}

fn many_series(n: usize) -> Samples {
    (0..n)
        .map(|i| {
            let metric = if i % 2 == 0 { "up" } else { "http_requests_total" };
            let mut pairs = vec![("__name__", metric.to_string()), ("pod", format!("pod-{i}"))];
            if i % 3 == 0 {
                pairs.push(("zone", format!("z{}", i % 5)));
            }
            (
                SeriesKey(Labels::from_pairs(pairs)),
                vec![(i as i64, i as f64), (i as i64 + 10, 1.0)],
            )
        })
        .collect()
}

/// Every matcher gives the same series as asking it of each label set: with the series table alone and with tantivy.
#[test]
fn matchers_agree_with_label_sets() {
    for n in [300, 9002] {
        let series = many_series(n);
        let fixture = Fixture::new();
        let reader = fixture.place("o", &write_samples(&series).unwrap());
        let check = |matchers: &[(&str, MatchOp, &str)]| {
            let matchers: Vec<LabelMatcher> = matchers
                .iter()
                .map(|(name, op, value)| LabelMatcher::new(name, *op, value).unwrap())
                .collect();
            let scan = fixture.scan();
            let found = fixture
                .runtime
                .block_on(reader.select(&matchers, TimeRange::ALL, &scan))
                .unwrap();
            let found: Vec<&Labels> = found.iter().map(|s| &s.labels).collect();
            let passes = |labels: &Labels| matchers.iter().all(|m| m.matches_labels(labels));
            let expected: Vec<&Labels> = series.keys().map(|k| &k.0).filter(|l| passes(l)).collect();
            assert_eq!(found, expected, "{matchers:?}");
        };
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        check(&[]);
        check(&[("__name__", Equal, "up")]);
        check(&[("__name__", NotEqual, "up"), ("zone", Equal, "z1")]);
        check(&[("pod", Equal, "pod-17")]);
        check(&[("pod", Equal, "absent")]);
        check(&[("zone", Equal, "")]);
        check(&[("zone", NotEqual, "")]);
        check(&[("zone", Regex, "z[12]|")]);
        check(&[("zone", NotRegex, "z[12]|")]);
        check(&[("zone", Regex, ".*")]);
        check(&[("zon", NotEqual, "")]);
        check(&[("nope", Regex, "x?")]);
        check(&[("nope", Regex, "x+")]);
        check(&[
            ("pod", Regex, "pod-1.*"),
            ("zone", NotEqual, "z3"),
            ("__name__", Regex, "h.*"),
        ]);
        let scan = fixture.scan();
        let range = TimeRange::new(n as i64 + 9, n as i64 + 10);
        let names = fixture.runtime.block_on(reader.label_names(&[], range, &scan)).unwrap();
        assert_eq!(names, ["__name__", "pod"]);
        let values = fixture
            .runtime
            .block_on(reader.label_values("zone", &[], TimeRange::ALL, &scan))
            .unwrap();
        assert_eq!(values, ["z0", "z1", "z2", "z3", "z4"]);
    }
}

#[test]
fn a_segment_is_opened_by_one_read_and_its_tail_is_kept() {
    let fixture = Fixture::new();
    let reader = fixture.place("o", &write_samples(&many_series(5000)).unwrap());
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        reader.select(&[], TimeRange::ALL, &scan).await.unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 1);
        reader.select(&[], TimeRange::ALL, &scan).await.unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 1);
        reader
            .read_samples(&[0, 1, 2, 4999], TimeRange::ALL, &scan)
            .await
            .unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 2);
    });
    assert_eq!(scan.stats.object_requests.load(Ordering::Relaxed), 2);
    assert_eq!(fixture.account.used_bytes(MemoryUse::Query), 0);
    assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), fixture.cache.size_bytes());
    assert!(fixture.cache.size_bytes() > 0);
    fixture.cache.retain(|_| false);
    assert_eq!(fixture.account.total_bytes(), 0);
}

#[test]
fn a_damaged_page_is_left_out_and_counted() {
    // Two metrics of 20,000 samples each: two pages.
    let rows: Vec<(i64, f64)> = (0..20_000).map(|i| (i, i as f64)).collect();
    let series: Samples = [
        (key(&[("__name__", "a")]), rows.clone()),
        (key(&[("__name__", "b")]), rows.clone()),
    ]
    .into();
    let mut segment = write_samples(&series).unwrap();
    segment.bytes[3] ^= 1;
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    let scan = fixture.scan();
    let columns = fixture
        .runtime
        .block_on(reader.read_samples(&[0, 1], TimeRange::ALL, &scan))
        .unwrap();
    assert_eq!(columns.offsets, [0, 0, 20_000]);
    assert_eq!(scan.stats.pages_corrupt.load(Ordering::Relaxed), 1);
    assert_eq!(scan.stats.pages.load(Ordering::Relaxed), 1);
}

#[test]
fn a_footer_of_another_tenant_is_not_read() {
    let fixture = Fixture::new();
    let mut segment = write_samples(&many_series(3)).unwrap();
    segment.meta.tenant = TenantId::new("other").unwrap();
    let reader = fixture.place("o", &segment);
    let scan = fixture.scan();
    let answer = fixture.runtime.block_on(reader.select(&[], TimeRange::ALL, &scan));
    assert_eq!(answer.unwrap(), []);
    assert_eq!(scan.stats.pages_corrupt.load(Ordering::Relaxed), 1);
}

#[test]
fn writers_refuse_series_out_of_order() {
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    writer.push_series(&key(&[("__name__", "b")]).0, &[1], &[1.0]).unwrap();
    assert!(writer.push_series(&key(&[("__name__", "a")]).0, &[1], &[1.0]).is_err());
    assert!(
        writer
            .push_series(&key(&[("__name__", "c")]).0, &[2, 2], &[1.0, 1.0])
            .is_err()
    );
    assert!(writer.push_series(&key(&[("__name__", "c")]).0, &[2], &[]).is_err());
}

#[test]
fn many_days_widen_the_cut_of_log_pages() {
    const HOUR: i64 = 3_600_000_000_000;
    let entries = |n: i64| -> Vec<Entry> {
        (0..n)
            .map(|i| Entry {
                time: i * HOUR,
                line: b"x".to_vec(),
                metadata: Labels::from_pairs([("k", i.to_string())]),
                derived: Labels::empty(),
            })
            .collect()
    };
    let streams: Logs = (0..4)
        .map(|i| (key(&[("app", &i.to_string())]), entries(24 * 90)))
        .collect();
    let segment = write_logs(&streams).unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(read_all_logs(&fixture, &reader, TimeRange::ALL, ALL_COLUMNS), streams);
    let scan = fixture.scan();
    let bounds = fixture
        .runtime
        .block_on(reader.row_bounds(&[3], TimeRange::ALL, &scan))
        .unwrap()
        .unwrap();
    assert!(bounds.len() < 10, "{} pages", bounds.len());
}

/// What a segment costs beside its pages: thousands of quiet tenants each write a small one at every flush.
#[test]
fn tails_are_small() {
    let check = |n: usize, max_tail_bytes: u64| {
        let mut series = Samples::new();
        for i in 0..n {
            let (pod, instance) = (
                format!("api-server-7f9c{:05x}", i * 7919),
                format!("10.0.{}.{}:9100", i / 256, i % 256),
            );
            let labels = [
                ("__name__", "node_cpu_seconds_total"),
                ("cluster", "prod-eu"),
                ("namespace", "kube-system"),
                ("job", "node-exporter"),
                ("pod", &pod),
                ("instance", &instance),
                ("mode", ["idle", "user"][i % 2]),
            ];
            series.insert(key(&labels), vec![(0, 1.0)]);
        }
        let segment = write_samples(&series).unwrap();
        assert!(
            segment.meta.tail_len <= max_tail_bytes,
            "{n} series: {} bytes",
            segment.meta.tail_len
        );
    };
    check(1, 1_000);
    check(10, 1_300);
    // With the label index.
    check(5_000, 5_000 * 30);
}

#[test]
fn sections_before_the_tail_are_read_apart() {
    let series = many_series(4500);
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    writer.builder.max_tail_bytes = 1_000;
    for (key, rows) in &series {
        let (times, values): (Vec<i64>, Vec<f64>) = rows.iter().copied().unzip();
        writer.push_series(&key.0, &times, &values).unwrap();
    }
    let segment = writer.finish().unwrap().unwrap();
    assert!(segment.meta.tail_len <= 1_000);
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(
        read_all_samples(&fixture, &reader, TimeRange::ALL),
        inside(&series, TimeRange::ALL)
    );
    // Tail, series group, time columns, and the pages.
    assert_eq!(fixture.bucket.counts(Verb::Get).requests, 4);
}

#[test]
fn matching_survives_a_damaged_label_index() {
    let series = many_series(4500);
    let mut segment = write_samples(&series).unwrap();
    let footer = Footer::decode(&segment.bytes).unwrap();
    let index = footer.section(SectionId::LabelIndex).unwrap();
    segment.bytes[index.offset as usize + 100] ^= 1;
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(
        read_all_samples(&fixture, &reader, TimeRange::ALL),
        inside(&series, TimeRange::ALL)
    );
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let fixture = Fixture::new();
    let segment = write_samples(&many_series(200)).unwrap();
    let readers: Vec<SegmentReader> = (0..3).map(|i| fixture.place(&format!("o{i}"), &segment)).collect();
    let scan = fixture.scan();
    let open = |i: usize, cache: &Arc<TailCache>| {
        let reader = SegmentReader::new(fixture.bucket.clone(), Arc::clone(readers[i].meta()), Arc::clone(cache));
        let before = fixture.bucket.counts(Verb::Get).requests;
        fixture
            .runtime
            .block_on(reader.select(&[], TimeRange::ALL, &scan))
            .unwrap();
        fixture.bucket.counts(Verb::Get).requests - before
    };
    open(0, &fixture.cache);
    let one = fixture.cache.size_bytes();
    let cache = Arc::new(TailCache::new(fixture.account.clone(), 2 * one));
    let reads: Vec<u64> = [0, 1, 0, 2, 0, 1].map(|i| open(i, &cache)).into();
    assert_eq!(reads, [1, 1, 0, 1, 0, 1]);
    assert!(cache.size_bytes() > one && cache.size_bytes() <= 2 * one);
    // Short of memory, the cache gives way instead of failing the query.
    let short = Arc::new(TailCache::new(MemoryAccountant::new(one + one / 2), 10 * one));
    let reads: Vec<u64> = [0, 1, 1, 0].map(|i| open(i, &short)).into();
    assert_eq!(reads, [1, 1, 0, 1]);
    let none = Arc::new(TailCache::new(fixture.account.clone(), 0));
    assert_eq!([open(0, &none), open(0, &none)], [1, 1]);
}

/// What the kept files of each format version hold.
fn golden_samples() -> Samples {
    let mut series = Samples::new();
    let grid = |n: i64, value: &dyn Fn(i64) -> f64| -> Vec<(i64, f64)> {
        (0..n)
            .map(|i| (1_763_000_000_000_000_000 + i * 15_000_000_000, value(i)))
            .collect()
    };
    for pod in ["a", "b"] {
        for (i, le) in ["0.1", "1", "10", "+Inf"].into_iter().enumerate() {
            let labels = [("__name__", "seconds_bucket"), ("pod", pod), ("le", le)];
            series.insert(key(&labels), grid(130, &|t| (t * (i as i64 + 1)) as f64));
        }
    }
    series.insert(key(&[("__name__", "constant")]), grid(200, &|_| 7.0));
    series.insert(
        key(&[("__name__", "decimal"), ("ключ", "ü")]),
        grid(300, &|t| ((t * 7919) % 1000) as f64 / 100.0),
    );
    series.insert(key(&[("__name__", "float")]), grid(300, &|t| (t as f64).sin()));
    series.insert(
        key(&[("__name__", "multiplied")]),
        grid(300, &|t| (t * 7919) as f64 * 0.001),
    );
    series.insert(
        key(&[("__name__", "divided_twice")]),
        grid(300, &|t| (t * 7919) as f64 / 1000.0 / 1000.0),
    );
    let sum_of_durations = |n: i64| (0..n).fold(0.0, |sum, t| sum + (t * 104_729 % 9973) as f64 / 1e9);
    series.insert(key(&[("__name__", "summed")]), grid(300, &sum_of_durations));
    // A later begin and missed scrapes: rows of the column that others have whole.
    let mut partly = grid(300, &|t| (t / 7) as f64);
    partly.drain(200..210);
    partly.drain(..40);
    series.insert(key(&[("__name__", "partly")]), partly);
    let odd = [
        f64::NAN,
        f64::from_bits(STALE_NAN_BITS),
        -0.0,
        f64::INFINITY,
        f64::MIN_POSITIVE,
    ];
    series.insert(
        key(&[("__name__", "odd")]),
        (0..5).map(|i| (i * i - 7, odd[i as usize])).collect(),
    );
    series.insert(key(&[]), vec![(i64::MIN, 1.0), (i64::MAX - 1, 2.0)]);
    series
}

fn golden_logs() -> Logs {
    let entry = |i: i64, line: &[u8]| Entry {
        time: 1_763_000_000_000_000_000 + i * 1_200_000_000_000,
        line: line.to_vec(),
        metadata: Labels::from_pairs([("trace_id", format!("{:04x}", i / 2))]),
        derived: if i % 3 == 0 {
            Labels::empty()
        } else {
            Labels::from_pairs([("detected_level", "info")])
        },
    };
    let streams = ["api", "db"].map(|app| {
        let lines = (0..20).map(|i| entry(i, format!("GET /{app}/{i} 200").as_bytes()));
        let odd = [entry(20, b""), entry(20, b"\xff\x00\n")];
        (key(&[("service_name", app)]), lines.chain(odd).collect())
    });
    streams.into()
}

const GOLDEN_METRICS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments/v1-metrics.seg");
const GOLDEN_LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments/v1-logs.seg");

/// Writes a golden file.
pub(super) fn keep_file(path: &str, segment: &SegmentBytes) {
    std::fs::write(path, &segment.bytes).unwrap();
}

/// Run by hand when a format version is released, never to make the test below pass.
#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    keep_file(GOLDEN_METRICS, &write_samples(&golden_samples()).unwrap());
    keep_file(GOLDEN_LOGS, &write_logs(&golden_logs()).unwrap());
}

/// Files of every released format version are read for ever.
#[test]
fn golden_files_are_read() {
    let fixture = Fixture::new();
    let samples = inside(&golden_samples(), TimeRange::ALL);
    assert_eq!(
        read_all_samples(&fixture, &fixture.open_file(GOLDEN_METRICS), TimeRange::ALL),
        samples
    );
    assert_eq!(
        read_all_logs(&fixture, &fixture.open_file(GOLDEN_LOGS), TimeRange::ALL, ALL_COLUMNS),
        golden_logs()
    );
}
