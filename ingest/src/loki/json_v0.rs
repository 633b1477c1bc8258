//! The JSON body of `/api/prom/push`, as Loki took it before its first version:
//! `{"streams":[{"labels":"{app=\"x\"}","entries":[{"ts":"<RFC 3339>","line":"..","structuredMetadata":{..}},..]},..]}`
//! (loki `pkg/util/unmarshal/legacy`, `pkg/push/types.go`). Names of members are taken in any case.

use std::borrow::Cow;

use garner_storage::model::go_text::go_quote;

use super::entry::{Entry, EntryTime, PushVisitor};
use super::json::{self, metadata, string, walk_array, walk_object};
use super::labels::StreamLabels;
use crate::error::IngestError;
use crate::json_scan::{Kind, Value};
use crate::text::{parse_rfc3339, truncate_chars};

/// Walks a push body that is already decompressed. Returns the number of streams.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl PushVisitor<'a>) -> Result<usize, IngestError> {
    json::streams(body, |value, entry| stream(value, entry, visitor))
}

fn stream<'a>(value: Value<'a>, entry: &mut Entry<'a>, visitor: &mut impl PushVisitor<'a>) -> Result<(), IngestError> {
    let (mut labels, mut entries) = (Cow::Borrowed(b"".as_slice()), None);
    walk_object(value.raw, |key, value| {
        if key.eq_ignore_ascii_case(b"labels") {
            labels = string(value, "the labels of a stream")?;
        } else if key.eq_ignore_ascii_case(b"entries") && value.kind != Kind::Null {
            entries = Some(value);
        }
        Ok(())
    })?;
    visitor.stream(match labels {
        Cow::Borrowed(text) => StreamLabels::parse(text)?,
        Cow::Owned(text) => StreamLabels::parse(&text)?.into_owned(),
    })?;
    let Some(entries) = entries else { return Ok(()) };
    walk_array(entries.raw, |value| {
        read_entry(value, entry)?;
        visitor.entry(entry)
    })
}

fn read_entry<'a>(value: Value<'a>, entry: &mut Entry<'a>) -> Result<(), IngestError> {
    entry.line = Cow::Borrowed(b"");
    entry.metadata.clear();
    let mut time = None;
    walk_object(value.raw, |key, value| {
        if key.eq_ignore_ascii_case(b"ts") {
            time = Some(timestamp(value)?);
        } else if key.eq_ignore_ascii_case(b"line") {
            entry.line = string(value, "a log line")?;
        } else if key.eq_ignore_ascii_case(b"structuredmetadata") && value.kind != Kind::Null {
            metadata(value, &mut entry.metadata)?;
        }
        Ok(())
    })?;
    // Go's zero time lies far before what is accepted.
    entry.time = time.unwrap_or(EntryTime::BeforeRange);
    Ok(())
}

fn timestamp(value: Value<'_>) -> Result<EntryTime, IngestError> {
    let text = string(value, "a timestamp")?;
    let text = String::from_utf8_lossy(&text);
    let ns = parse_rfc3339(&text).ok_or_else(|| {
        IngestError::bad_request(format!(
            "malformed JSON: a timestamp must be a time in RFC 3339, not {}",
            go_quote(truncate_chars(&text, 50))
        ))
    })?;
    Ok(match i64::try_from(ns) {
        Ok(ns) => EntryTime::Ns(ns),
        Err(_) if ns < 0 => EntryTime::BeforeRange,
        Err(_) => EntryTime::AfterRange,
    })
}
