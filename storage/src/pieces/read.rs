//! Reading several extents at once, each of them once however many ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::cache::{Found, PieceCache};
use super::extent::{Extent, coalesce};
use super::origin::Origin;
use super::piece::PieceKey;
use crate::error::{Error, ErrorKind, Result};

/// Reads under way at one time for one call.
pub(crate) const PARALLEL_READS: usize = 4;

/// The reads under way, by the pieces they bring.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<PieceKey, Boarded>>);

#[derive(Clone, Debug)]
struct Boarded {
    flight: Weak<Flight>,
    /// Which of its pieces.
    at: usize,
}

/// Pieces that are read together, by a task of its own: who asked for them may not be polled for long, while others wait
/// for the same pieces. The task ends when nobody waits any more.
#[derive(Debug)]
struct Flight {
    cache: Arc<PieceCache>,
    keys: Vec<PieceKey>,
    landed: watch::Receiver<Option<Landed>>,
    task: tokio::task::AbortHandle,
}

/// A piece of a flight, for one who waits for it.
struct Seat {
    flight: Arc<Flight>,
    at: usize,
    /// Whether the flight began for it.
    own: bool,
}

type Landed = std::result::Result<Vec<CheckedBytes>, (ErrorKind, Arc<str>)>;

/// The bytes of an extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedBytes {
    pub bytes: Bytes,
    /// Whether they passed their check, so that nobody needs to make it again.
    pub is_whole: bool,
}

impl CheckedBytes {
    fn whole(bytes: Bytes) -> Self {
        CheckedBytes { bytes, is_whole: true }
    }
}

impl Flight {
    async fn piece(&self, at: usize) -> Result<CheckedBytes> {
        let mut landed = self.landed.clone();
        let landed = landed.wait_for(Option::is_some).await;
        match landed.as_ref().map(|landed| landed.as_ref()) {
            Ok(Some(Ok(pieces))) => match pieces.get(at) {
                Some(piece) => Ok(piece.clone()),
                None => Err(Error::new(ErrorKind::Internal, "a piece was not read with the others")),
            },
            Ok(Some(Err((kind, message)))) => Err(Error::new(*kind, &**message)),
            // Its runtime is going away, or it panicked.
            Ok(None) | Err(_) => Err(Error::new(ErrorKind::Unavailable, "a read was given up")),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
        let mut boarded = self.cache.flights.0.lock();
        for key in &self.keys {
            // One that began since may have taken the place.
            if boarded.get(key).is_some_and(|b| b.flight.strong_count() == 0) {
                boarded.remove(key);
            }
        }
    }
}

impl PieceCache {
    /// The bytes of each extent; those that fail their check are among them, but are not kept.
    pub(crate) async fn read(self: &Arc<Self>, origin: &Origin, wanted: &[Extent]) -> Result<Vec<CheckedBytes>> {
        let mut out: Vec<Option<CheckedBytes>> = vec![None; wanted.len()];
        let mut missing = Vec::new();
        let (mut hits, mut hit_bytes) = (0, 0);
        for (i, extent) in wanted.iter().enumerate() {
            let key = origin.key(&extent.range);
            match if extent.len() == 0 {
                Some(Bytes::new())
            } else {
                self.in_memory(&key)
            } {
                Some(bytes) => {
                    hits += u64::from(!bytes.is_empty());
                    hit_bytes += bytes.len() as u64;
                    out[i] = Some(CheckedBytes::whole(bytes));
                }
                None => missing.push((i, key)),
            }
        }
        self.count(&origin.stats, Found::InMemory, hits, hit_bytes);
        let boarded = self.board(origin, wanted, missing, &mut out);
        for (i, seat) in boarded {
            let piece = seat.flight.piece(seat.at).await?;
            if !seat.own {
                self.count(&origin.stats, Found::InMemory, 1, piece.bytes.len() as u64);
            }
            out[i] = Some(piece);
        }
        let lost = || Error::new(ErrorKind::Internal, "a piece was neither kept nor read");
        out.into_iter().map(|bytes| bytes.ok_or_else(lost)).collect()
    }

