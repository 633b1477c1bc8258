//! The JSON form of an `ExportLogsServiceRequest`, read in place: names in both spellings, 64-bit numbers as numbers or
//! strings, enum values by name or number, ids in hex (open-telemetry/opentelemetry-collector `pdata/internal/json`).

use std::borrow::Cow;
use std::ops::ControlFlow;

use garner_storage::model::go_text::go_quote;

use super::record::{Record, RecordVisitor, Scope};
use super::value::{AnyValue, Attribute, MAX_DEPTH, base64_decode};
use crate::error::IngestError;
use crate::json_scan::{self, Kind, Value, array_each, object_each};

/// The names of severity numbers, from 0 on (opentelemetry-proto `logs/v1/logs.proto`, `SeverityNumber`).
const SEVERITIES: [&[u8]; 25] = [
    b"SEVERITY_NUMBER_UNSPECIFIED",
    b"SEVERITY_NUMBER_TRACE",
    b"SEVERITY_NUMBER_TRACE2",
    b"SEVERITY_NUMBER_TRACE3",
    b"SEVERITY_NUMBER_TRACE4",
    b"SEVERITY_NUMBER_DEBUG",
    b"SEVERITY_NUMBER_DEBUG2",
    b"SEVERITY_NUMBER_DEBUG3",
    b"SEVERITY_NUMBER_DEBUG4",
    b"SEVERITY_NUMBER_INFO",
    b"SEVERITY_NUMBER_INFO2",
    b"SEVERITY_NUMBER_INFO3",
    b"SEVERITY_NUMBER_INFO4",
    b"SEVERITY_NUMBER_WARN",
    b"SEVERITY_NUMBER_WARN2",
    b"SEVERITY_NUMBER_WARN3",
    b"SEVERITY_NUMBER_WARN4",
    b"SEVERITY_NUMBER_ERROR",
    b"SEVERITY_NUMBER_ERROR2",
    b"SEVERITY_NUMBER_ERROR3",
    b"SEVERITY_NUMBER_ERROR4",
    b"SEVERITY_NUMBER_FATAL",
    b"SEVERITY_NUMBER_FATAL2",
    b"SEVERITY_NUMBER_FATAL3",
    b"SEVERITY_NUMBER_FATAL4",
];

/// Walks a request that is already decompressed.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    each_member(json_scan::value(body)?, |key, value| match key {
        b"resourceLogs" | b"resource_logs" => each_item(value, |item| resource_logs(item, visitor)),
        _ => Ok(()),
    })
}

fn resource_logs<'a>(value: Value<'a>, visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    let mut attributes = Vec::new();
    let mut scopes = Vec::new();
    each_member(value, |key, value| {
        match key {
            b"resource" => each_member(value, |key, value| match key {
                b"attributes" => read_attributes(value, &mut attributes, 0),
                _ => Ok(()),
            })?,
            b"scopeLogs" | b"scope_logs" => scopes.push(value),
            _ => {}
        }
        Ok(())
    })?;
    visitor.resource(attributes)?;
    for list in scopes {
        each_item(list, |item| scope_logs(item, visitor))?;
    }
    Ok(())
}

fn scope_logs<'a>(value: Value<'a>, visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    let mut scope = Scope::default();
    let mut records = Vec::new();
    each_member(value, |key, value| {
        match key {
            b"scope" => read_scope(value, &mut scope)?,
            b"logRecords" | b"log_records" => records.push(value),
            _ => {}
        }
        Ok(())
    })?;
    visitor.scope(scope)?;
    for list in records {
        each_item(list, |item| visitor.record(record(item)?))?;
    }
    Ok(())
}

fn read_scope<'a>(value: Value<'a>, scope: &mut Scope<'a>) -> Result<(), IngestError> {
    each_member(value, |key, value| {
        match key {
            b"name" => scope.name = text(value)?,
            b"version" => scope.version = text(value)?,
            b"attributes" => read_attributes(value, &mut scope.attributes, 0)?,
            b"droppedAttributesCount" | b"dropped_attributes_count" => scope.dropped_attributes = number(value)?,
            _ => {}
        }
        Ok(())
    })
}

