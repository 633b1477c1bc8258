//! Round trips and damage of segments whose samples have more than time and value.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::tests::{Fixture, keep_file, tenant};
use super::verify::{Depth, verify};
use super::{SampleSegmentWriter, SegmentBytes, SegmentReader};
use crate::model::{
    BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Exemplar, Histogram, Labels, MetadataMap, MetadataRef, MetricType,
    SeriesKey, TimeRange,
};
use crate::scan::{SampleColumns, SampleRow, SeriesSource};
use crate::testing::histogram;

/// (value or seed of a histogram, start time).
type Row = (Result<i32, u64>, i64);
type Series = BTreeMap<SeriesKey, BTreeMap<i64, Row>>;
/// Value bits, histogram, start time.
type Read = (u64, Option<Arc<Histogram>>, i64);

fn key(name: &str) -> SeriesKey {
    SeriesKey(Labels::from_pairs([("__name__", name), ("job", "x")]))
}

fn columns(rows: &BTreeMap<i64, Row>) -> SampleColumns {
    let mut columns = SampleColumns::default();
    for (time, (value, start_time)) in rows {
        let histogram = value.err().map(|seed| Arc::new(histogram(seed)));
        columns.sink().push(SampleRow {
            time: *time,
            value: histogram.as_ref().map_or(f64::from(value.unwrap_or(0)), |h| h.sum),
            histogram: histogram.as_ref(),
            start_time: *start_time,
        });
    }
    columns
}

fn exemplar(time: i64) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", time.to_string())]),
        value: 1.5,
        time,
    }
}

fn metadata() -> MetadataMap {
    let mut map = MetadataMap::default();
    let metadata = MetadataRef {
        kind: MetricType::Counter,
        help: "Requests.",
        unit: "",
    };
    map.add("a", metadata);
    map
}

/// A segment with an exemplar for each row, told once for each series.
fn write(series: &Series) -> Option<SegmentBytes> {
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    for (key, rows) in series {
        writer.push_samples(&key.0, &columns(rows).all()).unwrap();
        let exemplars: Vec<Exemplar> = rows.keys().map(|t| exemplar(*t)).collect();
        writer.push_exemplars(&key.0, &exemplars);
    }
    writer.add_metadata(&metadata());
    writer.finish().unwrap()
}

fn read(fixture: &Fixture, reader: &SegmentReader, range: TimeRange) -> BTreeMap<SeriesKey, BTreeMap<i64, Read>> {
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        let series = reader.select(&[], range, &scan).await.unwrap();
        let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
        let columns = reader.read_samples(&ordinals, range, &scan).await.unwrap();
        columns.check(ordinals.len()).unwrap();
        let mut out: BTreeMap<SeriesKey, BTreeMap<i64, Read>> = BTreeMap::new();
        for (at, series) in series.into_iter().enumerate() {
            let samples = columns.samples(at);
            assert!(samples.timestamps.is_sorted_by(|a, b| a < b));
            for row in 0..samples.len() {
                let row = samples.row(row);
                assert!(series.range.contains(row.time));
                let rows = out.entry(SeriesKey(series.labels.clone())).or_default();
                rows.insert(row.time, (row.value.to_bits(), row.histogram.cloned(), row.start_time));
            }
        }
        out
    })
}

fn same(a: &Read, b: &Read) -> bool {
    let histograms = match (&a.1, &b.1) {
        (Some(a), Some(b)) => a.total_cmp(b).is_eq(),
        (a, b) => a.is_none() && b.is_none(),
    };
    histograms && (a.0, a.2) == (b.0, b.2)
}

fn expected(series: &Series, range: TimeRange) -> BTreeMap<SeriesKey, BTreeMap<i64, Read>> {
    let mut out: BTreeMap<SeriesKey, BTreeMap<i64, Read>> = BTreeMap::new();
    for (key, rows) in series {
        let columns = columns(rows);
        let all = columns.all();
        for row in (0..all.len())
            .map(|row| all.row(row))
            .filter(|row| range.contains(row.time))
        {
            let read = (row.value.to_bits(), row.histogram.cloned(), row.start_time);
            out.entry(key.clone()).or_default().insert(row.time, read);
        }
    }
    out
}

