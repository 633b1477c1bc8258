//! Group keys: the labels of a row reduced by `by`, `without`, `on` or `ignoring`, as bytes in a scratch buffer.

use std::fmt;
use std::sync::Arc;

use garner_storage::model::METRIC_NAME;
use serde::{Deserialize, Serialize};

use crate::plan::{Grouping, Matching};
use crate::vector::labels;

/// Which labels make the key.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyLabels {
    without: bool,
    names: Vec<Arc<str>>,
    /// Whether the mark of a name that is to go is part of the key (see [`labels::NameRemoval`]).
    keeps_mark: bool,
}

impl fmt::Debug for KeyLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("KeyLabels");
        out.field("without", &self.without).field("names", &self.names);
        if self.keeps_mark {
            out.field("keeps_mark", &true);
        }
        out.finish()
    }
}

impl KeyLabels {
    /// The labels of a group: those named, or all others but the metric name.
    pub fn of_group(grouping: &Grouping) -> Self {
        let mut keys = Self::new(grouping.without, &grouping.labels);
        // What is grouped by name is to lose it where the elements are.
        keys.keeps_mark = grouping.names_metric();
        keys
    }

    /// The same without marks.
    pub fn without_mark(self) -> Self {
        KeyLabels {
            keeps_mark: false,
            ..self
        }
    }

    /// The labels that a match compares.
    pub fn of_match(matching: &Matching) -> Self {
        Self::new(!matching.on, &matching.labels)
    }

    /// All labels but `name` (the metric name stays).
    pub fn all_but(name: &str) -> Self {
        KeyLabels {
            without: true,
            names: vec![name.into()],
            keeps_mark: false,
        }
    }

    fn new(without: bool, names: &[Arc<str>]) -> Self {
        let mut names = names.to_vec();
        if without {
            names.push(METRIC_NAME.into());
        }
        names.sort_unstable();
        names.dedup();
        KeyLabels {
            without,
            names,
            keeps_mark: false,
        }
    }

    /// Replaces `out` by the key of a label set, which is itself a canonical label set.
    pub fn key_into(&self, set: &[u8], out: &mut Vec<u8>) {
        out.clear();
        if self.is_single() {
            return;
        }
        labels::filter_into(set, out, |name| self.keeps(name));
    }

    /// Whether `name` is among the labels kept.
    pub fn keeps(&self, name: &[u8]) -> bool {
        if name.is_empty() {
            return self.keeps_mark;
        }
        self.contains(name) != self.without
    }

    /// Whether every label set has one and the same key.
    pub fn is_single(&self) -> bool {
        !self.without && self.names.is_empty()
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.names.iter().any(|n| n.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use garner_storage::model::Labels;

    use super::*;

    #[test]
    fn keys_hold_the_labels_asked_for() {
        let set = Labels::from_pairs([("__name__", "m"), ("a", "1"), ("b", "2")]);
        let check = |without, names: &[&str], expected: &[(&str, &str)]| {
            let grouping = Grouping {
                without,
                labels: names.iter().map(|n| Arc::from(*n)).collect(),
            };
            let mut key = vec![9];
            KeyLabels::of_group(&grouping).key_into(set.as_bytes(), &mut key);
            assert_eq!(labels::to_labels(&key), Labels::from_pairs(expected.iter().copied()));
        };
        check(false, &[], &[]);
        check(false, &["b", "a", "z"], &[("a", "1"), ("b", "2")]);
        check(false, &["__name__"], &[("__name__", "m")]);
        check(true, &[], &[("a", "1"), ("b", "2")]);
        check(true, &["a"], &[("b", "2")]);
    }
}
