//! Reading the catalog: the newest checkpoint that can be read, and the deltas after it without a gap.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::state::{CatalogState, CatalogVersion};
use super::stored::{self, StoredCheckpoint, StoredDelta};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Bucket;
use crate::object::paths::{self, CatalogObject};

/// Deltas read at the same time.
const PARALLEL_DELTAS: usize = 16;
/// How often a listing is repeated when objects vanish under it (they were removed below a newer checkpoint), or when it
/// lacks one between others: a folder is not listed at one moment, so of two deltas made meanwhile it may name the second only.
const MAX_LISTINGS: u32 = 5;

/// What a listing found, by version.
#[derive(Default)]
pub(super) struct Listing {
    pub checkpoints: Vec<u64>,
    pub deltas: BTreeMap<u64, String>,
}

pub(super) async fn list(bucket: &Bucket, after: CatalogVersion) -> Result<Listing> {
    let offset = (after.0 > 0).then(|| paths::catalog_delta(after.0));
    let mut listing = Listing::default();
    for object in bucket.list(paths::CATALOG_PREFIX, offset.as_deref()).await? {
        match paths::parse_catalog(&object.path) {
            Some(CatalogObject::Checkpoint(version)) => listing.checkpoints.push(version),
            Some(CatalogObject::Delta(version)) => drop(listing.deltas.insert(version, object.path)),
            None => {}
        }
    }
    Ok(listing)
}

/// The newest state in the bucket. `known` is where the search starts: the empty state, or one read before.
pub(super) async fn load(bucket: &Bucket, known: &CatalogState) -> Result<CatalogState> {
    let mut listings = 0;
    loop {
        listings += 1;
        let listing = list(bucket, known.version()).await?;
        let again = listings < MAX_LISTINGS;
        match advance(bucket, known, &listing).await {
            Ok(Advanced::To(state)) => return Ok(*state),
            Ok(Advanced::Gap(version)) if again => {
                tracing::debug!(version, "a listing of the catalog lacks a version; listing again");
            }
            Ok(Advanced::Gap(version)) => return Err(missing(version)),
            Err(error) if error.kind() == ErrorKind::NotFound && again => {
                tracing::debug!(%error, "the catalog moved while it was read; listing again");
            }
            Err(error) => return Err(error),
        }
    }
}

fn missing(version: u64) -> Error {
    let message = format!(
        "catalog object {} is missing, but later ones exist; restore it or rebuild the catalog from the segments",
        paths::catalog_delta(version)
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// Where a listing leads.
enum Advanced {
    To(Box<CatalogState>),
    /// It lacks this version and has later ones.
    Gap(u64),
}

async fn advance(bucket: &Bucket, known: &CatalogState, listing: &Listing) -> Result<Advanced> {
    let next = known.version().next().0;
    let newest = listing.deltas.keys().next_back().copied().unwrap_or(0);
    let contiguous = newest < next || (next..=newest).all(|v| listing.deltas.contains_key(&v));
    let behind_checkpoint = listing.checkpoints.last().is_some_and(|c| *c > newest);
    // Deltas alone lead on where they are all there; otherwise, and for the first state, a checkpoint is the base.
    let base = if contiguous && !behind_checkpoint && known.version().0 > 0 {
        known.clone()
    } else {
        newest_checkpoint(bucket, known, listing).await?
    };
    let from = base.version().next().0;
    if let Some(version) = (from..=newest).find(|v| !listing.deltas.contains_key(v)) {
        return Ok(Advanced::Gap(version));
    }
    let wanted: Vec<u64> = (from..=newest).collect();
    let mut deltas = futures::stream::iter(wanted)
        .map(|version| read_delta(bucket, version))
        .buffered(PARALLEL_DELTAS);
    let mut state = base;
    while let Some(delta) = deltas.try_next().await? {
        let (path, at) = (paths::catalog_delta(delta.version), delta.created_ns);
        let request = delta.into_request().map_err(|reason| stored::corrupt(&path, reason))?;
        state = state.apply(&request, at);
    }
    Ok(Advanced::To(Box::new(state)))
}

/// The newest checkpoint that can be read, or `known` where none is newer. A damaged one is passed over: the deltas
/// since an older one lead to the same state, as long as they are kept.
async fn newest_checkpoint(bucket: &Bucket, known: &CatalogState, listing: &Listing) -> Result<CatalogState> {
    for version in listing.checkpoints.iter().rev() {
        let path = paths::catalog_checkpoint(*version);
        let read = bucket.get(&path).await.and_then(|bytes| {
            let checkpoint: StoredCheckpoint = stored::decode(&path, &bytes)?;
            checkpoint.into_state().map_err(|reason| stored::corrupt(&path, reason))
        });
        match read {
            Ok(state) if state.version.0 == *version => return Ok(state),
            Ok(other) => tracing::error!(
                path,
                found = other.version.0,
                "catalog checkpoint holds another version; passed over"
            ),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(path, %error, "catalog checkpoint cannot be read; passed over");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known.clone())
}

/// The delta that makes `version`.
pub(super) async fn read_delta(bucket: &Bucket, version: u64) -> Result<StoredDelta> {
    let path = paths::catalog_delta(version);
    let bytes = bucket.get(&path).await?;
    let delta: StoredDelta = stored::decode(&path, &bytes)?;
    if delta.version != version {
        let message = format!("catalog object {path} holds version {}", delta.version);
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(delta)
}

/// Removes what lies below the checkpoint of `version`. Failures are left for the next time.
pub(super) async fn remove_below(bucket: &Bucket, version: CatalogVersion) -> Result<()> {
    let listing = list(bucket, CatalogVersion(0)).await?;
    if !listing.checkpoints.contains(&version.0) {
        return Ok(());
    }
    let checkpoints = listing.checkpoints.iter().filter(|v| **v < version.0);
    let old: Vec<String> = listing
        .deltas
        .range(..=version.0)
        .map(|(_, path)| path.clone())
        .chain(checkpoints.map(|v| paths::catalog_checkpoint(*v)))
        .collect();
    for path in old {
        bucket.delete(&path).await?;
    }
    Ok(())
}
