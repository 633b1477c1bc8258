//! Whole requests into rows collected in memory: what is stored, what is refused, what the client is told.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use garner_storage::Result;
use garner_storage::model::{Labels, NANOS_PER_SECOND, STALE_NAN_BITS, TenantId, is_stale};
use proptest::prelude::*;

use super::rows::{LogRows, SampleRows};
use super::{PushOutcome, append_push, append_write_request};
use crate::error::{IngestError, IngestErrorKind};
use crate::loki::LokiPush;
use crate::validate::{LogLimits, MetricLimits};
use crate::wire::encode;

/// 2026-01-10T00:00:00Z.
const NOW_S: i64 = 1_768_003_200;
const NOW_NS: i64 = NOW_S * NANOS_PER_SECOND;
const NOW_MS: i64 = NOW_S * 1000;

/// Rows in memory instead of a store.
#[derive(Default)]
struct Collected {
    aliases: HashMap<u128, usize>,
    series: Vec<Labels>,
    entries: Vec<Entry>,
    samples: Vec<(usize, i64, f64)>,
}

#[derive(Debug, PartialEq)]
struct Entry {
    series: usize,
    time_ns: i64,
    line: Vec<u8>,
    metadata: Vec<(String, String)>,
    level: Option<String>,
}

impl Collected {
    fn find(&mut self, alias: u128, labels: Labels) -> usize {
        let known = self.series.iter().position(|l| *l == labels);
        let series = known.unwrap_or_else(|| {
            self.series.push(labels);
            self.series.len() - 1
        });
        self.aliases.insert(alias, series);
        series
    }

    /// `{labels} seconds line {metadata} level` of each entry.
    fn shown(&self) -> Vec<String> {
        let show = |e: &Entry| {
            let metadata: Vec<_> = e.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!(
                "{} {} {} [{}] {}",
                self.series[e.series],
                (e.time_ns - NOW_NS) as f64 / 1e9,
                String::from_utf8_lossy(&e.line),
                metadata.join(","),
                e.level.as_deref().unwrap_or("-")
            )
        };
        self.entries.iter().map(show).collect()
    }
}

impl LogRows for Collected {
    type Series = usize;

    fn lookup(&self, alias: u128) -> Option<usize> {
        self.aliases.get(&alias).copied()
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.find(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, line: &[u8], metadata: &[(&str, &str)], level: Option<&str>) {
        self.entries.push(Entry {
            series,
            time_ns,
            line: line.to_vec(),
            metadata: metadata
                .iter()
                .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
                .collect(),
            level: level.map(str::to_string),
        });
    }
}

impl SampleRows for Collected {
    type Series = usize;

    fn lookup(&self, alias: u128) -> Option<usize> {
        self.aliases.get(&alias).copied()
    }

