//! Reading several tenants at once (`X-Scope-OrgID: a|b`): one view over the views of all, in which every series carries
//! its tenant as the label `__tenant_id__` (loki `pkg/querier/multi_tenant_querier.go`).
//!
//! The label can be matched in selectors. It joins a log query's streams only after their pipeline has run, so that a
//! label filter on it finds nothing, as in Loki.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use garner_storage::error::{Error as StorageError, ErrorKind as StorageErrorKind};
use garner_storage::model::{LabelMatcher, Labels, TenantId, TimeRange, Timestamp};
use garner_storage::scan::{
    BatchStream, LogOrder, LogRead, LogSelection, LogSlab, SampleSelection, ScanContext, SeriesRequest, StoreReader,
    StoreView, StreamVolume,
};

use crate::admission::Turn;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::logql::ast::{Expr, LogExpr};
use crate::logql::output::{LogStream, LogqlOutput, LogqlValue};
use crate::logql::parser::parse;
use crate::logql::run::LogqlOptions;
use crate::output::QueryStats;

/// The label that tells whose series it is.
pub const TENANT_LABEL: &str = "__tenant_id__";
/// What a label of that name is called that a series has of its own.
const ORIGINAL_TENANT_LABEL: &str = "original___tenant_id__";

type StorageResult<T> = garner_storage::error::Result<T>;

/// Gives views over several tenants, whichever tenant it is asked for.
#[derive(Debug)]
pub struct TenantsReader {
    reader: Arc<dyn StoreReader>,
    tenants: Vec<TenantId>,
    labelled: bool,
}

impl TenantsReader {
    /// A reader of these tenants, whose series carry [`TENANT_LABEL`] where they are `labelled`.
    pub fn new(reader: Arc<dyn StoreReader>, tenants: &[TenantId], labelled: bool) -> Self {
        TenantsReader {
            reader,
            tenants: tenants.to_vec(),
            labelled,
        }
    }
}

impl StoreReader for TenantsReader {
    fn view(&self, _: &TenantId) -> StorageResult<Arc<dyn StoreView>> {
        let views = self
            .tenants
            .iter()
            .map(|tenant| Ok((tenant.clone(), self.reader.view(tenant)?)));
        Ok(Arc::new(TenantsView {
            views: views.collect::<StorageResult<_>>()?,
            labelled: self.labelled,
        }))
    }
}

/// A tenant with its view.
type TenantView = (TenantId, Arc<dyn StoreView>);

#[derive(Debug)]
struct TenantsView {
    views: Vec<TenantView>,
    labelled: bool,
}

impl TenantsView {
    /// The tenants that a request's matchers leave, and the request to each of them.
    fn chosen(&self, request: &SeriesRequest) -> (Vec<&TenantView>, SeriesRequest) {
        let (own, others): (Vec<&LabelMatcher>, Vec<&LabelMatcher>) =
            request.matchers.iter().partition(|m| m.name() == TENANT_LABEL);
        let chosen = self
            .views
            .iter()
            .filter(|(tenant, _)| own.iter().all(|m| m.matches(tenant.as_str())));
        let request = SeriesRequest {
            matchers: others.into_iter().map(inner_matcher).collect(),
            ..request.clone()
        };
        (chosen.collect(), request)
    }

    fn labels(&self, tenant: &TenantId, labels: Labels) -> Labels {
        match self.labelled {
            true => with_tenant(tenant, &labels),
            false => labels,
        }
    }
}

/// A matcher of the label that a series' own `__tenant_id__` is shown as, on what it is stored as.
fn inner_matcher(matcher: &LabelMatcher) -> LabelMatcher {
    if matcher.name() != ORIGINAL_TENANT_LABEL {
        return matcher.clone();
    }
    LabelMatcher::new(TENANT_LABEL, matcher.op(), matcher.value()).unwrap_or_else(|_| matcher.clone())
}

