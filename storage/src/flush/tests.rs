//! What a flush writes does not depend on how many passes it takes, and what it holds does not grow with its rows.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::build::build_within;
use super::*;
use crate::head::{Head, LogRows, Rows, SampleRows, SeriesIndex};
use crate::memory::MemoryAccountant;
use crate::model::{Exemplar, Labels, MetricMetadata, MetricType, Signal, TenantId, Timestamp};
use crate::segment::SegmentMeta;
use crate::testing::histogram;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const NOW: i64 = 1_735_689_600 * SECOND;

fn lane(signal: Signal, series: &[Labels], batches: &[Rows]) -> SealedLane {
    let accountant = MemoryAccountant::new(1 << 40);
    let index = Arc::new(SeriesIndex::new(&accountant));
    for labels in series {
        index.insert_durable(labels.clone()).unwrap();
    }
    let head = Head::new(signal, index, &accountant);
    for rows in batches {
        head.append(rows, NOW);
    }
    SealedLane {
        tenant: TenantId::new("t").unwrap(),
        signal,
        heads: vec![Arc::new(head)],
    }
}

/// Segments with their bytes, and the most that was held at one time: by the writers, and by the piece on its way.
fn written(lanes: &[SealedLane], now: Timestamp, max_waiting_bytes: usize) -> (Vec<(SegmentMeta, Vec<u8>)>, usize) {
    let (mut object, mut most) = (Vec::new(), 0);
    let mut send = |bytes: Vec<u8>, held: usize| {
        most = most.max(bytes.len() + held);
        object.extend_from_slice(&bytes);
        Ok(())
    };
    let segments = build_within(lanes, &"o".into(), now, max_waiting_bytes, &mut send).unwrap();
    let bytes = |meta: &SegmentMeta| object[meta.id.offset as usize..(meta.id.offset + meta.len) as usize].to_vec();
    let total: u64 = segments.iter().map(|meta| meta.len).sum();
    assert_eq!(total, object.len() as u64, "segments are all there is");
    let mut found: Vec<_> = segments.iter().map(|meta| (meta.clone(), bytes(meta))).collect();
    for (meta, _) in &mut found {
        meta.id.offset = 0;
    }
    found.sort_by_key(|(meta, _)| (meta.signal, meta.range.start));
    (found, most)
}

/// Samples, histograms, exemplars, metadata and entries of the last three days and one of last year.
fn mixed(seed: u64) -> Vec<SealedLane> {
    let mut rng = StdRng::seed_from_u64(seed);
    let name = |i: u32| {
        let host = format!("h{}", i % 7);
        Labels::from_pairs([("__name__", format!("m{}", i / 7).as_str()), ("host", host.as_str())])
    };
    let series: Vec<Labels> = (0..60).map(name).collect();
    let mut batches = Vec::new();
    for _ in 0..30 {
        let mut rows = SampleRows::default();
        for _ in 0..rng.random_range(1..200) {
            let age = if rng.random_bool(0.01) {
                8760
            } else {
                rng.random_range(0..72)
            };
            let time = NOW - age * HOUR - rng.random_range(0..1000) * SECOND;
            let id = rng.random_range(0..60);
            rows.push(id, time, f64::from(rng.random_range(0..1000)));
            if id > 55 {
                let at = rows.times.len() as u32 - 1;
                rows.histograms.rows.push(at);
                rows.histograms
                    .values
                    .push(Arc::new(histogram(rng.random_range(0..20))));
            }
            if rng.random_bool(0.05) {
                let exemplar = Exemplar {
                    labels: Labels::from_pairs([("trace", "x")]),
                    value: 1.0,
                    time: time + HOUR,
                };
                rows.exemplars.push(id, exemplar);
            }
        }
        rows.metadata.add(
            "m1",
            MetricMetadata {
                kind: MetricType::Counter,
                help: "text".into(),
                unit: "s".into(),
            }
            .borrow(),
        );
        batches.push(Rows::Samples(rows));
    }
    let streams: Vec<Labels> = (0..9)
        .map(|i| Labels::from_pairs([("app", format!("a{i}").as_str())]))
        .collect();
    let mut pushes = Vec::new();
    for _ in 0..30 {
        let mut rows = LogRows {
            metadata_sets: vec![Labels::empty(), Labels::from_pairs([("trace", "1")])],
            ..LogRows::default()
        };
        for _ in 0..rng.random_range(1..200) {
            rows.series.push(rng.random_range(0..9));
            rows.times
                .push(NOW - rng.random_range(0..72) * HOUR - rng.random_range(0..5));
            rows.bytes
                .extend_from_slice(format!("line {}", rng.random_range(0..50)).as_bytes());
            rows.line_ends.push(rows.bytes.len() as u32);
            rows.metadata.push(rng.random_range(0..2));
            rows.derived.push(0);
        }
        pushes.push(Rows::Logs(rows));
    }
    vec![
        lane(Signal::Metrics, &series, &batches),
        lane(Signal::Logs, &streams, &pushes),
    ]
}

