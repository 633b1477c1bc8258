//! Accumulators of foldable aggregations: groups × steps in dense columns, mergeable across partitions.
//!
//! | fold | `a` | `b` | flag |
//! | --- | --- | --- | --- |
//! | sum | sum | Kahan's compensation | |
//! | avg | sum or mean | compensation | mean instead of sum |
//! | min, max | value | | |
//! | stddev, stdvar | sum of squared distances | mean | |
//! | count, group | | | |
//!
//! Every fold counts its values; a cell with count 0 is absent. The arithmetic is that of prometheus promql/engine.go,
//! `aggregation`; merging keeps its results up to rounding.

use serde::{Deserialize, Serialize};

use crate::functions::kahan::{Mean, kahan_add};
use crate::plan::AggregateOp;

/// How one aggregation accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fold {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
}

impl Fold {
    /// The fold of an aggregation; nothing for those that need all values.
    pub fn of(op: AggregateOp) -> Option<Fold> {
        Some(match op {
            AggregateOp::Sum => Fold::Sum,
            AggregateOp::Avg => Fold::Avg,
            AggregateOp::Min => Fold::Min,
            AggregateOp::Max => Fold::Max,
            AggregateOp::Count => Fold::Count,
            AggregateOp::Group => Fold::Group,
            AggregateOp::Stddev => Fold::Stddev,
            AggregateOp::Stdvar => Fold::Stdvar,
            _ => return None,
        })
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Fold::Sum => "sum",
            Fold::Avg => "avg",
            Fold::Min => "min",
            Fold::Max => "max",
            Fold::Count => "count",
            Fold::Group => "group",
            Fold::Stddev => "stddev",
            Fold::Stdvar => "stdvar",
        }
    }

    fn uses_a(self) -> bool {
        !matches!(self, Fold::Count | Fold::Group)
    }

    fn uses_b(self) -> bool {
        matches!(self, Fold::Sum | Fold::Avg | Fold::Stddev | Fold::Stdvar)
    }
}

/// One cell as it travels between partial and final aggregation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Values that went in.
    pub count: f64,
    /// See the module docs.
    pub a: f64,
    /// See the module docs.
    pub b: f64,
    /// See the module docs.
    pub flag: bool,
}

/// The columns of all groups.
#[derive(Debug)]
pub struct FoldState {
    fold: Fold,
    steps: usize,
    count: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    /// Only made when a mean overflows.
    flags: Vec<bool>,
}

