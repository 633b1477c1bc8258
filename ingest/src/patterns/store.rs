//! The patterns of all tenants: bounded in memory for each, drawn from the process' account, kept for a few hours.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use garner_storage::memory::{MemoryAccountant, MemoryUse, Reservation};
use garner_storage::model::{LabelMatcher, Labels, TenantId, Timestamp};
use parking_lot::{Mutex, RwLock};

use super::counts::STEP_NS;
use super::stream::StreamPatterns;

/// How long lines are remembered (loki `pkg/pattern/ingester.go`, `RetainFor`).
const RETAIN_NS: i64 = 3 * 3_600_000_000_000;
/// Least time between two looks for what is too old.
const SWEEP_NS: i64 = 60_000_000_000;
/// Share of a tenant's memory above which nothing new is remembered, once room was made in vain.
const FULL_SHARE: f64 = 0.75;
/// Patterns with fewer lines than this are left out of answers (loki `pkg/pattern/ingester_querier.go`).
const MIN_LINES: u64 = 30;
/// Most patterns of an answer.
const MAX_PATTERNS: usize = 300;

/// What was seen of a pattern in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternSeries {
    /// The pattern, with `<_>` for what differs.
    pub pattern: String,
    /// The level of its lines.
    pub level: &'static str,
    /// Start of each step in nanoseconds and lines in it, in order.
    pub samples: Vec<(Timestamp, u64)>,
}

/// Patterns by tenant.
#[derive(Debug)]
pub struct Patterns {
    tenants: RwLock<HashMap<TenantId, Arc<TenantPatterns>>>,
    max_tenant_bytes: usize,
    accountant: MemoryAccountant,
}

/// A stream that lines are added to.
pub(super) type SharedStream = Arc<Mutex<StreamPatterns>>;

/// One tenant's patterns.
#[derive(Debug)]
pub(super) struct TenantPatterns {
    streams: RwLock<HashMap<u128, SharedStream>>,
    /// Whether only what is known already is counted.
    full: AtomicBool,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    held: Reservation,
    swept_ns: Timestamp,
}

impl Patterns {
    /// A store with this much memory a tenant.
    pub fn new(max_tenant_bytes: usize, accountant: MemoryAccountant) -> Self {
        Patterns {
            tenants: RwLock::default(),
            max_tenant_bytes,
            accountant,
        }
    }

    /// Whether lines are looked at.
    pub fn is_enabled(&self) -> bool {
        self.max_tenant_bytes > 0
    }

    pub(super) fn tenant(&self, tenant: &TenantId) -> Arc<TenantPatterns> {
        if let Some(known) = self.tenants.read().get(tenant) {
            return Arc::clone(known);
        }
        let new = || {
            Arc::new(TenantPatterns {
                streams: RwLock::default(),
                full: AtomicBool::new(false),
                account: Mutex::new(Account {
                    held: self.accountant.reservation(MemoryUse::Patterns),
                    swept_ns: Timestamp::MIN,
                }),
            })
        };
        Arc::clone(self.tenants.write().entry(tenant.clone()).or_insert_with(new))
    }

    /// Times before this are not remembered.
    pub(super) fn oldest_ns(now_ns: Timestamp) -> Timestamp {
        now_ns.saturating_sub(RETAIN_NS)
    }

    /// Brings the account in line with what the changed streams hold, and makes room where that is too much.
    pub(super) fn settle(&self, tenant: &TenantPatterns, changed: &[SharedStream], now_ns: Timestamp) {
        let mut account = tenant.account.lock();
        let mut bytes = account.held.bytes();
        for stream in changed {
            let mut stream = stream.lock();
            let size = stream.size_bytes();
            bytes = (bytes + size as u64).saturating_sub(stream.accounted_bytes as u64);
            stream.accounted_bytes = size;
        }
        if now_ns.saturating_sub(account.swept_ns) >= SWEEP_NS {
            account.swept_ns = now_ns;
            bytes = tenant.prune(Self::oldest_ns(now_ns));
        }
        let max = self.max_tenant_bytes as u64;
        if bytes > max {
            bytes = tenant.make_room();
        }
        if bytes > max.saturating_mul(2) {
            // What is known cannot be counted on in so little memory.
            tenant.streams.write().clear();
            bytes = 0;
        }
        tenant.full.store(
            bytes > (max as f64 * FULL_SHARE) as u64 && (tenant.is_full() || bytes > max),
            Ordering::Relaxed,
        );
        let more = bytes.saturating_sub(account.held.bytes());
        if more > 0 && account.held.try_grow(more).is_err() {
            // The process is short of memory: what others need comes first.
            tenant.streams.write().clear();
            bytes = 0;
        }
        let less = account.held.bytes().saturating_sub(bytes);
        account.held.shrink(less);
    }

