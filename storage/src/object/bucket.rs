//! [`Bucket`]: an object store behind our timeouts, retries, counters and error texts.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetRange, MultipartId, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Handle;

use super::retry::{Jitter, RetryPolicy, is_transient};
use super::store::Store;
use super::upload::ObjectWriter;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes [`Bucket::get`] takes for a whole object; larger ones are read by ranges.
const MAX_WHOLE_OBJECT_BYTES: u64 = 1 << 30;

/// The kinds of requests, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Whole or ranged reads.
    Get,
    /// Writes.
    Put,
    /// Listings (one a call, whatever number of pages it takes).
    List,
    /// Deletions.
    Delete,
}

impl Verb {
    /// All verbs, in the order of their counters.
    pub const ALL: [Verb; 4] = [Verb::Get, Verb::Put, Verb::List, Verb::Delete];

    /// The name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Put => "put",
            Verb::List => "list",
            Verb::Delete => "delete",
        }
    }
}

#[derive(Debug, Default)]
struct VerbCounter {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// What a bucket was asked for so far, by verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketCounts {
    /// Tries sent, retries included.
    pub requests: u64,
    /// Tries that failed; "not found" and "exists already" are answers, not failures.
    pub errors: u64,
    /// Payload bytes of successful tries.
    pub bytes: u64,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Path below the bucket's prefix.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// What became of a conditional create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there and is ours.
    Created,
    /// An object of that name is there. It may be ours all the same, where an earlier try's answer was lost: the caller
    /// reads it to know.
    Exists,
}

/// Bytes between two wanted ranges that are read along rather than asked for apart: about what a round trip costs ...
pub(crate) const READ_ALONG_BYTES: u64 = 256 << 10;
/// ... and what another request to a local folder costs, some tens of microseconds.
const READ_ALONG_LOCAL_BYTES: u64 = 32 << 10;

struct Inner {
    read_along_bytes: u64,
    store: Arc<dyn Store>,
    prefix: Path,
    handle: Handle,
    policy: RetryPolicy,
    jitter: Jitter,
    counters: [VerbCounter; Verb::ALL.len()],
}

/// An object store as garner uses it. Cheap to clone.
///
/// All requests run on the runtime handed in, so that decoding elsewhere cannot starve them. An error names operation and
/// path; its kind is `NotFound`, `Unavailable` (tried again in vain: whether a write happened is not known) or `Invalid`
/// (the store refuses this request whenever it comes: credentials, permissions, unsupported operation).
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({}/{})", self.0.store, self.0.prefix)
    }
}

impl Bucket {
    /// A bucket over `store`, all paths below `prefix`. `seed` feeds the jitter of retries.
    pub fn new(store: Arc<dyn Store>, prefix: &str, handle: Handle, policy: RetryPolicy, seed: u64) -> Self {
        Self::reading_along(store, prefix, handle, policy, seed, READ_ALONG_BYTES)
    }

    /// As [`Bucket::new`], over a folder of this machine.
    pub fn local(store: Arc<dyn Store>, handle: Handle, policy: RetryPolicy, seed: u64) -> Self {
        Self::reading_along(store, "", handle, policy, seed, READ_ALONG_LOCAL_BYTES)
    }

    fn reading_along(
        store: Arc<dyn Store>,
        prefix: &str,
        handle: Handle,
        policy: RetryPolicy,
        seed: u64,
        read_along_bytes: u64,
    ) -> Self {
        Bucket(Arc::new(Inner {
            read_along_bytes,
            store,
            prefix: Path::from(prefix),
            handle,
            policy,
            jitter: Jitter::new(seed),
            counters: Default::default(),
        }))
    }

    /// Bytes between two wanted ranges that are better read along than asked for apart.
    pub(crate) fn read_along_bytes(&self) -> u64 {
        self.0.read_along_bytes
    }

    /// What was asked so far.
    pub fn counts(&self, verb: Verb) -> BucketCounts {
        let counter = &self.0.counters[verb as usize];
        BucketCounts {
            requests: counter.requests.load(Ordering::Relaxed),
            errors: counter.errors.load(Ordering::Relaxed),
            bytes: counter.bytes.load(Ordering::Relaxed),
        }
    }

