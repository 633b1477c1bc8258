//! Samples come back as they were written; damaged bytes never panic.

use super::*;

pub(super) type Samples = BTreeMap<SeriesOrd, Vec<(i64, f64)>>;
pub(super) type SeriesOrd = SeriesKey;

pub(super) fn write_samples(series: &Samples) -> Option<SegmentBytes> {
    write_samples_as(series, 0)
}

pub(super) fn write_samples_as(series: &Samples, level: u8) -> Option<SegmentBytes> {
    let mut writer = SampleSegmentWriter::new(tenant(), level);
    for (key, rows) in series {
        let (times, values): (Vec<i64>, Vec<f64>) = rows.iter().copied().unzip();
        writer.push_series(&key.0, &times, &values).unwrap();
    }
    writer.finish().unwrap()
}

pub(super) fn key(pairs: &[(&str, &str)]) -> SeriesKey {
    SeriesKey(Labels::from_pairs(pairs.iter().copied()))
}

pub(super) fn labels_strategy() -> impl Strategy<Value = SeriesKey> {
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
pub(super) fn read_all_samples(
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

pub(super) fn inside(series: &Samples, range: TimeRange) -> BTreeMap<SeriesKey, Vec<(i64, u64)>> {
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

/// A day of a histogram is more than a page, but its buckets need those before them.
#[test]
fn a_page_does_not_end_inside_a_histogram() {
    const ROWS: usize = 5760;
    let bounds = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "+Inf"];
    let mut state = 1u64;
    let mut columns = vec![Vec::with_capacity(ROWS); bounds.len()];
    let mut counts = [0u32; 12];
    for _ in 0..ROWS {
        let mut below = 0;
        for (column, count) in columns.iter_mut().zip(&mut counts) {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            below += (state >> 33) as u32 % 12;
            *count += below;
            column.push(f64::from(*count));
        }
    }
    let mut series = Samples::new();
    for (le, column) in bounds.into_iter().zip(columns) {
        let rows = (0i64..).map(|row| row * 15_000_000_000).zip(column);
        series.insert(key(&[("__name__", "seconds_bucket"), ("le", le)]), rows.collect());
    }
    let segment = write_samples_as(&series, 2).unwrap();
    let information = 12f64.log2() / 8.0 * (ROWS * bounds.len()) as f64;
    let values = crate::segment::segment_sizes(&segment.bytes).unwrap().values;
    assert!((values as f64) < information * 1.04, "{values} for {information}");
    let fixture = Fixture::new();
    assert_eq!(
        read_all_samples(&fixture, &fixture.place("day", &segment), TimeRange::ALL),
        inside(&series, TimeRange::ALL)
    );
}
