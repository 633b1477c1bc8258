//! Series and labels of one tenant, for both dialects: what matches any of several selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use garner_query::engine::Engine;
use garner_query::tenants::TenantsReader;
use garner_storage::memory::QueryMemory;
use garner_storage::model::{Exemplar, LabelMatcher, Labels, MetadataMap, SeriesKey, Signal, TenantId, TimeRange};
use garner_storage::scan::{ScanContext, ScanStats, SeriesRequest, StoreReader, StoreView};

use super::app::App;
use crate::error::Failure;
use crate::tenant::Tenants;

/// A question about a tenant's series.
///
/// Names and values of labels come out of the index and are answered at once. What has to hold every label set that
/// matches costs memory as queries do, and has its turn among them.
#[derive(Debug)]
pub struct MetadataQuery {
    engine: Engine,
    reader: Arc<dyn StoreReader>,
    /// In whose queue it waits; of several tenants the first.
    tenant: TenantId,
    memory: QueryMemory,
    stats: Arc<ScanStats>,
    signal: Signal,
    range: TimeRange,
    /// Any of these; none means every series.
    selectors: Vec<Vec<LabelMatcher>>,
}

impl MetadataQuery {
    /// Of one tenant.
    pub fn new(
        app: &App,
        tenant: &TenantId,
        signal: Signal,
        range: TimeRange,
        selectors: Vec<Vec<LabelMatcher>>,
    ) -> Self {
        Self::over(app, app.engine.reader(), tenant, signal, range, selectors)
    }

    /// Of the logs of one or several tenants; of several, each series carries its tenant.
    pub fn logs(
        app: &App,
        tenants: &Tenants,
        range: TimeRange,
        selectors: Vec<Vec<LabelMatcher>>,
    ) -> Result<Self, Failure> {
        let reader: Arc<dyn StoreReader> = match tenants.all() {
            [_] => app.engine.reader(),
            several => Arc::new(TenantsReader::new(app.engine.reader(), several, true)),
        };
        Ok(Self::over(
            app,
            reader,
            tenants.first()?,
            Signal::Logs,
            range,
            selectors,
        ))
    }

    fn over(
        app: &App,
        reader: Arc<dyn StoreReader>,
        tenant: &TenantId,
        signal: Signal,
        range: TimeRange,
        mut selectors: Vec<Vec<LabelMatcher>>,
    ) -> Self {
        if selectors.is_empty() {
            selectors.push(Vec::new());
        }
        MetadataQuery {
            engine: app.engine.clone(),
            reader,
            tenant: tenant.clone(),
            memory: app.accountant.query(app.settings.logs.max_query_memory_bytes),
            stats: Arc::default(),
            signal,
            range,
            selectors,
        }
    }

    /// What can be read now.
    fn view(&self) -> Result<Arc<dyn StoreView>, Failure> {
        Ok(self.reader.view(&self.tenant)?)
    }

    /// What the question costs, while it is answered.
    pub fn stats(&self) -> Arc<ScanStats> {
        Arc::clone(&self.stats)
    }

    fn requests(&self) -> impl Iterator<Item = SeriesRequest> {
        self.selectors.iter().map(|matchers| SeriesRequest {
            signal: self.signal,
            matchers: matchers.clone(),
            range: self.range,
        })
    }

    fn scan(&self) -> ScanContext {
        ScanContext::new(self.memory.clone(), Arc::clone(&self.stats))
    }

    /// The series, each once, in the store's order.
    pub async fn series(self) -> Result<Vec<Labels>, Failure> {
        self.engine.in_turn(&self.tenant, None, |_| self.all_series()).await
    }

    async fn all_series(&self) -> Result<Vec<Labels>, Failure> {
        let (view, scan) = (self.view()?, self.scan());
        let mut all = Vec::new();
        for request in self.requests() {
            let found = view.series(&request, &scan).await?;
            self.memory
                .try_grow(found.iter().map(|l| l.size_bytes() as u64 + 24).sum())?;
            all.extend(found);
        }
        if self.selectors.len() > 1 {
            let mut keys: Vec<SeriesKey> = all.into_iter().map(SeriesKey).collect();
            keys.sort();
            keys.dedup();
            all = keys.into_iter().map(|key| key.0).collect();
        }
        Ok(all)
    }

    /// Their exemplars, each once, by series in the store's order.
    pub async fn exemplars(self) -> Result<Vec<(Labels, Vec<Exemplar>)>, Failure> {
        self.engine.in_turn(&self.tenant, None, |_| self.all_exemplars()).await
    }

    async fn all_exemplars(&self) -> Result<Vec<(Labels, Vec<Exemplar>)>, Failure> {
        let (view, scan) = (self.view()?, self.scan());
        let mut all: BTreeMap<SeriesKey, Vec<Exemplar>> = BTreeMap::new();
        for request in self.requests() {
            for (labels, exemplars) in view.exemplars(&request, &scan).await? {
                let size_bytes: usize = exemplars.iter().map(Exemplar::size_bytes).sum();
                self.memory.try_grow((size_bytes + labels.size_bytes()) as u64)?;
                // The range of all requests is the same, so of one series each finds the same.
                all.insert(SeriesKey(labels), exemplars);
            }
        }
        Ok(all.into_iter().map(|(key, exemplars)| (key.0, exemplars)).collect())
    }

    /// What senders told of their metrics, whatever the selectors.
    pub async fn metric_metadata(self) -> Result<MetadataMap, Failure> {
        let map = self.view()?.metric_metadata(&self.scan()).await?;
        self.memory.try_grow(map.size_bytes() as u64)?;
        Ok(map)
    }

    /// Names of their labels, sorted.
    pub async fn label_names(self) -> Result<Vec<String>, Failure> {
        let (view, scan) = (self.view()?, self.scan());
        let mut all = Vec::new();
        for request in self.requests() {
            all.push(view.label_names(&request, &scan).await?);
        }
        Ok(union(all))
    }

    /// Values of one of their labels, sorted.
    pub async fn label_values(self, name: &str) -> Result<Vec<String>, Failure> {
        let (view, scan) = (self.view()?, self.scan());
        let mut all = Vec::new();
        for request in self.requests() {
            all.push(view.label_values(name, &request, &scan).await?);
        }
        Ok(union(all))
    }
}

/// What stands in any of these sorted lists, sorted, each once.
fn union(mut lists: Vec<Vec<String>>) -> Vec<String> {
    match lists.pop() {
        Some(only) if lists.is_empty() => only,
        last => {
            let all: BTreeSet<String> = lists.into_iter().flatten().chain(last.into_iter().flatten()).collect();
            all.into_iter().collect()
        }
    }
}
