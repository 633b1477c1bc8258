//! All settings, resolved.

use std::sync::Arc;
use std::time::Duration;

use garner_query::context::PromqlSettings;

use super::deletes::DeleteSettings;
use super::error::ConfigError;
use super::log_limits::LogSettings;
use super::metric_limits::MetricSettings;
use super::promql;
use super::query::QuerySettings;
use super::raw::RawSettings;
use super::reader::{Declared, Effective, Reader};
use super::retention;
use super::server::ServerSettings;
use super::storage::StorageSettings;

/// What an object's deletion waits longer than any query: for a process that learns of a commit late, and for clocks that
/// are apart.
const GRACE_MARGIN: Duration = Duration::from_secs(5 * 60);

/// What the process runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[server]`, `[tenancy]` and `[memory]`.
    pub server: ServerSettings,
    /// `[storage]`, `[object_store]`, `[cache]`, `[wal]`, `[flush]`, `[compaction]`, `[catalog]`, and what is kept how long.
    pub storage: StorageSettings,
    /// `[deletes]`.
    pub deletes: DeleteSettings,
    /// `[limits]`.
    pub logs: LogSettings,
    /// `[limits.metrics]`.
    pub metrics: MetricSettings,
    /// `[query]`.
    pub query: QuerySettings,
    /// `[promql]`.
    pub promql: PromqlSettings,
    /// All of them as they were written, without secrets.
    pub effective: Vec<Effective>,
}

impl Settings {
    /// Resolves everything that was given; an unknown key or a bad value is refused with one line.
    pub fn resolve(raw: &RawSettings) -> Result<Self, ConfigError> {
        Self::resolve_declared(raw).map(|(settings, _)| settings)
    }

    /// Every setting that exists, in the order of the groups.
    pub fn declared() -> Result<Vec<Declared>, ConfigError> {
        Self::resolve_declared(&RawSettings::default()).map(|(_, declared)| declared)
    }

    fn resolve_declared(raw: &RawSettings) -> Result<(Self, Vec<Declared>), ConfigError> {
        let mut reader = Reader::new(raw);
        let mut settings = Settings {
            server: ServerSettings::read(&mut reader)?,
            storage: StorageSettings::read(&mut reader)?,
            deletes: DeleteSettings::read(&mut reader)?,
            logs: LogSettings::read(&mut reader)?,
            metrics: MetricSettings::read(&mut reader)?,
            query: QuerySettings::read(&mut reader)?,
            promql: promql::read(&mut reader)?,
            effective: Vec::new(),
        };
        settings.storage.store.max_pending_deletes = settings.deletes.max_pending;
        settings.metrics.write.enable_type_and_unit_labels = settings.promql.type_and_unit_labels;
        settings.storage.store.retention = Arc::new(retention::read(&mut reader)?);
        // A query that runs as long as it may still finds every object of its view.
        let longest = settings.logs.query_timeout * 2 + GRACE_MARGIN;
        let grace = &mut settings.storage.store.deletion_grace;
        *grace = (*grace).max(longest);
        settings.effective = reader.effective().to_vec();
        Ok((settings, reader.finish()?))
    }
}