#[test]
fn segments_are_the_same_in_one_pass_and_in_many() {
    for seed in 0..3 {
        let lanes = mixed(seed);
        let (at_once, _) = written(&lanes, NOW, usize::MAX);
        assert!(at_once.len() > 50, "two hours each: {}", at_once.len());
        for max_waiting_bytes in [0, 20_000, 600_000] {
            let (found, _) = written(&lanes, NOW, max_waiting_bytes);
            assert_eq!(found.len(), at_once.len());
            for ((meta, bytes), (expected, expected_bytes)) in found.iter().zip(&at_once) {
                assert_eq!(meta, expected, "{max_waiting_bytes}");
                assert!(bytes == expected_bytes, "{max_waiting_bytes}: {meta:?}");
            }
        }
    }
}

#[test]
fn what_a_flush_of_samples_holds_does_not_grow_with_them() {
    let most = |scrapes: i64| {
        let mut rng = StdRng::seed_from_u64(4);
        let series: Vec<Labels> = (0..400)
            .map(|i| Labels::from_pairs([("__name__", "m"), ("host", format!("h{i:03}").as_str())]))
            .collect();
        let batch = |scrape: i64| {
            let mut rows = SampleRows::default();
            // Half of them lie before a window's end, half behind.
            let time = NOW + (scrape - scrapes / 2) * SECOND;
            (0..400).for_each(|id| rows.push(id, time, rng.random()));
            Rows::Samples(rows)
        };
        let batches: Vec<Rows> = (0..scrapes).map(batch).collect();
        let (segments, most) = written(&[lane(Signal::Metrics, &series, &batches)], NOW + HOUR, 4 << 20);
        assert_eq!(segments.len(), 2);
        (segments.iter().map(|(meta, _)| meta.len).sum::<u64>(), most)
    };
    let ((few_bytes, few), (many_bytes, many)) = (most(600), most(3000));
    assert!(few_bytes > 1 << 20 && many_bytes > 7 << 20, "{few_bytes} {many_bytes}");
    // What waits of the other window is its own limit.
    let limit = (4 << 20) + (3 << 20);
    assert!(
        few < limit && many < limit,
        "{few} of {few_bytes}, {many} of {many_bytes}"
    );
}

#[test]
fn one_long_stream_is_written_piece_by_piece() {
    let mut rng = StdRng::seed_from_u64(5);
    let streams = [Labels::from_pairs([("app", "a")])];
    let mut pushes = Vec::new();
    for at in 0..600i64 {
        let mut rows = LogRows {
            metadata_sets: vec![Labels::empty()],
            ..LogRows::default()
        };
        for row in 0..100 {
            rows.series.push(0);
            // Some come late.
            rows.times.push(NOW + (at + rng.random_range(-3..3)) * SECOND + row);
            let noise: Vec<u8> = (0..400).map(|_| rng.random_range(33..126)).collect();
            rows.bytes.extend_from_slice(&noise);
            rows.line_ends.push(rows.bytes.len() as u32);
            rows.metadata.push(0);
            rows.derived.push(0);
        }
        pushes.push(Rows::Logs(rows));
    }
    let lanes = [lane(Signal::Logs, &streams, &pushes)];
    let (segments, most) = written(&lanes, NOW + HOUR, 4 << 20);
    let rows: u64 = segments.iter().map(|(meta, _)| meta.rows).sum();
    let bytes: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(rows, 60_000);
    assert!(bytes > 12 << 20 && most < 8 << 20, "{most} of {bytes}");
}
