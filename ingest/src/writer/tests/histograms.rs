//! Native histograms, start times, exemplars and metadata out of both versions of remote write.

use garner_storage::model::{BucketSpan, CounterReset, Histogram, Labels, MetadataRef, MetricType};

use proptest::prelude::*;

use super::collected::*;
use crate::PushOutcome;
use crate::error::IngestErrorKind;
use crate::validate::MetricLimits;
use crate::wire::encode;
use crate::writer::{append_write_request, append_write_request_v2};

fn zigzag(n: i64) -> i64 {
    (n << 1) ^ (n >> 63)
}

fn span(offset: i64, length: i64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::int(&mut out, 1, zigzag(offset));
    encode::int(&mut out, 2, length);
    out
}

/// The message of a histogram; field numbers are those of `types.proto`.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn int(mut self, field: u32, value: i64) -> Self {
        encode::int(&mut self.0, field, value);
        self
    }

    fn double(mut self, field: u32, value: f64) -> Self {
        encode::double(&mut self.0, field, value);
        self
    }

    fn span(mut self, field: u32, offset: i64, length: i64) -> Self {
        encode::bytes(&mut self.0, field, &span(offset, length));
        self
    }

    fn deltas(mut self, field: u32, deltas: &[i64]) -> Self {
        let mut packed = Vec::new();
        deltas
            .iter()
            .for_each(|d| encode::varint(&mut packed, zigzag(*d) as u64));
        encode::bytes(&mut self.0, field, &packed);
        self
    }

    fn doubles(mut self, field: u32, values: &[f64]) -> Self {
        let packed: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        encode::bytes(&mut self.0, field, &packed);
        self
    }

    fn now(self) -> Self {
        self.int(15, NOW_MS)
    }
}

/// An integer histogram: 3 + 5 + 2 observations in positive buckets, 4 in a negative one, 1 in the zero bucket.
fn whole() -> Message {
    Message::default()
        .int(1, 15)
        .double(3, 18.5)
        .int(4, zigzag(-1))
        .double(5, 0.001)
        .int(6, 1)
        .span(8, -2, 1)
        .deltas(9, &[4])
        .span(11, 0, 2)
        .span(11, 3, 1)
        .deltas(12, &[3, 2, -3])
        .int(14, 1)
        .now()
}

/// A float histogram with bounds of its own.
fn custom() -> Message {
    Message::default()
        .double(2, 4.5)
        .double(3, -2.0)
        .int(4, zigzag(-53))
        .span(11, 1, 2)
        .doubles(13, &[1.5, 3.0])
        .doubles(16, &[0.5, 1.0, 2.5])
        .int(14, 3)
        .now()
}

fn request_v1(histograms: &[Message]) -> Vec<u8> {
    let mut pair = Vec::new();
    encode::bytes(&mut pair, 1, b"__name__");
    encode::bytes(&mut pair, 2, b"h");
    let mut series = Vec::new();
    encode::bytes(&mut series, 1, &pair);
    for histogram in histograms {
        encode::bytes(&mut series, 4, &histogram.0);
    }
    let mut request = Vec::new();
    encode::bytes(&mut request, 1, &series);
    request
}

/// Symbols of the requests of version 2.
const SYMBOLS: [&str; 9] = [
    "", "__name__", "h", "trace_id", "abc", "Help.", "seconds", "__type__", "x",
];

fn request_v2(refs: &[u64], fields: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut packed = Vec::new();
    refs.iter().for_each(|r| encode::varint(&mut packed, *r));
    let mut series = Vec::new();
    encode::bytes(&mut series, 1, &packed);
    for (field, bytes) in fields {
        encode::bytes(&mut series, *field, bytes);
    }
    let mut request = Vec::new();
    SYMBOLS
        .iter()
        .for_each(|s| encode::bytes(&mut request, 4, s.as_bytes()));
    encode::bytes(&mut request, 5, &series);
    request
}

fn append_v1(rows: &mut Collected, request: &[u8], limits: &MetricLimits) -> PushOutcome {
    append_write_request(rows, request, limits, NOW_NS).unwrap()
}

