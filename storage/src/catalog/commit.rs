//! The commit protocol over one bucket.
//!
//! ```text
//! check invariants on the known state ─> create delta of the next version, with our nonce
//!   created ───────────────────────────────────────────────> publish the new state
//!   exists, or the answer was lost ─> read the delta back
//!        our nonce ────────────────────────────────────────> publish the new state
//!        another's ─> read all new deltas ─> from the start, on their state
//!        none ─> wait ─> create the same bytes again (they may still arrive: same name, same nonce)
//! ```
//!
//! Deltas below a checkpoint are removed after a grace. A writer whose state is older than half of that reads the
//! catalog again before it commits, so that it never creates a delta of a version that was taken and removed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::heartbeat::Heartbeat;
use super::invariants;
use super::open;
use super::state::{CatalogState, CatalogVersion, CommitRequest};
use super::stored::{self, StoredCheckpoint, StoredDelta};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::object::paths;
use crate::object::{Bucket, PutOutcome};

/// Tries of one commit against other writers and a failing store.
const MAX_COMMIT_ATTEMPTS: u32 = 64;
/// Tries of one commit while the store neither confirms nor denies that the delta is there.
const MAX_UNKNOWN_ATTEMPTS: u32 = 4;
const BACKOFF_INITIAL: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How a catalog behaves.
#[derive(Clone, Debug)]
pub struct CatalogSettings {
    /// For stores without conditional create: plain writes, and a heartbeat that notices a second writer. Only one process
    /// may write.
    pub single_writer: bool,
    /// A checkpoint is written at each version that this divides. More often makes a start read less and each of these
    /// commits write more.
    pub checkpoint_every: u64,
    /// How long deltas below a checkpoint are kept for readers and writers that are behind.
    pub delta_grace: Duration,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        CatalogSettings {
            single_writer: false,
            checkpoint_every: 64,
            delta_grace: Duration::from_secs(3600),
        }
    }
}

/// What only one task of the process touches at a time.
struct Shared {
    refreshed_at: Timestamp,
    /// Checkpoints this process wrote, oldest first, with the time: candidates for "everything below can go".
    checkpoints: Vec<(CatalogVersion, Timestamp)>,
    heartbeat: Heartbeat,
    nonces: u64,
}

/// The catalog of one bucket, as one process knows it. Share by `Arc`.
pub struct Catalog {
    bucket: Bucket,
    clock: SharedClock,
    settings: CatalogSettings,
    instance: String,
    state: ArcSwap<CatalogState>,
    shared: Mutex<Shared>,
    second_writers: AtomicU64,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Catalog({:?} at version {})",
            self.bucket,
            self.state.load().version()
        )
    }
}

impl Catalog {
    /// Reads the newest state from the bucket. An empty bucket is an empty catalog; nothing is written. `instance` names
    /// this run of the process; no other run, of whatever writer, has the same.
    pub async fn open(
        bucket: Bucket,
        clock: SharedClock,
        settings: CatalogSettings,
        instance: u128,
    ) -> Result<Arc<Catalog>> {
        let now = clock.now();
        let state = open::load(&bucket, &CatalogState::default()).await?;
        let instance = format!("{instance:032x}");
        if settings.single_writer {
            tracing::warn!("catalog.single_writer is set: no other process may write to this bucket");
        }
        Ok(Arc::new(Catalog {
            bucket,
            clock,
            settings,
            state: ArcSwap::from_pointee(state),
            shared: Mutex::new(Shared {
                refreshed_at: now,
                checkpoints: Vec::new(),
                heartbeat: Heartbeat::new(instance.clone()),
                nonces: 0,
            }),
            instance,
            second_writers: AtomicU64::new(0),
        }))
    }

    /// The newest state this process knows.
    pub fn state(&self) -> Arc<CatalogState> {
        self.state.load_full()
    }

    /// How often another writer was noticed in single-writer mode.
    pub fn second_writers_seen(&self) -> u64 {
        self.second_writers.load(Ordering::Relaxed)
    }

    /// Reads what other writers committed since.
    pub async fn refresh(&self) -> Result<Arc<CatalogState>> {
        let mut shared = self.shared.lock().await;
        self.refresh_locked(&mut shared).await?;
        Ok(self.state())
    }

    async fn refresh_locked(&self, shared: &mut Shared) -> Result<()> {
        let now = self.clock.now();
        let known = self.state();
        let newer = open::load(&self.bucket, &known).await?;
        if newer.version() > known.version() {
            self.state.store(Arc::new(newer));
        }
        shared.refreshed_at = now;
        Ok(())
    }