    fn active_series(&self) -> usize {
        self.series.len()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<usize> {
        Ok(self.find(alias, labels))
    }

    fn push(&mut self, series: usize, time_ns: i64, value: f64) {
        self.samples.push((series, time_ns, value));
    }
}

fn push_body(
    rows: &mut Collected,
    content_type: &str,
    content_encoding: &str,
    body: &[u8],
    limits: &LogLimits,
) -> Result<PushOutcome, IngestError> {
    let push = LokiPush {
        content_type,
        content_encoding,
        body,
    };
    append_push(rows, &TenantId::new("t").unwrap(), push, limits, NOW_NS)
}

/// Pushes JSON with `@<seconds>` for a time relative to now.
fn push_json_with(body: &str, limits: &LogLimits) -> (Collected, Result<PushOutcome, IngestError>) {
    let mut rows = Collected::default();
    let mut text = String::new();
    let mut rest = body;
    while let Some(at) = rest.find('@') {
        text.push_str(&rest[..at]);
        let number_len = rest[at + 1..].find('"').unwrap();
        let seconds: f64 = rest[at + 1..at + 1 + number_len].parse().unwrap();
        text.push_str(&(NOW_NS + (seconds * 1e9) as i64).to_string());
        rest = &rest[at + 1 + number_len..];
    }
    text.push_str(rest);
    let result = push_body(&mut rows, "application/json", "", text.as_bytes(), limits);
    (rows, result)
}

fn push_json(body: &str) -> (Collected, Result<PushOutcome, IngestError>) {
    push_json_with(body, &LogLimits::default())
}

/// One entry of a protobuf push: labels, seconds from now, line, metadata.
type ProtoEntry<'a> = (&'a str, i64, &'a [u8], &'a [(&'a [u8], &'a [u8])]);

/// A push as Promtail sends it: one stream an entry.
fn proto_push(entries: &[ProtoEntry<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, seconds, line, metadata) in entries {
        let mut timestamp = Vec::new();
        encode::int(&mut timestamp, 1, NOW_S + seconds);
        encode::int(&mut timestamp, 2, 5);
        let mut entry = Vec::new();
        encode::bytes(&mut entry, 1, &timestamp);
        encode::bytes(&mut entry, 2, line);
        for (name, value) in *metadata {
            let mut pair = Vec::new();
            encode::bytes(&mut pair, 1, name);
            encode::bytes(&mut pair, 2, value);
            encode::bytes(&mut entry, 3, &pair);
        }
        let mut stream = Vec::new();
        encode::bytes(&mut stream, 1, labels.as_bytes());
        encode::bytes(&mut stream, 2, &entry);
        encode::int(&mut stream, 3, 12345);
        encode::bytes(&mut request, 1, &stream);
    }
    request
}

fn snappy(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

fn push_proto(entries: &[ProtoEntry<'_>]) -> (Collected, Result<PushOutcome, IngestError>) {
    let mut rows = Collected::default();
    let body = snappy(&proto_push(entries));
    let result = push_body(
        &mut rows,
        "application/x-protobuf",
        "snappy",
        &body,
        &LogLimits::default(),
    );
    (rows, result)
}

fn told(result: Result<PushOutcome, IngestError>) -> (IngestErrorKind, String) {
    let error = match result {
        Ok(outcome) => outcome.error().unwrap(),
        Err(error) => error,
    };
    (error.kind(), error.message().to_string())
}

#[test]
fn json_and_protobuf_store_the_same() {
    let (json, result) = push_json(
        r#"{"streams":[{"stream":{"app":"shop"},"values":[["@1","level=warn x",{"trace.id":"7","user":"a\nb"}]]},
            {"values":[["@2","plain"]]}]}"#,
    );
    assert_eq!(result.unwrap().accepted_rows, 2);
    assert_eq!(
        json.shown(),
        [
            r#"{app="shop", service_name="shop"} 1 level=warn x [trace_id=7,user=a
b] warn"#,
            r#"{service_name="unknown_service"} 2 plain [] unknown"#,
        ]
    );
    let (proto, result) = push_proto(&[
        (
            r#"{app="shop"}"#,
            1,
            b"level=warn x",
            &[(b"trace.id", b"7"), (b"user", b"a\nb")],
        ),
        ("", 2, b"plain", &[]),
    ]);
    let outcome = result.unwrap();
    assert_eq!(outcome.accepted_bytes, 12 + 9 + 7 + 5);
    let lines = |rows: &Collected| {
        rows.shown()
            .iter()
            .map(|s| s.replace(".000000005", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&proto), lines(&json));
}

#[test]
fn promtail_bytes_are_read() {
    // {app="x"} with one line "hi" at 1768003200.000000001, as written by gogo/protobuf.
    let message = b"\x0a\x1b\x0a\x09{app=\"x\"}\x12\x0e\x0a\x08\x08\x80\xad\x86\xcb\x06\x10\x01\x12\x02hi";
    let mut rows = Collected::default();
    let result = push_body(
        &mut rows,
        "application/x-protobuf",
        "",
        &snappy(message),
        &LogLimits::default(),
    );
    assert_eq!(result.unwrap().accepted_rows, 1);
    assert_eq!(rows.entries[0].time_ns, NOW_NS + 1);
    assert_eq!(rows.entries[0].line, b"hi");
    assert_eq!(rows.series[0].to_string(), r#"{app="x", service_name="x"}"#);
}

#[test]
fn lines_stay_byte_for_byte() {
    let (rows, result) = push_json(
        r#"{"streams":[{"stream":{"app":"a"},"values":[["@1","x\n"],["@2","  y  "],["@3","\r\n"],["@4",""]]}]}"#,
    );
    assert_eq!(result.unwrap().accepted_rows, 4);
    let lines: Vec<_> = rows.entries.iter().map(|e| e.line.as_slice()).collect();
    assert_eq!(lines, [&b"x\n"[..], b"  y  ", b"\r\n", b""]);
    let (rows, _) = push_proto(&[("{a=\"b\"}", 0, b"\xff\x00raw", &[(b"k", b"v\xff")])]);
    assert_eq!(rows.entries[0].line, b"\xff\x00raw");
    assert_eq!(rows.entries[0].metadata, [("k".to_string(), "v ".to_string())]);
}

#[test]
fn what_loki_accepts_is_accepted() {
    for (body, rows) in [
        (r#"{"streams":[{"stream":{"app":"a"},"values":[]}]}"#, 0),
        (r#"{"streams":[{"stream":{"app":"a"}}]}"#, 0),
        (r#"{"streams":[{"stream":{"app":"a"},"values":null}]}"#, 0),
        (r#"{"streams":[{"stream":{"app":"a"},"values":[["@5"]]}]}"#, 1),
        (
            r#"{"streams":[{"stream":{"app":"a"},"values":[["@5","x",{},"y"]]}]}"#,
            1,
        ),
        (r#"{"streams":[{"stream":{"app":5},"values":[["@5","x"]]}]}"#, 1),
        (r#"{"streams":[{"values":[["@5","x"]],"stream":{"app":"a"}}]} xyz"#, 1),
        (r#"{"streams":[{"stream":{"__x__":"y"},"values":[["@5","x"]]}]}"#, 1),
        (r#"{"streams":[{"stream":{"app":"a"},"values":[null,["@5","x"]]}]}"#, 1),
    ] {
        let (_, result) = push_json(body);
        let outcome = result.unwrap();
        assert_eq!(
            (outcome.accepted_rows, outcome.error().map(|_| ())),
            (rows, None),
            "{body}"
        );
    }
    let (rows, result) = push_proto(&[("{app='x'}", 0, b"x", &[])]);
    assert!(result.is_ok());
    assert_eq!(rows.series[0].get("app"), Some("x"));
}

#[test]
fn bodies_that_cannot_be_read_store_nothing() {
    use IngestErrorKind::{BadRequest, Unprocessable};
    let json = "application/json";
    let proto = "application/x-protobuf";
    let no_streams = "error at least one valid stream is required for ingestion";
    for (content_type, encoding, body, kind, text) in [
        (json, "", "", BadRequest, "EOF"),
        (json, "", "hello", BadRequest, "malformed JSON: unknown value"),
        (json, "", "{", BadRequest, "malformed JSON: unexpected end of input"),
        (json, "", "{}", Unprocessable, no_streams),
        (json, "", r#"{"streams":[]}"#, Unprocessable, no_streams),
        (json, "", "null", Unprocessable, no_streams),
        (json, "", "[]", BadRequest, "malformed JSON: expected an object"),
        (
            json,
            "",
            r#"{"streams":{}}"#,
            BadRequest,
            "malformed JSON: expected an array",
        ),
        (json, "br", "{}", BadRequest, "Content-Encoding \"br\" not supported"),
        (json, "gzip", "{}", BadRequest, "gzip: invalid header"),
        (proto, "", "garbage garbage", BadRequest, "snappy: corrupt input"),
        (proto, "", "", BadRequest, "snappy: corrupt input"),
        (
            "text/plain",
            "",
            r#"{"streams":[]}"#,
            BadRequest,
            "snappy: corrupt input",
        ),
        ("", "", r#"{"streams":[]}"#, BadRequest, "mime: no media type"),
    ] {
        let mut rows = Collected::default();
        let result = push_body(
            &mut rows,
            content_type,
            encoding,
            body.as_bytes(),
            &LogLimits::default(),
        );
        assert_eq!(told(result), (kind, text.to_string()), "{content_type} {body}");
    }
}

#[test]
fn json_entries_of_another_shape_are_refused() {
    for entry in [
        r#"[1768003205000000000,"x"]"#,
        r#"["abc","x"]"#,
        r#"["2026-01-10T00:00:05Z","x"]"#,
        r#"["1768003205.5","x"]"#,
        r#"["","x"]"#,
        r#"["99999999999999999999","x"]"#,
        r#"["@5",5]"#,
        r#"["@5",null]"#,
        r#"["@5","x","y"]"#,
        r#"["@5","x",null]"#,
        r#"["@5","x",{"k":5}]"#,
        r#"["@5","x",{"k":{}}]"#,
        r#"["@5","x\q"]"#,
        "[]",
        "{}",
        "5",
    ] {
        let body = format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[{entry}]}}]}}"#);
        let (_, result) = push_json(&body);
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(IngestErrorKind::BadRequest),
            "{entry}"
        );
    }
}

#[test]
fn an_unparsable_label_set_refuses_the_whole_push() {
    let (_, result) = push_proto(&[("{app=\"good\"}", 0, b"x", &[]), ("{bad-name=\"x\"}", 0, b"x", &[])]);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), IngestErrorKind::BadRequest);
    assert_eq!(
        error.message(),
        "couldn't parse labels: 1:5: parse error: unexpected character inside braces: '-'"
    );
    let (_, result) = push_json(r#"{"streams":[{"stream":{"my app":"x"},"values":[]}]}"#);
    assert_eq!(
        result.unwrap_err().message(),
        "couldn't parse labels: 1:5: parse error: unexpected identifier \"app\" in label set, expected \"=\""
    );
}

#[test]
fn valid_entries_beside_refused_ones_are_kept() {
    let strict = LogLimits {
        reject_old_samples: true,
        ..LogLimits::default()
    };
    let body = r#"{"streams":[
        {"stream":{"app":"a"},"values":[["1000000000000000000","old"],["@1","fine"],["@601","new"],["@600","edge"]]},
        {"stream":{"app":"b"},"values":[["@2","fine too"]]}]}"#;
    let (rows, result) = push_json_with(body, &strict);
    let outcome = result.unwrap();
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (3, 2));
    assert_eq!(
        told(Ok(outcome)),
        (
            IngestErrorKind::BadRequest,
            "1 errors like: entry for stream '{app=\"a\", service_name=\"a\"}' has timestamp too old: \
             2001-09-09T01:46:40Z, oldest acceptable timestamp is: 2026-01-03T00:00:00Z; \
             1 errors like: entry for stream '{app=\"a\", service_name=\"a\"}' has timestamp too new: \
             2026-01-10T00:10:01Z"
                .to_string()
        )
    );
    let lines: Vec<_> = rows
        .entries
        .iter()
        .map(|e| String::from_utf8_lossy(&e.line).into_owned())
        .collect();
    assert_eq!(lines, ["fine", "edge", "fine too"]);
}

#[test]
fn entries_of_any_age_are_taken_by_default() {
    let (rows, result) = push_json(r#"{"streams":[{"stream":{"a":"b"},"values":[["0","epoch"],["-1","before"]]}]}"#);
    assert!(result.unwrap().error().is_none());
    assert_eq!(rows.entries.iter().map(|e| e.time_ns).collect::<Vec<_>>(), [0, -1]);
    // Year 1600 and year 3000 do not fit into 64 bits of nanoseconds.
    let (rows, result) = push_proto(&[
        ("{a=\"b\"}", -13_400_000_000, b"x", &[]),
        ("{a=\"b\"}", 32_000_000_000, b"x", &[]),
    ]);
    assert_eq!(result.unwrap().refused.rows(), 2);
    assert!(rows.entries.is_empty());
}

#[test]
fn limits_answer_in_lokis_words() {
    let limits = LogLimits {
        max_label_names_per_series: 2,
        max_label_name_length: 12,
        max_label_value_length: 15,
        max_line_size: 20,
        max_structured_metadata_size: 10,
        max_structured_metadata_entries_count: 2,
        ..LogLimits::default()
    };
    let see = |setting: &str| format!("Please see `limits_config.{setting}` or contact your Loki administrator to");
    for (stream, entry, expected) in [
        (
            r#""a":"1","b":"2","c":"3""#,
            r#""x""#,
            "entry for stream '{a=\"1\", b=\"2\", c=\"3\", service_name=\"unknown_service\"}' has 3 label names; limit 2"
                .to_string(),
        ),
        (
            r#""abcdefghijklm":"1""#,
            r#""x""#,
            "stream '{abcdefghijklm=\"1\", service_name=\"unknown_service\"}' has label name too long: 'abcdefghijklm'"
                .to_string(),
        ),
        (
            r#""app":"1234567890123456""#,
            r#""x""#,
            "stream '{app=\"1234567890123456\", service_name=\"1234567890123456\"}' has label value too long: \
             '1234567890123456'"
                .to_string(),
        ),
        (
            r#""app":"a""#,
            r#""123456789012345678901""#,
            "max entry size '20' bytes exceeded for stream '{app=\"a\", service_name=\"a\"}' while adding an entry with \
             length '21' bytes"
                .to_string(),
        ),
        (
            r#""app":"a""#,
            r#""x",{"k":"1234567890"}"#,
            format!(
                "stream '{{app=\"a\", service_name=\"a\"}}' has structured metadata too large: '11' bytes, limit: '10' \
                 bytes. {} increase it",
                see("max_structured_metadata_size")
            ),
        ),
        (
            r#""app":"a""#,
            r#""x",{"k":"1","l":"1","m":"1"}"#,
            format!(
                "stream '{{app=\"a\", service_name=\"a\"}}' has too many structured metadata labels: '3', limit: '2'. {} \
                 increase it",
                see("max_structured_metadata_entries_count")
            ),
        ),
    ] {
        let body = format!(r#"{{"streams":[{{"stream":{{{stream}}},"values":[["@1",{entry}]]}}]}}"#);
        let (rows, result) = push_json_with(&body, &limits);
        assert_eq!(told(result), (IngestErrorKind::BadRequest, expected));
        assert!(rows.entries.is_empty() && rows.series.is_empty(), "{body}");
    }
}

#[test]
fn a_refused_stream_counts_all_its_entries() {
    let (rows, result) = push_proto(&[("{a=\"1\", a=\"2\"}", 0, b"x", &[]), ("{b=\"1\"}", 0, b"y", &[])]);
    let outcome = result.unwrap();
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 1));
    assert_eq!(
        told(Ok(outcome)).1,
        "stream '{a=\"1\", a=\"2\", service_name=\"unknown_service\"}' has duplicate label name: 'a'"
    );
    assert_eq!(rows.series.len(), 1);
}

#[test]
fn metadata_can_be_disallowed() {
    let limits = LogLimits {
        allow_structured_metadata: false,
        ..LogLimits::default()
    };
    let body = r#"{"streams":[{"stream":{"app":"a"},"values":[["@1","error",{"k":"v"}],["@2","error"]]}]}"#;
    let (rows, result) = push_json_with(body, &limits);
    assert!(
        told(result)
            .1
            .contains("includes structured metadata, but this feature is disallowed")
    );
    assert_eq!(rows.shown(), [r#"{app="a", service_name="a"} 2 error [] -"#]);
}

#[test]
fn streams_over_the_limit_are_429() {
    let limits = LogLimits {
        max_global_streams_per_user: 1,
        ..LogLimits::default()
    };
    let body = r#"{"streams":[{"stream":{"app":"a"},"values":[["@1","x"]]},{"stream":{"app":"b"},"values":[["@1","x"],["@2","x"]]},
        {"stream":{"app":"a"},"values":[["@3","x"]]}]}"#;
    let (rows, result) = push_json_with(body, &limits);
    let outcome = result.unwrap();
    assert_eq!(
        (outcome.accepted_rows, outcome.refused.rows(), rows.series.len()),
        (2, 2, 1)
    );
    let (kind, message) = told(Ok(outcome));
    assert_eq!(kind, IngestErrorKind::RateLimited);
    assert!(
        message.starts_with(
            "maximum active stream limit exceeded when trying to create stream {app=\"b\", service_name=\"b\"}, reduce"
        ),
        "{message}"
    );
}

#[test]
fn long_lines_can_be_cut_and_equal_times_moved() {
    let limits = LogLimits {
        max_line_size: 8,
        max_line_size_truncate: true,
        max_line_size_truncate_identifier: "...".to_string(),
        increment_duplicate_timestamp: true,
        ..LogLimits::default()
    };
    let body = r#"{"streams":[{"stream":{"a":"b"},"values":[["@1","123456789"],["@1","b"],["@1","b"],["@1","c"],["@2","c"]]}]}"#;
    let (rows, result) = push_json_with(body, &limits);
    assert!(result.unwrap().error().is_none());
    let found: Vec<_> = rows
        .entries
        .iter()
        .map(|e| {
            (
                String::from_utf8_lossy(&e.line).into_owned(),
                e.time_ns - NOW_NS - NANOS_PER_SECOND,
            )
        })
        .collect();
    let expected = [("12345...", 0), ("b", 1), ("b", 0), ("c", 1), ("c", NANOS_PER_SECOND)];
    assert_eq!(found, expected.map(|(line, at)| (line.to_string(), at)));
}

#[test]
fn one_stream_in_many_spellings_is_one() {
    let (rows, result) = push_proto(&[
        (r#"{a="1", b="2"}"#, 0, b"x", &[]),
        (r#"{b='2',a=`1`,c=""}"#, 1, b"x", &[]),
        (r#"{a="1",b="2",service_name="unknown_service"}"#, 2, b"x", &[]),
    ]);
    assert_eq!(result.unwrap().accepted_rows, 3);
    assert_eq!(rows.series.len(), 1);
}

/// A series: labels, samples (milliseconds from now, value), native histograms.
type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)], usize);

fn write_request(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, samples, histograms) in series {
        let mut message = Vec::new();
        for (name, value) in *labels {
            let mut pair = Vec::new();
            encode::bytes(&mut pair, 1, name.as_bytes());
            encode::bytes(&mut pair, 2, value.as_bytes());
            encode::bytes(&mut message, 1, &pair);
        }
        for (ms, value) in *samples {
            let mut sample = Vec::new();
            encode::double(&mut sample, 1, *value);
            encode::int(&mut sample, 2, NOW_MS.saturating_add(*ms));
            encode::bytes(&mut message, 2, &sample);
        }
        encode::bytes(&mut message, 3, b"");
        for _ in 0..*histograms {
            encode::bytes(&mut message, 4, b"");
        }
        encode::bytes(&mut request, 1, &message);
    }
    encode::bytes(&mut request, 3, b"\x08\x01");
    request
}

fn write(rows: &mut Collected, series: &[Series<'_>]) -> PushOutcome {
    append_write_request(rows, &write_request(series), &MetricLimits::default(), NOW_NS).unwrap()
}

#[test]
fn samples_of_any_value_and_order_are_kept() {
    let mut rows = Collected::default();
    let stale = f64::from_bits(STALE_NAN_BITS);
    let samples = [
        (5, 1.5),
        (-5, f64::NAN),
        (0, f64::INFINITY),
        (1, f64::NEG_INFINITY),
        (2, stale),
        (-NOW_MS, 0.0),
    ];
    let outcome = write(&mut rows, &[(&[("__name__", "up"), ("größe", "ü")], &samples, 0)]);
    assert_eq!(
        (
            outcome.accepted_rows,
            outcome.accepted_bytes,
            outcome.error().map(|_| ())
        ),
        (6, 96, None)
    );
    assert_eq!((outcome.ignored_exemplars, outcome.ignored_metadata), (1, 1));
    for ((_, time_ns, value), (ms, sent)) in rows.samples.iter().zip(samples) {
        assert_eq!((*time_ns, value.to_bits()), ((NOW_MS + ms) * 1_000_000, sent.to_bits()));
    }
    assert!(is_stale(rows.samples[4].2));
    assert_eq!(rows.series, [Labels::from_pairs([("__name__", "up"), ("größe", "ü")])]);
}

#[test]
fn refused_series_leave_the_others() {
    let mut rows = Collected::default();
    let outcome = write(
        &mut rows,
        &[
            (&[("job", "x")], &[(0, 1.0), (1, 1.0)], 0),
            (&[("__name__", "good")], &[(0, 1.0), (600_001, 2.0)], 0),
            (&[("__name__", "twice"), ("a", "1"), ("a", "2")], &[(0, 1.0)], 0),
        ],
    );
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 4));
    let (kind, message) = told(Ok(outcome));
    assert_eq!(kind, IngestErrorKind::BadRequest);
    for part in [
        "received series has no metric name (err-mimir-missing-metric-name)",
        "timestamp is too far in the future, timestamp: 1768003800001 series: 'good'",
        "duplicate label name, label: 'a'",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(rows.series.len(), 1);
}

#[test]
fn native_histograms_are_refused_by_name() {
    let mut rows = Collected::default();
    let series: [Series<'_>; 2] = [
        (&[("__name__", "native")], &[], 2),
        (&[("__name__", "float")], &[(0, 1.0)], 0),
    ];
    let outcome = write(&mut rows, &series);
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 2));
    assert_eq!(
        told(Ok(outcome)).1,
        "native histograms are not stored yet, series: 'native'; float samples of the same request are kept"
    );
    assert_eq!(rows.series.len(), 1);
}