    /// The runtime that requests run on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.handle
    }

    /// Writes the object, over an older one of that name. On return its bytes are durable.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.put_with(path, bytes, PutMode::Overwrite).await.map(|_| ())
    }

    /// Writes the object unless one of that name exists. On `Created` its bytes are durable. On an error it is not
    /// known whether it was written.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutOutcome> {
        self.put_with(path, bytes, PutMode::Create).await
    }

    async fn put_with(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome> {
        let len = bytes.len() as u64;
        let location = self.location(path);
        let answer = self
            .request(Verb::Put, path, len, || {
                let (store, location) = (Arc::clone(&self.0.store), location.clone());
                let (payload, options) = (bytes.clone().into(), PutOptions::from(mode.clone()));
                async move { store.put_opts(&location, payload, options).await }
            })
            .await;
        match answer {
            Ok(_) => {
                self.count_bytes(Verb::Put, len);
                Ok(PutOutcome::Created)
            }
            Err(Failure::Exists) => Ok(PutOutcome::Exists),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// Begins an object whose bytes come bit by bit. Nothing is asked of the store yet.
    pub fn writer(&self, path: &str) -> ObjectWriter {
        ObjectWriter::new(self.clone(), path)
    }

    /// Begins an object in parts.
    pub(super) async fn begin_parts(&self, path: &str) -> Result<MultipartId> {
        let location = self.location(path);
        let answer = self.request(Verb::Put, path, 0, || {
            let (store, location) = (Arc::clone(&self.0.store), location.clone());
            async move { store.create_multipart(&location).await }
        });
        answer.await.map_err(|failure| failure.into_error(Verb::Put, path))
    }

    /// Sends part `index`.
    pub(super) async fn put_part(&self, path: &str, id: &MultipartId, index: usize, bytes: Bytes) -> Result<PartId> {
        let (location, len) = (self.location(path), bytes.len() as u64);
        let answer = self.request(Verb::Put, path, len, || {
            let (store, location) = (Arc::clone(&self.0.store), location.clone());
            let (id, bytes) = (id.clone(), bytes.clone());
            async move { store.put_part(&location, &id, index, bytes.into()).await }
        });
        let part = answer.await.map_err(|failure| failure.into_error(Verb::Put, path))?;
        self.count_bytes(Verb::Put, len);
        Ok(part)
    }

    /// Makes an object of `len` bytes from its parts.
    pub(super) async fn finish_parts(&self, path: &str, id: &MultipartId, parts: Vec<PartId>, len: u64) -> Result<()> {
        let location = self.location(path);
        let answer = self.request(Verb::Put, path, 0, || {
            let (store, location) = (Arc::clone(&self.0.store), location.clone());
            let (id, parts) = (id.clone(), parts.clone());
            async move { store.complete_multipart(&location, &id, parts).await }
        });
        match answer.await.map_err(|failure| failure.into_error(Verb::Put, path)) {
            Ok(_) => Ok(()),
            // Where the answer of a completed upload was lost, the next try finds no such upload; the object tells.
            Err(error) => match self.size(path).await {
                Ok(size) if size == len => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Removes the parts of an object that will not be.
    pub(super) async fn abort_parts(&self, path: &str, id: &MultipartId) {
        let location = self.location(path);
        let answer = self.request(Verb::Delete, path, 0, || {
            let (store, location, id) = (Arc::clone(&self.0.store), location.clone(), id.clone());
            async move { store.abort_multipart(&location, &id).await }
        });
        if let Err(failure) = answer.await {
            let error = failure.into_error(Verb::Delete, path);
            tracing::warn!(%error, "parts of an object that was given up stay at the store");
        }
    }

    /// The bytes of the whole object, at most a gigabyte.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        self.get_with(path, None).await
    }

    /// Exactly the bytes of `range`; an object that ends before gives `Corrupt`.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let too_short = |size: u64| {
            let Range { start, end } = range;
            let message = format!("object {path} has {size} bytes, too few for range {start}..{end}");
            Error::new(ErrorKind::Corrupt, message)
        };
        match self.get_with(path, Some(range.clone())).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(bytes) => Err(too_short(range.start + bytes.len() as u64)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
            // A range that starts beyond the end fails as a bad request does (HTTP 416); only the size tells.
            Err(error) => match self.size(path).await {
                Ok(size) if size < range.end => Err(too_short(size)),
                _ => Err(error),
            },
        }
    }

    async fn size(&self, path: &str) -> Result<u64> {
        let location = self.location(path);
        let answer = self.request(Verb::Get, path, 0, || {
            let (store, location) = (Arc::clone(&self.0.store), location.clone());
            async move { store.head(&location).await }
        });
        let meta = answer.await.map_err(|failure| failure.into_error(Verb::Get, path))?;
        Ok(meta.size)
    }

    async fn get_with(&self, path: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let location = self.location(path);
        let expected = range.as_ref().map_or(0, |r| r.end - r.start);
        let answer = self
            .request(Verb::Get, path, expected, || {
                let (store, location) = (Arc::clone(&self.0.store), location.clone());
                let options = GetOptions {
                    range: range.clone().map(GetRange::Bounded),
                    ..Default::default()
                };
                async move {
                    let result = store.get_opts(&location, options).await?;
                    if result.range.end - result.range.start > MAX_WHOLE_OBJECT_BYTES {
                        return Err(StoreError::NotSupported {
                            source: "the object is larger than a gigabyte".into(),
                        });
                    }
                    result.bytes().await
                }
            })
            .await;
        let bytes = answer.map_err(|failure| failure.into_error(Verb::Get, path))?;
        self.count_bytes(Verb::Get, bytes.len() as u64);
        Ok(bytes)
    }

    /// Every object below `prefix` (a folder), in path order; with `after`, only those whose path is greater.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ObjectInfo>> {
        let folder = self.location(prefix);
        let offset = after.map(|path| self.location(path));
        let answer = self
            .request(Verb::List, prefix, 0, || {
                let (store, folder, offset) = (Arc::clone(&self.0.store), folder.clone(), offset.clone());
                async move {
                    let stream = match &offset {
                        Some(offset) => store.list_with_offset(Some(&folder), offset),
                        None => store.list(Some(&folder)),
                    };
                    stream.try_collect::<Vec<_>>().await
                }
            })
            .await;
        let metas = answer.map_err(|failure| failure.into_error(Verb::List, prefix))?;
        let own = self.0.prefix.as_ref();
        let mut out: Vec<ObjectInfo> = metas
            .into_iter()
            .filter_map(|meta| {
                let path = meta.location.as_ref().strip_prefix(own)?;
                Some(ObjectInfo {
                    path: path.trim_start_matches('/').to_string(),
                    size: meta.size,
                })
            })
            .collect();
        out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    /// Removes the object; one that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let location = self.location(path);
        let answer = self
            .request(Verb::Delete, path, 0, || {
                let (store, location) = (Arc::clone(&self.0.store), location.clone());
                async move { store.delete(&location).await }
            })
            .await;
        match answer.map_err(|failure| failure.into_error(Verb::Delete, path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn location(&self, path: &str) -> Path {
        self.0.prefix.parts().chain(Path::from(path).parts()).collect()
    }

    fn count_bytes(&self, verb: Verb, bytes: u64) {
        self.0.counters[verb as usize].bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Runs `make`'s request on the I/O runtime until it succeeds, is refused, or the tries are used up.
    async fn request<T, F>(&self, verb: Verb, path: &str, bytes: u64, make: impl Fn() -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let policy = &self.0.policy;
        let counter = &self.0.counters[verb as usize];
        let timeout = policy.timeout(bytes);
        let mut attempt = 1;
        loop {
            counter.requests.fetch_add(1, Ordering::Relaxed);
            // The timer is made inside the spawned task: it belongs to the I/O runtime, the caller's may have none.
            let request = make();
            let task = AbortOnDrop(
                self.0
                    .handle
                    .spawn(async move { tokio::time::timeout(timeout, request).await }),
            );
            let cause: Box<dyn std::error::Error + Send + Sync> = match task.join().await {
                Ok(Ok(Ok(value))) => return Ok(value),
                Ok(Ok(Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }))) => {
                    return Err(Failure::Exists);
                }
                Ok(Ok(Err(error @ StoreError::NotFound { .. }))) => {
                    return Err(Failure::Error(describe(ErrorKind::NotFound, verb, path, error)));
                }
                Ok(Ok(Err(error))) if !is_transient(&error) => {
                    counter.errors.fetch_add(1, Ordering::Relaxed);
                    return Err(Failure::Error(describe(ErrorKind::Invalid, verb, path, error)));
                }
                Ok(Ok(Err(error))) => Box::new(error),
                Ok(Err(elapsed)) => Box::new(elapsed),
                Err(joined) => Box::new(joined),
            };
            counter.errors.fetch_add(1, Ordering::Relaxed);
            if attempt >= policy.max_attempts {
                let message = format!("object store: {} {path} failed {attempt} times", verb.as_str());
                return Err(Failure::Error(Error::with_source(
                    ErrorKind::Unavailable,
                    message,
                    cause,
                )));
            }
            let wait = self.0.jitter.wait(policy.backoff_initial, policy.backoff_max, attempt);
            tracing::debug!(verb = verb.as_str(), path, attempt, %cause, ?wait, "object store request failed; trying again");
            self.sleep(wait).await;
            attempt += 1;
        }
    }

    /// Waits on the I/O runtime's timer.
    pub(crate) async fn sleep(&self, wait: std::time::Duration) {
        // A join error here means that the runtime is going away; the next request says so.
        let _ = AbortOnDrop(self.0.handle.spawn(async move { tokio::time::sleep(wait).await }))
            .join()
            .await;
    }

    /// A wait with the bucket's jitter, for callers that retry whole operations.
    pub(crate) fn jittered(
        &self,
        initial: std::time::Duration,
        max: std::time::Duration,
        attempt: u32,
    ) -> std::time::Duration {
        self.0.jitter.wait(initial, max, attempt)
    }
}

enum Failure {
    Exists,
    Error(Error),
}

impl Failure {
    fn into_error(self, verb: Verb, path: &str) -> Error {
        match self {
            Failure::Error(error) => error,
            Failure::Exists => Error::new(
                ErrorKind::Internal,
                format!(
                    "object store: {} {path} answered that a precondition failed, but none was sent",
                    verb.as_str()
                ),
            ),
        }
    }
}

fn describe(kind: ErrorKind, verb: Verb, path: &str, error: StoreError) -> Error {
    Error::with_source(kind, format!("object store: {} {path}", verb.as_str()), error)
}

/// A spawned request that ends with its caller.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
