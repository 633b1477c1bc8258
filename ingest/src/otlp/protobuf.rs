//! `ExportLogsServiceRequest` (opentelemetry-proto `logs/v1/logs.proto`, `common/v1/common.proto`), read in place.
//!
//! ```text
//! ExportLogsServiceRequest { resource_logs = 1 }
//! ResourceLogs  { resource = 1 { attributes = 1 }, scope_logs = 2 }
//! ScopeLogs     { scope = 1 { name = 1, version = 2, attributes = 3, dropped_attributes_count = 4 }, log_records = 2 }
//! LogRecord     { time_unix_nano = 1 fixed64, severity_number = 2, severity_text = 3, body = 5, attributes = 6,
//!                 dropped_attributes_count = 7, flags = 8 fixed32, trace_id = 9, span_id = 10,
//!                 observed_time_unix_nano = 11 fixed64, event_name = 12 }
//! KeyValue      { key = 1, value = 2 }
//! AnyValue      { string = 1, bool = 2, int = 3, double = 4, array = 5 { values = 1 }, kvlist = 6 { values = 1 }, bytes = 7 }
//! ```

use std::borrow::Cow;

use super::record::{Record, RecordVisitor, Scope};
use super::value::{AnyValue, Attribute, MAX_DEPTH};
use crate::error::IngestError;
use crate::wire::{Reader, Value};

/// Walks a request that is already decompressed.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    let mut request = Reader::new(body);
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            resource_logs(value.bytes("ResourceLogs")?, visitor)?;
        }
    }
    Ok(())
}

/// The resource may stand behind the scopes on the wire, so it is looked for first; skipping scopes costs little.
fn resource_logs<'a>(message: &'a [u8], visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    let mut attributes = Vec::new();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let mut resource = Reader::new(value.bytes("Resource")?);
            while let Some((number, value)) = resource.next()? {
                if number == 1 {
                    attributes.push(key_value(value.bytes("Attributes")?, 0)?);
                }
            }
        }
    }
    visitor.resource(attributes)?;
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            scope_logs(value.bytes("ScopeLogs")?, visitor)?;
        }
    }
    Ok(())
}

fn scope_logs<'a>(message: &'a [u8], visitor: &mut impl RecordVisitor<'a>) -> Result<(), IngestError> {
    let mut scope = Scope::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            read_scope(value.bytes("Scope")?, &mut scope)?;
        }
    }
    visitor.scope(scope)?;
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            visitor.record(record(value.bytes("LogRecords")?)?)?;
        }
    }
    Ok(())
}

fn read_scope<'a>(message: &'a [u8], scope: &mut Scope<'a>) -> Result<(), IngestError> {
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => scope.name = Cow::Borrowed(value.bytes("Name")?),
            2 => scope.version = Cow::Borrowed(value.bytes("Version")?),
            3 => scope.attributes.push(key_value(value.bytes("Attributes")?, 0)?),
            4 => scope.dropped_attributes = value.int("DroppedAttributesCount")? as u32,
            _ => {}
        }
    }
    Ok(())
}

fn record(message: &[u8]) -> Result<Record<'_>, IngestError> {
    let mut record = Record::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => record.time_ns = value.fixed64("TimeUnixNano")?,
            2 => record.severity_number = value.int("SeverityNumber")? as i32,
            3 => record.severity_text = Cow::Borrowed(value.bytes("SeverityText")?),
            5 => record.body = any_value(value.bytes("Body")?, 0)?,
            6 => record.attributes.push(key_value(value.bytes("Attributes")?, 0)?),
            7 => record.dropped_attributes = value.int("DroppedAttributesCount")? as u32,
            8 => record.flags = value.fixed32("Flags")?,
            9 => id(value.bytes("TraceId")?, &mut record.trace_id, "TraceID")?,
            10 => id(value.bytes("SpanId")?, &mut record.span_id, "SpanID")?,
            11 => record.observed_ns = value.fixed64("ObservedTimeUnixNano")?,
            12 => record.event_name = Cow::Borrowed(value.bytes("EventName")?),
            _ => {}
        }
    }
    Ok(record)
}

pub(super) fn id<const N: usize>(bytes: &[u8], into: &mut [u8; N], name: &str) -> Result<(), IngestError> {
    if bytes.is_empty() {
        *into = [0; N];
        return Ok(());
    }
    *into = bytes
        .try_into()
        .map_err(|_| IngestError::bad_request(format!("unmarshal: invalid {name} length")))?;
    Ok(())
}

pub(super) fn key_value(message: &[u8], depth: usize) -> Result<Attribute<'_>, IngestError> {
    let (mut key, mut value): (&[u8], _) = (b"", AnyValue::Empty);
    let mut fields = Reader::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = field.bytes("Key")?,
            2 => value = any_value(field.bytes("Value")?, depth)?,
            _ => {}
        }
    }
    Ok((Cow::Borrowed(key), value))
}

fn any_value(message: &[u8], depth: usize) -> Result<AnyValue<'_>, IngestError> {
    if depth > MAX_DEPTH {
        return Err(IngestError::bad_request(format!(
            "an attribute value is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let mut found = AnyValue::Empty;
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        found = match number {
            1 => AnyValue::Text(Cow::Borrowed(value.bytes("StringValue")?)),
            2 => AnyValue::Bool(value.int("BoolValue")? != 0),
            3 => AnyValue::Int(value.int("IntValue")?),
            4 => AnyValue::Double(value.double("DoubleValue")?),
            5 => AnyValue::List(repeated(value, "ArrayValue", |item| any_value(item, depth + 1))?),
            6 => AnyValue::Map(repeated(value, "KvlistValue", |item| key_value(item, depth + 1))?),
            7 => AnyValue::Bytes(Cow::Borrowed(value.bytes("BytesValue")?)),
            _ => continue,
        };
    }
    Ok(found)
}

/// The items of field 1 of a message.
fn repeated<'a, T>(
    message: Value<'a>,
    name: &'static str,
    read: impl Fn(&'a [u8]) -> Result<T, IngestError>,
) -> Result<Vec<T>, IngestError> {
    let mut items = Vec::new();
    let mut fields = Reader::new(message.bytes(name)?);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            items.push(read(value.bytes("Values")?)?);
        }
    }
    Ok(items)
}