fn with_tenant(tenant: &TenantId, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    if let Some(original) = labels.get(TENANT_LABEL) {
        builder.set(ORIGINAL_TENANT_LABEL, original);
    }
    builder.set(TENANT_LABEL, tenant.as_str());
    builder.build()
}

#[async_trait]
impl StoreView for TenantsView {
    async fn series(&self, request: &SeriesRequest, scan: &ScanContext) -> StorageResult<Vec<Labels>> {
        let (views, request) = self.chosen(request);
        let mut all = Vec::new();
        for (tenant, view) in views {
            let found = view.series(&request, scan).await?;
            all.extend(found.into_iter().map(|labels| self.labels(tenant, labels)));
        }
        Ok(all)
    }

    async fn label_names(&self, request: &SeriesRequest, scan: &ScanContext) -> StorageResult<Vec<String>> {
        let (views, request) = self.chosen(request);
        let mut all = BTreeSet::new();
        for (_, view) in views {
            all.extend(view.label_names(&request, scan).await?);
        }
        if self.labelled {
            if all.remove(TENANT_LABEL) {
                all.insert(ORIGINAL_TENANT_LABEL.to_string());
            }
            all.insert(TENANT_LABEL.to_string());
        }
        Ok(all.into_iter().collect())
    }

    async fn label_values(
        &self,
        name: &str,
        request: &SeriesRequest,
        scan: &ScanContext,
    ) -> StorageResult<Vec<String>> {
        let (views, request) = self.chosen(request);
        if self.labelled && name == TENANT_LABEL {
            return Ok(views.iter().map(|(tenant, _)| tenant.as_str().to_string()).collect());
        }
        let stored = match name {
            ORIGINAL_TENANT_LABEL if self.labelled => TENANT_LABEL,
            name => name,
        };
        let mut all = BTreeSet::new();
        for (_, view) in views {
            all.extend(view.label_values(stored, &request, scan).await?);
        }
        Ok(all.into_iter().collect())
    }

    async fn select_samples(&self, _: &SeriesRequest, _: &ScanContext) -> StorageResult<Arc<dyn SampleSelection>> {
        Err(StorageError::new(
            StorageErrorKind::Invalid,
            "samples of several tenants cannot be read at once; name one tenant",
        ))
    }

    async fn select_logs(&self, request: &SeriesRequest, scan: &ScanContext) -> StorageResult<Arc<dyn LogSelection>> {
        let (views, request) = self.chosen(request);
        let mut parts = Vec::with_capacity(views.len());
        for (tenant, view) in views {
            let tenant = self.labelled.then(|| tenant.clone());
            parts.push((tenant, view.select_logs(&request, scan).await?));
        }
        Ok(Arc::new(TenantsLogs(parts)))
    }
}

/// The streams of all tenants, one tenant after the other. Their slabs follow each other where no order by time is asked
/// for, as by metric queries; log queries read one tenant at a time.
#[derive(Debug)]
struct TenantsLogs(Vec<(Option<TenantId>, Arc<dyn LogSelection>)>);

impl LogSelection for TenantsLogs {
    fn stream_count(&self) -> usize {
        self.0.iter().map(|(_, selection)| selection.stream_count()).sum()
    }

    fn estimated_rows(&self) -> u64 {
        self.0.iter().map(|(_, selection)| selection.estimated_rows()).sum()
    }

    fn scan(&self, partition: usize, partitions: usize, order: LogOrder, read: LogRead) -> BatchStream<LogSlab> {
        let scans: Vec<_> = self
            .0
            .iter()
            .map(|(tenant, selection)| {
                let tenant = tenant.clone();
                let slabs = selection.scan(partition, partitions, order, read.clone());
                slabs.map(move |slab| {
                    let mut slab = slab?;
                    if let Some(tenant) = &tenant {
                        for labels in &mut slab.batch.streams {
                            *labels = with_tenant(tenant, labels);
                        }
                    }
                    Ok(slab)
                })
            })
            .collect();
        stream::iter(scans).flatten().boxed()
    }

