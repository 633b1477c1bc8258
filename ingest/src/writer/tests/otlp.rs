//! OTLP requests.

use garner_storage::model::TenantId;
use proptest::prelude::*;

use super::collected::*;
use crate::error::{IngestError, IngestErrorKind};
use crate::otlp::{AttributeAction, AttributeRule, OtlpConfig, OtlpPush};
use crate::validate::LogLimits;
use crate::wire::{encode, push_bytes};
use crate::writer::{PushOutcome, append_otlp};

fn push_with(content_type: &str, body: &[u8], limits: &LogLimits) -> (Collected, Result<PushOutcome, IngestError>) {
    let mut rows = Collected::default();
    let push = OtlpPush {
        content_type,
        content_encoding: "",
        body,
    };
    let result = append_otlp(&mut rows, &TenantId::new("t").unwrap(), push, limits, NOW_NS);
    (rows, result)
}

fn push_json_logs(body: &str, limits: &LogLimits) -> (Collected, Result<PushOutcome, IngestError>) {
    let body = body.replace("@NOW", &NOW_NS.to_string());
    push_with("application/json", body.as_bytes(), limits)
}

fn stored(body: &str) -> Vec<String> {
    let (rows, result) = push_json_logs(body, &LogLimits::default());
    result.unwrap();
    rows.shown()
}

/// A message of these fields.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields
        .iter()
        .for_each(|(number, value)| push_bytes(&mut out, *number, value));
    out
}

fn text_attribute(name: &str, value: &str) -> Vec<u8> {
    message(&[(1, name.as_bytes()), (2, &message(&[(1, value.as_bytes())]))])
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    encode::varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn request() -> Vec<u8> {
    let resource = message(&[
        (1, &text_attribute("service.name", "shop")),
        (1, &text_attribute("host.name", "h1")),
    ]);
    let scope = message(&[(1, b"lib"), (2, b"1.2"), (3, &text_attribute("s.a", "x"))]);
    let mut record = Vec::new();
    fixed64(&mut record, 1, NOW_NS as u64);
    encode::int(&mut record, 2, 17);
    encode::bytes(&mut record, 3, b"ERROR");
    encode::bytes(&mut record, 5, &message(&[(1, b"boom")]));
    let mut number = Vec::new();
    encode::int(&mut number, 3, 42);
    encode::bytes(&mut record, 6, &message(&[(1, b"http.status"), (2, &number)]));
    encode::varint(&mut record, 8 << 3 | 5);
    record.extend_from_slice(&1u32.to_le_bytes());
    encode::bytes(&mut record, 9, &[0xab; 16]);
    encode::bytes(&mut record, 10, &[0x01; 8]);
    fixed64(&mut record, 11, NOW_NS as u64 + 5);
    encode::bytes(&mut record, 12, b"evt");
    let scope_logs = message(&[(2, &record), (1, &scope)]);
    message(&[(1, &message(&[(2, &scope_logs), (1, &resource)]))])
}

#[test]
fn protobuf_and_json_store_the_same() {
    let expected = format!(
        r#"{{service_name="shop"}} 0 boom [http_status=42,observed_timestamp={},severity_number=17,severity_text=ERROR,flags=1,trace_id={},span_id=0101010101010101,event_name=evt,host_name=h1,s_a=x,scope_name=lib,scope_version=1.2] error"#,
        NOW_NS + 5,
        "ab".repeat(16)
    );
    let (proto, result) = push_with("application/x-protobuf", &request(), &LogLimits::default());
    assert_eq!(result.unwrap().accepted_rows, 1);
    assert_eq!(proto.shown(), std::slice::from_ref(&expected));
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"@NOW","observed_time_unix_nano":"{}",
          "severityNumber":"SEVERITY_NUMBER_ERROR","severityText":"ERROR","body":{{"stringValue":"boom"}},"flags":1,
          "attributes":[{{"key":"http.status","value":{{"intValue":"42"}}}}],"traceId":"{}","spanId":"0101010101010101",
          "eventName":"evt"}}],"scope":{{"name":"lib","version":"1.2","attributes":[{{"key":"s.a","value":
          {{"stringValue":"x"}}}}]}}}}],"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}},
          {{"key":"host.name","value":{{"stringValue":"h1"}}}}]}}}}]}}"#,
        NOW_NS + 5,
        "AB".repeat(16)
    );
    assert_eq!(stored(&json), [expected]);
}

