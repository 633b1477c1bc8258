//! Loki pushes.

use garner_storage::model::{NANOS_PER_SECOND, TenantId};

use super::collected::*;
use crate::error::IngestErrorKind;
use crate::loki::LokiPush;
use crate::validate::LogLimits;
use crate::writer::append_push;

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

#[test]
fn the_older_json_is_read() {
    let legacy = |body: &str| {
        let mut rows = Collected::default();
        let push = LokiPush {
            content_type: "application/json",
            content_encoding: "",
            body: body.as_bytes(),
            legacy: true,
        };
        let result = append_push(
            &mut rows,
            &TenantId::new("t").unwrap(),
            push,
            &LogLimits::default(),
            NOW_NS,
        );
        (rows, result)
    };
    let (rows, result) = legacy(
        r#"{"Streams":[{"labels":"{app=\"a\\tb\"}","entries":[
            {"ts":"2026-01-10T00:00:01.5Z","line":"x \u00e9"},
            {"ts":"2026-01-10T02:00:02+02:00","Line":"y","structuredMetadata":{"trace_id":"7"}}]},
           {"labels":"{app=\"b\"}","entries":null}]}"#,
    );
    assert_eq!(result.unwrap().accepted_rows, 2);
    assert_eq!(
        rows.shown(),
        [
            r#"{app="a\tb", service_name="a\tb"} 1.5 x é [] unknown"#,
            r#"{app="a\tb", service_name="a\tb"} 2 y [trace_id=7] unknown"#,
        ]
    );
    for bad in [
        "",
        "[]",
        r#"{"streams":[{"labels":"{app=","entries":[]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"yesterday","line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":1,"line":"x"}]}]}"#,
        r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-01-10T00:00:01Z","line":5}]}]}"#,
    ] {
        let (rows, result) = legacy(bad);
        assert_eq!(result.unwrap_err().kind(), IngestErrorKind::BadRequest, "{bad}");
        assert!(rows.entries.is_empty(), "{bad}");
    }
}
