//! Which remote write requests are taken, by their headers (prometheus `storage/remote/write_handler.go`).

use crate::error::{IngestError, IngestErrorKind};

const MEDIA_TYPE: &str = "application/x-protobuf";
/// The message of remote write 1, also what is meant where a sender names none.
const MESSAGE_V1: &str = "prometheus.WriteRequest";
/// The message of remote write 2.
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVersion {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// Checks `Content-Type` and `Content-Encoding` (empty where missing) of a remote write request and tells its version. Old
/// senders leave them out, so missing means version 1 in a snappy block. Everything else is answered 415, on which senders
/// fall back to version 1.
pub fn check_headers(content_type: &str, content_encoding: &str) -> Result<WriteVersion, IngestError> {
    let mut version = WriteVersion::V1;
    let unsupported = |message: String| Err(IngestError::new(IngestErrorKind::UnsupportedMediaType, message));
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or("");
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return unsupported(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for parameter in parts {
        match parameter.split_once('=') {
            Some((name, value)) if name.trim() == "proto" => match value.trim() {
                MESSAGE_V1 => version = WriteVersion::V1,
                MESSAGE_V2 => version = WriteVersion::V2,
                other => {
                    return unsupported(format!(
                        "{other} protobuf message is not accepted by this server; only accepts {MESSAGE_V1}, {MESSAGE_V2}"
                    ));
                }
            },
            _ => {}
        }
    }
    if !content_encoding.is_empty() && content_encoding != "snappy" {
        return unsupported(format!(
            "{content_encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_taken_and_the_rest_is_415() {
        for (content_type, encoding, version) in [
            ("application/x-protobuf", "snappy", WriteVersion::V1),
            ("", "", WriteVersion::V1),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                "snappy",
                WriteVersion::V1,
            ),
            ("Application/X-Protobuf; charset=utf-8", "", WriteVersion::V1),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "snappy",
                WriteVersion::V2,
            ),
        ] {
            assert_eq!(
                check_headers(content_type, encoding).ok(),
                Some(version),
                "{content_type} {encoding}"
            );
        }
        for (content_type, encoding, text) in [
            ("application/json", "snappy", "expected application/x-protobuf"),
            (
                "application/x-protobuf;proto=io.prometheus.write.v3.Request",
                "snappy",
                "io.prometheus.write.v3.Request protobuf message is not accepted",
            ),
            ("application/x-protobuf", "zstd", "zstd encoding"),
        ] {
            let error = check_headers(content_type, encoding).err();
            let found = error.map(|e| (e.kind(), e.message().contains(text)));
            assert_eq!(
                found,
                Some((IngestErrorKind::UnsupportedMediaType, true)),
                "{content_type} {encoding}"
            );
        }
    }
}