    /// For each missing extent the flight that brings it, and as which piece: one under way, or a new one for the rest. What
    /// landed in the meantime is taken from memory.
    fn board(
        self: &Arc<Self>,
        origin: &Origin,
        wanted: &[Extent],
        missing: Vec<(usize, PieceKey)>,
        out: &mut [Option<CheckedBytes>],
    ) -> Vec<(usize, Seat)> {
        if missing.is_empty() {
            return Vec::new();
        }
        let mut boarded = Vec::with_capacity(missing.len());
        let (mut own, mut extents, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut flights = self.flights.0.lock();
        for (i, key) in missing {
            let under_way = flights.get(&key).and_then(|b| Some((b.flight.upgrade()?, b.at)));
            if let Some((flight, at)) = under_way {
                boarded.push((i, Seat { flight, at, own: false }));
            } else if let Some(bytes) = self.in_memory(&key) {
                self.count(&origin.stats, Found::InMemory, 1, bytes.len() as u64);
                out[i] = Some(CheckedBytes::whole(bytes));
            } else {
                own.push(i);
                extents.push(wanted[i].clone());
                keys.push(key);
            }
        }
        if own.is_empty() {
            return boarded;
        }
        let (landing, landed) = watch::channel(None);
        let (cache, origin, names) = (Arc::clone(self), origin.clone(), keys.clone());
        let runtime = origin.bucket.runtime().clone();
        let task = runtime.spawn(async move {
            let read = cache.fly(&origin, &extents, &names).await;
            let read = read.map_err(|error| (error.kind(), Arc::from(error.to_string())));
            landing.send_replace(Some(read));
        });
        let flight = Arc::new(Flight {
            cache: Arc::clone(self),
            keys,
            landed,
            task: task.abort_handle(),
        });
        for (at, (i, key)) in own.into_iter().zip(&flight.keys).enumerate() {
            let weak = Arc::downgrade(&flight);
            flights.insert(key.clone(), Boarded { flight: weak, at });
            let flight = Arc::clone(&flight);
            boarded.push((i, Seat { flight, at, own: true }));
        }
        boarded
    }

    /// The pieces, from the disk where it has them, else from the object store.
    async fn fly(&self, origin: &Origin, extents: &[Extent], keys: &[PieceKey]) -> Result<Vec<CheckedBytes>> {
        let mut out: Vec<Option<CheckedBytes>> = vec![None; extents.len()];
        if self.has_disk() {
            let loads = futures::stream::iter(0..extents.len());
            let loads = loads
                .map(|i| self.on_disk(&keys[i], &extents[i]))
                .buffered(PARALLEL_READS);
            let loads = loads.map(|loaded| loaded.map(CheckedBytes::whole));
            out = loads.collect().await;
            let found = out.iter().flatten();
            let (pieces, bytes) = (found.clone().count(), found.map(|p| p.bytes.len()).sum::<usize>());
            self.count(&origin.stats, Found::OnDisk, pieces as u64, bytes as u64);
        }
        let missing: Vec<usize> = (0..out.len()).filter(|i| out[*i].is_none()).collect();
        self.count(&origin.stats, Found::Nowhere, missing.len() as u64, 0);
        let mut reads = futures::stream::iter(coalesce(extents, missing, origin.bucket.read_along_bytes()))
            .map(|(read, served)| async move { Ok::<_, Error>((read.start, origin.get(read).await?, served)) })
            .buffered(PARALLEL_READS);
        while let Some(read) = reads.next().await {
            let (start, bytes, served) = read?;
            let shared = served.len() > 1;
            for i in served {
                let extent = &extents[i];
                // Inside the read, which was made from it.
                let from = (extent.range.start - start) as usize;
                let piece = bytes.slice(from..from + extent.len() as usize);
                let is_whole = extent.is_whole(&piece);
                let bytes = if is_whole {
                    self.keep(&keys[i], piece, shared)
                } else {
                    piece
                };
                out[i] = Some(CheckedBytes { bytes, is_whole });
            }
        }
        let lost = || Error::new(ErrorKind::Internal, "a piece was not read with the others");
        out.into_iter().map(|bytes| bytes.ok_or_else(lost)).collect()
    }
}
