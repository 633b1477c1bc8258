//! One OTLP request: its headers decide how the body is read.

use std::borrow::Cow;

use super::streams::Streams;
use super::{json, protobuf};
use crate::body;
use crate::error::IngestError;
use crate::loki::PushVisitor;
use crate::validate::LogLimits;

/// A request as it came in: two header values and the body.
#[derive(Debug, Clone, Copy)]
pub struct OtlpPush<'a> {
    /// `Content-Type`: `application/x-protobuf` or `application/json`.
    pub content_type: &'a str,
    /// `Content-Encoding`, empty where it is missing: none, `gzip`, `zstd` or `lz4`.
    pub content_encoding: &'a str,
    /// The body as received.
    pub body: &'a [u8],
}

/// A request body that is decompressed and of known format.
#[derive(Debug)]
pub(crate) struct Decompressed<'a> {
    is_json: bool,
    body: Cow<'a, [u8]>,
}

/// Finds the format of a request and decompresses its body (loki `pkg/loghttp/push/otlp.go`, `extractLogs`).
pub(crate) fn decompress(push: OtlpPush<'_>, max_bytes: usize) -> Result<Decompressed<'_>, IngestError> {
    let body = body::decode_otlp(push.body, push.content_encoding, max_bytes)?;
    let media_type = push.content_type.split(';').next().unwrap_or("").trim();
    let is_json = match media_type {
        "application/x-protobuf" => false,
        "application/json" => true,
        _ => {
            return Err(IngestError::bad_request(format!(
                "content type: {} is not supported",
                push.content_type
            )));
        }
    };
    Ok(Decompressed { is_json, body })
}

impl Decompressed<'_> {
    /// Hands all records to `visitor` as entries of streams; returns how many records there were.
    pub(crate) fn walk<'b>(
        &'b self,
        visitor: &mut impl PushVisitor<'b>,
        limits: &LogLimits,
        now_ns: i64,
    ) -> Result<usize, IngestError> {
        let mut streams = Streams::new(visitor, limits, now_ns);
        match self.is_json {
            true => json::decode(&self.body, &mut streams)?,
            false => protobuf::decode(&self.body, &mut streams)?,
        }
        Ok(streams.records)
    }

    /// Whether it is JSON; otherwise it is a protocol buffer.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// The body.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Bytes after decompression.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }
}
