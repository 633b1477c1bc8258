//! When a row expires.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::model::{LabelMatcher, Labels, Signal, TenantId, Timestamp};

/// A period of its own for series that a selector matches (Loki: an entry of `retention_stream`).
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRule {
    /// All must hold.
    pub matchers: Vec<LabelMatcher>,
    /// Of several rules that match, the one of the highest priority counts; of equal ones that of the shortest period.
    pub priority: i64,
    /// How long rows are kept; zero is for ever.
    pub period: Duration,
}

/// How long the rows of one signal of a tenant are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetentionRules {
    /// For series that no rule matches; zero is for ever.
    pub period: Duration,
    /// Rules for some series.
    pub streams: Vec<StreamRule>,
}

impl RetentionRules {
    /// The period of a series; `None` is for ever. As in Loki (pkg/compactor/retention/expiration.go,
    /// `RetentionPeriodFor`).
    fn period_of(&self, labels: &Labels) -> Option<i64> {
        let mut found: Option<&StreamRule> = None;
        for rule in &self.streams {
            let outdone = |best: &StreamRule| {
                best.priority > rule.priority || (best.priority == rule.priority && best.period <= rule.period)
            };
            if found.is_some_and(outdone) || !rule.matchers.iter().all(|m| m.matches_labels(labels)) {
                continue;
            }
            found = Some(rule);
        }
        nanos(found.map_or(self.period, |rule| rule.period))
    }

    /// All periods that some series may have, each once, ascending; `None`, the last, is for ever.
    fn periods(&self) -> Vec<Option<i64>> {
        let rules = self.streams.iter().map(|rule| rule.period);
        let mut periods: Vec<Option<i64>> = rules.chain([self.period]).map(nanos).collect();
        periods.sort_unstable_by_key(|period| period.unwrap_or(i64::MAX));
        periods.dedup();
        periods
    }
}

fn nanos(period: Duration) -> Option<i64> {
    (!period.is_zero()).then(|| i64::try_from(period.as_nanos()).unwrap_or(i64::MAX))
}

/// How long everything is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetentionSettings {
    /// By [`Signal::code`], for tenants without rules of their own.
    pub defaults: [RetentionRules; 2],
    /// Rules of tenants, which replace the defaults.
    pub tenants: HashMap<TenantId, [RetentionRules; 2]>,
    /// Bytes of all live segments over which the oldest ones are dropped; 0 is no limit.
    pub max_store_bytes: u64,
}

impl RetentionSettings {
    /// The rules for a tenant's signal.
    pub fn rules(&self, tenant: &TenantId, signal: Signal) -> &RetentionRules {
        let rules = self.tenants.get(tenant).unwrap_or(&self.defaults);
        &rules[usize::from(signal.code())]
    }
}

/// The settings at one moment: what has expired now.
#[derive(Clone, Debug)]
pub(crate) struct RetentionAt {
    pub settings: Arc<RetentionSettings>,
    pub now: Timestamp,
}

impl RetentionAt {
    /// Rows of the series before this time have expired.
    pub fn cutoff(&self, tenant: &TenantId, signal: Signal, labels: &Labels) -> Timestamp {
        self.before(self.settings.rules(tenant, signal).period_of(labels))
    }

    /// Rows of a tenant's signal before this time have expired whatever series they are of.
    pub fn cutoff_of_all(&self, tenant: &TenantId, signal: Signal) -> Timestamp {
        let longest = self.settings.rules(tenant, signal).periods().last().copied();
        self.before(longest.flatten())
    }

    /// Whether series of a tenant's signal have different periods.
    pub fn differs_by_series(&self, tenant: &TenantId, signal: Signal) -> bool {
        self.settings.rules(tenant, signal).periods().len() > 1
    }

    /// The cutoffs of all periods that series of a tenant's signal may have, latest first.
    pub fn cutoffs(&self, tenant: &TenantId, signal: Signal) -> Vec<Timestamp> {
        let periods = self.settings.rules(tenant, signal).periods();
        periods.into_iter().map(|period| self.before(period)).collect()
    }

