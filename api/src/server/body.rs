//! Reading a request body: bounded in size, time and memory.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, header};

use garner_storage::memory::{MemoryAccountant, MemoryUse, Reservation};

use crate::config::server::ServerSettings;
use crate::error::{Failure, FailureKind};

/// Room made before the first bytes of a body come, whatever its header promises.
const MAX_FIRST_BUFFER_BYTES: usize = 1 << 20;

/// The whole body and the memory it is accounted with. Refused over `server.max_body_size` (413), after
/// `server.read_timeout` (408), and where the process has no memory for it (503).
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    settings: &ServerSettings,
    accountant: &MemoryAccountant,
) -> Result<(Bytes, Reservation), Failure> {
    let promised = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if promised.is_some_and(|bytes| bytes > settings.max_body_bytes) {
        return Err(too_large(settings));
    }
    let mut held = accountant.reservation(MemoryUse::Wal);
    held.try_grow(promised.unwrap_or(0))?;
    let read = collect(body, promised, settings, &mut held);
    match tokio::time::timeout(settings.read_timeout, read).await {
        Ok(bytes) => Ok((bytes?, held)),
        Err(_) => Err(Failure::new(
            FailureKind::SlowBody,
            "the request body did not arrive within server.read_timeout",
        )),
    }
}

async fn collect(
    body: Body,
    promised: Option<u64>,
    settings: &ServerSettings,
    held: &mut Reservation,
) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut total = 0u64;
    let mut first: Option<Bytes> = None;
    let mut joined: Option<BytesMut> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Failure::bad_data(format!("reading the request body: {error}")))?;
        total += chunk.len() as u64;
        if total > settings.max_body_bytes {
            return Err(too_large(settings));
        }
        if total > held.bytes() {
            held.try_grow(total - held.bytes())?;
        }
        // One chunk, the usual case of small bodies, is handed on without a copy.
        match (&mut first, &mut joined) {
            (None, None) => first = Some(chunk),
            (_, Some(buffer)) => buffer.extend_from_slice(&chunk),
            (Some(start), None) => {
                let room = promised.map_or(0, |p| p as usize).min(MAX_FIRST_BUFFER_BYTES);
                let mut buffer = BytesMut::with_capacity(room.max(start.len() + chunk.len()));
                buffer.extend_from_slice(start);
                buffer.extend_from_slice(&chunk);
                joined = Some(buffer);
            }
        }
    }
    Ok(joined.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// Loki's text (`pkg/util/http.go`).
fn too_large(settings: &ServerSettings) -> Failure {
    let limit = settings.max_body_bytes;
    Failure::new(
        FailureKind::TooLarge,
        format!("request body too large: more than server.max_body_size ({limit} bytes)"),
    )
}