fn record(value: Value<'_>) -> Result<Record<'_>, IngestError> {
    let mut record = Record::default();
    each_member(value, |key, value| {
        match key {
            b"timeUnixNano" | b"time_unix_nano" => record.time_ns = number(value)?,
            b"observedTimeUnixNano" | b"observed_time_unix_nano" => record.observed_ns = number(value)?,
            b"severityNumber" | b"severity_number" => record.severity_number = severity(value)?,
            b"severityText" | b"severity_text" => record.severity_text = text(value)?,
            b"body" => record.body = any_value(value, 0)?,
            b"attributes" => read_attributes(value, &mut record.attributes, 0)?,
            b"droppedAttributesCount" | b"dropped_attributes_count" => record.dropped_attributes = number(value)?,
            b"flags" => record.flags = number(value)?,
            b"traceId" | b"trace_id" => id(value, &mut record.trace_id)?,
            b"spanId" | b"span_id" => id(value, &mut record.span_id)?,
            b"eventName" | b"event_name" => record.event_name = text(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

fn read_attributes<'a>(value: Value<'a>, into: &mut Vec<Attribute<'a>>, depth: usize) -> Result<(), IngestError> {
    each_item(value, |item| {
        into.push(read_attribute(item, depth)?);
        Ok(())
    })
}

pub(super) fn read_attribute(item: Value<'_>, depth: usize) -> Result<Attribute<'_>, IngestError> {
    let (mut name, mut attribute) = (Cow::Borrowed(b"".as_slice()), AnyValue::Empty);
    each_member(item, |key, value| {
        match key {
            b"key" => name = text(value)?,
            b"value" => attribute = any_value(value, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, attribute))
}

fn any_value(value: Value<'_>, depth: usize) -> Result<AnyValue<'_>, IngestError> {
    if depth > MAX_DEPTH {
        return Err(IngestError::bad_request(format!(
            "an attribute value is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let mut found = AnyValue::Empty;
    each_member(value, |key, value| {
        found = match key {
            b"stringValue" | b"string_value" => AnyValue::Text(text(value)?),
            b"boolValue" | b"bool_value" => match (value.kind, value.raw) {
                (Kind::Boolean, raw) => AnyValue::Bool(raw == b"true"),
                _ => return Err(wrong(value, "a boolean")),
            },
            b"intValue" | b"int_value" => AnyValue::Int(number(value)?),
            b"doubleValue" | b"double_value" => AnyValue::Double(number(value)?),
            b"arrayValue" | b"array_value" => {
                let mut list = Vec::new();
                each_member(value, |key, value| match key {
                    b"values" => each_item(value, |item| {
                        list.push(any_value(item, depth + 1)?);
                        Ok(())
                    }),
                    _ => Ok(()),
                })?;
                AnyValue::List(list)
            }
            b"kvlistValue" | b"kvlist_value" => {
                let mut map = Vec::new();
                each_member(value, |key, value| match key {
                    b"values" => read_attributes(value, &mut map, depth + 1),
                    _ => Ok(()),
                })?;
                AnyValue::Map(map)
            }
            b"bytesValue" | b"bytes_value" => {
                let bytes = base64_decode(&text(value)?).ok_or_else(|| wrong(value, "bytes in base64"))?;
                AnyValue::Bytes(Cow::Owned(bytes))
            }
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn text(value: Value<'_>) -> Result<Cow<'_, [u8]>, IngestError> {
    match value.kind {
        Kind::String => Ok(value.text()?),
        Kind::Null => Ok(Cow::Borrowed(b"")),
        _ => Err(wrong(value, "a string")),
    }
}

pub(super) fn number<T: std::str::FromStr>(value: Value<'_>) -> Result<T, IngestError> {
    let parsed = match value.kind {
        Kind::Number | Kind::String => std::str::from_utf8(value.raw).ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    parsed.ok_or_else(|| wrong(value, "a number"))
}

fn severity(value: Value<'_>) -> Result<i32, IngestError> {
    if value.kind != Kind::String {
        return number(value);
    }
    let name = value.text()?;
    match SEVERITIES.iter().position(|known| *known == &*name) {
        Some(at) => Ok(at as i32),
        None => Err(wrong(value, "the name of a severity")),
    }
}

pub(super) fn id<const N: usize>(value: Value<'_>, into: &mut [u8; N]) -> Result<(), IngestError> {
    let digits = text(value)?;
    *into = [0; N];
    if digits.is_empty() {
        return Ok(());
    }
    if digits.len() != 2 * N {
        return Err(wrong(value, &format!("an id of {N} bytes in hex")));
    }
    for (byte, pair) in into.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or("-");
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong(value, "hex digits"))?;
    }
    Ok(())
}

pub(super) fn wrong(value: Value<'_>, expected: &str) -> IngestError {
    let shown = String::from_utf8_lossy(value.raw);
    IngestError::bad_request(format!(
        "malformed JSON: expected {expected}, not {}",
        go_quote(crate::text::truncate_chars(&shown, 50))
    ))
}

/// Calls `visit` for each member; `null` has none.
pub(super) fn each_member<'a>(
    value: Value<'a>,
    mut visit: impl FnMut(&[u8], Value<'a>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    if value.kind == Kind::Null {
        return Ok(());
    }
    until_error(object_each(value.raw, |key, value| flow(visit(&key, value)))?)
}

/// Calls `visit` for each element; `null` has none.
pub(super) fn each_item<'a>(
    value: Value<'a>,
    mut visit: impl FnMut(Value<'a>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    if value.kind == Kind::Null {
        return Ok(());
    }
    until_error(array_each(value.raw, |item| flow(visit(item)))?)
}

fn flow(result: Result<(), IngestError>) -> ControlFlow<IngestError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn until_error(flow: ControlFlow<IngestError>) -> Result<(), IngestError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