    /// Makes `request` part of the catalog. On return the commit is durable and visible to every process that reads the
    /// catalog from now on; the state returned holds it.
    ///
    /// Kinds of errors: `Invalid`, it breaks an invariant on the newest state, and was not committed. `Unavailable`, it is
    /// not known whether it was committed; the same request can be given again: one that was committed succeeds at once.
    pub async fn commit(&self, request: &CommitRequest) -> Result<Arc<CatalogState>> {
        let mut shared = self.shared.lock().await;
        let max_age_ns = i64::try_from(self.settings.delta_grace.as_nanos() / 2).unwrap_or(i64::MAX);
        if self.clock.now().saturating_sub(shared.refreshed_at) > max_age_ns {
            self.refresh_locked(&mut shared).await?;
        }
        if self.settings.single_writer {
            self.look_for_second_writer(&mut shared).await?;
        }
        for attempt in 1..=MAX_COMMIT_ATTEMPTS {
            let state = self.state();
            if state.holds(request) {
                return Ok(state);
            }
            invariants::check(&state, request)?;
            shared.nonces += 1;
            let now = self.clock.now();
            // The time keeps nonces apart even where two runs were given one instance by mistake.
            let nonce = format!("{}-{now}-{}", self.instance, shared.nonces);
            let delta = StoredDelta::new(state.version().next(), &nonce, now, request);
            if self.try_version(&delta).await? {
                return self.publish(&mut shared, state.apply(request, now)).await;
            }
            self.refresh_locked(&mut shared).await?;
            let wait = self.bucket.jittered(BACKOFF_INITIAL, BACKOFF_MAX, attempt.min(4));
            self.bucket.sleep(wait).await;
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "catalog commit of writer {} lost against other writers {MAX_COMMIT_ATTEMPTS} times",
                request.writer
            ),
        ))
    }

    /// Tries to make the version of `delta` ours. False where somebody else has it.
    async fn try_version(&self, delta: &StoredDelta) -> Result<bool> {
        let bytes = bytes::Bytes::from(stored::encode(delta)?);
        let path = paths::catalog_delta(delta.version);
        let mut attempt = 1;
        loop {
            let put = self.create(&path, bytes.clone()).await;
            if let Ok(PutOutcome::Created) = put {
                return Ok(true);
            }
            if let Err(error) = &put
                && error.kind() == ErrorKind::Invalid
            {
                let message = "the store refuses to create a catalog object; if it has no conditional create \
                     (If-None-Match), set catalog.single_writer = true";
                return Err(Error::with_source(ErrorKind::Invalid, message, error.to_string()));
            }
            match (open::read_delta(&self.bucket, delta.version).await, put) {
                (Ok(found), _) => return Ok(found.nonce == delta.nonce),
                // Exists yet is not there: a create of another writer is under way (S3 answers 409), or it was removed
                // below a checkpoint. Both show in the next listing.
                (Err(error), Ok(_)) if error.kind() == ErrorKind::NotFound => return Ok(false),
                (Err(error), put) => {
                    if error.kind() == ErrorKind::Corrupt || attempt >= MAX_UNKNOWN_ATTEMPTS {
                        return Err(put.err().unwrap_or(error));
                    }
                }
            }
            let wait = self.bucket.jittered(BACKOFF_INITIAL, BACKOFF_MAX, attempt);
            self.bucket.sleep(wait).await;
            attempt += 1;
        }
    }

    async fn create(&self, path: &str, bytes: bytes::Bytes) -> Result<PutOutcome> {
        if !self.settings.single_writer {
            return self.bucket.put_if_absent(path, bytes).await;
        }
        match self.bucket.get(path).await {
            Ok(_) => Ok(PutOutcome::Exists),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.bucket.put(path, bytes).await.map(|()| PutOutcome::Created)
            }
            Err(error) => Err(error),
        }
    }

    async fn publish(&self, shared: &mut Shared, next: CatalogState) -> Result<Arc<CatalogState>> {
        let next = Arc::new(next);
        self.state.store(Arc::clone(&next));
        shared.refreshed_at = self.clock.now();
        if next.version().0.is_multiple_of(self.settings.checkpoint_every.max(1)) {
            // The commit stands whatever becomes of the checkpoint: the deltas lead to the same state.
            if let Err(error) = self.checkpoint(shared, &next).await {
                tracing::warn!(%error, version = next.version().0, "catalog checkpoint failed; the next one makes up for it");
            }
        }
        Ok(next)
    }

    async fn checkpoint(&self, shared: &mut Shared, state: &CatalogState) -> Result<()> {
        let now = self.clock.now();
        let bytes = stored::encode(&StoredCheckpoint::new(state, now))?;
        self.bucket
            .put(&paths::catalog_checkpoint(state.version().0), bytes.into())
            .await?;
        shared.checkpoints.push((state.version(), now));
        let grace_ns = i64::try_from(self.settings.delta_grace.as_nanos()).unwrap_or(i64::MAX);
        let old = shared
            .checkpoints
            .iter()
            .rposition(|(_, at)| now.saturating_sub(*at) > grace_ns);
        if let Some(index) = old {
            open::remove_below(&self.bucket, shared.checkpoints[index].0).await?;
            shared.checkpoints.drain(..=index);
        }
        Ok(())
    }

    async fn look_for_second_writer(&self, shared: &mut Shared) -> Result<()> {
        if shared.heartbeat.beat(&self.bucket, self.clock.now()).await? {
            self.second_writers.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                "another process writes to this bucket although catalog.single_writer is set; stop one of them now, \
                 commits can be lost"
            );
        }
        Ok(())
    }
}
