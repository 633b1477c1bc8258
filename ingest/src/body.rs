//! Decompression under a limit. The size is checked while the bytes come out, so a bomb costs at most the limit.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::ops::Deref;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use garner_storage::model::go_text::go_quote;

use crate::error::{IngestError, IngestErrorKind};

/// No element of the snappy block format makes more than 64 bytes out of 3 (format description, "Copies"), so a header
/// that promises more than this many times the body's length is a lie, found before anything is allocated.
const SNAPPY_MAX_RATIO: usize = 22;

/// Largest window of a zstd body, as a power of two: the decoder allocates it whole, whatever the body's size.
const ZSTD_MAX_WINDOW_LOG: u32 = 26;

/// First size of an output buffer whose final size is not known.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// A snappy block, as Promtail and Prometheus send it.
pub(crate) fn snappy(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, IngestError> {
    let mut out = vec![0; snappy_len(body, max_bytes)?];
    let written = snappy_into(body, &mut out)?;
    out.truncate(written);
    Ok(out)
}

/// What a snappy block promises to decompress to, found before anything is allocated.
pub(crate) fn snappy_len(body: &[u8], max_bytes: usize) -> Result<usize, IngestError> {
    if body.is_empty() {
        return Err(corrupt_snappy());
    }
    let len = snap::raw::decompress_len(body).map_err(|_| corrupt_snappy())?;
    if len > body.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(corrupt_snappy());
    }
    if len > max_bytes {
        return Err(too_large(len, max_bytes));
    }
    Ok(len)
}

fn snappy_into(body: &[u8], out: &mut [u8]) -> Result<usize, IngestError> {
    let written = snap::raw::Decoder::new().decompress(body, out);
    written.map_err(|_| corrupt_snappy())
}

fn corrupt_snappy() -> IngestError {
    IngestError::bad_request("snappy: corrupt input")
}

/// A decompressed body in memory that is used again for the next one: senders of metrics send many requests of one size,
/// and fresh memory costs more than decompressing into it.
#[derive(Debug)]
pub(crate) struct ReusedBody {
    buffer: Vec<u8>,
    len: usize,
}

/// Bytes that each thread keeps at most for the next body.
const MAX_KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl ReusedBody {
    /// As [`snappy`].
    pub(crate) fn snappy(body: &[u8], max_bytes: usize) -> Result<Self, IngestError> {
        let len = snappy_len(body, max_bytes)?;
        let mut buffer = KEPT.take();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        // Dropped on an error too, so that the buffer is kept.
        let mut reused = ReusedBody { buffer, len };
        reused.len = snappy_into(body, &mut reused.buffer[..len])?;
        Ok(reused)
    }
}

impl Deref for ReusedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for ReusedBody {
    fn drop(&mut self) {
        if self.buffer.capacity() <= MAX_KEPT_BYTES {
            KEPT.set(std::mem::take(&mut self.buffer));
        }
    }
}

/// A body under the content encoding of its header; empty means none. `snappy` is left to the format, since protobuf
/// bodies are snappy blocks whether the header says so or not.
pub(crate) fn decode<'a>(body: &'a [u8], encoding: &str, max_bytes: usize) -> Result<Cow<'a, [u8]>, IngestError> {
    match encoding {
        "" | "identity" | "snappy" => Ok(Cow::Borrowed(body)),
        "gzip" => gzip(body, max_bytes).map(Cow::Owned),
        "deflate" => deflate(body, max_bytes).map(Cow::Owned),
        other => Err(IngestError::bad_request(format!(
            "Content-Encoding {} not supported",
            go_quote(other)
        ))),
    }
}