fn append_v2(rows: &mut Collected, request: &[u8], limits: &MetricLimits) -> PushOutcome {
    append_write_request_v2(rows, request, limits, NOW_NS).unwrap()
}

#[test]
fn histograms_of_both_kinds_and_versions_are_kept() {
    let expected = Histogram {
        schema: -1,
        counter_reset: CounterReset::Reset,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 15.0,
        sum: 18.5,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 3, length: 1 }],
        negative_spans: vec![BucketSpan { offset: -2, length: 1 }],
        positive_buckets: vec![3.0, 5.0, 2.0],
        negative_buckets: vec![4.0],
        custom_values: Vec::new(),
    };
    let bounds = Histogram {
        schema: -53,
        counter_reset: CounterReset::Gauge,
        count: 4.5,
        sum: -2.0,
        positive_spans: vec![BucketSpan { offset: 1, length: 2 }],
        positive_buckets: vec![1.5, 3.0],
        custom_values: vec![0.5, 1.0, 2.5],
        ..Histogram::default()
    };
    let limits = MetricLimits::default();
    let mut rows = Collected::default();
    let outcome = append_v1(&mut rows, &request_v1(&[whole(), custom()]), &limits);
    assert_eq!(
        (
            outcome.accepted_rows,
            outcome.written_histograms,
            outcome.error().map(|_| ())
        ),
        (2, 2, None)
    );
    let started = whole().int(17, NOW_MS - 60_000);
    let outcome = append_v2(
        &mut rows,
        &request_v2(&[1, 2], &[(3, started.0), (3, custom().0)]),
        &limits,
    );
    assert_eq!((outcome.accepted_rows, outcome.written_histograms), (2, 2));
    let found: Vec<&Histogram> = rows.histograms.iter().map(|(_, _, h)| h).collect();
    assert_eq!(found, [&expected, &bounds, &expected, &bounds]);
    assert!(
        rows.histograms
            .iter()
            .all(|(series, time, _)| (*series, *time) == (0, NOW_NS))
    );
    assert_eq!(rows.starts, [NOW_NS - 60_000_000_000]);
    assert_eq!(rows.series, [Labels::from_pairs([("__name__", "h")])]);
}

#[test]
fn broken_histograms_are_refused_in_prometheus_words_and_leave_the_others() {
    let check = |broken: Message, text: &str| {
        let mut rows = Collected::default();
        let request = request_v1(&[broken, whole()]);
        let outcome = append_v1(&mut rows, &request, &MetricLimits::default());
        assert_eq!(
            (outcome.accepted_rows, outcome.refused.rows(), rows.histograms.len()),
            (1, 1, 1),
            "{text}"
        );
        let told = told(Ok(outcome));
        assert_eq!(
            told,
            (
                IngestErrorKind::BadRequest,
                format!("{text} for series {{__name__=\"h\"}}")
            )
        );
    };
    const SPANS: &str = "histogram spans specify different number of buckets than provided";
    const NEGATIVE: &str = "histogram has a bucket whose observation count is negative";
    check(
        whole().span(11, 1, 1),
        &format!("positive side: spans need 4 buckets, have 3 buckets: {SPANS}"),
    );
    check(
        whole().deltas(9, &[1]),
        &format!("negative side: spans need 1 buckets, have 2 buckets: {SPANS}"),
    );
    check(
        whole().span(8, -1, 0),
        "negative side: span number 2 with offset -1: histogram has a span whose offset is negative",
    );
    check(
        whole().int(1, 16),
        "15 observations found in buckets, but the Count field is 16: histogram's observation count should equal the number \
         of observations found in the buckets (in absence of NaN)",
    );
    check(
        whole().int(1, 14).double(3, f64::NAN),
        "15 observations found in buckets, but the Count field is 14: histogram's observation count should be at least the \
         number of observations found in the buckets",
    );
    check(
        Message::default().int(1, 1).span(11, 0, 2).deltas(12, &[1, -2]).now(),
        &format!("positive side: bucket number 2 has observation count of -1: {NEGATIVE}"),
    );
    check(
        Message::default()
            .double(2, 1.0)
            .span(8, 0, 1)
            .doubles(10, &[-1e-7])
            .now(),
        &format!("negative side: bucket number 1 has observation count of -1e-07: {NEGATIVE}"),
    );
    check(
        Message::default().double(2, 1.0).double(7, -0.5).now(),
        &format!("zero bucket has observation count of -0.5: {NEGATIVE}"),
    );
    check(
        Message::default().double(2, -1.0).now(),
        "observation count is  -1: histogram's observation count is negative",
    );
    check(
        Message::default().double(2, 1.0).int(4, zigzag(-5)).now(),
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, \
         got schema -5",
    );
    check(
        whole().doubles(16, &[1.0]),
        "histogram with exponential schema must not have custom bounds",
    );
    check(
        custom().doubles(16, &[2.0]),
        "custom buckets: previous bound is 2.500000 and current is 2.000000: histogram custom bounds must be in strictly \
         increasing order",
    );
    check(
        custom().doubles(16, &[f64::INFINITY]),
        "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
    );
    check(
        custom().doubles(16, &[f64::NAN]),
        "custom buckets: histogram custom bounds must not be NaN",
    );
    check(
        custom().span(11, 3, 1).doubles(13, &[1.0]),
        "custom buckets: only 3 custom bounds defined which is insufficient to cover total span length of 7: histogram custom \
         bounds are too few",
    );
    check(custom().double(7, 1.0), "custom buckets: must have zero count of 0");
    check(custom().double(5, 1.0), "custom buckets: must have zero threshold of 0");
    check(custom().span(8, 0, 0), "custom buckets: must not have negative spans");
}

