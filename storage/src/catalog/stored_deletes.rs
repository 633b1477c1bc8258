//! The stored form of tombstones.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deletes::{Tombstone, TombstoneId};
use crate::model::{LabelMatcher, MatchOp, Signal, TenantId, TimeRange};
use crate::segment::SegmentId;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredTombstone {
    pub id: TombstoneId,
    pub tenant: TenantId,
    pub signal: Signal,
    pub matchers: Vec<StoredMatcher>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Arc<str>>,
    pub query: Arc<str>,
    pub start_ns: i64,
    pub end_ns: i64,
    pub created_ns: i64,
    pub cancel_until_ns: i64,
    /// In checkpoints: how many segments it covered at first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covered_at_first: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredMatcher {
    pub name: String,
    pub op: String,
    pub value: String,
    /// What a regex is compiled from, where that is not `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// A tombstone that goes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredForget {
    pub tenant: TenantId,
    pub signal: Signal,
    pub id: TombstoneId,
}

/// A segment in which a tombstone has nothing to hide.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredClear {
    pub id: TombstoneId,
    pub segment: SegmentId,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl StoredTombstone {
    pub fn new(tombstone: &Tombstone, covered_at_first: u64) -> Self {
        StoredTombstone {
            id: tombstone.id,
            tenant: tombstone.tenant.clone(),
            signal: tombstone.signal,
            matchers: tombstone.matchers.iter().map(StoredMatcher::from).collect(),
            filter: tombstone.filter.clone(),
            query: Arc::clone(&tombstone.query),
            start_ns: tombstone.range.start,
            end_ns: tombstone.range.end,
            created_ns: tombstone.created_ns,
            cancel_until_ns: tombstone.cancel_until_ns,
            covered_at_first,
        }
    }

    /// The tombstone; the text says what in it cannot be read.
    pub fn into_tombstone(self) -> Result<Tombstone, String> {
        let matchers: Result<Vec<LabelMatcher>, String> =
            self.matchers.into_iter().map(StoredMatcher::into_matcher).collect();
        Ok(Tombstone {
            id: self.id,
            tenant: self.tenant,
            signal: self.signal,
            matchers: matchers?,
            filter: self.filter,
            query: self.query,
            range: TimeRange::new(self.start_ns, self.end_ns),
            created_ns: self.created_ns,
            cancel_until_ns: self.cancel_until_ns,
        })
    }
}

impl From<&LabelMatcher> for StoredMatcher {
    fn from(matcher: &LabelMatcher) -> Self {
        StoredMatcher {
            name: matcher.name().to_string(),
            op: matcher.op().as_str().to_string(),
            value: matcher.value().to_string(),
            pattern: (matcher.pattern() != matcher.value()).then(|| matcher.pattern().to_string()),
        }
    }
}

impl StoredMatcher {
    fn into_matcher(self) -> Result<LabelMatcher, String> {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let op = ops.into_iter().find(|op| op.as_str() == self.op);
        let op = op.ok_or_else(|| format!("a tombstone's matcher has the operator {:?}", self.op))?;
        let pattern = self.pattern.as_deref().unwrap_or(&self.value);
        LabelMatcher::with_pattern(&self.name, op, &self.value, pattern).map_err(|e| e.to_string())
    }
}
