//! An object store that fails as object stores do, from a seed: refused requests, and requests that happened although
//! their answer was lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::object::Store;

/// How often what goes wrong, each in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// A request fails and nothing happened.
    pub refused: f64,
    /// A write or deletion happens, and its answer is lost.
    pub answer_lost: f64,
}

/// Wraps a store; faults can be changed at any time.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    state: Arc<State>,
}

struct State {
    rng: Mutex<StdRng>,
    faults: Mutex<Faults>,
    latency_max: Mutex<Duration>,
    injected: AtomicU64,
    ignores_conditions: AtomicBool,
    loses_parts: AtomicBool,
    hidden: Mutex<Option<String>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Fine,
    Refused,
    AnswerLost,
}

impl State {
    /// Waits as long as a request takes, then says what becomes of it.
    async fn arrive(&self) -> Fate {
        let latency_max = *self.latency_max.lock();
        if !latency_max.is_zero() {
            let latency = self.rng.lock().random_range(Duration::ZERO..=latency_max);
            tokio::time::sleep(latency).await;
        }
        self.draw()
    }

    fn draw(&self) -> Fate {
        let faults = *self.faults.lock();
        let point: f64 = self.rng.lock().random();
        let fate = if point < faults.refused {
            Fate::Refused
        } else if point < faults.refused + faults.answer_lost {
            Fate::AnswerLost
        } else {
            Fate::Fine
        };
        if fate != Fate::Fine {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        fate
    }
}

impl FaultyStore {
    /// Wraps `inner`; without faults until [`FaultyStore::set_faults`].
    pub fn new(inner: Arc<dyn Store>, seed: u64) -> Self {
        FaultyStore {
            inner,
            state: Arc::new(State {
                rng: Mutex::new(StdRng::seed_from_u64(seed)),
                faults: Mutex::default(),
                latency_max: Mutex::default(),
                injected: AtomicU64::new(0),
                ignores_conditions: AtomicBool::new(false),
                loses_parts: AtomicBool::new(false),
                hidden: Mutex::default(),
            }),
        }
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        *self.state.faults.lock() = faults;
    }

    /// From now on writes over an object although it was asked to create it only where there is none.
    pub fn ignore_conditions(&self) {
        self.state.ignores_conditions.store(true, Ordering::Relaxed);
    }

    /// From now on keeps only the first part of objects that are written in parts.
    pub fn lose_parts(&self) {
        self.state.loses_parts.store(true, Ordering::Relaxed);
    }

    /// Leaves this object out of the next listing.
    pub fn hide_from_next_listing(&self, path: &str) {
        *self.state.hidden.lock() = Some(path.to_string());
    }

    /// Lets every put, get and part of a large object take up to this long from now on.
    pub fn set_latency(&self, max: Duration) {
        *self.state.latency_max.lock() = max;
    }

    /// How many faults were injected.
    pub fn injected(&self) -> u64 {
        self.state.injected.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

fn injected(what: &str) -> Error {
    Error::Generic {
        store: "faulty store",
        source: format!("injected fault: {what}").into(),
    }
}

/// Runs a writing request to its fate.
async fn fated<T>(fate: Fate, request: impl Future<Output = Result<T>>) -> Result<T> {
    match fate {
        Fate::Fine => request.await,
        Fate::Refused => Err(injected("refused")),
        Fate::AnswerLost => {
            // Whatever came of it is not told.
            let _ = request.await;
            Err(injected("answer lost"))
        }
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.state.ignores_conditions.load(Ordering::Relaxed) {
            options.mode = PutMode::Overwrite;
        }
        fated(
            self.state.arrive().await,
            self.inner.put_opts(location, payload, options),
        )
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        fated(self.state.arrive().await, self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.state.draw() {
            Fate::Refused => futures::stream::once(async { Err(injected("refused")) }).boxed(),
            Fate::Fine => self.inner.delete_stream(locations),
            Fate::AnswerLost => self
                .inner
                .delete_stream(locations)
                .map(|_| Err(injected("answer lost")))
                .boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.state.draw() {
            Fate::Fine => match self.state.hidden.lock().take() {
                None => self.inner.list(prefix),
                Some(hidden) => {
                    let shown = move |meta: &Result<ObjectMeta>| {
                        let is_hidden = meta.as_ref().is_ok_and(|meta| meta.location.as_ref() == hidden);
                        std::future::ready(!is_hidden)
                    };
                    self.inner.list(prefix).filter(shown).boxed()
                }
            },
            _ => futures::stream::once(async { Err(injected("refused")) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        fated(self.state.draw(), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        fated(self.state.draw(), self.inner.copy_opts(from, to, options)).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        fated(self.state.draw(), self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, mut data: PutPayload) -> Result<PartId> {
        if part_idx > 0 && self.state.loses_parts.load(Ordering::Relaxed) {
            data = PutPayload::new();
        }
        fated(self.state.arrive().await, self.inner.put_part(path, id, part_idx, data)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        fated(self.state.draw(), self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        fated(self.state.draw(), self.inner.abort_multipart(path, id)).await
    }
}
