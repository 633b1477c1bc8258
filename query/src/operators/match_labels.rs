//! Labels of the result of a binary operation (prometheus promql/engine.go, `resultMetric`).

use super::binary_scalar::BinaryScalar;
use super::grouping::KeyLabels;
use crate::plan::{BinaryOp, Cardinality, Matching};
use crate::vector::labels::{self, NameRemoval};

/// Makes label sets of pairs of rows.
#[derive(Debug)]
pub struct ResultLabels {
    drops_name: bool,
    /// Whether the result is marked to lose its name.
    marks: bool,
    one_to_one: bool,
    matching: Matching,
    keys: KeyLabels,
    /// What stands for a side that is missing.
    stand_in: Vec<u8>,
    out: Vec<u8>,
}

impl ResultLabels {
    /// For one operation.
    pub fn new(op: BinaryOp, return_bool: bool, matching: &Matching, names: NameRemoval) -> Self {
        // Only `bool` waits until the end: arithmetic makes another metric at once.
        let marks = names == NameRemoval::Delayed && return_bool;
        ResultLabels {
            drops_name: BinaryScalar::drops_name(op, return_bool) && !marks,
            marks,
            one_to_one: matching.cardinality == Cardinality::OneToOne,
            keys: KeyLabels::of_match(matching),
            matching: matching.clone(),
            stand_in: Vec::new(),
            out: Vec::new(),
        }
    }

    /// The labels of a pair. A side that is missing has the match labels of the other.
    pub fn of(&mut self, many: Option<&[u8]>, one: Option<&[u8]>) -> &[u8] {
        let mut stand_in = std::mem::take(&mut self.stand_in);
        if let (None, Some(set)) | (Some(set), None) = (many, one) {
            self.keys.key_into(set, &mut stand_in);
        }
        self.out.clear();
        let (many, one) = (many.unwrap_or(&stand_in), one.unwrap_or(&stand_in));
        // Marks of the operands are lost, as upstream loses them.
        let (many, one) = (labels::split_mark(many).1, labels::split_mark(one).1);
        if self.matching.include.is_empty() {
            for pair in labels::pairs(many).filter(|p| !p.value.is_empty()) {
                if self.keeps(pair.name) {
                    self.out.extend_from_slice(pair.bytes);
                }
            }
        } else {
            let included = |name: &[u8]| self.matching.include.iter().any(|i| i.as_bytes() == name);
            let own = labels::pairs(many).filter(|p| self.keeps(p.name) && !included(p.name));
            let theirs = labels::pairs(one).filter(|p| included(p.name));
            let mut pairs: Vec<_> = own.chain(theirs).filter(|p| !p.value.is_empty()).collect();
            pairs.sort_by_key(|p| p.name);
            for pair in pairs {
                self.out.extend_from_slice(pair.bytes);
            }
        }
        self.stand_in = stand_in;
        if self.marks {
            let unmarked = std::mem::take(&mut self.out);
            NameRemoval::Delayed.apply_into(&unmarked, &mut self.out);
        }
        &self.out
    }

    fn keeps(&self, name: &[u8]) -> bool {
        if self.drops_name && labels::is_metadata(name) {
            return false;
        }
        if !self.one_to_one {
            return true;
        }
        let listed = self.matching.labels.iter().any(|l| l.as_bytes() == name);
        listed == self.matching.on
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use garner_storage::model::Labels;

    use super::*;

    #[test]
    fn results_take_labels_of_the_many_side() {
        let many = Labels::from_pairs([("__name__", "m"), ("a", "1"), ("b", "2")]);
        let one = Labels::from_pairs([("__name__", "o"), ("a", "1"), ("c", "3")]);
        let check = |op, cardinality, on, listed: &[&str], include: &[&str], expected: &[(&str, &str)]| {
            let names = |names: &[&str]| names.iter().map(|n| Arc::from(*n)).collect();
            let matching = Matching {
                cardinality,
                on,
                labels: names(listed),
                include: names(include),
                ..Matching::default()
            };
            let mut labels_of = ResultLabels::new(op, false, &matching, NameRemoval::AtOnce);
            let got = labels_of.of(Some(many.as_bytes()), Some(one.as_bytes()));
            assert_eq!(labels::to_labels(got), Labels::from_pairs(expected.iter().copied()));
        };
        use BinaryOp::{Add, Gt};
        use Cardinality::{ManyToOne, OneToOne};
        check(Add, OneToOne, true, &["a"], &[], &[("a", "1")]);
        check(Add, OneToOne, false, &["b"], &[], &[("a", "1")]);
        check(Gt, OneToOne, false, &["b"], &[], &[("__name__", "m"), ("a", "1")]);
        check(Add, ManyToOne, true, &["a"], &[], &[("a", "1"), ("b", "2")]);
        check(Add, ManyToOne, true, &["a"], &["c", "b"], &[("a", "1"), ("c", "3")]);
    }
}