    /// The patterns of the streams that pass the matchers, with their lines in steps of `step_ns` from `start_ns` to before
    /// `end_ns`, the most frequent first. Only the last hours are known.
    pub fn query(
        &self,
        tenant: &TenantId,
        matchers: &[LabelMatcher],
        start_ns: Timestamp,
        end_ns: Timestamp,
        step_ns: i64,
        now_ns: Timestamp,
    ) -> Vec<PatternSeries> {
        let Some(known) = self.tenants.read().get(tenant).cloned() else {
            return Vec::new();
        };
        let start_ns = start_ns.max(Self::oldest_ns(now_ns));
        let step_ns = step_ns.max(STEP_NS);
        let streams: Vec<SharedStream> = known.streams.read().values().cloned().collect();
        let mut found: HashMap<(String, &'static str), BTreeMap<Timestamp, u64>> = HashMap::new();
        for stream in streams {
            let stream = stream.lock();
            if !matchers
                .iter()
                .all(|m| m.matches(stream.labels.get(m.name()).unwrap_or_default()))
            {
                continue;
            }
            stream.for_each(|pattern, level, counts| {
                let mut steps = Vec::new();
                counts.for_range(start_ns, end_ns, step_ns, |time, lines| steps.push((time, lines)));
                if !steps.is_empty() {
                    let samples = found.entry((pattern, level)).or_default();
                    steps
                        .into_iter()
                        .for_each(|(time, lines)| *samples.entry(time).or_default() += lines);
                }
            });
        }
        let mut series: Vec<(u64, PatternSeries)> = found
            .into_iter()
            .map(|((pattern, level), samples)| {
                let samples: Vec<(Timestamp, u64)> = samples.into_iter().collect();
                let lines = samples.iter().map(|(_, lines)| lines).sum();
                (
                    lines,
                    PatternSeries {
                        pattern,
                        level,
                        samples,
                    },
                )
            })
            .filter(|(lines, _)| *lines >= MIN_LINES)
            .collect();
        series.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| (&x.pattern, x.level).cmp(&(&y.pattern, y.level))));
        series.truncate(MAX_PATTERNS);
        series.into_iter().map(|(_, series)| series).collect()
    }
}

impl TenantPatterns {
    /// Whether only what is known already is counted.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// The stream with this hash of its labels; `None` for a new one where there is no room.
    pub(super) fn stream(&self, hash: u128, labels: impl FnOnce() -> Labels) -> Option<SharedStream> {
        if let Some(known) = self.streams.read().get(&hash) {
            return Some(Arc::clone(known));
        }
        if self.is_full() {
            return None;
        }
        let mut streams = self.streams.write();
        let new = || Arc::new(Mutex::new(StreamPatterns::new(labels())));
        Some(Arc::clone(streams.entry(hash).or_insert_with(new)))
    }

    /// Forgets lines before a time; returns the bytes held afterwards.
    fn prune(&self, oldest_ns: Timestamp) -> u64 {
        let mut bytes = 0;
        self.streams.write().retain(|_, stream| {
            let mut stream = stream.lock();
            stream.prune(oldest_ns);
            stream.accounted_bytes = stream.size_bytes();
            let keep = !stream.is_empty();
            bytes += if keep { stream.accounted_bytes as u64 } else { 0 };
            keep
        });
        bytes
    }

    /// Forgets the half of the clusters that has waited longest for a line; returns the bytes held afterwards.
    fn make_room(&self) -> u64 {
        let mut newest: Vec<i64> = Vec::new();
        for stream in self.streams.read().values() {
            newest.extend(stream.lock().newest_ns());
        }
        newest.sort_unstable();
        self.prune(newest.get(newest.len() / 2).copied().unwrap_or(i64::MAX))
    }
}
