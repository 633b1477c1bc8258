//! A delete as the catalog keeps it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{LabelMatcher, Signal, TenantId, TimeRange, Timestamp};

/// Names a tombstone: 16 hexadecimal digits, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TombstoneId(pub u64);

/// A text that is no tombstone's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no delete: it is not 16 hexadecimal digits")]
pub struct TombstoneIdError(String);

impl fmt::Display for TombstoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TombstoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TombstoneId({self})")
    }
}

impl FromStr for TombstoneId {
    type Err = TombstoneIdError;

    fn from_str(text: &str) -> Result<Self, TombstoneIdError> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number
            .map(TombstoneId)
            .ok_or_else(|| TombstoneIdError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for TombstoneId {
    type Error = TombstoneIdError;
    fn try_from(text: String) -> Result<Self, TombstoneIdError> {
        text.parse()
    }
}

impl From<TombstoneId> for String {
    fn from(id: TombstoneId) -> String {
        id.to_string()
    }
}

/// Hides rows of one tenant and signal that lie in the segments it covers. Which these are is the catalog's to know:
/// those that were live when it was committed, and what compaction made of them since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its name.
    pub id: TombstoneId,
    /// Whose rows.
    pub tenant: TenantId,
    /// Logs or metrics.
    pub signal: Signal,
    /// Series that pass all of them.
    pub matchers: Vec<LabelMatcher>,
    /// Hides only the entries that this filter matches; of logs only. For an [`super::EntryFilterCompiler`] to read.
    pub filter: Option<Arc<str>>,
    /// Rows with these times.
    pub range: TimeRange,
    /// The request as its client wrote it, for listings.
    pub query: Arc<str>,
    /// When it was asked for.
    pub created_ns: Timestamp,
    /// Until then it can be cancelled, and its rows stay in place; from then on compaction may leave them out for good.
    pub cancel_until_ns: Timestamp,
}

impl Tombstone {
    /// Whether compaction may leave its rows out for good.
    pub fn is_final(&self, now: Timestamp) -> bool {
        now >= self.cancel_until_ns
    }
}