#[test]
fn series_over_the_limit_are_refused() {
    let mut rows = Collected::default();
    let limits = MetricLimits {
        max_global_series_per_user: 1,
        ..MetricLimits::default()
    };
    let request = write_request(&[
        (&[("__name__", "a")], &[(0, 1.0)], 0),
        (&[("__name__", "b")], &[(0, 1.0)], 0),
    ]);
    let outcome = append_write_request(&mut rows, &request, &limits, NOW_NS).unwrap();
    assert_eq!(outcome.accepted_rows, 1);
    assert_eq!(
        told(Ok(outcome)),
        (
            IngestErrorKind::BadRequest,
            "per-user series limit of 1 exceeded (err-mimir-max-series-per-user). To adjust the related per-tenant limit, \
             configure -ingester.max-global-series-per-user, or contact your service administrator."
                .to_string()
        )
    );
}

#[test]
fn labels_may_stand_anywhere_in_a_series() {
    let label = |name: &str, value: &str| {
        let mut pair = Vec::new();
        encode::bytes(&mut pair, 1, name.as_bytes());
        encode::bytes(&mut pair, 2, value.as_bytes());
        pair
    };
    let mut sample = Vec::new();
    encode::double(&mut sample, 1, 7.0);
    encode::int(&mut sample, 2, NOW_MS);
    let mut message = Vec::new();
    encode::bytes(&mut message, 1, &label("__name__", "up"));
    encode::bytes(&mut message, 2, &sample);
    encode::bytes(&mut message, 1, &label("job", "x"));
    let mut request = Vec::new();
    encode::bytes(&mut request, 1, &message);

    let mut rows = Collected::default();
    write(&mut rows, &[(&[("__name__", "up"), ("job", "x")], &[(1, 1.0)], 0)]);
    append_write_request(&mut rows, &request, &MetricLimits::default(), NOW_NS).unwrap();
    assert_eq!((rows.series.len(), rows.aliases.len(), rows.samples.len()), (1, 1, 2));
}

