//! One push request: its headers decide how the body is read.

use std::borrow::Cow;

use super::entry::PushVisitor;
use super::{json, json_v0, protobuf};
use crate::body;
use crate::error::IngestError;

/// A push as it came in: two header values and the body.
#[derive(Debug, Clone, Copy)]
pub struct LokiPush<'a> {
    /// `Content-Type`, empty where it is missing. JSON where it is `application/json`, else protobuf in a snappy block.
    pub content_type: &'a str,
    /// `Content-Encoding`, empty where it is missing: none, `snappy`, `gzip` or `deflate`.
    pub content_encoding: &'a str,
    /// The body as received.
    pub body: &'a [u8],
    /// Whether JSON has the form of `/api/prom/push`.
    pub legacy: bool,
}

/// A push body that is decompressed and of known format.
#[derive(Debug)]
pub(crate) struct Decompressed<'a> {
    format: Format,
    body: Cow<'a, [u8]>,
}

/// Finds the format of a push and decompresses its body.
pub(crate) fn decompress(push: LokiPush<'_>, max_bytes: usize) -> Result<Decompressed<'_>, IngestError> {
    let mut format = format(push.content_type)?;
    if push.legacy && format == Format::Json {
        format = Format::LegacyJson;
    }
    let mut body = body::decode(push.body, push.content_encoding, max_bytes)?;
    // Protobuf is a snappy block even where the header does not say so (and inside gzip, as in Loki); JSON is not.
    if format == Format::Protobuf || push.content_encoding == "snappy" {
        body = Cow::Owned(body::snappy(&body, max_bytes)?);
    }
    Ok(Decompressed { format, body })
}

impl Decompressed<'_> {
    /// Hands all streams to `visitor`, in order; returns how many there were.
    pub(crate) fn walk<'b>(&'b self, visitor: &mut impl PushVisitor<'b>) -> Result<usize, IngestError> {
        match self.format {
            Format::Json => json::decode(&self.body, visitor),
            Format::LegacyJson => json_v0::decode(&self.body, visitor),
            Format::Protobuf => protobuf::decode(&self.body, visitor),
        }
    }

    /// Bytes after decompression.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    LegacyJson,
    Protobuf,
}

/// Loki's choice (`pkg/loghttp/push/push.go`, `parsePushRequestBody`); texts are Go's `mime.ParseMediaType`.
fn format(content_type: &str) -> Result<Format, IngestError> {
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    match media_type.split_once('/') {
        _ if media_type.is_empty() => Err(IngestError::bad_request("mime: no media type")),
        Some((kind, subtype)) if !is_token(kind) || !is_token(subtype) => {
            Err(IngestError::bad_request("mime: expected token after slash"))
        }
        None if !is_token(&media_type) => Err(IngestError::bad_request("mime: expected slash after first token")),
        _ if media_type != "application/json" => Ok(Format::Protobuf),
        _ => Ok(Format::Json),
    }
}
