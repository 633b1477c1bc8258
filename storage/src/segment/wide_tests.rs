//! What a segment of very many series costs to open and to ask: requests, bytes, memory.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::tests::Fixture;
use super::{SampleSegmentWriter, SegmentBytes, SegmentReader, TailCache, segment_sizes};
use crate::file::{OsFiles, SharedFiles};
use crate::model::{LabelMatcher, Labels, MatchOp, SeriesKey, TenantId, TimeRange};
use crate::pieces::{PieceCache, PieceCacheSettings};
use crate::scan::{ScanContext, SeriesSource};

const SECOND: i64 = 1_000_000_000;
/// Metrics; each has a series of every pod.
const METRICS: usize = 10;

/// `n` series of four samples each: ten metrics of n / 10 pods.
fn write(n: usize, max_tail_bytes: Option<u64>) -> SegmentBytes {
    let mut writer = SampleSegmentWriter::new(TenantId::new("t").unwrap(), 0);
    if let Some(max) = max_tail_bytes {
        writer.builder.max_tail_bytes = max;
    }
    for metric in 0..METRICS {
        let metric = format!("metric_{metric}_total");
        let pod = |i: usize| {
            let labels = Labels::from_pairs([
                ("__name__", metric.as_str()),
                ("cluster", ["eu", "us", "ap"][i % 3]),
                ("namespace", &format!("ns-{}", i % 40)),
                ("pod", &format!("api-{:05x}-{i:06}", i * 7919 % 0xf_ffff)),
            ]);
            (SeriesKey(labels), i)
        };
        let mut pods: Vec<(SeriesKey, usize)> = (0..n / METRICS).map(pod).collect();
        pods.sort();
        for (key, i) in pods {
            let target = (i % 500) as i64;
            let time = |scrape: i64| (1_700_000_000 + scrape * 15) * SECOND + target * 1_000_000;
            let times: Vec<i64> = (0..4).map(time).collect();
            writer.push_series(&key.0, &times, &[1.0, 2.0, 3.0, i as f64]).unwrap();
        }
    }
    writer.finish().unwrap().unwrap()
}

#[derive(Debug)]
struct Cost {
    series: usize,
    requests: u64,
    bytes: u64,
}

fn cost(series: usize, scan: &ScanContext) -> Cost {
    Cost {
        series,
        requests: scan.stats.object_requests.load(Ordering::Relaxed),
        bytes: scan.stats.object_bytes.load(Ordering::Relaxed),
    }
}

fn select(fixture: &Fixture, reader: &SegmentReader, matchers: &[(&str, MatchOp, &str)]) -> Cost {
    let matchers: Vec<LabelMatcher> = matchers
        .iter()
        .map(|(name, op, value)| LabelMatcher::new(name, *op, value).unwrap())
        .collect();
    let scan = fixture.scan();
    let found = fixture
        .runtime
        .block_on(reader.select(&matchers, TimeRange::ALL, &scan));
    cost(found.unwrap().len(), &scan)
}

fn values(fixture: &Fixture, reader: &SegmentReader, name: &str) -> Cost {
    let scan = fixture.scan();
    let found = fixture
        .runtime
        .block_on(reader.label_values(name, &[], TimeRange::ALL, &scan));
    cost(found.unwrap().len(), &scan)
}

/// A tail so short that every part lies before it: what is read is what was asked for.
#[test]
fn questions_read_only_the_labels_they_name() {
    use MatchOp::{Equal, NotEqual, Regex};
    let n = 40_000;
    let segment = write(n, Some(16 << 10));
    let sizes = segment_sizes(&segment.bytes).unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);

    // Opening, and a label that is nowhere: the tail alone.
    let opened = select(&fixture, &reader, &[("nowhere", Equal, "x")]);
    assert_eq!(
        (opened.series, opened.requests, opened.bytes),
        (0, 1, segment.meta.tail_len)
    );
    assert!(segment.meta.tail_len <= 16 << 10);
    let opened_bytes = fixture.cache.size_bytes();
    assert!(opened_bytes < 64 << 10, "{opened_bytes} bytes for a tail");
    assert_eq!(values(&fixture, &reader, "nowhere").series, 0);

    // A regex that finds nothing reads one dictionary: three clusters are a few bytes, 4,000 pods some more.
    let cluster = select(&fixture, &reader, &[("cluster", Regex, "mars|.*venus.*")]);
    assert!(
        cluster.series == 0 && cluster.requests == 1 && cluster.bytes < 300,
        "{cluster:?}"
    );
    let pods = select(&fixture, &reader, &[("pod", Regex, ".*-nothing")]);
    assert!(pods.series == 0 && pods.requests == 1, "{pods:?}");
    assert!(pods.bytes > 1_000 && pods.bytes < sizes.index, "{pods:?} of {sizes:?}");
    // It stays in the cache.
    assert_eq!(
        select(&fixture, &reader, &[("pod", Regex, "api-nothing.*")]).requests,
        0
    );
    let values_of_cluster = values(&fixture, &reader, "cluster");
    assert_eq!((values_of_cluster.series, values_of_cluster.requests), (3, 0));

    // A needle: the pod's postings, and the groups of its ten series with their times.
    let needle = select(&fixture, &reader, &[("pod", Equal, "api-00000-000000")]);
    assert_eq!(needle.series, METRICS);
    // One series of it: filtered by its label sets, with no further dictionary but that of metrics.
    let one = [
        ("__name__", Equal, "metric_3_total"),
        ("pod", Equal, "api-00000-000000"),
    ];
    let one = select(&fixture, &reader, &one);
    assert!(one.series == 1 && one.requests <= 2, "{one:?}");
    // Unbounded matchers still agree with what is there.
    let check = |matchers: &[(&str, MatchOp, &str)], expected: usize| {
        assert_eq!(select(&fixture, &reader, matchers).series, expected, "{matchers:?}");
    };
    check(&[("cluster", Regex, ".+"), ("pod", Regex, ".*")], n);
    check(
        &[("cluster", NotEqual, "eu"), ("__name__", Regex, "metric_[0-4]_total")],
        n / 2 - 5 * 1334,
    );
    check(
        &[("absent", Equal, ""), ("__name__", Equal, "metric_9_total")],
        n / METRICS,
    );
    assert_eq!(values(&fixture, &reader, "pod").series, n / METRICS);
}

