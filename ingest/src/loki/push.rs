//! One push request: its headers decide how the body is read.

use super::entry::PushVisitor;
use super::{json, protobuf};
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
}

/// Decompresses the body and hands its streams to `visit`, in order. Returns the number of streams.
pub(crate) fn decode_push<R>(
    push: LokiPush<'_>,
    max_decompressed_bytes: usize,
    visit: impl FnOnce(DecodedPush<'_>) -> Result<R, IngestError>,
) -> Result<R, IngestError> {
    let format = format(push.content_type, push.content_encoding)?;
    let body = body::decode(push.body, push.content_encoding, max_decompressed_bytes)?;
    match format {
        Format::Json => visit(DecodedPush { format, body: &body }),
        Format::JsonSnappy | Format::Protobuf => {
            let body = body::snappy(&body, max_decompressed_bytes)?;
            visit(DecodedPush { format, body: &body })
        }
    }
}

/// A decompressed body of known format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodedPush<'a> {
    format: Format,
    body: &'a [u8],
}

impl<'a> DecodedPush<'a> {
    /// Hands all streams to `visitor`; returns how many there were.
    pub(crate) fn walk(&self, visitor: &mut impl PushVisitor<'a>) -> Result<usize, IngestError> {
        match self.format {
            Format::Json | Format::JsonSnappy => json::decode(self.body, visitor),
            Format::Protobuf => protobuf::decode(self.body, visitor),
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
    JsonSnappy,
    Protobuf,
}

/// Loki's choice (`pkg/loghttp/push/push.go`, `parsePushRequestBody`); texts are Go's `mime.ParseMediaType`.
fn format(content_type: &str, content_encoding: &str) -> Result<Format, IngestError> {
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    match media_type.split_once('/') {
        _ if media_type.is_empty() => Err(IngestError::bad_request("mime: no media type")),
        Some((kind, subtype)) if !is_token(kind) || !is_token(subtype) => {
            Err(IngestError::bad_request("mime: expected token after slash"))
        }
        None if !is_token(&media_type) => Err(IngestError::bad_request("mime: expected slash after first token")),
        _ if media_type != "application/json" => Ok(Format::Protobuf),
        _ if content_encoding == "snappy" => Ok(Format::JsonSnappy),
        _ => Ok(Format::Json),
    }
}
