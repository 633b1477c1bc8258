//! Metric pages: bit-exact round trips over every kind of series, hostile bytes, and sizes on data like a node exporter's.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::compress::FLUSH_LEVEL;
use super::metric_page::{ChunkInput, MAX_PAGE_ROWS, MetricPage, encode, encode_smallest};
use super::varint::Reader;
use crate::model::STALE_NAN_BITS;

/// Values, and whether they are the next bucket of the series before.
type Series = (Vec<f64>, bool);

fn page(series: &[Series]) -> Bytes {
    Bytes::from(encode(&inputs(series), FLUSH_LEVEL).unwrap())
}

/// As compaction writes it.
fn smallest_page(series: &[Series]) -> Bytes {
    Bytes::from(encode_smallest(&inputs(series), FLUSH_LEVEL).unwrap())
}

fn inputs(series: &[Series]) -> Vec<ChunkInput<'_>> {
    let chunks = series.iter().map(|(values, next_bucket)| ChunkInput {
        values,
        next_bucket: *next_bucket,
    });
    chunks.collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn odd_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        prop_oneof![
            Just(f64::from_bits(STALE_NAN_BITS)),
            Just(f64::NAN),
            Just(f64::from_bits(0xfff0_0000_0000_0001)),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(f64::MIN_POSITIVE / 3.0),
            Just(f64::MAX),
            Just(9007199254740993.0),
            Just(9007199254740994.0),
            Just(-9007199254740992.0),
            Just(4503599627370497.5),
        ],
    ]
}

/// Values of one series: a walk of decimals, floats or anything, with a share of odd values.
fn values(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let regular =
        (0u8..9, 0u32..10, -1000i64..1000, any::<i32>()).prop_flat_map(move |(shape, scale, slope, start)| {
            proptest::collection::vec(-100i64..100, rows).prop_map(move |noise| {
                let mut sum = i64::from(start);
                let mut total = 0.0;
                let value = |n: i64| n as f64 / 10f64.powi(scale as i32);
                let of = |(i, n): (usize, i64)| match shape {
                    0 => value(i64::from(start)),
                    1 => value(i64::from(start) + i as i64 * slope),
                    2 => value(n),
                    3 => {
                        sum += slope + n;
                        value(sum)
                    }
                    4 => {
                        sum += n.abs();
                        value(if sum % 50 == 0 { 0 } else { sum })
                    }
                    5 => (n + slope) as f64 * 10f64.powi(-(scale as i32)),
                    6 => (n + slope) as f64 / 1000.0 / 1000.0,
                    7 => {
                        total += value(n.abs());
                        total
                    }
                    _ => (n as f64 + f64::from(start)).sin() * 1e3,
                };
                noise.into_iter().enumerate().map(of).collect::<Vec<f64>>()
            })
        });
    let odd = proptest::collection::vec((0..rows, odd_value()), 0..4);
    let all_odd = proptest::collection::vec(odd_value(), rows);
    prop_oneof![
        6 => (regular, odd).prop_map(|(mut values, odd)| {
            for (row, value) in odd { values[row] = value; }
            values
        }),
        1 => all_odd,
    ]
}

/// Whatever the bytes are, chunks decode to as many values as they say, or fail.
fn decode_all(bytes: &Bytes) {
    if let Ok(page) = MetricPage::open(bytes) {
        let mut decoder = page.decoder();
        for index in 0..page.chunk_count() {
            if let Ok(values) = decoder.values(index) {
                assert_eq!(Some(values.len()), page.rows(index));
            }
        }
    }
}