fn strategy() -> impl Strategy<Value = Series> {
    let value = prop_oneof![any::<i32>().prop_map(Ok), (0..80u64).prop_map(Err)];
    let time = prop_oneof![0..30i64, (-4..4i64).prop_map(|t| t * 1_000_000_000_000)];
    let rows = prop::collection::btree_map(time, (value, prop_oneof![Just(0), -3..3i64]), 1..20);
    prop::collection::btree_map("[a-d]{1,2}".prop_map(|name| key(&name)), rows, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_bit_comes_back(series in strategy(), from in -5..30i64, len in 1..40i64) {
        let fixture = Fixture::new();
        if let Some(segment) = write(&series) {
            prop_assert_eq!(segment.meta.rows, series.values().map(|rows| rows.len() as u64).sum::<u64>());
            let reader = fixture.place("a", &segment);
            for range in [TimeRange::ALL, TimeRange::new(from, from + len)] {
                let (found, wanted) = (read(&fixture, &reader, range), expected(&series, range));
                prop_assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
                for (rows, wanted) in found.values().zip(wanted.values()) {
                    prop_assert!(rows.keys().eq(wanted.keys()));
                    prop_assert!(rows.values().zip(wanted.values()).all(|(a, b)| same(a, b)), "{:?} {:?}", rows, wanted);
                }
                let scan = fixture.scan();
                let exemplars = fixture.runtime.block_on(reader.exemplars(&[], range, &scan)).unwrap();
                let times: usize = exemplars.iter().map(|(_, e)| e.len()).sum();
                prop_assert_eq!(times, wanted.values().map(BTreeMap::len).sum::<usize>());
                prop_assert_eq!(fixture.runtime.block_on(reader.metric_metadata(&scan)).unwrap(), metadata());
            }
        } else {
            prop_assert!(series.is_empty());
        }
    }

    #[test]
    fn damage_never_panics_and_never_lies(series in strategy(), at in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let fixture = Fixture::new();
        if let Some(mut segment) = write(&series) {
            let at = at.index(segment.bytes.len());
            segment.bytes[at] ^= mask;
            let reader = fixture.place("a", &segment);
            let wanted = expected(&series, TimeRange::ALL);
            for (key, rows) in read(&fixture, &reader, TimeRange::ALL) {
                for (time, found) in rows {
                    // Start times may be missing, everything else is right.
                    let known = &wanted[&key][&time];
                    prop_assert!(same(&found, known) || same(&(found.0, found.1.clone(), known.2), known) && found.2 == 0);
                }
            }
            let scan = fixture.scan();
            let exemplars = fixture.runtime.block_on(reader.exemplars(&[], TimeRange::ALL, &scan)).unwrap();
            for (labels, exemplars) in exemplars {
                let rows = &series[&SeriesKey(labels)];
                prop_assert!(exemplars.iter().all(|e| *e == exemplar(e.time) && rows.contains_key(&e.time)));
            }
            let map = fixture.runtime.block_on(reader.metric_metadata(&scan)).unwrap();
            prop_assert!(map == metadata() || map.is_empty());
        }
    }
}

#[test]
fn a_series_of_many_large_histograms_takes_several_blobs() {
    let large = Arc::new(Histogram {
        schema: 8,
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: 20_000,
        }],
        positive_buckets: (0..20_000).map(f64::from).collect(),
        ..Histogram::default()
    });
    let mut columns = SampleColumns::default();
    for row in 0..40i64 {
        columns.sink().push(SampleRow {
            time: row * 1_000_000_000,
            value: large.sum,
            histogram: Some(&large),
            start_time: 7,
        });
    }
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    writer.push_samples(&key("a").0, &columns.all()).unwrap();
    let segment = writer.finish().unwrap().unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("a", &segment);
    let scan = fixture.scan();
    let found =
        fixture
            .runtime
            .block_on(reader.read_samples(&[0], TimeRange::new(5_000_000_000, 7_000_000_000), &scan));
    let found = found.unwrap();
    assert_eq!(
        (found.histograms.len(), found.start_times.as_slice()),
        (2, [7, 7].as_slice())
    );
    assert!(found.histograms.values.iter().all(|h| h.total_cmp(&large).is_eq()));
    // One blob of histograms of at least three, and one of start times.
    assert!(scan.stats.object_bytes.load(Ordering::Relaxed) < segment.bytes.len() as u64);
}

