//! What both OTLP endpoints answer with where something failed: a `google.rpc.Status` (opentelemetry-proto
//! `docs/specification.md`, "Failures"; loki `pkg/loghttp/push/push.go`, `OTLPError`).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::error::{Failure, TextFailure};
use crate::json::push_string;

/// How a request was written, and so its answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers.
    #[default]
    Protobuf,
    /// JSON.
    Json,
}

impl Encoding {
    /// The one that a content type names.
    pub fn of(content_type: &str) -> Self {
        match content_type.split(';').next().unwrap_or("").trim() {
            "application/json" => Encoding::Json,
            _ => Encoding::Protobuf,
        }
    }

    /// The content type of answers.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        })
    }
}

/// A failure that answers with a `google.rpc.Status` message.
#[derive(Debug)]
pub struct OtlpFailure {
    failure: Failure,
    encoding: Encoding,
}

impl OtlpFailure {
    /// A failure of a request written so.
    pub fn new(failure: impl Into<Failure>, encoding: Encoding) -> Self {
        OtlpFailure {
            failure: failure.into(),
            encoding,
        }
    }
}

/// In protocol buffers, as Loki answers whatever it was asked in.
impl<E: Into<Failure>> From<E> for OtlpFailure {
    fn from(error: E) -> Self {
        OtlpFailure::new(error, Encoding::Protobuf)
    }
}

impl IntoResponse for OtlpFailure {
    fn into_response(self) -> Response {
        let message = self.failure.message().to_string();
        // Status, Retry-After and the log are those of every other push.
        let plain = TextFailure(self.failure).into_response();
        let (mut parts, _) = plain.into_parts();
        if parts.status == StatusCode::UNAUTHORIZED {
            // The tenant is checked before the request is known to be OTLP.
            return Response::from_parts(parts, (message + "\n").into());
        }
        if matches!(
            parts.status,
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::REQUEST_TIMEOUT
        ) {
            // Clients never send again after these.
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        parts.headers.insert(header::CONTENT_TYPE, self.encoding.content_type());
        parts.headers.remove(header::CONTENT_LENGTH);
        let body = match self.encoding {
            Encoding::Protobuf => text_field(2, &message),
            Encoding::Json => {
                let mut body = br#"{"message":"#.to_vec();
                push_string(&mut body, &message);
                body.push(b'}');
                body
            }
        };
        Response::from_parts(parts, body.into())
    }
}

/// A string or message field; the code of a `Status` is left out, as in Loki.
pub fn text_field(number: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut out = Vec::with_capacity(text.len() + 4);
    if text.is_empty() {
        return out;
    }
    out.push(number << 3 | 2);
    push_varint(&mut out, text.len() as u64);
    out.extend_from_slice(text);
    out
}

/// An integer field.
pub fn int_field(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    push_varint(&mut out, value);
    out
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FailureKind;

    #[test]
    fn failures_are_status_messages() {
        let long = "x".repeat(200);
        assert!(text_field(2, &long).starts_with(b"\x12\xc8\x01xxx"));
        assert_eq!(text_field(2, "no"), b"\x12\x02no");
        for (kind, status) in [
            (FailureKind::BadData, 400),
            (FailureKind::Internal, 503),
            (FailureKind::SlowBody, 503),
            (FailureKind::RateLimited, 429),
        ] {
            for (encoding, content_type) in [
                (Encoding::Protobuf, "application/x-protobuf"),
                (Encoding::Json, "application/json"),
            ] {
                let response = OtlpFailure::new(Failure::new(kind, "no"), encoding).into_response();
                assert_eq!(response.status().as_u16(), status);
                assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
            }
        }
    }
}
