//! What is left of a damaged catalog, and a new one in its place.

use std::collections::HashSet;

use super::invariants;
use super::open::{list, remove_below};
use super::state::{CatalogState, CatalogVersion, CommitRequest};
use super::stored::{self, StoredCheckpoint, StoredDelta};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::object::paths::{self, WriterId};
use crate::object::{Bucket, PutOutcome};
use crate::segment::SegmentId;

/// Everything that can be read of a catalog.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// The newest checkpoint that can be read with every later delta that can, gaps passed over.
    pub state: CatalogState,
    /// Segments that some commit removed: they are not live, whatever lies in the bucket.
    pub removed: HashSet<SegmentId>,
    /// Objects of the catalog that cannot be read, or are missing, and why.
    pub faults: Vec<(String, String)>,
    /// The time of the last commit before the first gap; `None` where nothing could be read.
    pub whole_until: Option<Timestamp>,
    /// The greatest version that any object names.
    pub newest: u64,
    /// Bytes of the catalog's objects.
    pub objects: usize,
}

/// Reads every object of the catalog, also those that a start would not need.
pub(crate) async fn salvage(bucket: &Bucket) -> Result<Salvage> {
    let listing = list(bucket, CatalogVersion(0)).await?;
    let mut found = Salvage {
        objects: listing.checkpoints.len() + listing.deltas.len(),
        ..Salvage::default()
    };
    let newest_delta = listing.deltas.keys().next_back().copied().unwrap_or(0);
    found.newest = newest_delta.max(listing.checkpoints.iter().copied().max().unwrap_or(0));
    for version in &listing.checkpoints {
        let path = paths::catalog_checkpoint(*version);
        let read = bucket.get(&path).await.and_then(|bytes| {
            let checkpoint: StoredCheckpoint = stored::decode(&path, &bytes)?;
            let created = checkpoint.created_ns;
            let state = checkpoint
                .into_state()
                .map_err(|reason| stored::corrupt(&path, reason))?;
            Ok((state, created))
        });
        match read {
            Ok((state, created)) if state.version().0 == *version => {
                found.state = state;
                found.whole_until = Some(created);
            }
            Ok((state, _)) => found.fault(path, format!("it holds version {}", state.version())),
            Err(error) => found.take(path, error)?,
        }
    }
    let base = found.state.version().0;
    let mut whole = true;
    let mut next = base + 1;
    for (version, path) in listing.deltas {
        if version > base && version != next {
            let missing = paths::catalog_delta(next);
            found.fault(missing, format!("it is missing, but version {version} exists"));
            whole = false;
        }
        next = next.max(version + 1);
        let read = bucket.get(&path).await.and_then(|bytes| {
            let delta: StoredDelta = stored::decode(&path, &bytes)?;
            let (holds, created) = (delta.version, delta.created_ns);
            let request = delta.into_request().map_err(|reason| stored::corrupt(&path, reason))?;
            Ok((holds, created, request))
        });
        match read {
            Ok((holds, created, request)) if holds == version => {
                found.removed.extend(request.remove.iter().cloned());
                if version > base {
                    found.apply(request, created);
                    if whole {
                        found.whole_until = Some(created);
                    }
                }
            }
            Ok((holds, ..)) => {
                found.fault(path, format!("it holds version {holds}"));
                whole = false;
            }
            Err(error) => {
                found.take(path, error)?;
                whole = whole && version <= base;
            }
        }
    }
    Ok(found)
}

impl Salvage {
    fn fault(&mut self, path: String, reason: String) {
        self.faults.push((path, reason));
    }

    /// Notes damage; passes on that the store does not answer, or that a newer garner wrote the catalog.
    fn take(&mut self, path: String, error: Error) -> Result<()> {
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::NotFound => {
                self.fault(path, error.to_string());
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Applies a commit to a state that may lack some before it.
    fn apply(&mut self, mut request: CommitRequest, at: Timestamp) {
        request.add.retain(|meta| self.state.find(&meta.id).is_none());
        request.remove.retain(|id| self.state.find(id).is_some());
        self.state = self.state.apply(&request, at);
    }
}

/// What in a state as a whole breaks the invariants that each of its commits was held to.
pub(crate) fn broken_invariants(state: &CatalogState) -> Vec<String> {
    let mut everything = CommitRequest::new(WriterId::from_random(0));
    everything.add = state.all_segments().map(|meta| (**meta).clone()).collect();
    let empty = CatalogState::default();
    let check = |invariant: &invariants::Invariant| {
        let broken = (invariant.check)(&empty, &everything)?;
        Some(format!("{}: {broken}", invariant.name))
    };
    invariants::INVARIANTS.iter().filter_map(check).collect()
}

/// Makes `state` the catalog, as a checkpoint above every version that was there, and removes what lies below it. The bucket
/// must have no writer.
pub(crate) async fn replace(bucket: &Bucket, state: &CatalogState, newest: u64, now: Timestamp) -> Result<u64> {
    let mut next = state.clone();
    next.version = CatalogVersion(newest.saturating_add(1));
    let path = paths::catalog_checkpoint(next.version.0);
    let bytes = bytes::Bytes::from(stored::encode(&StoredCheckpoint::new(&next, now))?);
    match bucket.put_if_absent(&path, bytes.clone()).await {
        Ok(PutOutcome::Created) => {}
        // A store without conditional create; or ours, where an answer was lost.
        Err(error) if error.kind() == ErrorKind::Invalid => bucket.put(&path, bytes.clone()).await?,
        Ok(PutOutcome::Exists) => {}
        Err(error) => return Err(error),
    }
    if bucket.get(&path).await? != bytes {
        let message = format!("somebody else wrote {path} at the same time; stop every garner that uses this bucket");
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    remove_below(bucket, next.version).await?;
    Ok(next.version.0)
}
