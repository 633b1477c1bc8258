//! What tells queries apart that could have different answers over the same rows.

use garner_storage::model::{TenantId, Timestamp};

use crate::context::PromqlSettings;
use crate::plan::Steps;

/// Which language a text is in: many texts are queries of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// PromQL.
    Promql,
    /// LogQL.
    Logql,
}

/// The times of a request as lowering saw them. The steps do not tell the end between two of them, which `@ end()` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskedTimes {
    /// The first.
    pub start_ns: Timestamp,
    /// The last; of an instant query the first.
    pub end_ns: Timestamp,
    /// Their distance, which one step alone does not tell; of an instant query 0.
    pub step_ns: i64,
}

impl AskedTimes {
    /// Those of an instant query.
    pub fn instant(time_ns: Timestamp) -> Self {
        AskedTimes {
            start_ns: time_ns,
            end_ns: time_ns,
            step_ns: 0,
        }
    }
}

/// See the module docs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResultKey {
    pub tenant: TenantId,
    pub language: Language,
    /// As written: warnings name places in it.
    pub text: String,
    pub times: AskedTimes,
    pub steps: Steps,
    /// Whether the answer is a matrix.
    pub range: bool,
    pub lookback_ns: i64,
    pub promql: PromqlSettings,
}

impl ResultKey {
    /// Heap bytes, about.
    pub fn size_bytes(&self) -> usize {
        self.text.len() + self.tenant.as_str().len()
    }
}
