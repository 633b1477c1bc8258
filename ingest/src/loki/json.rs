//! The JSON push body, `{"streams":[{"stream":{..},"values":[["<ns>","line",{..}],..]},..]}`, read in place.
//!
//! Takes what Loki takes (`pkg/loghttp/query.go`, `LogProtoStream.UnmarshalJSON`): times only as strings of digits, label
//! values that are numbers or booleans by their text, `null` for a missing list, more than three elements in an entry.

use std::borrow::Cow;
use std::ops::ControlFlow;

use garner_storage::model::go_text::go_quote;

use super::entry::{Entry, EntryTime, PushVisitor, RawPair};
use super::labels::StreamLabels;
use crate::error::IngestError;
use crate::json_scan::{self, JsonError, Kind, Value, array_each, object_each};

impl From<JsonError> for IngestError {
    fn from(error: JsonError) -> Self {
        IngestError::bad_request(error.to_string())
    }
}

/// Walks a push body that is already decompressed. Returns the number of streams. What follows the first JSON value is
/// ignored, as in Loki.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl PushVisitor<'a>) -> Result<usize, IngestError> {
    streams(body, |value, entry| stream(value, entry, visitor))
}

/// Hands each element of `streams` to `visit`; the number of them. Both forms of the body share this frame.
pub(super) fn streams<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(Value<'a>, &mut Entry<'a>) -> Result<(), IngestError>,
) -> Result<usize, IngestError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(IngestError::bad_request("EOF"));
    }
    let request = json_scan::value(body)?;
    if request.kind == Kind::Null {
        return Ok(0);
    }
    let mut streams = 0;
    let mut entry = Entry::default();
    walk_object(request.raw, |key, value| {
        if !key.eq_ignore_ascii_case(b"streams") || value.kind == Kind::Null {
            return Ok(());
        }
        walk_array(value.raw, |value| {
            streams += 1;
            visit(value, &mut entry)
        })
    })?;
    Ok(streams)
}

fn stream<'a>(value: Value<'a>, entry: &mut Entry<'a>, visitor: &mut impl PushVisitor<'a>) -> Result<(), IngestError> {
    // Labels may stand behind the values, so both members are found before either is read.
    let (mut labels, mut values) = (None, None);
    walk_object(value.raw, |key, value| {
        match &*key {
            b"stream" => labels = Some(value),
            b"values" => values = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    visitor.stream(match labels {
        Some(labels) => stream_labels(labels)?,
        None => StreamLabels::default(),
    })?;
    let Some(values) = values.filter(|v| v.kind != Kind::Null) else {
        return Ok(());
    };
    if values.kind != Kind::Array {
        return Err(JsonError::NoArray.into());
    }
    walk_array(values.raw, |value| {
        if value.kind == Kind::Null {
            return Ok(());
        }
        read_entry(value, entry)?;
        visitor.entry(entry)
    })
}

fn stream_labels(value: Value<'_>) -> Result<StreamLabels<'_>, IngestError> {
    if value.kind != Kind::Object {
        return Err(JsonError::NoObject.into());
    }
    let mut pairs = Vec::new();
    walk_object(value.raw, |key, value| {
        pairs.push((key, value.text()?));
        Ok(())
    })?;
    StreamLabels::from_pairs(pairs)
}

fn read_entry<'a>(value: Value<'a>, entry: &mut Entry<'a>) -> Result<(), IngestError> {
    if value.kind != Kind::Array {
        return Err(JsonError::NoArray.into());
    }
    entry.line = Cow::Borrowed(b"");
    entry.metadata.clear();
    let mut elements = 0;
    walk_array(value.raw, |element| {
        elements += 1;
        match elements {
            1 => entry.time = EntryTime::Ns(timestamp(element)?),
            2 => entry.line = string(element, "a log line")?,
            3 => metadata(element, &mut entry.metadata)?,
            _ => {}
        }
        Ok(())
    })?;
    match elements {
        0 => Err(IngestError::bad_request("malformed JSON: an entry without a timestamp")),
        _ => Ok(()),
    }
}

fn timestamp(value: Value<'_>) -> Result<i64, IngestError> {
    let text = string(value, "a timestamp")?;
    let digits = std::str::from_utf8(&text).ok().filter(|t| !t.starts_with('+'));
    digits.and_then(|t| t.parse().ok()).ok_or_else(|| {
        IngestError::bad_request(format!(
            "malformed JSON: a timestamp must be a string of nanoseconds since the epoch, not {}",
            go_quote(crate::text::truncate_chars(&String::from_utf8_lossy(&text), 50))
        ))
    })
}

/// Reads the structured metadata of an entry.
pub(super) fn metadata<'a>(value: Value<'a>, out: &mut Vec<RawPair<'a>>) -> Result<(), IngestError> {
    if value.kind != Kind::Object {
        return Err(IngestError::bad_request(
            "malformed JSON: structured metadata must be an object of strings",
        ));
    }
    walk_object(value.raw, |key, value| {
        out.push((key, string(value, "a structured metadata value")?));
        Ok(())
    })
}

/// The text of a string.
pub(super) fn string<'a>(value: Value<'a>, what: &str) -> Result<Cow<'a, [u8]>, IngestError> {
    if value.kind != Kind::String {
        return Err(IngestError::bad_request(format!(
            "malformed JSON: {what} must be a string"
        )));
    }
    Ok(value.text()?)
}

pub(super) fn walk_object<'a>(
    text: &'a [u8],
    mut visit: impl FnMut(Cow<'a, [u8]>, Value<'a>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    until_error(object_each(text, |key, value| flow(visit(key, value)))?)
}

pub(super) fn walk_array<'a>(
    text: &'a [u8],
    mut visit: impl FnMut(Value<'a>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    until_error(array_each(text, |value| flow(visit(value)))?)
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
