//! Opening: lock, catalog, lanes of the live segments, and the replay of the WAL.

use std::sync::Arc;

use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::background;
use super::config::{Components, StorageConfig, WalSync};
use super::lane::Lane;
use super::maintain;
use super::round::{Selection, flush_round};
use super::shared::Shared;
use super::stats::Readiness;
use crate::catalog::{Catalog, require_conditional_create};
use crate::error::{Error, ErrorKind, Result};
use crate::file::{DataFolder, disk_error};
use crate::memory::MemoryUse;
use crate::pieces::PieceCache;
use crate::wal::{LaneKey, ReplayedRows, Wal, WalSettings, replay};

/// See [`super::Storage::open`].
pub(super) async fn open(config: StorageConfig, components: Components) -> Result<Arc<Shared>> {
    let mut rng = StdRng::seed_from_u64(components.seed);
    let (files, path) = (components.files.clone(), config.data_dir.clone());
    let mut folder_rng = StdRng::from_rng(&mut rng);
    let folder = components
        .background
        .spawn_blocking(move || {
            let folder = DataFolder::open(&files, &path, &mut folder_rng)?;
            let wal = folder.path().join("wal");
            files
                .create_dir_all(&wal)
                .map_err(|e| disk_error("cannot create WAL folder", &wal, e))?;
            Ok::<_, Error>(folder)
        })
        .await
        .map_err(stopped)??;
    if !config.catalog.single_writer {
        require_conditional_create(&components.bucket).await?;
    }
    let catalog = Catalog::open(
        components.bucket.clone(),
        components.clock.clone(),
        config.catalog.clone(),
        rng.random(),
    )
    .await?;
    // Requests run on the bucket's runtime, and so do reads of what spares them.
    let (account, runtime) = (components.accountant.clone(), components.bucket.runtime().clone());
    let pieces = PieceCache::open(&config.piece_cache, account, &components.files, &runtime).await;
    let shared = Shared::new(config, components, folder, catalog, rng.random(), pieces.map(Arc::new));
    make_lanes_of_segments(&shared)?;
    let replaying = shared.clone();
    shared.components.background.spawn_blocking(move || {
        let readiness = match replay_wal(&replaying) {
            Ok(()) => Readiness::Ready,
            Err(error) => {
                tracing::error!(%error, "the WAL cannot be replayed");
                Readiness::Failed(error.to_string())
            }
        };
        // Closed in the meantime stays closed.
        replaying.readiness.send_if_modified(|now| {
            let replaying = *now == Readiness::Replaying;
            if replaying {
                *now = readiness;
            }
            replaying
        });
        background::start(&replaying);
        maintain::start(&replaying);
    });
    Ok(shared)
}

fn make_lanes_of_segments(shared: &Shared) -> Result<()> {
    let state = shared.catalog.state();
    let mut keys: Vec<_> = state.all_segments().map(|m| (m.tenant.clone(), m.signal)).collect();
    keys.sort_unstable();
    keys.dedup();
    for (tenant, signal) in keys {
        let lane = shared.lane_or_new(&tenant, signal)?;
        lane.change(|view| shared.refresh_segments(&lane, view));
    }
    Ok(())
}

/// Brings the rows of the WAL that no segment holds back to heads, then opens the log for appends.
fn replay_wal(shared: &Arc<Shared>) -> Result<()> {
    let dir = shared.config.data_dir.join("wal");
    let files = shared.components.files.clone();
    let mut sink = Sink {
        shared,
        lanes: HashMap::default(),
    };
    let replayed = replay(&files, &dir, &|lane| shared.committed(lane), &mut |rows| {
        sink.take(rows)
    })?;
    let state = shared.catalog.state();
    let committed = state
        .wal_positions(&shared.writer)
        .map(|(_, _, position)| position.file);
    // Behind everything ever used, also where the newest files were lost: positions must never name two places.
    let next_number = committed.max().unwrap_or(0).max(replayed.last_number) + 1;
    let summary = replayed.summary;
    if summary.files > 0 {
        tracing::info!(
            files = summary.files,
            bytes = summary.bytes,
            records = summary.records,
            rows = summary.rows,
            records_flushed_before = summary.records_flushed_before,
            torn_bytes = summary.torn_bytes,
            "replayed the WAL"
        );
    }
    *shared.counters.replay.lock() = summary;
    let settings = WalSettings {
        dir,
        sync_interval: match shared.config.wal_sync {
            WalSync::Always => None,
            WalSync::Interval(interval) => Some(interval),
        },
        max_file_bytes: shared.config.wal_file_bytes,
        thread: shared.config.wal_thread,
    };
    let wal = Wal::start(files, settings, replayed.files, next_number)?;
    wal.truncate(&|lane| shared.committed(lane))?;
    let again = || Error::new(ErrorKind::Internal, "the WAL was opened twice");
    shared.wal.set(wal).map_err(|_| again())
}

/// Gives replayed rows to heads.
struct Sink<'a> {
    shared: &'a Arc<Shared>,
    lanes: HashMap<LaneKey, SinkLane, ahash::RandomState>,
}

struct SinkLane {
    lane: Arc<Lane>,
    /// What `ids` belongs to: file, definitions read, index generation.
    known: (u64, u64, u64),
    /// Id in the file → id in the index.
    ids: HashMap<u32, u32, ahash::RandomState>,
}

impl Sink<'_> {
    fn take(&mut self, mut replayed: ReplayedRows<'_>) -> Result<()> {
        let shared = self.shared;
        if !self.lanes.contains_key(replayed.lane) {
            let lane = shared.lane_or_new(&replayed.lane.0, replayed.lane.1)?;
            let new = SinkLane {
                lane,
                known: (0, 0, 0),
                ids: HashMap::default(),
            };
            self.lanes.insert(replayed.lane.clone(), new);
        }
        let Some(entry) = self.lanes.get_mut(replayed.lane) else {
            return Ok(());
        };
        let head = entry.lane.view().open.clone();
        let known = (replayed.position.file, replayed.definitions, head.index().generation());
        if entry.known != known {
            entry.known = known;
            entry.ids.clear();
        }
        for id in replayed.rows.series_mut() {
            *id = match entry.ids.get(id) {
                Some(known) => *known,
                None => {
                    let labels = replayed.series.get(id).cloned().unwrap_or_default();
                    let new = head.index().insert_durable(labels)?;
                    entry.ids.insert(*id, new);
                    new
                }
            };
        }
        head.append(&replayed.rows, shared.components.clock.now());
        *shared.replayed_to.lock() = replayed.position;
        self.relieve()
    }

    /// A WAL can hold more than the memory does: flushes when heads take their share.
    fn relieve(&self) -> Result<()> {
        let shared = self.shared;
        let used = shared.components.accountant.used_bytes(MemoryUse::Head);
        if used <= background::head_memory_target(shared) {
            return Ok(());
        }
        tracing::info!(
            head_bytes = used,
            "flushing during replay: the WAL holds more than memory takes"
        );
        let flushed = shared
            .components
            .background
            .block_on(flush_round(shared, Selection::All));
        flushed.map(|_| ())
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::with_source(ErrorKind::Closed, "the runtime stopped", error)
}
