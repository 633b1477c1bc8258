//! Rows on their way to the store, looked at as they pass.

use std::collections::HashMap;
use std::sync::Arc;

use garner_storage::Result;
use garner_storage::model::{Labels, TenantId, Timestamp};

use super::store::{Patterns, SharedStream, TenantPatterns};
use crate::writer::LogRows;

/// The metadata that holds a level the client sent.
const DETECTED_LEVEL: &str = "detected_level";

/// Hands rows on and counts their patterns. Lines are counted before they are durable, so those of a push that fails are
/// counted again when the client sends them again.
#[derive(Debug)]
pub struct Observed<'p, R> {
    rows: R,
    patterns: &'p Patterns,
    tenant: Arc<TenantPatterns>,
    streams: Vec<SharedStream>,
    /// Places in `streams` by the hash of their labels; `None` for those that there is no room for.
    places: HashMap<u128, Option<usize>>,
    now_ns: Timestamp,
}

impl<'p, R: LogRows> Observed<'p, R> {
    /// Looks at the rows of one push.
    pub fn new(rows: R, patterns: &'p Patterns, tenant: &TenantId, now_ns: Timestamp) -> Self {
        Observed {
            rows,
            patterns,
            tenant: patterns.tenant(tenant),
            streams: Vec::new(),
            places: HashMap::new(),
            now_ns,
        }
    }

    /// The rows themselves, once all have passed.
    pub fn finish(self) -> R {
        self.patterns.settle(&self.tenant, &self.streams, self.now_ns);
        self.rows
    }

    fn watch(&mut self, alias: u128, series: R::Series) -> (R::Series, Option<usize>) {
        if let Some(known) = self.places.get(&alias) {
            return (series, *known);
        }
        let found = self.tenant.stream(alias, || self.rows.labels(series));
        let at = found.map(|stream| {
            self.streams.push(stream);
            self.streams.len() - 1
        });
        self.places.insert(alias, at);
        (series, at)
    }
}

impl<R: LogRows> LogRows for Observed<'_, R> {
    type Series = (R::Series, Option<usize>);

    fn lookup(&mut self, alias: u128) -> Option<Self::Series> {
        let series = self.rows.lookup(alias)?;
        Some(self.watch(alias, series))
    }

    fn active_series(&self) -> usize {
        self.rows.active_series()
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<Self::Series> {
        let series = self.rows.register(alias, labels)?;
        Ok(self.watch(alias, series))
    }

    fn labels(&self, (series, _): Self::Series) -> Labels {
        self.rows.labels(series)
    }

    fn push(
        &mut self,
        (series, stream): Self::Series,
        time_ns: i64,
        line: &[u8],
        metadata: &[(&str, &str)],
        derived_level: Option<&str>,
    ) {
        if time_ns >= Patterns::oldest_ns(self.now_ns)
            && let Some(stream) = stream.and_then(|at| self.streams.get(at))
        {
            let sent = metadata.iter().find(|(name, _)| *name == DETECTED_LEVEL);
            let level = sent.map(|(_, level)| *level).or(derived_level).unwrap_or_default();
            stream.lock().add(level, line, time_ns, !self.tenant.is_full());
        }
        self.rows.push(series, time_ns, line, metadata, derived_level);
    }
}
