//! Answers that are written in pieces: a small one goes out whole, a large one as it is encoded, with at most a few
//! pieces in memory.

use std::convert::Infallible;
use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;

use super::app::App;
use super::run::run_query;
use crate::error::Failure;

/// Bytes after which a piece is handed to the network.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces encoded ahead of a slow client.
const PIECES_AHEAD: usize = 2;

/// An answer in JSON that remembers how far it is written.
pub trait Encode: Send + 'static {
    /// Appends the next item; false when everything is written.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;

    /// Adds headers to the response.
    fn decorate(&self, _response: &mut Response) {}
}

/// An answer that is written already.
#[derive(Debug)]
pub struct Written(pub Vec<u8>);

impl Encode for Written {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.0);
        false
    }
}

/// Runs `work` on the query runtime, encodes its result there and answers with it as `json` makes responses.
pub async fn answer<T, E, F, C>(
    app: &App,
    work: F,
    encoder: impl FnOnce(T) -> C + Send + 'static,
    json: fn(Body) -> Response,
) -> Result<Response, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
    C: Encode,
{
    let runtime = app.query_runtime.clone();
    let first = run_query(app, async move {
        let mut encoder = encoder(work.await?);
        let mut piece = Vec::with_capacity(1024);
        let more = fill(&mut encoder, &mut piece);
        Ok::<_, E>((piece, encoder, more))
    });
    let (piece, encoder, more) = first.await?;
    if !more {
        let mut response = json(Body::from(piece));
        encoder.decorate(&mut response);
        return Ok(response);
    }
    let (send, receive) = mpsc::channel(PIECES_AHEAD);
    let pieces = stream::unfold(receive, |mut receive| async move {
        let piece: Bytes = receive.recv().await?;
        Some((Ok::<_, Infallible>(piece), receive))
    });
    let mut response = json(Body::from_stream(pieces));
    encoder.decorate(&mut response);
    runtime.spawn(send_pieces(Bytes::from(piece), encoder, send));
    Ok(response)
}

/// Encodes until a piece is full; false when everything is written.
fn fill(encoder: &mut impl Encode, out: &mut Vec<u8>) -> bool {
    while out.len() < PIECE_BYTES {
        if !encoder.next(out) {
            return false;
        }
    }
    true
}

/// Ends early when the client is gone.
async fn send_pieces(first: Bytes, mut encoder: impl Encode, send: mpsc::Sender<Bytes>) {
    let mut more = true;
    let mut piece = first;
    while send.send(piece).await.is_ok() && more {
        let mut next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        more = fill(&mut encoder, &mut next);
        piece = next.into();
        if piece.is_empty() {
            break;
        }
    }
}