fn series() -> impl Strategy<Value = Vec<Series>> {
    // A group has equally many rows, as the buckets of a histogram do.
    let rows = prop_oneof![3 => 1usize..300, 1 => 300usize..2000];
    let group = rows.prop_flat_map(|rows| proptest::collection::vec((values(rows), any::<bool>()), 1..4));
    proptest::collection::vec(group, 0..6).prop_map(|groups| groups.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn every_value_comes_back_bit_for_bit(series in series(), backwards in any::<bool>(), smallest in any::<bool>()) {
        let page = if smallest { smallest_page(&series) } else { page(&series) };
        let page = MetricPage::open(&page).unwrap();
        prop_assert_eq!(page.chunk_count(), series.len());
        let mut decoder = page.decoder();
        let mut order: Vec<usize> = (0..series.len()).collect();
        if backwards { order.reverse() }
        for index in order {
            prop_assert_eq!(page.rows(index), Some(series[index].0.len()));
            prop_assert_eq!(bits(decoder.values(index).unwrap()), bits(&series[index].0));
        }
        prop_assert!(decoder.values(series.len()).is_err());
    }

    #[test]
    fn damaged_pages_fail_or_decode_but_never_panic(
        series in series(),
        smallest in any::<bool>(),
        plain in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = if smallest { smallest_page(&series) } else { page(&series) }.to_vec();
        if plain && bytes[0] == super::metric_page::CODEC_ZSTD {
            // Past zstd's own checks the damage would hardly get to the codecs.
            let mut reader = Reader::new(&bytes[1..]);
            let len = reader.count(MAX_PAGE_ROWS * 32, "length").unwrap();
            let body = super::compress::decompress(reader.rest(), len).unwrap();
            bytes = [&[super::metric_page::CODEC_PLAIN][..], &body].concat();
        }
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            let cut = cut.index(bytes.len());
            bytes.truncate(cut);
        }
        decode_all(&Bytes::from(bytes));
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode_all(&Bytes::from([&[1u8][..], &bytes].concat()));
    }
}

#[test]
fn pages_that_could_not_be_read_are_not_written() {
    let values = vec![0.0; MAX_PAGE_ROWS + 1];
    let chunk = |values| ChunkInput {
        values,
        next_bucket: false,
    };
    assert!(encode(&[chunk(&values)], 1).is_err());
    assert!(encode(&[chunk(&[])], 1).is_err());
    let page = MetricPage::open(&Bytes::from(encode(&[chunk(&values[1..])], 1).unwrap())).unwrap();
    assert_eq!(page.rows(0), Some(MAX_PAGE_ROWS));
}

/// A deterministic source of noise; the shape of the data decides the sizes, not the generator.
fn noise(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    *state >> 33
}

#[test]
fn node_exporter_like_series_take_under_half_a_byte_a_sample() {
    let n = 480;
    let mut series: Vec<Series> = Vec::new();
    let mut push = |next_bucket: bool, mut value: Box<dyn FnMut(i64) -> f64>| {
        series.push(((0..n).map(&mut value).collect(), next_bucket));
    };
    // The shares of a real node exporter's kinds: two thirds constant, then counters, decimals, gauges, few floats.
    for i in 0..90 {
        push(false, Box::new(move |_| f64::from(i) * 4096.0));
    }
    for i in 0..12 {
        let (mut sum, mut state) = (f64::from(i) * 1e6, i as u64);
        push(
            false,
            Box::new(move |_| {
                sum += (noise(&mut state) % 8) as f64;
                sum
            }),
        );
    }
    for i in 0..6 {
        let (mut hundredths, mut state) = (i as u64 * 1000, i as u64 + 99);
        push(
            false,
            Box::new(move |_| {
                hundredths += noise(&mut state) % 30;
                hundredths as f64 / 100.0
            }),
        );
    }
    for i in 0..16 {
        let mut state = i as u64 + 200;
        push(
            false,
            Box::new(move |i| (1_000_000 + i * 3 + (noise(&mut state) % 16) as i64) as f64 * 4096.0),
        );
    }
    for i in 0..3 {
        let mut state = i as u64 + 300;
        push(false, Box::new(move |_| noise(&mut state) as f64 / 2_147_483_648.0));
    }
    let rows: usize = series.iter().map(|s| s.0.len()).sum();
    let bytes = page(&series).len();
    let per_sample = bytes as f64 / rows as f64;
    assert!(per_sample < 0.45, "{per_sample} bytes a sample");
}

#[test]
fn buckets_are_smaller_as_differences() {
    let mut state = 7;
    let mut sums = [0u64; 12];
    let mut columns = vec![Vec::new(); 12];
    for _ in 0..480 {
        for _ in 0..noise(&mut state) % 300 {
            let observed = (noise(&mut state) % 1000 * (noise(&mut state) % 1000) / 1000) as usize;
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += u64::from(observed < (i + 1) * 84);
            }
        }
        for (column, sum) in columns.iter_mut().zip(sums) {
            column.push(sum as f64);
        }
    }
    let size = |hint: bool| {
        let series: Vec<Series> = columns
            .iter()
            .enumerate()
            .map(|(i, c)| (c.clone(), hint && i > 0))
            .collect();
        page(&series).len()
    };
    let (plain, differences) = (size(false), size(true));
    assert!(differences * 10 < plain * 8, "{differences} against {plain} bytes");
}