#[test]
fn truncated_requests_are_refused_wherever_they_end() {
    let request = write_request(&[(&[("__name__", "up"), ("job", "x")], &[(0, 1.0)], 0)]);
    // The last two fields are metadata, whose loss leaves a whole message.
    let whole = [request.len(), request.len() - 4];
    for end in (1..request.len()).filter(|end| !whole.contains(end)) {
        let mut rows = Collected::default();
        let result = append_write_request(&mut rows, &request[..end], &MetricLimits::default(), NOW_NS);
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(IngestErrorKind::BadRequest),
            "cut at {end}"
        );
    }
    let push = proto_push(&[("{a=\"b\"}", 0, b"line", &[(b"k", b"v")])]);
    for end in 1..push.len() {
        let mut rows = Collected::default();
        let body = snappy(&push[..end]);
        let result = push_body(&mut rows, "application/x-protobuf", "", &body, &LogLimits::default());
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(IngestErrorKind::BadRequest),
            "cut at {end}"
        );
    }
}

proptest! {
    #[test]
    fn changed_requests_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut rows = Collected::default();
        let mut request = write_request(&[
            (&[("__name__", "up"), ("job", "x")], &[(0, 1.0), (1, 2.0)], 1),
            (&[("__name__", "down")], &[(0, 1.0)], 0),
        ]);
        let at = at % request.len();
        request[at] = byte;
        request.truncate(cut.max(1));
        let _ = append_write_request(&mut rows, &request, &MetricLimits::default(), NOW_NS);

        let mut push = proto_push(&[("{a=\"b\"}", 0, b"level=info", &[(b"k", b"v")]), ("{c='d'}", 1, b"{\"a\":1}", &[])]);
        let at = at % push.len();
        push[at] = byte;
        push.truncate(cut.max(1));
        let _ = push_body(&mut rows, "application/x-protobuf", "", &snappy(&push), &LogLimits::default());
    }

    #[test]
    fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rows = Collected::default();
        let limits = LogLimits::default();
        let _ = append_write_request(&mut rows, &body, &MetricLimits::default(), NOW_NS);
        let _ = push_body(&mut rows, "application/x-protobuf", "", &snappy(&body), &limits);
        let _ = push_body(&mut rows, "application/json", "", &body, &limits);
    }

    #[test]
    fn random_json_never_panics(
        body in "\\{\"streams\":\\[\\{\"stream\":\\{[\"a:, {}]{0,9}\\},\"values\":\\[[\\[\\]\"0-9a, {}:]{0,20}\\]\\}\\]\\}",
    ) {
        let mut rows = Collected::default();
        let _ = push_body(&mut rows, "application/json", "", body.as_bytes(), &LogLimits::default());
    }
}