#[test]
fn attributes_are_flattened_and_renamed_as_loki_does() {
    let body = |resource: &str, record: &str| {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"@NOW",{record}}}]}}]}}]}}"#
        )
    };
    let attribute = |name: &str, value: &str| format!(r#"{{"key":"{name}","value":{value}}}"#);
    for (resource, record, expected) in [
        (
            attribute("k8s.pod.name", r#"{"stringValue":"p"}"#),
            r#""body":{"kvlistValue":{"values":[{"key":"b","value":{"intValue":1}},{"key":"a","value":{"boolValue":true}}]}}"#
                .to_string(),
            r#"{k8s_pod_name="p", service_name="unknown_service"} 0 {"a":true,"b":1} [] unknown"#,
        ),
        (
            attribute("k8s.container.name", r#"{"stringValue":"c"}"#),
            format!(
                r#""attributes":[{}]"#,
                attribute(
                    "a.b",
                    r#"{"kvlistValue":{"values":[{"key":"1.c","value":{"stringValue":"x"}},{"key":"d","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"<"}]}}}]}}"#
                )
            ),
            r#"{k8s_container_name="c", service_name="c"} 0  [a_b_1_c=x,a_b_d=[1,"<"]] unknown"#,
        ),
        (
            attribute("service.name", r#"{"stringValue":""}"#),
            r#""severityNumber":9,"attributes":[{"key":"event_name","value":{"stringValue":"own"}}],"event_name":"field""#
                .to_string(),
            r#"{service_name="unknown_service"} 0  [severity_number=9,event_name=field] info"#,
        ),
        (
            attribute("x", r#"{"doubleValue":1.5}"#),
            r#""attributes":[{"key":"level","value":{"stringValue":"WARN"}}]"#.to_string(),
            r#"{service_name="unknown_service"} 0  [level=WARN,x=1.5] warn"#,
        ),
    ] {
        assert_eq!(stored(&body(&resource, &record)), [expected]);
    }
    let (_, result) = push_json_logs(&body(&attribute("", "{}"), r#""body":{}"#), &LogLimits::default());
    assert_eq!(
        told(result),
        (
            IngestErrorKind::BadRequest,
            "symbolizer lookup: label name is empty".to_string()
        )
    );
}

#[test]
fn times_fall_back_to_the_observed_one_and_to_now() {
    let body = |times: &str| {
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{times}"body":{{"stringValue":"x"}}}}]}}]}}]}}"#)
    };
    let observed = format!(r#""observedTimeUnixNano":"{}","#, NOW_NS + 1_000_000_000);
    for (times, expected) in [("", "0"), (observed.as_str(), "1")] {
        assert_eq!(
            stored(&body(times)),
            [format!(r#"{{service_name="unknown_service"}} {expected} x [] unknown"#)]
        );
    }
}

#[test]
fn rules_say_what_becomes_of_attributes() {
    let limits = LogLimits {
        otlp: OtlpConfig {
            resource: vec![
                AttributeRule::named(AttributeAction::Drop, ["secret"]),
                AttributeRule::named(AttributeAction::IndexLabel, ["team"]),
            ],
            scope: vec![AttributeRule::named(AttributeAction::IndexLabel, ["gone"])],
            log: vec![AttributeRule::named(AttributeAction::IndexLabel, ["user.id"])],
            severity_text_as_label: true,
        },
        ..LogLimits::default()
    };
    let body = r#"{"resourceLogs":[{"resource":{"attributes":[
        {"key":"secret","value":{"stringValue":"s"}},{"key":"team","value":{"stringValue":"t"}},
        {"key":"service.name","value":{"stringValue":"shop"}}]},
      "scopeLogs":[{"scope":{"attributes":[{"key":"gone","value":{"intValue":1}}]},"logRecords":[
        {"timeUnixNano":"@NOW","body":{"stringValue":"a"},"attributes":[{"key":"user.id","value":{"intValue":7}}]},
        {"timeUnixNano":"@NOW","body":{"stringValue":"b"},"severityText":"Info"},
        {"timeUnixNano":"@NOW","body":{"stringValue":"c"}}]}]}]}"#;
    let (rows, result) = push_json_logs(body, &limits);
    assert_eq!(result.unwrap().accepted_rows, 3);
    // The resource has a service name, so none is discovered, although it is no label here.
    assert_eq!(
        rows.shown(),
        [
            r#"{team="t", user_id="7"} 0 a [service_name=shop] unknown"#,
            r#"{severity_text="Info", team="t"} 0 b [severity_text=Info,service_name=shop] info"#,
            r#"{team="t"} 0 c [service_name=shop] unknown"#,
        ]
    );
}

