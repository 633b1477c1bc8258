//! Compressed answers for clients that take them: those of Prometheus' API (prometheus `util/httputil/compression.go`) and of
//! Loki's reads (loki `pkg/loki/modules.go`, `querier.compress-http-responses`, on by default).

use std::convert::Infallible;
use std::io::Write;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};

use super::cors::is_browsers_api;

/// What of Loki's API is no read: a tail is no answer, and one to a push is empty.
const LOKI_WITHOUT: [&str; 2] = ["push", "tail"];
/// Answers below this are one packet either way.
const MIN_BYTES: u64 = 1_400;

/// How bytes are packed; the fastest level, since answers are many and networks near.
#[derive(Debug)]
enum Packer {
    Gzip(GzEncoder<Vec<u8>>),
    /// HTTP's `deflate` is the zlib format.
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Packer {
    fn new(encoding: &str) -> Option<Self> {
        match encoding {
            "gzip" => Some(Packer::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))),
            "deflate" => Some(Packer::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast()))),
            _ => None,
        }
    }

    fn name(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Packer::Gzip(_) => "gzip",
            Packer::Deflate(_) => "deflate",
        })
    }

    /// What comes out for `piece`; possibly nothing yet.
    fn pack(&mut self, piece: &[u8]) -> std::io::Result<Bytes> {
        let out = match self {
            Packer::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
            Packer::Deflate(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    fn finish(self) -> std::io::Result<Bytes> {
        match self {
            Packer::Gzip(encoder) => Ok(encoder.finish()?.into()),
            Packer::Deflate(encoder) => Ok(encoder.finish()?.into()),
        }
    }
}

/// The first encoding that a client lists and that is known; weights are not looked at, as upstream.
fn packer(headers: &HeaderMap) -> Option<Packer> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    accepted.split(',').find_map(|encoding| Packer::new(encoding.trim()))
}

/// Whether a path belongs to Loki's reads.
fn is_loki_read(path: &str) -> bool {
    let below = path
        .strip_prefix("/loki/api/v1/")
        .or_else(|| path.strip_prefix("/api/prom/"));
    below.is_some_and(|endpoint| !LOKI_WITHOUT.contains(&endpoint))
}

/// Compresses what is answered below `/api/v1/` and by Loki's reads.
pub async fn compress(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !is_browsers_api(path) && !is_loki_read(path) {
        return next.run(request).await;
    }
    let packer = packer(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let packed_already = headers.contains_key(header::CONTENT_ENCODING);
    let small = response
        .body()
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes < MIN_BYTES);
    match packer {
        Some(packer) if !packed_already && !small => pack(response, packer),
        _ => response,
    }
}

fn pack(response: Response, packer: Packer) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, packer.name());
    parts.headers.remove(header::CONTENT_LENGTH);
    let state = (body.into_data_stream(), Some(packer));
    Response::from_parts(parts, Body::from_stream(stream::unfold(state, next_piece)))
}

type State = (BodyDataStream, Option<Packer>);

/// The next piece that is not empty; a body that breaks off is cut off.
async fn next_piece((mut body, mut packer): State) -> Option<(Result<Bytes, Infallible>, State)> {
    loop {
        let piece = match body.next().await {
            Some(Ok(piece)) => packer.as_mut()?.pack(&piece).ok()?,
            Some(Err(_)) => return None,
            None => packer.take()?.finish().ok()?,
        };
        if !piece.is_empty() {
            return Some((Ok(piece), (body, packer)));
        }
    }
}