/// The body of an OTLP request under the content encoding of its header (loki `pkg/loghttp/push/otlp.go`).
pub(crate) fn decode_otlp<'a>(body: &'a [u8], encoding: &str, max_bytes: usize) -> Result<Cow<'a, [u8]>, IngestError> {
    match encoding {
        "" | "identity" => Ok(Cow::Borrowed(body)),
        "gzip" => gzip(body, max_bytes).map(Cow::Owned),
        "zstd" => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(body)
                .map_err(|error| IngestError::bad_request(format!("zstd: {error}")))?;
            reader
                .window_log_max(ZSTD_MAX_WINDOW_LOG)
                .map_err(|error| IngestError::bad_request(format!("zstd: {error}")))?;
            read_limited(reader, "zstd", max_bytes).map(Cow::Owned)
        }
        "lz4" => read_limited(lz4_flex::frame::FrameDecoder::new(body), "lz4", max_bytes).map(Cow::Owned),
        other => Err(IngestError::bad_request(format!(
            "unsupported content encoding {other}: only gzip, lz4 and zstd are supported"
        ))),
    }
}

fn gzip(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, IngestError> {
    if body.is_empty() {
        return Err(IngestError::bad_request("EOF"));
    }
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Err(IngestError::bad_request("gzip: invalid header"));
    }
    read_limited(MultiGzDecoder::new(body), "gzip", max_bytes)
}

/// Loki reads raw deflate (RFC 1951); HTTP means the zlib format (RFC 9110, 8.4.1.2). Clients send both.
fn deflate(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, IngestError> {
    if looks_like_zlib(body) {
        match read_limited(ZlibDecoder::new(body), "deflate", max_bytes) {
            Err(error) if error.kind() == IngestErrorKind::BadRequest => {}
            done => return done,
        }
    }
    read_limited(DeflateDecoder::new(body), "deflate", max_bytes)
}

fn looks_like_zlib(body: &[u8]) -> bool {
    match body {
        [cmf, flags, ..] => cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31),
        _ => false,
    }
}

fn read_limited(mut reader: impl Read, format: &str, max_bytes: usize) -> Result<Vec<u8>, IngestError> {
    // One byte more than allowed, so that a body of exactly the limit is told from a longer one.
    let cap = max_bytes.saturating_add(1);
    let mut out = vec![0; FIRST_BUFFER_BYTES.min(cap)];
    let mut filled = 0;
    loop {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(IngestError::bad_request("unexpected EOF"));
            }
            Err(error) => return Err(IngestError::bad_request(format!("{format}: {error}"))),
        }
        if filled > max_bytes {
            return Err(too_large(filled, max_bytes));
        }
        if filled == out.len() {
            out.resize(out.len().saturating_mul(2).min(cap), 0);
        }
    }
    out.truncate(filled);
    Ok(out)
}