    /// The cutoff of each series of a tenant's signal; `None` where they all have the same.
    pub fn by_series(&self, tenant: &TenantId, signal: Signal) -> Option<SeriesCutoffs> {
        self.differs_by_series(tenant, signal).then(|| SeriesCutoffs {
            retention: self.clone(),
            tenant: tenant.clone(),
            signal,
        })
    }

    fn before(&self, period: Option<i64>) -> Timestamp {
        period.map_or(Timestamp::MIN, |period| self.now.saturating_sub(period))
    }
}

/// What has expired of a tenant's signal whose series have different periods.
#[derive(Clone, Debug)]
pub(crate) struct SeriesCutoffs {
    retention: RetentionAt,
    tenant: TenantId,
    signal: Signal,
}

impl SeriesCutoffs {
    /// Rows of the series before this time have expired.
    pub fn of(&self, labels: &Labels) -> Timestamp {
        self.retention.cutoff(&self.tenant, self.signal, labels)
    }

    /// Of no series has a row at or after this time expired.
    pub fn latest(&self) -> Timestamp {
        let cutoffs = self.retention.cutoffs(&self.tenant, self.signal);
        cutoffs.first().copied().unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::MatchOp;

    const HOUR: u64 = 3600;

    fn rule(name: &str, value: &str, priority: i64, hours: u64) -> StreamRule {
        StreamRule {
            matchers: vec![LabelMatcher::new(name, MatchOp::Regex, value).unwrap()],
            priority,
            period: Duration::from_secs(hours * HOUR),
        }
    }

    #[test]
    fn the_highest_priority_wins_then_the_shortest_period() {
        let rules = RetentionRules {
            period: Duration::from_secs(100 * HOUR),
            streams: vec![
                rule("app", "web|db", 1, 50),
                rule("app", "web", 1, 40),
                rule("env", "dev", 2, 200),
                rule("env", "keep", 3, 0),
            ],
        };
        let check = |app: &str, env: &str, hours: Option<u64>| {
            let labels = Labels::from_pairs([("app", app), ("env", env)]);
            let expected = hours.map(|h| (h * HOUR) as i64 * 1_000_000_000);
            assert_eq!(rules.period_of(&labels), expected, "{app} {env}");
        };
        check("other", "prod", Some(100));
        check("db", "prod", Some(50));
        check("web", "prod", Some(40));
        check("web", "dev", Some(200));
        check("other", "keep", None);
        let settings = RetentionSettings {
            defaults: [rules.clone(), RetentionRules::default()],
            tenants: HashMap::from_iter([(TenantId::new("t").unwrap(), [rule_of(10), rule_of(20)])]),
            max_store_bytes: 0,
        };
        let hour = HOUR as i64 * 1_000_000_000;
        let at = RetentionAt {
            settings: Arc::new(settings),
            now: 1000 * hour,
        };
        let (t, u) = (TenantId::new("t").unwrap(), TenantId::new("u").unwrap());
        assert_eq!(at.cutoff_of_all(&t, Signal::Logs), 990 * hour);
        assert_eq!(at.cutoff_of_all(&t, Signal::Metrics), 980 * hour);
        assert!(!at.differs_by_series(&t, Signal::Logs));
        assert_eq!(
            at.cutoff_of_all(&u, Signal::Logs),
            i64::MIN,
            "some streams are kept for ever"
        );
        assert_eq!(at.cutoff_of_all(&u, Signal::Metrics), i64::MIN);
        assert!(at.differs_by_series(&u, Signal::Logs) && !at.differs_by_series(&u, Signal::Metrics));
        let cutoffs = [960, 950, 900, 800].map(|h| h * hour);
        assert_eq!(at.cutoffs(&u, Signal::Logs), [&cutoffs[..], &[i64::MIN]].concat());
    }

    fn rule_of(hours: u64) -> RetentionRules {
        RetentionRules {
            period: Duration::from_secs(hours * HOUR),
            streams: Vec::new(),
        }
    }
}
