//! Pieces on their way to disk: queries do not wait for it, and foyer is given no more at a time than it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foyer::{HybridCache, HybridCacheEntry};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::piece::{Piece, PieceKey};
use crate::scan::ScanStats;

/// Most bytes in the queue, which are on the account as pieces are; what comes on top is not written.
const MAX_QUEUED_BYTES: u64 = 64 << 20;
/// What foyer writes around a piece: header and key; and to what it rounds.
const OVERHEAD_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4 << 10;

/// Writes pieces, one batch after the other, in a task of its own that ends with the last of the handles.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Job>,
    queued_bytes: Arc<AtomicU64>,
    dropped: AtomicU64,
}

enum Job {
    Write(HybridCacheEntry<PieceKey, Piece>),
    /// Says when all before it is written.
    Done(oneshot::Sender<()>),
}

fn written_bytes(piece: &Piece) -> u64 {
    (piece.bytes.len() as u64 + OVERHEAD_BYTES).next_multiple_of(PAGE_BYTES)
}

impl Writer {
    /// Starts the task. foyer passes over what it has no room for in its buffer of `buffer_bytes` while it writes the other
    /// one, so it is given half of that and waited for.
    pub fn start(kept: HybridCache<PieceKey, Piece>, buffer_bytes: u64, runtime: &Handle) -> Writer {
        let (queue, mut jobs) = mpsc::unbounded_channel();
        let queued_bytes = Arc::new(AtomicU64::new(0));
        let queued = Arc::clone(&queued_bytes);
        runtime.spawn(async move {
            let mut given = 0;
            while let Some(job) = jobs.recv().await {
                match job {
                    Job::Write(entry) => {
                        let bytes = written_bytes(entry.value());
                        queued.fetch_sub(bytes, Ordering::Relaxed);
                        kept.storage().enqueue(entry.piece(), false);
                        given += bytes;
                    }
                    Job::Done(done) => {
                        kept.storage().wait().await;
                        // Who asked may have stopped waiting.
                        let _ = done.send(());
                        given = 0;
                    }
                }
                if given >= buffer_bytes / 2 {
                    kept.storage().wait().await;
                    given = 0;
                }
            }
        });
        Writer {
            queue,
            queued_bytes,
            dropped: AtomicU64::new(0),
        }
    }

    /// Has it written soon, unless too much waits already.
    pub fn write(&self, entry: HybridCacheEntry<PieceKey, Piece>) {
        let bytes = written_bytes(entry.value());
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued + bytes > MAX_QUEUED_BYTES || self.queue.send(Job::Write(entry)).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            ScanStats::add(&self.dropped, 1);
        }
    }

    /// Pieces that were not written since too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns when all before is written.
    pub async fn drained(&self) {
        let (done, drained) = oneshot::channel();
        if self.queue.send(Job::Done(done)).is_ok() {
            // An error says that the runtime is gone, and the task with it.
            let _ = drained.await;
        }
    }
}