#[test]
fn resolutions_over_eight_and_buckets_over_the_limit_are_lowered() {
    // Of schema 9, buckets 1 and 2 are bucket 1 of schema 8, buckets 3 and 7 are 2 and 4.
    let fine = Message::default()
        .int(1, 10)
        .int(4, zigzag(9))
        .span(11, 1, 3)
        .span(11, 3, 1)
        .deltas(12, &[1, 1, 1, 1])
        .now();
    let mut rows = Collected::default();
    append_v1(&mut rows, &request_v1(&[fine]), &MetricLimits::default());
    let found = &rows.histograms[0].2;
    assert_eq!((found.schema, &found.positive_buckets), (8, &vec![3.0, 3.0, 4.0]));
    assert_eq!(
        found.positive_spans,
        [BucketSpan { offset: 1, length: 2 }, BucketSpan { offset: 1, length: 1 }]
    );

    let limits = MetricLimits {
        max_native_histogram_buckets: 2,
        ..MetricLimits::default()
    };
    let mut rows = Collected::default();
    let outcome = append_v1(&mut rows, &request_v1(&[whole(), custom()]), &limits);
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 1));
    assert_eq!(
        told(Ok(outcome)).1,
        format!(
            "received a native histogram sample with too many buckets, timestamp: {NOW_MS} series: {{__name__=\"h\"}}, \
             buckets: 4, limit: 2 (err-mimir-max-native-histogram-buckets). To adjust the related per-tenant limit, configure \
             -validation.max-native-histogram-buckets, or contact your service administrator."
        )
    );
    let wide = Message::default()
        .int(1, 3)
        .int(4, zigzag(2))
        .span(11, 1, 3)
        .deltas(12, &[1, 0, 0])
        .now();
    append_v1(&mut rows, &request_v1(&[wide]), &limits);
    let found = &rows.histograms[1].2;
    assert_eq!((found.schema, &found.positive_buckets), (1, &vec![2.0, 1.0]));
}

#[test]
fn samples_tell_when_their_counting_began() {
    let sample = |ms: i64, start: i64| {
        let mut out = Vec::new();
        encode::double(&mut out, 1, 1.0);
        encode::int(&mut out, 2, NOW_MS + ms);
        encode::int(&mut out, 3, start);
        (2, out)
    };
    let mut rows = Collected::default();
    append_v2(
        &mut rows,
        &request_v2(&[1, 2], &[sample(0, NOW_MS - 5), sample(1, 0)]),
        &MetricLimits::default(),
    );
    assert_eq!(
        (rows.samples.len(), rows.starts.as_slice()),
        (2, [NOW_NS - 5_000_000].as_slice())
    );
}

