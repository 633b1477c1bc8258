//! `logproto.PushRequest` (grafana/loki `pkg/push/push.proto`), read in place.
//!
//! ```text
//! PushRequest   { streams = 1 }
//! Stream        { labels = 1 string, entries = 2, hash = 3 (ignored) }
//! Entry         { timestamp = 1 Timestamp, line = 2 string, structuredMetadata = 3, parsed = 4 (ignored) }
//! Timestamp     { seconds = 1, nanos = 2 }
//! LabelPair     { name = 1, value = 2 }
//! ```

use std::borrow::Cow;

use garner_storage::model::NANOS_PER_SECOND;

use super::entry::{Entry, EntryTime, PushVisitor, RawPair};
use super::labels::StreamLabels;
use crate::error::IngestError;
use crate::wire::{Reader, WireError};

/// The times that `google.protobuf.Timestamp` allows: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

impl From<WireError> for IngestError {
    fn from(error: WireError) -> Self {
        IngestError::bad_request(error.to_string())
    }
}

/// Walks a push body that is already decompressed. Returns the number of streams.
pub(super) fn decode<'a>(body: &'a [u8], visitor: &mut impl PushVisitor<'a>) -> Result<usize, IngestError> {
    let mut streams = 0;
    let mut entry = Entry::default();
    let mut request = Reader::new(body);
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            streams += 1;
            stream(value.bytes("Streams")?, &mut entry, visitor)?;
        }
    }
    Ok(streams)
}

/// Labels may stand behind the entries on the wire, so they are looked for first; skipping entries costs little.
fn stream<'a>(message: &'a [u8], entry: &mut Entry<'a>, visitor: &mut impl PushVisitor<'a>) -> Result<(), IngestError> {
    let mut labels: &[u8] = b"";
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            labels = value.bytes("Labels")?;
        }
    }
    visitor.stream(StreamLabels::parse(labels)?)?;

    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            read_entry(value.bytes("Entries")?, entry)?;
            visitor.entry(entry)?;
        }
    }
    Ok(())
}

fn read_entry<'a>(message: &'a [u8], entry: &mut Entry<'a>) -> Result<(), IngestError> {
    entry.time = EntryTime::default();
    entry.line = Cow::Borrowed(b"");
    entry.metadata.clear();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => entry.time = timestamp(value.bytes("Timestamp")?)?,
            2 => entry.line = Cow::Borrowed(value.bytes("Line")?),
            3 => entry.metadata.push(label_pair(value.bytes("StructuredMetadata")?)?),
            _ => {}
        }
    }
    Ok(())
}

fn label_pair(message: &[u8]) -> Result<RawPair<'_>, IngestError> {
    let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.bytes("Name")?,
            2 => text = value.bytes("Value")?,
            _ => {}
        }
    }
    Ok((Cow::Borrowed(name), Cow::Borrowed(text)))
}

/// Checks what gogo/protobuf `types/timestamp.go`, `validateTimestamp`, checks.
fn timestamp(message: &[u8]) -> Result<EntryTime, IngestError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.int("Seconds")?,
            2 => nanos = value.int("Nanos")?,
            _ => {}
        }
    }
    let refuse = |what: &str| {
        Err(IngestError::bad_request(format!(
            "timestamp: seconds: {seconds}, nanos: {nanos}{what}"
        )))
    };
    if seconds < TIMESTAMP_SECONDS.start {
        return refuse(" before 0001-01-01");
    }
    if seconds >= TIMESTAMP_SECONDS.end {
        return refuse(" after 10000-01-01");
    }
    if !(0..NANOS_PER_SECOND).contains(&nanos) {
        return refuse(": nanos not in range [0, 1e9)");
    }
    let whole = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    Ok(match i64::try_from(whole) {
        Ok(ns) => EntryTime::Ns(ns),
        Err(_) if seconds < 0 => EntryTime::BeforeRange,
        Err(_) => EntryTime::AfterRange,
    })
}