    fn volumes(&self, width_ns: i64) -> BoxFuture<'static, StorageResult<Vec<StreamVolume>>> {
        let asked: Vec<_> = self
            .0
            .iter()
            .map(|(tenant, selection)| (tenant.clone(), selection.volumes(width_ns)))
            .collect();
        async move {
            let mut all = Vec::new();
            for (tenant, volumes) in asked {
                for mut volume in volumes.await? {
                    if let Some(tenant) = &tenant {
                        volume.labels = with_tenant(tenant, &volume.labels);
                    }
                    all.push(volume);
                }
            }
            Ok(all)
        }
        .boxed()
    }
}

impl Engine {
    /// As [`Engine::logql_instant`], over one or several tenants.
    pub async fn logql_instant_of(
        &self,
        tenants: &[TenantId],
        text: &str,
        time_ns: Timestamp,
        options: LogqlOptions,
    ) -> Result<LogqlOutput, QueryError> {
        match tenants {
            [tenant] => self.logql_instant(tenant, text, time_ns, options).await,
            [first, ..] => {
                let all = self.over(TenantsReader::new(self.reader(), tenants, true));
                all.logql_instant(first, text, time_ns, options).await
            }
            [] => Err(no_tenant()),
        }
    }

    /// As [`Engine::logql_range`], over one or several tenants.
    pub async fn logql_range_of(
        &self,
        tenants: &[TenantId],
        text: &str,
        (start_ns, end_ns, step_ns): (Timestamp, Timestamp, i64),
        options: LogqlOptions,
    ) -> Result<LogqlOutput, QueryError> {
        let first = match tenants {
            [tenant] => return self.logql_range(tenant, text, start_ns, end_ns, step_ns, options).await,
            [first, ..] => first,
            [] => return Err(no_tenant()),
        };
        let Expr::Log(log) = parse(text)? else {
            let all = self.over(TenantsReader::new(self.reader(), tenants, true));
            return all.logql_range(first, text, start_ns, end_ns, step_ns, options).await;
        };
        let range = TimeRange::new(start_ns, end_ns);
        let lines = |turn| self.lines_of(tenants, &log, range, options, turn);
        self.in_turn(first, options.timeout, lines).await
    }

    /// The lines of several tenants, one tenant after the other, all in one turn.
    async fn lines_of(
        &self,
        tenants: &[TenantId],
        log: &LogExpr,
        range: TimeRange,
        options: LogqlOptions,
        turn: Turn,
    ) -> Result<LogqlOutput, QueryError> {
        let mut answer = LogqlOutput {
            value: LogqlValue::Streams(Vec::new()),
            warnings: Vec::new(),
            stats: QueryStats::default(),
        };
        let mut streams = Vec::new();
        for tenant in tenants {
            let one = self.over(TenantsReader::new(self.reader(), std::slice::from_ref(tenant), false));
            let turn = Turn {
                started_ns: self.now_ns(),
                ..turn
            };
            let output = one.lines(tenant, log, range, options, turn).await?;
            answer.warnings.extend(output.warnings);
            add_stats(&mut answer.stats, &output.stats);
            if let LogqlValue::Streams(found) = output.value {
                streams.extend(found.into_iter().map(|stream| stream_of(tenant, stream)));
            }
        }
        streams.sort_by(|a, b| a.labels.cmp(&b.labels));
        limit_entries(&mut streams, options.limit, options.order);
        answer.value = LogqlValue::Streams(streams);
        Ok(answer)
    }
}

fn no_tenant() -> QueryError {
    QueryError::bad_data("no org id")
}

fn stream_of(tenant: &TenantId, mut stream: LogStream) -> LogStream {
    for (name, _) in &mut stream.labels {
        if name == TENANT_LABEL {
            *name = ORIGINAL_TENANT_LABEL.to_string();
        }
    }
    stream
        .labels
        .push((TENANT_LABEL.to_string(), tenant.as_str().to_string()));
    stream.labels.sort();
    stream
}