fn exemplar_v2(refs: &[u64], ms: i64) -> (u32, Vec<u8>) {
    let mut packed = Vec::new();
    refs.iter().for_each(|r| encode::varint(&mut packed, *r));
    let mut out = Vec::new();
    encode::bytes(&mut out, 1, &packed);
    encode::double(&mut out, 2, 0.5);
    encode::int(&mut out, 3, NOW_MS + ms);
    (4, out)
}

#[test]
fn exemplars_are_kept_up_to_the_limit() {
    let mut pair = Vec::new();
    encode::bytes(&mut pair, 1, b"trace_id");
    encode::bytes(&mut pair, 2, b"abc");
    let mut exemplar = Vec::new();
    encode::bytes(&mut exemplar, 1, &pair);
    encode::double(&mut exemplar, 2, 0.5);
    encode::int(&mut exemplar, 3, NOW_MS);
    let mut label = Vec::new();
    encode::bytes(&mut label, 1, b"__name__");
    encode::bytes(&mut label, 2, b"h");
    let mut series = Vec::new();
    encode::bytes(&mut series, 1, &label);
    encode::bytes(&mut series, 3, &exemplar);
    let mut request = Vec::new();
    encode::bytes(&mut request, 1, &series);

    let mut rows = Collected::default();
    let limits = MetricLimits {
        max_exemplars: 2,
        ..MetricLimits::default()
    };
    // Of a series that has no samples yet nothing is kept, and nobody is told.
    let outcome = append_v1(&mut rows, &request, &limits);
    assert_eq!(
        (
            outcome.written_exemplars,
            outcome.dropped_exemplars,
            outcome.error().map(|_| ())
        ),
        (0, 1, None)
    );
    let sample = {
        let mut out = Vec::new();
        encode::int(&mut out, 2, NOW_MS);
        (2, out)
    };
    append_v2(&mut rows, &request_v2(&[1, 2], std::slice::from_ref(&sample)), &limits);
    assert_eq!(append_v1(&mut rows, &request, &limits).written_exemplars, 1);
    let of_two = [sample.clone(), exemplar_v2(&[3, 4], 1), exemplar_v2(&[3, 4], 2)];
    let outcome = append_v2(&mut rows, &request_v2(&[1, 2], &of_two), &limits);
    assert_eq!((outcome.written_exemplars, outcome.dropped_exemplars), (1, 1));
    assert!(
        rows.exemplars
            .iter()
            .all(|(_, e)| e.labels == Labels::from_pairs([("trace_id", "abc")]) && e.value == 0.5)
    );
    let times: Vec<i64> = rows.exemplars.iter().map(|(_, e)| e.time - NOW_NS).collect();
    assert_eq!(times, [0, 1_000_000]);
    // Labels that are not there are told, as in Prometheus; the sample stays.
    let outcome = append_v2(
        &mut rows,
        &request_v2(&[1, 2], &[sample, exemplar_v2(&[3, 9], 1)]),
        &limits,
    );
    assert_eq!(outcome.accepted_rows, 1);
    assert_eq!(
        told(Ok(outcome)).1,
        "parsing exemplar for series {__name__=\"h\"}: labelRefs 3 (name) = 9 (value) outside of symbols table (size 9)"
    );
}

fn metadata_v1(metric: &str, kind: i64, help: &str) -> Vec<u8> {
    let mut message = Vec::new();
    encode::int(&mut message, 1, kind);
    encode::bytes(&mut message, 2, metric.as_bytes());
    encode::bytes(&mut message, 4, help.as_bytes());
    encode::bytes(&mut message, 5, b"s");
    let mut request = Vec::new();
    encode::bytes(&mut request, 3, &message);
    request
}

fn metadata_v2(kind: i64, help: i64, unit: i64) -> (u32, Vec<u8>) {
    let mut message = Vec::new();
    encode::int(&mut message, 1, kind);
    encode::int(&mut message, 3, help);
    encode::int(&mut message, 4, unit);
    (5, message)
}

