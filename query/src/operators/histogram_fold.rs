//! Accumulators of `sum` and `avg` over native histograms, beside the dense columns of [`super::fold`]; made once a histogram
//! is met.
//!
//! Floats and histograms of one cell leave nothing, nor do exponential and custom buckets; both are told of.

use garner_storage::model::Histogram;

use super::fold::Fold;
use super::stream::MemoryGuard;
use crate::error::QueryError;
use crate::functions::annotate::Notes;
use crate::functions::native::layout::compact;
use crate::functions::native::total::Total;

/// One cell.
#[derive(Clone, Debug)]
pub enum HistogramCell {
    /// What was added up so far.
    Total(Box<Total>),
    /// Takes no histogram any more: exponential and custom buckets met, or a float came first. `after_floats` says whether a
    /// float was there before; those that come after a refusal are not looked at.
    Closed {
        /// See above.
        after_floats: bool,
    },
}

/// The cells of all groups.
#[derive(Debug)]
pub struct HistogramFold {
    averages: bool,
    steps: usize,
    /// At `group * steps + step`.
    cells: Vec<Option<HistogramCell>>,
    /// The name of the newest metric of each group.
    metrics: Vec<String>,
}

impl HistogramFold {
    /// No cell yet; nothing for folds that count histograms, or leave them out.
    pub fn new(fold: Fold, steps: usize) -> Option<Self> {
        matches!(fold, Fold::Sum | Fold::Avg).then(|| HistogramFold {
            averages: fold == Fold::Avg,
            steps,
            cells: Vec::new(),
            metrics: Vec::new(),
        })
    }

    /// Whether no histogram was met.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Makes room for a group whose histograms are now of `metric`.
    pub fn enter(&mut self, group: usize, metric: &str, memory: &mut MemoryGuard) -> Result<(), QueryError> {
        if self.metrics.len() <= group {
            let more = group + 1 - self.metrics.len();
            let row = self.steps * size_of::<Option<HistogramCell>>() + size_of::<String>();
            memory.grow(more * row)?;
            self.cells.resize((group + 1) * self.steps, None);
            self.metrics.resize(group + 1, String::new());
        }
        let held = &mut self.metrics[group];
        if held != metric {
            held.clear();
            held.push_str(metric);
        }
        Ok(())
    }

    /// Adds a histogram to a group that was entered; false where it does not go with those before. `after_floats` says whether
    /// the cell has floats already.
    pub fn add(
        &mut self,
        group: usize,
        step: usize,
        histogram: &Histogram,
        after_floats: bool,
        memory: &mut MemoryGuard,
    ) -> Result<bool, QueryError> {
        let averages = self.averages;
        let slot = &mut self.cells[group * self.steps + step];
        let (before, compatible) = match slot {
            None if after_floats => {
                *slot = Some(HistogramCell::Closed { after_floats });
                return Ok(true);
            }
            None => {
                *slot = Some(HistogramCell::Total(Box::new(Total::of(histogram.clone()))));
                (0, true)
            }
            Some(HistogramCell::Closed { .. }) => return Ok(true),
            Some(HistogramCell::Total(total)) => {
                let before = total.size_bytes();
                let added = if averages {
                    total.add_to_mean(histogram)
                } else {
                    total.add_to_sum(histogram)
                };
                (before, added.is_ok())
            }
        };
        settle(slot, before, compatible, after_floats, memory)?;
        Ok(compatible)
    }

    /// Adds what another partition has of a cell of a group that was entered; false where the two do not go together.
    pub fn merge(
        &mut self,
        group: usize,
        step: usize,
        other: HistogramCell,
        after_floats: bool,
        memory: &mut MemoryGuard,
    ) -> Result<bool, QueryError> {
        let averages = self.averages;
        let slot = &mut self.cells[group * self.steps + step];
        let (before, compatible) = match (slot.as_mut(), other) {
            (None, other) => {
                *slot = Some(other);
                (0, true)
            }
            // Told of where it was found.
            (Some(HistogramCell::Closed { .. }), _) => return Ok(true),
            (Some(HistogramCell::Total(_)), closed @ HistogramCell::Closed { .. }) => {
                *slot = Some(closed);
                return Ok(true);
            }
            (Some(HistogramCell::Total(total)), HistogramCell::Total(other)) => {
                let before = total.size_bytes();
                let added = if averages {
                    total.merge_mean(*other)
                } else {
                    total.merge_sum(*other)
                };
                (before, added.is_ok())
            }
        };
        settle(slot, before, compatible, after_floats, memory)?;
        Ok(compatible)
    }

    /// The cells of a group, ascending by step.
    pub fn cells(&self, group: usize) -> impl Iterator<Item = (usize, &HistogramCell)> {
        let start = group * self.steps;
        let cells = self.cells.get(start..start + self.steps).unwrap_or(&[]);
        cells
            .iter()
            .enumerate()
            .filter_map(|(step, cell)| Some((step, cell.as_ref()?)))
    }

    /// The name of the newest metric of a group.
    pub fn metric(&self, group: usize) -> &str {
        self.metrics.get(group).map_or("", String::as_str)
    }

    /// The result of a cell, and what there is to tell of it; `floats` says that the cell holds floats too.
    pub fn result(&self, cell: &HistogramCell, floats: bool, notes: &mut Notes) -> Option<Histogram> {
        if let HistogramCell::Total(total) = cell
            && total.seen.bounds_reconciled
        {
            notes.add(Notes::RECONCILED_AGGREGATE);
        }
        if let HistogramCell::Closed { after_floats: false } = cell {
            return None;
        }
        if floats {
            notes.add(Notes::MIXED_TYPES_AGGREGATE);
            return None;
        }
        let HistogramCell::Total(total) = cell else {
            return None;
        };
        if total.seen.collision() {
            notes.add(Notes::COLLISION_AGGREGATE);
        }
        let total = Total::clone(total);
        let mut out = if self.averages {
            total.into_mean()
        } else {
            total.into_sum()
        };
        compact(&mut out);
        Some(out)
    }
}

/// Accounts for what a cell holds now, and marks one whose parts do not go together.
fn settle(
    slot: &mut Option<HistogramCell>,
    before: usize,
    compatible: bool,
    after_floats: bool,
    memory: &mut MemoryGuard,
) -> Result<(), QueryError> {
    if !compatible {
        *slot = Some(HistogramCell::Closed { after_floats });
    }
    match slot {
        Some(HistogramCell::Total(total)) => memory.grow(total.size_bytes().saturating_sub(before)),
        _ => Ok(()),
    }
}