/// Keeps the first `limit` entries of all streams together.
fn limit_entries(streams: &mut Vec<LogStream>, limit: usize, order: LogOrder) {
    // Forward and backward alike: the smaller key comes first.
    let key = |time: Timestamp| match order {
        LogOrder::Backward => -i128::from(time),
        LogOrder::Forward | LogOrder::Streams | LogOrder::Any => i128::from(time),
    };
    let mut keys: Vec<i128> = streams
        .iter()
        .flat_map(|stream| stream.entries.iter().map(|entry| key(entry.time_ns)))
        .collect();
    if keys.len() <= limit {
        return;
    }
    keys.sort_unstable();
    let Some(last) = limit.checked_sub(1).and_then(|at| keys.get(at)).copied() else {
        streams.clear();
        return;
    };
    let mut ties = limit - keys.partition_point(|k| *k < last);
    for stream in streams.iter_mut() {
        stream.entries.retain(|entry| {
            let key = key(entry.time_ns);
            if key == last && ties > 0 {
                ties -= 1;
                return true;
            }
            key < last
        });
    }
    streams.retain(|stream| !stream.entries.is_empty());
}

fn add_stats(all: &mut QueryStats, one: &QueryStats) {
    all.rows += one.rows;
    all.bytes += one.bytes;
    all.segments += one.segments;
    all.pages += one.pages;
    all.pages_skipped += one.pages_skipped;
    all.object_requests += one.object_requests;
    all.object_bytes += one.object_bytes;
    all.cache_memory_hits += one.cache_memory_hits;
    all.cache_disk_hits += one.cache_disk_hits;
    all.cache_misses += one.cache_misses;
    all.cache_bytes += one.cache_bytes;
    all.result_cache_hits += one.result_cache_hits;
    all.pages_corrupt += one.pages_corrupt;
    all.peak_memory_bytes = all.peak_memory_bytes.max(one.peak_memory_bytes);
    // All of them waited once, together.
    all.queued_ns = all.queued_ns.max(one.queued_ns);
    all.elapsed_ns += one.elapsed_ns;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::output::LogEntry;

    #[test]
    fn the_limit_holds_for_all_tenants_together() {
        let stream = |name: &str, times: &[i64]| LogStream {
            labels: vec![("app".to_string(), name.to_string())],
            entries: times
                .iter()
                .map(|time_ns| LogEntry {
                    time_ns: *time_ns,
                    line: String::new(),
                    metadata: Vec::new(),
                    parsed: Vec::new(),
                })
                .collect(),
        };
        let check = |limit: usize, order: LogOrder, expected: &[&[i64]]| {
            let mut streams = vec![stream("a", &[3, 2, 1]), stream("b", &[3, 3, 0])];
            limit_entries(&mut streams, limit, order);
            let times: Vec<Vec<i64>> = streams
                .iter()
                .map(|s| s.entries.iter().map(|e| e.time_ns).collect())
                .collect();
            assert_eq!(times, expected, "{limit} {order:?}");
        };
        check(10, LogOrder::Backward, &[&[3, 2, 1], &[3, 3, 0]]);
        check(2, LogOrder::Backward, &[&[3], &[3]]);
        check(4, LogOrder::Backward, &[&[3, 2], &[3, 3]]);
        check(2, LogOrder::Forward, &[&[1], &[0]]);
        check(0, LogOrder::Forward, &[]);
    }

    #[test]
    fn an_own_tenant_label_is_kept_under_another_name() {
        let tenant = TenantId::new("a").expect("a tenant");
        let labels = with_tenant(&tenant, &Labels::from_pairs([("x", "1"), (TENANT_LABEL, "mine")]));
        let pairs: Vec<_> = labels.iter().collect();
        assert_eq!(
            pairs,
            [(TENANT_LABEL, "a"), (ORIGINAL_TENANT_LABEL, "mine"), ("x", "1")]
        );
    }
}