#[test]
fn repair_finds_damaged_blobs() {
    let mut rows = BTreeMap::new();
    for time in 0..20i64 {
        rows.insert(time, (if time % 2 == 0 { Err(3) } else { Ok(5) }, 1 + time % 3));
    }
    let whole = write(&BTreeMap::from([(key("a"), rows)])).unwrap();
    let fixture = Fixture::new();
    let faults = |name: &str, segment: &SegmentBytes| {
        let reader = fixture.place(name, segment);
        let memory = fixture.account.query(1 << 30);
        let checked = verify(&fixture.bucket, reader.meta(), Depth::Rows, &memory, &|_| {});
        fixture.runtime.block_on(checked).unwrap()
    };
    assert_eq!(faults("whole", &whole), Vec::<String>::new());
    for at in 0..whole.bytes.len() {
        let mut damaged = whole.clone();
        damaged.bytes[at] ^= 0x40;
        assert!(!faults(&format!("{at}"), &damaged).is_empty(), "byte {at}");
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments/v1-side.seg");

fn golden_histogram(i: i64) -> Histogram {
    let span = |offset: i32, length: u32| BucketSpan { offset, length };
    let count = |buckets: i64| {
        (0..buckets)
            .map(|bucket| (i * (bucket + 1)) as f64)
            .collect::<Vec<f64>>()
    };
    let mut histogram = match i % 3 {
        // The layout changes on the way, and so do the kinds of counts.
        0 => Histogram {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            zero_count: i as f64,
            positive_spans: vec![span(-5, 3), span(4, if i < 20 { 2 } else { 3 })],
            negative_spans: vec![span(0, 1)],
            positive_buckets: count(if i < 20 { 5 } else { 6 }),
            negative_buckets: vec![0.5],
            ..Histogram::default()
        },
        1 => Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            counter_reset: CounterReset::NotReset,
            custom_values: vec![0.1, 1.0, 10.0],
            positive_spans: vec![span(0, 4)],
            positive_buckets: count(4),
            ..Histogram::default()
        },
        _ => Histogram {
            schema: 0,
            counter_reset: CounterReset::Gauge,
            positive_spans: vec![span(2, 1)],
            positive_buckets: vec![i as f64 / 7.0],
            ..Histogram::default()
        },
    };
    let counted = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    histogram.count = counted.sum::<f64>() + histogram.zero_count;
    histogram.sum = histogram.count * 0.25;
    histogram
}

/// Series of histograms only, of numbers with histograms between them, and of numbers with start times; what is read of them.
fn golden() -> Vec<(SeriesKey, SampleColumns)> {
    let series = |name: &str, is_histogram: fn(i64) -> bool, start_time: fn(i64) -> i64| {
        let mut columns = SampleColumns::default();
        for i in 0..45i64 {
            let histogram = is_histogram(i).then(|| Arc::new(golden_histogram(i)));
            columns.sink().push(SampleRow {
                time: 1_763_000_000_000_000_000 + i * 15_000_000_000,
                value: histogram.as_ref().map_or(i as f64 / 4.0, |h| h.sum),
                histogram: histogram.as_ref(),
                start_time: start_time(i),
            });
        }
        (key(name), columns)
    };
    let reset = |i: i64| 1_762_999_999_000_000_000 + i / 30 * 450_000_000_000;
    vec![
        series("histograms", |_| true, |_| 0),
        series("mixed", |i| i % 4 == 1, reset),
        series(
            "numbers",
            |_| false,
            |i| if i < 10 { 0 } else { 1_763_000_100_000_000_000 },
        ),
    ]
}

fn golden_exemplars() -> Vec<Exemplar> {
    let exemplar = |i: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", format!("{:08x}", i * 7919)), ("ключ", "ü".to_string())]),
        value: i as f64 * 0.1,
        time: 1_763_000_000_500_000_000 + i * 60_000_000_000,
    };
    (0..9).map(exemplar).collect()
}

fn golden_metadata() -> MetadataMap {
    let mut map = metadata();
    let metadata = MetadataRef {
        kind: MetricType::Histogram,
        help: "Wie lange es dauert.",
        unit: "seconds",
    };
    map.add("histograms", metadata);
    map
}

/// Run by hand when a format version is released, never to make the test below pass.
#[test]
#[ignore = "writes the golden file"]
fn write_golden_file() {
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    for (key, columns) in golden() {
        writer.push_samples(&key.0, &columns.all()).unwrap();
    }
    writer.push_exemplars(&key("mixed").0, &golden_exemplars());
    writer.add_metadata(&golden_metadata());
    keep_file(GOLDEN, &writer.finish().unwrap().unwrap());
}

/// The sections 18 to 21 of every released format version are read for ever.
#[test]
fn the_golden_file_is_read() {
    let fixture = Fixture::new();
    let reader = fixture.open_file(GOLDEN);
    let found = read(&fixture, &reader, TimeRange::ALL);
    let wanted = golden();
    assert_eq!(found.len(), wanted.len());
    for (key, columns) in &wanted {
        let (all, rows) = (columns.all(), &found[key]);
        assert_eq!(rows.len(), all.len());
        for row in (0..all.len()).map(|row| all.row(row)) {
            let wanted = (row.value.to_bits(), row.histogram.cloned(), row.start_time);
            assert!(
                same(&rows[&row.time], &wanted),
                "{key:?}: {:?} {wanted:?}",
                rows[&row.time]
            );
        }
    }
    let scan = fixture.scan();
    let exemplars = fixture.runtime.block_on(reader.exemplars(&[], TimeRange::ALL, &scan));
    assert_eq!(exemplars.unwrap(), [(key("mixed").0, golden_exemplars())]);
    let map = fixture.runtime.block_on(reader.metric_metadata(&scan)).unwrap();
    assert_eq!(map, golden_metadata());
}