#[test]
fn metadata_is_kept_up_to_the_limits() {
    let limits = MetricLimits {
        max_metadata_per_user: 2,
        max_metadata_per_metric: 2,
        ..MetricLimits::default()
    };
    let mut rows = Collected::default();
    let mut send = |metric: &str, kind: i64, help: &str| {
        let outcome = append_v1(&mut rows, &metadata_v1(metric, kind, help), &limits);
        assert_eq!(outcome.error().map(|_| ()), None);
        (outcome.written_metadata, outcome.dropped_metadata)
    };
    assert_eq!(send("a", 1, "x"), (1, 0));
    assert_eq!(send("a", 1, "x"), (0, 0));
    assert_eq!(send("a", 2, "x"), (1, 0));
    assert_eq!(send("a", 3, "x"), (0, 1));
    assert_eq!(send("b", 99, "x"), (1, 0));
    assert_eq!(send("c", 1, "x"), (0, 1));
    let counter = MetadataRef {
        kind: MetricType::Counter,
        help: "x",
        unit: "s",
    };
    assert!(rows.metadata.has("a", counter));
    assert_eq!(rows.metadata.of("b")[0].kind, MetricType::Unknown);
}

#[test]
fn series_of_version_2_bring_their_metadata_and_can_get_labels_of_it() {
    let sample = || {
        let mut out = Vec::new();
        encode::int(&mut out, 2, NOW_MS);
        (2, out)
    };
    let refs = [1, 2, 7, 8];
    let request = request_v2(&refs, &[metadata_v2(3, 5, 6), sample()]);
    let mut rows = Collected::default();
    let outcome = append_v2(&mut rows, &request, &MetricLimits::default());
    assert_eq!((outcome.accepted_rows, outcome.written_metadata), (1, 1));
    let expected = MetadataRef {
        kind: MetricType::Histogram,
        help: "Help.",
        unit: "seconds",
    };
    assert!(rows.metadata.has("h", expected));
    assert_eq!(
        rows.series,
        [Labels::from_pairs([("__name__", "h"), ("__type__", "x")])]
    );

    let limits = MetricLimits {
        enable_type_and_unit_labels: true,
        ..MetricLimits::default()
    };
    let labels = |metadata: Option<(u32, Vec<u8>)>| {
        let mut rows = Collected::default();
        let fields: Vec<_> = metadata.into_iter().chain([sample()]).collect();
        append_v2(&mut rows, &request_v2(&refs, &fields), &limits);
        rows.series[0].to_string()
    };
    assert_eq!(
        labels(Some(metadata_v2(3, 5, 6))),
        Labels::from_pairs([("__name__", "h"), ("__type__", "histogram"), ("__unit__", "seconds")]).to_string()
    );
    // What the sender put there goes also where only the unit is known, and stays where nothing is.
    assert_eq!(
        labels(Some(metadata_v2(0, 5, 6))),
        Labels::from_pairs([("__name__", "h"), ("__unit__", "seconds")]).to_string()
    );
    let sent = Labels::from_pairs([("__name__", "h"), ("__type__", "x")]).to_string();
    assert_eq!(labels(Some(metadata_v2(0, 5, 0))), sent);
    assert_eq!(labels(None), sent);
}

proptest! {
    #[test]
    fn changed_requests_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let fields = [(3, whole().0), (3, custom().0), exemplar_v2(&[3, 4], 1), metadata_v2(3, 5, 6)];
        for (version, request) in [(1, request_v1(&[whole(), custom()])), (2, request_v2(&[1, 2], &fields))] {
            let mut request = request;
            let at = at.index(request.len());
            request[at] = byte;
            request.truncate(cut.index(request.len() * 3) + 1);
            let limits = MetricLimits {
                max_native_histogram_buckets: 3,
                enable_type_and_unit_labels: true,
                ..MetricLimits::default()
            };
            let mut rows = Collected::default();
            let _ = match version {
                1 => append_write_request(&mut rows, &request, &limits, NOW_NS),
                _ => append_write_request_v2(&mut rows, &request, &limits, NOW_NS),
            };
            for (_, _, histogram) in &rows.histograms {
                let buckets: usize = histogram.positive_spans.iter().map(|s| s.length as usize).sum();
                prop_assert_eq!(buckets, histogram.positive_buckets.len());
            }
        }
    }
}