/// Selects one metric of one cluster and reads it, as a query does; with a cache of pieces, and nothing opened kept.
fn query(fixture: &Fixture, reader: &SegmentReader, metric: &str) -> Cost {
    let matchers: Vec<LabelMatcher> = [("__name__", metric), ("cluster", "eu")]
        .map(|(name, value)| LabelMatcher::new(name, MatchOp::Equal, value).unwrap())
        .into();
    let scan = fixture.scan();
    let rows = fixture.runtime.block_on(async {
        let found = reader.select(&matchers, TimeRange::ALL, &scan).await.unwrap();
        let ordinals: Vec<u32> = found.iter().map(|s| s.ordinal).collect();
        let samples = reader.read_samples(&ordinals, TimeRange::ALL, &scan).await.unwrap();
        samples.timestamps.len() / 4
    });
    cost(rows, &scan)
}

/// Cold, then a query that shares half of its pieces, then warm: what each asks of the object store.
fn cold_and_warm(n: usize) -> [Cost; 4] {
    let segment = write(n, None);
    let fixture = Fixture::new();
    let meta = fixture.place("o", &segment).meta().clone();
    let settings = PieceCacheSettings {
        memory_bytes: 256 << 20,
        disk: None,
    };
    let files: SharedFiles = Arc::new(OsFiles);
    let opened = PieceCache::open(&settings, fixture.account.clone(), &files, fixture.runtime.handle());
    let pieces = fixture.runtime.block_on(opened).map(Arc::new);
    let cache = Arc::new(TailCache::new(fixture.account.clone(), 0).with_pieces(pieces));
    let reader = SegmentReader::new(fixture.bucket.clone(), meta, cache);
    ["metric_3_total", "metric_3_total", "metric_4_total", "metric_4_total"].map(|m| query(&fixture, &reader, m))
}

#[test]
fn a_warm_query_asks_nothing() {
    let n = 40_000;
    let [cold, warm, other, again] = cold_and_warm(n);
    assert_eq!((cold.series, other.series), (n / METRICS / 3 + 1, n / METRICS / 3 + 1));
    assert!(cold.requests <= 6, "{cold:?}");
    assert_eq!((warm.requests, again.requests), (0, 0));
    // The tail and the dictionaries are known by then.
    assert!(
        other.requests < cold.requests && other.bytes < cold.bytes,
        "{cold:?} {other:?}"
    );
}

/// Prints the same at a million series.
#[test]
#[ignore = "takes minutes unoptimised"]
fn a_million_series_cold_and_warm() {
    println!("{:#?}", cold_and_warm(1_000_000));
}

/// Prints what the same costs at a million series. `cargo test --release -p garner-storage a_million -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes unoptimised"]
fn a_million_series() {
    use MatchOp::{Equal, Regex};
    let segment = write(1_000_000, None);
    println!(
        "{} bytes, tail {}: {:?}",
        segment.bytes.len(),
        segment.meta.tail_len,
        segment_sizes(&segment.bytes)
    );
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    let print = |what: &str, cost: Cost| {
        let Cost {
            series,
            requests,
            bytes,
        } = cost;
        let cached = fixture.cache.size_bytes();
        println!("{what}: {series} found, {requests} requests, {bytes} bytes read, {cached} bytes cached");
    };
    print("open", select(&fixture, &reader, &[("nowhere", Equal, "x")]));
    print(
        "cluster=~\"e.\", absent pod",
        select(&fixture, &reader, &[("cluster", Regex, "e."), ("pod", Equal, "x")]),
    );
    print(
        "pod=~\".*nothing\"",
        select(&fixture, &reader, &[("pod", Regex, ".*nothing")]),
    );
    print("values of namespace", values(&fixture, &reader, "namespace"));
    print("values of pod", values(&fixture, &reader, "pod"));
    print(
        "one pod of one metric",
        select(
            &fixture,
            &reader,
            &[
                ("__name__", Equal, "metric_3_total"),
                ("pod", Equal, "api-00000-000000"),
            ],
        ),
    );
    print(
        "pod=~\"api-000.*\"",
        select(&fixture, &reader, &[("pod", Regex, "api-000.*")]),
    );
}