#[test]
fn shared_metadata_counts_towards_the_limits() {
    let limits = LogLimits {
        max_structured_metadata_entries_count: 2,
        ..LogLimits::default()
    };
    let body = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"intValue":1}},
        {"key":"b","value":{"intValue":1}}]},"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"@NOW","attributes":[{"key":"c","value":{"intValue":1}}]},{"timeUnixNano":"@NOW"}]}]}]}"#;
    let (rows, result) = push_json_logs(body, &limits);
    let (kind, text) = told(result);
    assert_eq!(kind, IngestErrorKind::BadRequest);
    assert!(
        text.contains("too many structured metadata labels: '3', limit: '2'"),
        "{text}"
    );
    assert_eq!(rows.entries.len(), 1);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let (_, result) = push_with("text/plain", b"", &LogLimits::default());
    assert_eq!(told(result).1, "content type: text/plain is not supported");
    for empty in ["{}", r#"{"resourceLogs":[]}"#, r#"{"resourceLogs":null}"#] {
        let (_, result) = push_json_logs(empty, &LogLimits::default());
        assert_eq!(
            told(result),
            (
                IngestErrorKind::Unprocessable,
                "error at least one valid stream is required for ingestion".to_string()
            )
        );
    }
    let record = |field: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{field}}}]}}]}}]}}"#);
    for broken in [
        "",
        "[]",
        "{\"resourceLogs\":7}",
        &record(r#""timeUnixNano":"x""#),
        &record(r#""severityNumber":"LOUD""#),
        &record(r#""traceId":"abc""#),
        &record(r#""body":{"bytesValue":"!"}"#),
        &record(r#""body":{"boolValue":1}"#),
    ] {
        let (_, result) = push_json_logs(broken, &LogLimits::default());
        assert_eq!(told(result).0, IngestErrorKind::BadRequest, "{broken}");
    }
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(100), "]}}".repeat(100));
    let (_, result) = push_json_logs(&record(&format!(r#""body":{deep}"#)), &LogLimits::default());
    assert_eq!(told(result).1, "an attribute value is nested deeper than 64 levels");
    let bad_id = message(&[(1, &message(&[(2, &message(&[(2, &message(&[(9, b"abc")]))]))]))]);
    let (_, result) = push_with("application/x-protobuf", &bad_id, &LogLimits::default());
    assert_eq!(told(result).1, "unmarshal: invalid TraceID length");
}

proptest! {
    #[test]
    fn changed_requests_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 1usize..400) {
        let mut body = request();
        let at = at % body.len();
        body[at] = byte;
        body.truncate(cut);
        let _ = push_with("application/x-protobuf", &body, &LogLimits::default());
        let _ = push_with("application/json", &body, &LogLimits::default());
    }
}