/// Series that become constants, decimals, a bucket's differences and floats.
fn series_of_many_kinds() -> Vec<Series> {
    let steps = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0];
    let mut sum = 0.0;
    let bucket: Vec<f64> = steps
        .iter()
        .map(|s| {
            sum += s * 100.0;
            sum
        })
        .collect();
    let next: Vec<f64> = bucket.iter().map(|v| v + 7.0).collect();
    let mut stale = steps.to_vec();
    stale[11] = f64::from_bits(STALE_NAN_BITS);
    let floats: Vec<f64> = steps.iter().map(|s| 1.0 + s.sqrt() / 1e12).collect();
    let raw: Vec<f64> = steps
        .iter()
        .map(|s| f64::from_bits((s * 1e15).sqrt().to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let all = [
        vec![42.5; 12],
        vec![f64::NAN; 12],
        (0..12).map(|i| f64::from(i) * 0.25).collect(),
        stale,
        bucket,
        next,
        floats,
        raw,
    ];
    all.into_iter()
        .enumerate()
        .map(|(i, values)| (values, i == 5))
        .collect()
}

/// Bytes written by format version 1 are read for ever; a change of this constant is a new version.
const PAGE_OF_VERSION_1: &str = "
    010823181100d2060000000000000000f87f002200003200300106010311006000d8046402070070000e00e02000e0650401
    105103000441da20b137a91ff07b1ae4ffffffffff7f0e5315ed8602adaeacfa030b020000000000f07f0400020384512444
    040056888d3164781e00000000f0bf638c01073078fada278534be4a01800e9704439888492913e2cf4bcaa36a6fb18ce600
    371d90ee1b00d407808ea747d6f6bcbf08da9d06a39af4a6e55f3402a0c80aa60625da999479534a2466ae3db9088b5c2820
    000000000000000000000000000000806842f270ab495d9c20fbb2ed372f6b2c9ad7cde6b8bf3f00";

#[test]
fn pages_of_version_1_are_read() {
    let series = series_of_many_kinds();
    let digits: Vec<char> = PAGE_OF_VERSION_1.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let now = page(&series).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let opened = MetricPage::open(&Bytes::from(bytes))
        .map_err(|e| format!("{e}; now it would be {now}"))
        .unwrap();
    assert_eq!(opened.chunk_count(), series.len());
    let mut decoder = opened.decoder();
    for (index, (values, _)) in series.iter().enumerate() {
        assert_eq!(bits(decoder.values(index).unwrap()), bits(values), "{index}");
    }
}

/// Series of which noise is the most: a counter with a reset, a gauge, and a stale marker in it.
fn noisy_series() -> Vec<Series> {
    let mut state = 5;
    let mut sum = 0;
    let mut counter: Vec<f64> = (0..2000)
        .map(|row| {
            sum = if row == 1000 { 0 } else { sum + noise(&mut state) % 1500 };
            sum as f64 / 100.0
        })
        .collect();
    counter[1200] = f64::from_bits(STALE_NAN_BITS);
    let gauge = (0..2000).map(|_| (noise(&mut state) % 110 * 4096) as f64).collect();
    vec![(counter, false), (gauge, false)]
}

#[test]
fn noise_takes_little_more_than_its_information_when_compacted() {
    let series = noisy_series();
    let (flushed, compacted) = (page(&series).len(), smallest_page(&series).len());
    let information = 2000.0 * (1500f64.log2() + 110f64.log2()) / 8.0;
    assert!((compacted as f64) < information * 1.04, "{compacted} for {information}");
    assert!(compacted * 100 < flushed * 98, "{compacted} against {flushed}");
    let opened = MetricPage::open(&smallest_page(&series)).unwrap();
    let mut decoder = opened.decoder();
    for (index, (values, _)) in series.iter().enumerate() {
        assert_eq!(bits(decoder.values(index).unwrap()), bits(values), "{index}");
    }
}

/// What compresses better in blocks stays in blocks, though each series alone would be smaller by its entropy code.
#[test]
fn what_series_have_in_common_is_found_when_compacted() {
    let mut state = 3;
    let period: Vec<f64> = (0..150).map(|_| (noise(&mut state) % 5) as f64).collect();
    let one: Vec<f64> = (0..1500).map(|row| period[row % period.len()]).collect();
    let series: Vec<Series> = (0..20).map(|_| (one.clone(), false)).collect();
    assert!(smallest_page(&series).len() <= page(&series).len());
}
