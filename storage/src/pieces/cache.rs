//! [`PieceCache`]: what is kept, in memory first, then on disk.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use foyer::{
    Age, HybridCache, HybridCacheBuilder, HybridCachePolicy, Load, PsyncIoEngineConfig, S3FifoConfig, Spawner,
};
use tokio::runtime::Handle;

use super::disk::{DiskCacheSettings, Layout};
use super::extent::Extent;
use super::piece::{Piece, PieceKey};
use super::read::Flights;
use super::write::Writer;
use crate::file::SharedFiles;
use crate::memory::{MemoryAccountant, MemoryUse, Reservation};
use crate::scan::ScanStats;

/// A part of the memory budget that has a lock and a queue of its own has at least this many bytes.
const MIN_SHARD_BYTES: u64 = 16 << 20;
const MAX_SHARDS: u64 = 8;
/// A piece larger than this part of a shard is not kept in memory: it would push out too much.
const MAX_SHARE_OF_SHARD: u64 = 4;

/// How long a stop waits for what is on its way to disk: it is a cache only.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(10);

/// Budgets of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PieceCacheSettings {
    /// Bytes in memory; 0 keeps none.
    pub memory_bytes: u64,
    /// Where pieces are kept on disk.
    pub disk: Option<DiskCacheSettings>,
}

/// What the cache holds and did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceCounts {
    /// Pieces found in memory.
    pub memory_hits: u64,
    /// Pieces found on disk.
    pub disk_hits: u64,
    /// Pieces that were read from the object store.
    pub misses: u64,
    /// Bytes of the pieces found.
    pub hit_bytes: u64,
    /// Bytes in memory now.
    pub memory_bytes: u64,
    /// Bytes that the disk half may take; 0 where there is none.
    pub disk_bytes: u64,
    /// Pieces that were not written to disk since too many waited for it.
    pub disk_dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    misses: AtomicU64,
    hit_bytes: AtomicU64,
}

/// Pieces of objects by object and range. See the module docs.
pub struct PieceCache {
    kept: HybridCache<PieceKey, Piece>,
    account: MemoryAccountant,
    counters: Counters,
    pub(super) flights: Flights,
    disk: Option<DiskHalf>,
}

#[derive(Debug)]
struct DiskHalf {
    max_bytes: u64,
    writer: Writer,
    /// Of foyer's buffers and index.
    _held: Reservation,
}

impl fmt::Debug for PieceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PieceCache({:?})", self.counts())
    }
}

impl PieceCache {
    /// Opens the cache; `None` where it may keep nothing. A disk half that cannot be used is passed over with a warning.
    /// foyer's tasks run on `runtime`.
    pub async fn open(
        settings: &PieceCacheSettings,
        account: MemoryAccountant,
        files: &SharedFiles,
        runtime: &Handle,
    ) -> Option<PieceCache> {
        if let Some(disk) = &settings.disk {
            match Self::open_disk(settings, disk.clone(), &account, files.clone(), runtime).await {
                Ok(cache) => return Some(cache),
                Err(error) => {
                    let path = disk.path.display();
                    tracing::warn!(%error, %path, "the disk cache cannot be used; going on without it");
                }
            }
        }
        if settings.memory_bytes == 0 {
            return None;
        }
        let kept = builder(settings.memory_bytes, HybridCachePolicy::WriteOnEviction);
        match kept
            .storage()
            .with_spawner(Spawner::from(runtime.clone()))
            .build()
            .await
        {
            Ok(kept) => Some(PieceCache::new(kept, account, None)),
            Err(error) => {
                tracing::warn!(%error, "the cache of pieces cannot be used; going on without it");
                None
            }
        }
    }

    async fn open_disk(
        settings: &PieceCacheSettings,
        disk: DiskCacheSettings,
        account: &MemoryAccountant,
        files: SharedFiles,
        runtime: &Handle,
    ) -> Result<PieceCache, Box<dyn std::error::Error + Send + Sync>> {
        let max_bytes = disk.max_bytes;
        let prepared = runtime.spawn_blocking(move || {
            let layout = Layout::prepare(&disk, &*files)?;
            let engine = layout.engine()?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((layout, engine))
        });
        let (layout, engine) = prepared.await??;
        let mut held = account.reservation(MemoryUse::Cache);
        held.try_grow(layout.memory_bytes())?;
        // Written when they come (by our writer), not when they leave memory: then a crash loses few, and closing waits for
        // few.
        let kept = builder(settings.memory_bytes, HybridCachePolicy::WriteOnInsertion)
            .storage()
            .with_spawner(Spawner::from(runtime.clone()))
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(engine)
            .build()
            .await?;
        tracing::info!(path = %layout.path().display(), bytes = max_bytes, "opened the disk cache");
        let disk = DiskHalf {
            max_bytes,
            writer: Writer::start(kept.clone(), layout.buffer_bytes(), runtime),
            _held: held,
        };
        Ok(PieceCache::new(kept, account.clone(), Some(disk)))
    }

