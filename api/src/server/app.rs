//! The state that all handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use garner_ingest::{LogSink, Patterns};
use garner_query::engine::{Engine, EngineLimits};
use garner_query::tenants::TenantsReader;
use garner_storage::clock::SharedClock;
use garner_storage::engine::Storage;
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::Timestamp;
use garner_storage::scan::{ScanContext, StoreReader, StoreView};
use tokio::runtime::Handle;

use super::log::Log;
use super::observe::RequestCounters;
use super::tails::TailSlots;
use crate::config::Settings;
use crate::error::{Failure, FailureKind};
use crate::tenant::Tenants;

/// One server's state.
#[derive(Debug)]
pub struct App {
    /// Resolved settings.
    pub settings: Settings,
    /// The store.
    pub storage: Storage,
    /// The query engine over it.
    pub engine: Engine,
    /// Time.
    pub clock: SharedClock,
    /// When the server began, nanoseconds.
    pub started_ns: Timestamp,
    /// The process' memory.
    pub accountant: MemoryAccountant,
    /// Where queries run.
    pub query_runtime: Handle,
    /// What was asked so far.
    pub requests: RequestCounters,
    /// Patterns of the lines of the last hours.
    pub patterns: Patterns,
    /// Tails that are open.
    pub tails: TailSlots,
    /// The log, once it is set up.
    pub log: OnceLock<Log>,
    /// Whether somebody asked for a stop that flushes everything.
    pub shutdown_prepared: AtomicBool,
    /// Whether the server is on its way out.
    pub stopping: AtomicBool,
}

/// How handlers hold it.
pub type SharedApp = Arc<App>;

impl App {
    /// The state over an open store; queries run on `query_runtime`.
    pub fn new(
        settings: Settings,
        storage: Storage,
        accountant: MemoryAccountant,
        clock: SharedClock,
        query_runtime: Handle,
    ) -> SharedApp {
        let limits = EngineLimits {
            max_query_memory_bytes: settings.logs.max_query_memory_bytes,
            timeout: settings.logs.query_timeout,
            gate: settings.query.gate(query_runtime.metrics().num_workers()),
            promql: settings.promql,
            result_cache_bytes: settings.storage.result_cache_bytes,
            target_partitions: query_runtime.metrics().num_workers(),
            ..EngineLimits::default()
        };
        let engine = Engine::new(Arc::new(storage.clone()), accountant.clone(), limits, clock.clone());
        Arc::new(App {
            patterns: Patterns::new(settings.logs.pattern_memory_bytes, accountant.clone()),
            settings,
            storage,
            engine,
            started_ns: clock.now(),
            clock,
            accountant,
            query_runtime,
            requests: RequestCounters::default(),
            tails: TailSlots::default(),
            log: OnceLock::new(),
            shutdown_prepared: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    /// What one or several tenants can read now; of several, series are `labelled` with their tenant.
    pub fn view_of(&self, tenants: &Tenants, labelled: bool) -> Result<Arc<dyn StoreView>, Failure> {
        let reader = match tenants.all() {
            [tenant] => return Ok(self.storage.view(tenant)?),
            several => TenantsReader::new(Arc::new(self.storage.clone()), several, labelled),
        };
        // Which tenant is asked for makes no difference to this reader.
        Ok(reader.view(tenants.first()?)?)
    }

    /// What scans of a request share that the engine does not run.
    pub fn scan_context(&self) -> ScanContext {
        ScanContext::new(
            self.accountant.query(self.settings.logs.max_query_memory_bytes),
            Arc::default(),
        )
    }

    /// Where log pushes go.
    pub fn log_sink(&self) -> LogSink<'_> {
        LogSink {
            storage: &self.storage,
            patterns: Some(&self.patterns),
        }
    }

    /// Whether the server is on its way out.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Refuses writes once the server is stopping.
    pub fn check_accepting(&self) -> Result<(), Failure> {
        if self.is_stopping() {
            return Err(Failure::new(
                FailureKind::Unavailable,
                "the server is stopping; send this to it again later",
            ));
        }
        Ok(())
    }
}