impl FoldState {
    /// No group yet.
    pub fn new(fold: Fold, steps: usize) -> Self {
        FoldState {
            fold,
            steps,
            count: Vec::new(),
            a: Vec::new(),
            b: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// Heap bytes of one group.
    pub fn bytes_per_group(fold: Fold, steps: usize) -> usize {
        let columns = 1 + usize::from(fold.uses_a()) + usize::from(fold.uses_b());
        steps * columns * size_of::<f64>()
    }

    /// Makes room for `groups` groups.
    pub fn resize(&mut self, groups: usize) {
        let cells = groups * self.steps;
        self.count.resize(cells, 0.0);
        if self.fold.uses_a() {
            self.a.resize(cells, 0.0);
        }
        if self.fold.uses_b() {
            self.b.resize(cells, 0.0);
        }
        if !self.flags.is_empty() {
            self.flags.resize(cells, false);
        }
    }

    /// Folds a row of values that start at `first` into a group; `present` says which count, all where it is `None`.
    pub fn add_row(&mut self, group: usize, first: usize, values: &[f64], present: Option<&dyn Fn(usize) -> bool>) {
        let start = group * self.steps + first;
        match present {
            None => {
                for (i, value) in values.iter().enumerate() {
                    self.add(start + i, *value);
                }
            }
            Some(present) => {
                for (i, value) in values.iter().enumerate() {
                    if present(i) {
                        self.add(start + i, *value);
                    }
                }
            }
        }
    }

    #[inline]
    fn add(&mut self, cell: usize, value: f64) {
        self.count[cell] += 1.0;
        let first = self.count[cell] == 1.0;
        match self.fold {
            Fold::Count | Fold::Group => {}
            Fold::Sum if first => self.a[cell] = value,
            Fold::Sum => (self.a[cell], self.b[cell]) = kahan_add(value, self.a[cell], self.b[cell]),
            Fold::Min => {
                if first || self.a[cell] > value || self.a[cell].is_nan() {
                    self.a[cell] = value;
                }
            }
            Fold::Max => {
                if first || self.a[cell] < value || self.a[cell].is_nan() {
                    self.a[cell] = value;
                }
            }
            Fold::Avg => {
                let mut mean = self.mean(cell);
                mean.count -= 1.0;
                mean.add(value);
                self.set_mean(cell, mean);
            }
            Fold::Stddev | Fold::Stdvar if first => {
                self.a[cell] = if value.is_finite() { 0.0 } else { f64::NAN };
                self.b[cell] = value;
            }
            Fold::Stddev | Fold::Stdvar => {
                let delta = value - self.b[cell];
                self.b[cell] += delta / self.count[cell];
                self.a[cell] += delta * (value - self.b[cell]);
            }
        }
    }

    /// Counts an element that is no float; for folds that only count.
    pub fn count(&mut self, group: usize, step: usize) {
        self.count[group * self.steps + step] += 1.0;
    }

    /// Folds a partial result into a group.
    pub fn merge(&mut self, group: usize, step: usize, other: Cell) {
        if other.count == 0.0 {
            return;
        }
        let cell = group * self.steps + step;
        if self.count[cell] == 0.0 {
            self.set(cell, other);
            return;
        }
        let own = self.cell_at(cell);
        let count = own.count + other.count;
        match self.fold {
            Fold::Count | Fold::Group => {}
            Fold::Sum => {
                let (sum, compensation) = kahan_add(other.a, own.a, own.b);
                self.a[cell] = sum;
                self.b[cell] = if sum.is_infinite() { 0.0 } else { compensation + other.b };
            }
            Fold::Min if own.a > other.a || own.a.is_nan() => self.a[cell] = other.a,
            Fold::Max if own.a < other.a || own.a.is_nan() => self.a[cell] = other.a,
            Fold::Min | Fold::Max => {}
            Fold::Avg => {
                let mut mean = self.mean(cell);
                mean.merge(Mean {
                    value: other.a,
                    compensation: other.b,
                    count: other.count,
                    incremental: other.flag,
                });
                self.set_mean(cell, mean);
            }
            Fold::Stddev | Fold::Stdvar => {
                // Chan, Golub, LeVeque: pairwise variance.
                let delta = other.b - own.b;
                self.b[cell] = own.b + delta * (other.count / count);
                self.a[cell] = own.a + other.a + delta * delta * (own.count * other.count / count);
            }
        }
        self.count[cell] = count;
    }

    /// The cell of a group and step.
    pub fn cell(&self, group: usize, step: usize) -> Cell {
        self.cell_at(group * self.steps + step)
    }

    /// The result of a group at a step; nothing where no value went in.
    pub fn result(&self, group: usize, step: usize) -> Option<f64> {
        let cell = group * self.steps + step;
        let count = self.count[cell];
        if count == 0.0 {
            return None;
        }
        Some(match self.fold {
            Fold::Count => count,
            Fold::Group => 1.0,
            Fold::Sum => self.a[cell] + self.b[cell],
            Fold::Avg => self.mean(cell).get(),
            Fold::Min | Fold::Max => self.a[cell],
            Fold::Stdvar => self.a[cell] / count,
            Fold::Stddev => (self.a[cell] / count).sqrt(),
        })
    }

    fn cell_at(&self, cell: usize) -> Cell {
        let column = |column: &[f64]| column.get(cell).copied().unwrap_or(0.0);
        Cell {
            count: self.count[cell],
            a: column(&self.a),
            b: column(&self.b),
            flag: self.flags.get(cell).copied().unwrap_or(false),
        }
    }

    fn set(&mut self, cell: usize, value: Cell) {
        self.count[cell] = value.count;
        if self.fold.uses_a() {
            self.a[cell] = value.a;
        }
        if self.fold.uses_b() {
            self.b[cell] = value.b;
        }
        self.set_flag(cell, value.flag);
    }

    fn mean(&self, cell: usize) -> Mean {
        Mean {
            value: self.a[cell],
            compensation: self.b[cell],
            count: self.count[cell],
            incremental: self.flags.get(cell).copied().unwrap_or(false),
        }
    }

    fn set_mean(&mut self, cell: usize, mean: Mean) {
        self.a[cell] = mean.value;
        self.b[cell] = mean.compensation;
        self.count[cell] = mean.count;
        self.set_flag(cell, mean.incremental);
    }

    fn set_flag(&mut self, cell: usize, flag: bool) {
        if flag && self.flags.is_empty() {
            self.flags.resize(self.count.len(), false);
        }
        if let Some(slot) = self.flags.get_mut(cell) {
            *slot = flag;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDS: [Fold; 8] = [
        Fold::Sum,
        Fold::Avg,
        Fold::Min,
        Fold::Max,
        Fold::Count,
        Fold::Group,
        Fold::Stddev,
        Fold::Stdvar,
    ];

    fn fold(fold: Fold, values: &[f64]) -> FoldState {
        let mut state = FoldState::new(fold, 1);
        state.resize(1);
        values.iter().for_each(|v| state.add_row(0, 0, &[*v], None));
        state
    }

    #[test]
    fn folds_of_values() {
        let check = |f: Fold, values: &[f64], expected: f64| {
            let got = fold(f, values).result(0, 0).unwrap_or(f64::NAN);
            assert!(
                got == expected || (got.is_nan() && expected.is_nan()),
                "{f:?} of {values:?}: {got}"
            );
        };
        check(Fold::Sum, &[1e100, 1.0, -1e100], 1.0);
        check(Fold::Avg, &[1e308, 1e308, 1e308], 1e308);
        check(Fold::Min, &[f64::NAN, 2.0, 1.0], 1.0);
        check(Fold::Max, &[f64::NAN, 2.0, 1.0], 2.0);
        check(Fold::Max, &[f64::NAN], f64::NAN);
        check(Fold::Count, &[f64::NAN, 1.0], 2.0);
        check(Fold::Group, &[7.0], 1.0);
        check(Fold::Stdvar, &[1.0, 3.0], 1.0);
        check(Fold::Stddev, &[f64::INFINITY], f64::NAN);
        assert_eq!(fold(Fold::Sum, &[]).result(0, 0), None);
    }

    proptest::proptest! {
        #[test]
        fn merging_parts_is_folding_all(
            left in proptest::collection::vec(-1e6f64..1e6, 0..8),
            right in proptest::collection::vec(-1e6f64..1e6, 0..8),
        ) {
            for f in FOLDS {
                let mut merged = fold(f, &left);
                merged.merge(0, 0, fold(f, &right).cell(0, 0));
                let all: Vec<f64> = left.iter().chain(&right).copied().collect();
                match (merged.result(0, 0), fold(f, &all).result(0, 0)) {
                    (Some(a), Some(b)) => proptest::prop_assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs())),
                    (a, b) => proptest::prop_assert_eq!(a, b),
                }
            }
        }
    }
}
