//! The life of the process: settings, runtimes, store, listener, signals, a stop in bounded time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use garner_query::logql::deletes::LogqlEntryFilters;
use garner_storage::clock::{SharedClock, SystemClock};
use garner_storage::engine::{Components, Storage};
use garner_storage::file::{Files, OsFiles, SharedFiles};
use garner_storage::memory::MemoryAccountant;
use garner_storage::object::open_bucket;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::app::App;
use super::log::Log;
use super::routes::router;
use crate::allocator;
use crate::cli::ServeArgs;
use crate::config::machine::default_memory_limit_bytes;
use crate::config::raw::CONFIG_VARIABLE;
use crate::config::{ConfigError, RawSettings, Settings};

/// Threads of flush and other background work.
const BACKGROUND_THREADS: usize = 2;
/// Threads for blocking file work of a runtime: so many for each of its own threads ...
const BLOCKING_PER_THREAD: usize = 4;
/// ... but at least these. They wait for the disk rather than compute, so a few more than cores are of use; each keeps
/// buffers of its own that other threads freed, so many are memory. A flush holds one of them while its object is sent, which
/// takes others: they must never be few.
const MIN_BLOCKING_THREADS: usize = 16;
/// Part of the shutdown timeout that requests under way get before the store is closed.
const DRAIN_SHARE: u32 = 4;

/// Why the server could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store could not be opened, or failed for good.
    #[error("{0}")]
    Store(#[from] garner_storage::Error),
    /// Something of the system's.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ServeError {
    /// The exit status: 2 for what the operator wrote, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            ServeError::Config(_) => 2,
            ServeError::Store(_) | ServeError::System { .. } => 1,
        }
    }
}

/// An error of the system's.
pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ServeError {
    let what = what.into();
    move |source| ServeError::System { what, source }
}

/// The three runtimes: a request's edge never waits behind query or background work.
struct Runtimes {
    edge: Runtime,
    query: Runtime,
    background: Runtime,
}

/// Runs the server until it is told to stop. `give_back_memory` makes the allocator do so.
pub fn serve(args: ServeArgs, give_back_memory: fn()) -> Result<(), ServeError> {
    let files: SharedFiles = Arc::new(OsFiles);
    let settings = read_settings(args.config.clone(), args.raw_settings(), &*files)?;
    let log = start_log(&settings)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let query_threads = if settings.server.query_threads > 0 {
        settings.server.query_threads
    } else {
        cores
    };
    let runtimes = Runtimes {
        edge: runtime("edge", cores)?,
        query: runtime("query", query_threads)?,
        background: runtime("background", BACKGROUND_THREADS)?,
    };
    let result = runtimes
        .edge
        .block_on(run(settings, files, log, give_back_memory, &runtimes));
    // Work that is still running after the store is closed has nobody to answer to.
    for runtime in [runtimes.query, runtimes.background, runtimes.edge] {
        runtime.shutdown_background();
    }
    result
}

fn runtime(name: &'static str, threads: usize) -> Result<Runtime, ServeError> {
    let blocking_threads = (threads * BLOCKING_PER_THREAD).max(MIN_BLOCKING_THREADS);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(blocking_threads)
        .thread_name(name)
        .on_thread_park(allocator::give_back_when_idle)
        .enable_all()
        .build()
        .map_err(system(format!("starting the {name} threads")))
}

/// Flags, environment and settings file, resolved.
pub fn read_settings(config: Option<PathBuf>, flags: RawSettings, files: &dyn Files) -> Result<Settings, ServeError> {
    let path = config.or_else(|| std::env::var_os(CONFIG_VARIABLE).map(Into::into));
    // A variable that is not UTF-8 cannot be one of ours.
    let vars =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut raw = flags.with_env(vars);
    if let Some(path) = path {
        let name = path.display().to_string();
        let bytes = files
            .read(&path)
            .map_err(|error| ConfigError(format!("settings file {name}: {error}")))?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| ConfigError(format!("settings file {name} is not UTF-8")))?;
        raw = raw.with_file(&name, text)?;
    }
    Ok(Settings::resolve(&raw)?)
}

