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
    /// Whether labels without a value are part of it.
    keeps_empty: bool,
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
        // As loki pkg/logql/evaluator.go, `VectorAggEvaluator`: `without` makes its label sets with a builder.
        keys.keeps_empty = !grouping.without;
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
            keeps_empty: false,
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
            keeps_empty: false,
        }
    }

    /// Replaces `out` by the key of a label set, which is itself a canonical label set.
    pub fn key_into(&self, set: &[u8], out: &mut Vec<u8>) {
        out.clear();
        if self.is_single() {
            return;
        }
        for pair in labels::pairs(set) {
            let shown = self.keeps_empty || !pair.value.is_empty() || pair.name.is_empty();
            if shown && self.keeps(pair.name) {
                out.extend_from_slice(pair.bytes);
            }
        }
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

    #[test]
    fn only_by_tells_a_label_without_a_value_from_none() {
        let mut set = Vec::new();
        for text in ["a", "", "b", "2"] {
            set.push(text.len() as u8);
            set.extend_from_slice(text.as_bytes());
        }
        let key = |keys: KeyLabels| {
            let mut out = Vec::new();
            keys.key_into(&set, &mut out);
            let labels = labels::to_labels(&out);
            labels
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let group = |without, name: &str| {
            KeyLabels::of_group(&Grouping {
                without,
                labels: vec![name.into()],
            })
        };
        assert_eq!(key(group(false, "a")), "a=");
        assert_eq!(key(group(false, "b")), "b=2");
        assert_eq!(key(group(true, "c")), "b=2");
        let on = |on| Matching {
            on,
            labels: vec!["a".into()],
            ..Matching::default()
        };
        assert_eq!(key(KeyLabels::of_match(&on(true))), "");
        assert_eq!(key(KeyLabels::of_match(&on(false))), "b=2");
        assert_eq!(key(KeyLabels::of_match(&Matching::default())), "b=2");
    }
}