/// Loki's text (`pkg/util/http.go`, `pkg/loghttp/push/push.go`).
fn too_large(size: usize, max_bytes: usize) -> IngestError {
    IngestError::new(
        IngestErrorKind::TooLarge,
        format!("request body too large: decompressed message size too large than max ({size} vs {max_bytes})"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 20;

    fn compress(encoding: &str, data: &[u8]) -> Vec<u8> {
        let level = Compression::default();
        match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(data, 1).unwrap(),
            "lz4" => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn kind(result: Result<impl Sized, IngestError>) -> IngestErrorKind {
        result.err().unwrap().kind()
    }

    #[test]
    fn each_encoding_comes_back() {
        let data = b"{\"streams\":[]} ".repeat(10_000);
        for (made, header) in [("gzip", "gzip"), ("zlib", "deflate"), ("raw", "deflate")] {
            assert_eq!(decode(&compress(made, &data), header, MAX).unwrap(), data, "{made}");
        }
        assert_eq!(decode(&data, "", MAX).unwrap(), data);
        let block = snap::raw::Encoder::new().compress_vec(&data).unwrap();
        assert_eq!(snappy(&block, MAX).unwrap(), data);
    }

    #[test]
    fn a_reused_body_shows_nothing_of_the_one_before() {
        let block = |data: &[u8]| snap::raw::Encoder::new().compress_vec(data).unwrap();
        let (long, short) = (b"a long body ".repeat(1000), b"short".to_vec());
        for data in [&long, &short, &long] {
            assert_eq!(*ReusedBody::snappy(&block(data), MAX).unwrap(), **data);
            assert!(ReusedBody::snappy(b"\x05\x00", MAX).is_err());
        }
        assert!(KEPT.take().capacity() >= long.len());
    }

    #[test]
    fn otlp_bodies_come_back_and_stop_at_the_limit() {
        let data = b"some text ".repeat(10_000);
        for encoding in ["gzip", "zstd", "lz4"] {
            let body = compress(encoding, &data);
            assert_eq!(decode_otlp(&body, encoding, MAX).unwrap(), data, "{encoding}");
            assert_eq!(
                kind(decode_otlp(&body, encoding, data.len() - 1)),
                IngestErrorKind::TooLarge
            );
            for broken in [&body[..body.len() / 2], b"garbage garbage"] {
                assert_eq!(
                    kind(decode_otlp(broken, encoding, MAX)),
                    IngestErrorKind::BadRequest,
                    "{encoding}"
                );
            }
        }
        assert_eq!(decode_otlp(&data, "", MAX).unwrap(), data);
        let error = decode_otlp(&data, "br", MAX).unwrap_err();
        assert_eq!(
            error.message(),
            "unsupported content encoding br: only gzip, lz4 and zstd are supported"
        );
    }

    #[test]
    fn gzip_members_are_joined() {
        let body = [compress("gzip", b"a"), compress("gzip", b"b")].concat();
        assert_eq!(decode(&body, "gzip", MAX).unwrap(), b"ab".as_slice());
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (made, header) in [("gzip", "gzip"), ("zlib", "deflate"), ("raw", "deflate")] {
            let result = decode(&compress(made, &zeros), header, MAX).map(|_| ());
            assert_eq!(kind(result), IngestErrorKind::TooLarge, "{made}");
        }
        let block = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        let error = snappy(&block, MAX).unwrap_err();
        assert_eq!(error.kind(), IngestErrorKind::TooLarge);
        assert_eq!(
            error.message(),
            "request body too large: decompressed message size too large than max (67108864 vs 1048576)"
        );
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        let data = vec![b'x'; 100];
        for (made, header) in [("gzip", "gzip"), ("zlib", "deflate"), ("raw", "deflate")] {
            assert_eq!(decode(&compress(made, &data), header, 100).unwrap(), data);
            assert_eq!(
                kind(decode(&compress(made, &data), header, 99)),
                IngestErrorKind::TooLarge
            );
        }
    }

    #[test]
    fn a_snappy_header_that_lies_allocates_nothing() {
        // 0xffffffff bytes promised by a body of eight.
        let error = snappy(b"\xff\xff\xff\xff\x0f\x00\x00\x00", usize::MAX).unwrap_err();
        assert_eq!(error.message(), "snappy: corrupt input");
    }

    #[test]
    fn broken_bodies_are_refused() {
        let whole = compress("gzip", b"some text that is long enough to be cut");
        for body in [
            &b""[..],
            b"garbage garbage",
            &whole[..whole.len() / 2],
            &whole[..whole.len() - 3],
        ] {
            assert_eq!(kind(decode(body, "gzip", MAX)), IngestErrorKind::BadRequest, "{body:?}");
        }
        assert_eq!(
            kind(decode(b"garbage garbage", "deflate", MAX)),
            IngestErrorKind::BadRequest
        );
        for body in [&b""[..], b"garbage garbage", b"\x05\x00"] {
            assert_eq!(snappy(body, MAX).unwrap_err().message(), "snappy: corrupt input");
        }
        let error = decode(b"", "br", MAX).unwrap_err();
        assert_eq!(error.message(), "Content-Encoding \"br\" not supported");
    }

    proptest! {
        #[test]
        fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = snappy(&body, MAX);
            let _ = decode(&body, "gzip", MAX);
            let _ = decode(&body, "deflate", MAX);
            let _ = decode_otlp(&body, "zstd", MAX);
            let _ = decode_otlp(&body, "lz4", MAX);
        }
    }
}