fn start_log(settings: &Settings) -> Result<Log, ServeError> {
    let log = Log::start(&settings.server.log_level)?;
    std::panic::set_hook(Box::new(|info| tracing::error!(panic = %info, "a defect of garner")));
    Ok(log)
}

async fn run(
    settings: Settings,
    files: SharedFiles,
    log: Log,
    give_back_memory: fn(),
    runtimes: &Runtimes,
) -> Result<(), ServeError> {
    let mut stop = StopSignals::listen()?;
    let memory_limit = match settings.server.memory_limit_bytes {
        0 => default_memory_limit_bytes(&*files),
        bytes => bytes,
    };
    let accountant = MemoryAccountant::new(memory_limit);
    let clock: SharedClock = Arc::new(SystemClock);
    let storage = open_storage(&settings, files, &accountant, &clock, give_back_memory, runtimes).await?;
    let listen = settings.server.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(system(format!("listening on {listen}")))?;
    let address = listener
        .local_addr()
        .map_err(system("asking for the listener's address"))?;
    let app = App::new(settings, storage, accountant, clock, runtimes.query.handle().clone());
    // Nobody else sets it.
    let _ = app.log.set(log);
    tracing::info!(%address, data_dir = %app.settings.storage.store.data_dir.display(), memory_limit, "garner serves");

    let (drain, drained) = oneshot::channel::<()>();
    let server = tokio::spawn(
        axum::serve(
            listener.tap_io(|stream| {
                // Answers are small and written whole: waiting for more to fill a packet would only cost time.
                let _ = stream.set_nodelay(true);
            }),
            router(app.clone()),
        )
        .with_graceful_shutdown(async move {
            let _ = drained.await;
        })
        .into_future(),
    );
    tokio::select! {
        () = stop.next() => {}
        failed = replay_failed(&app.storage) => return Err(failed.into()),
    }
    tracing::info!("stopping: no more writes, flushing");
    app.stopping.store(true, Ordering::Relaxed);
    let _ = drain.send(());
    tokio::select! {
        () = close(&app, server) => Ok(()),
        () = stop.next() => {
            tracing::warn!("stopped at once by a second signal; what is not flushed is in the WAL");
            Ok(())
        }
    }
}

async fn open_storage(
    settings: &Settings,
    files: SharedFiles,
    accountant: &MemoryAccountant,
    clock: &SharedClock,
    give_back_memory: fn(),
    runtimes: &Runtimes,
) -> Result<Storage, ServeError> {
    let seed = rand::random();
    let current = std::env::current_dir().map_err(system("asking for the current folder"))?;
    // Requests to the object store run on the edge: behind decoding on the query threads they would starve.
    let bucket = open_bucket(
        &settings.storage.bucket(&current),
        &files,
        runtimes.edge.handle().clone(),
        seed,
    )?;
    let components = Components {
        clock: clock.clone(),
        files,
        bucket,
        accountant: accountant.clone(),
        seed,
        background: runtimes.background.handle().clone(),
        entry_filters: Arc::new(LogqlEntryFilters),
        give_back_memory,
        fail_points: settings.storage.fail_points.clone(),
    };
    Ok(Storage::open(settings.storage.store.clone(), components).await?)
}

/// Returns when the replay failed; never when it went well.
async fn replay_failed(storage: &Storage) -> garner_storage::Error {
    match storage.wait_ready().await {
        Err(error) => error,
        Ok(()) => std::future::pending().await,
    }
}

/// Lets requests under way end, then flushes and closes the store; all within `server.shutdown_timeout`.
async fn close(app: &App, server: tokio::task::JoinHandle<std::io::Result<()>>) {
    let started = Instant::now();
    let timeout = app.settings.server.shutdown_timeout;
    if tokio::time::timeout(timeout / DRAIN_SHARE, server).await.is_err() {
        tracing::warn!("requests still under way are cut off");
    }
    let left = timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
    match app.storage.close(left).await {
        Ok(summary) => tracing::info!(
            rows = summary.rows,
            segments = summary.segments,
            objects = summary.objects,
            "flushed and closed"
        ),
        Err(error) => tracing::warn!(%error, "closed without a full flush; the next start replays the WAL"),
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> Result<Self, ServeError> {
        let on = |kind| signal(kind).map_err(system("listening for signals"));
        Ok(StopSignals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