    fn new(kept: HybridCache<PieceKey, Piece>, account: MemoryAccountant, disk: Option<DiskHalf>) -> Self {
        PieceCache {
            kept,
            account,
            counters: Counters::default(),
            flights: Flights::default(),
            disk,
        }
    }

    /// Waits until what is on its way to disk is there, for at most `deadline`.
    pub async fn close(&self, deadline: Duration) {
        let closing = async {
            if let Some(disk) = &self.disk {
                disk.writer.drained().await;
            }
            self.kept.close().await
        };
        match tokio::time::timeout(deadline.min(MAX_CLOSE_TIME), closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the disk cache was not closed in order"),
            Err(_) => tracing::warn!("what was read last is not in the disk cache: writing it took too long"),
        }
    }

    /// What it holds and did.
    pub fn counts(&self) -> PieceCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PieceCounts {
            memory_hits: read(&self.counters.memory_hits),
            disk_hits: read(&self.counters.disk_hits),
            misses: read(&self.counters.misses),
            hit_bytes: read(&self.counters.hit_bytes),
            memory_bytes: self.kept.memory().usage() as u64,
            disk_bytes: self.disk.as_ref().map_or(0, |disk| disk.max_bytes),
            disk_dropped: self.disk.as_ref().map_or(0, |disk| disk.writer.dropped()),
        }
    }

    /// The piece, where memory has it.
    pub(super) fn in_memory(&self, key: &PieceKey) -> Option<Bytes> {
        self.kept.memory().get(key).map(|entry| entry.value().bytes.clone())
    }

    /// Whether there is a disk half.
    pub(super) fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The piece, where the disk has it and it is what `extent` asks for. It is in memory from then on.
    pub(super) async fn on_disk(&self, key: &PieceKey, extent: &Extent) -> Option<Bytes> {
        let (bytes, age) = match self.kept.storage().load(key).await {
            Ok(Load::Entry { value, populated, .. }) => (value.bytes, populated.age),
            // Still on its way to disk.
            Ok(Load::Piece { piece, .. }) => (piece.value().bytes.clone(), Age::Young),
            Ok(Load::Miss | Load::Throttled) => return None,
            Err(error) => {
                tracing::warn!(%error, object = &*key.object, "a piece of the disk cache cannot be read; it is read again");
                self.kept.storage().delete(key);
                return None;
            }
        };
        if !extent.is_whole(&bytes) {
            let object = &*key.object;
            tracing::warn!(object, "a piece of the disk cache is damaged; it is read again");
            self.kept.storage().delete(key);
            return None;
        }
        if let Some(piece) = Piece::new(&bytes, false, &self.account) {
            // Where its file is overwritten soon it goes to a newer one, as it is still wanted.
            self.insert(key, piece, age == Age::Old);
        }
        Some(bytes)
    }

    /// Keeps a piece that passed its check, unless the process is short of memory. With `shared` the bytes are part of a
    /// larger read, which they would hold in memory: then a copy is kept, and given back.
    pub(super) fn keep(&self, key: &PieceKey, bytes: Bytes, shared: bool) -> Bytes {
        let Some(piece) = Piece::new(&bytes, shared, &self.account) else {
            return bytes;
        };
        let bytes = piece.bytes.clone();
        self.insert(key, piece, true);
        bytes
    }

    fn insert(&self, key: &PieceKey, piece: Piece, write: bool) {
        let entry = self.kept.memory().insert(key.clone(), piece);
        if let Some(disk) = &self.disk
            && write
        {
            disk.writer.write(entry);
        }
    }

    /// Counts for the process and for a query.
    pub(super) fn count(&self, stats: &ScanStats, found: Found, pieces: u64, bytes: u64) {
        let (all, own) = match found {
            Found::InMemory => (&self.counters.memory_hits, &stats.cache_memory_hits),
            Found::OnDisk => (&self.counters.disk_hits, &stats.cache_disk_hits),
            Found::Nowhere => (&self.counters.misses, &stats.cache_misses),
        };
        ScanStats::add(all, pieces);
        ScanStats::add(own, pieces);
        if found != Found::Nowhere {
            ScanStats::add(&self.counters.hit_bytes, bytes);
            ScanStats::add(&stats.cache_bytes, bytes);
        }
    }
}

/// Where a piece was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    InMemory,
    OnDisk,
    Nowhere,
}

fn builder(
    memory_bytes: u64,
    policy: HybridCachePolicy,
) -> foyer::HybridCacheBuilderPhaseMemory<PieceKey, Piece, foyer::DefaultHasher> {
    let shards = (memory_bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
    let max_weight = memory_bytes / shards / MAX_SHARE_OF_SHARD;
    HybridCacheBuilder::new()
        .with_name("pieces")
        .with_policy(policy)
        .with_flush_on_close(false)
        .memory(memory_bytes as usize)
        .with_shards(shards as usize)
        // What is asked for once, as by a query over months, leaves before what is asked for again.
        .with_eviction_config(S3FifoConfig::default())
        .with_weighter(|_, piece: &Piece| piece.weight() as usize)
        .with_filter(move |_, piece: &Piece| piece.weight() <= max_weight)
}
