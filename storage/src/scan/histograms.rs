//! Native histograms of a scan, beside the columns that every sample has.

use std::ops::Range;
use std::sync::Arc;

use crate::model::Histogram;

/// The rows of some columns that are native histograms. At such a row the column of values holds the histogram's sum, so
/// that a histogram's row is never mistaken for a staleness marker: the marker that ends a series of histograms is stored
/// as a plain one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramColumn {
    /// Row numbers, strictly ascending.
    pub rows: Vec<u32>,
    /// The histogram of each of them.
    pub values: Vec<Arc<Histogram>>,
}

impl HistogramColumn {
    /// Whether every row is a number.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows are histograms.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds the histogram of a row behind the last one.
    pub fn push(&mut self, row: u32, histogram: Arc<Histogram>) {
        debug_assert!(self.rows.last().is_none_or(|last| *last < row));
        self.rows.push(row);
        self.values.push(histogram);
    }

    /// The histograms of `rows`.
    pub fn slice(&self, rows: Range<u32>) -> HistogramSlice<'_> {
        let from = self.rows.partition_point(|row| *row < rows.start);
        let to = from + self.rows[from..].partition_point(|row| *row < rows.end);
        HistogramSlice {
            first: rows.start,
            rows: &self.rows[from..to],
            values: &self.values[from..to],
        }
    }

    /// Forgets the histograms from row `rows` on.
    pub fn truncate(&mut self, rows: u32) {
        let kept = self.rows.partition_point(|row| *row < rows);
        self.rows.truncate(kept);
        self.values.truncate(kept);
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.values.iter().map(|h| h.size_bytes() + 12).sum()
    }

    /// Whether this fits to columns of `rows` rows.
    pub(super) fn holds(&self, rows: usize) -> bool {
        let ascending = self.rows.is_sorted_by(|a, b| a < b);
        let inside = self.rows.last().is_none_or(|last| (*last as usize) < rows);
        ascending && inside && self.rows.len() == self.values.len()
    }
}

/// The histograms of a run of rows, which are counted from the run's first.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistogramSlice<'a> {
    first: u32,
    rows: &'a [u32],
    values: &'a [Arc<Histogram>],
}

impl<'a> HistogramSlice<'a> {
    /// Whether every row of the run is a number.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows of the run are histograms.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The histogram of row `row` of the run; `None` where it is a number.
    pub fn get(&self, row: usize) -> Option<&'a Arc<Histogram>> {
        let row = u32::try_from(row).ok()?.checked_add(self.first)?;
        self.rows.binary_search(&row).ok().map(|at| &self.values[at])
    }

    /// Rows of the run that are histograms, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a Arc<Histogram>)> + use<'a> {
        let first = self.first;
        let rows = self.rows.iter().map(move |row| (*row - first) as usize);
        rows.zip(self.values)
    }

    /// The histograms of rows `rows` of the run.
    pub fn slice(&self, rows: Range<usize>) -> HistogramSlice<'a> {
        let bound = |row: usize| u64::from(self.first) + row as u64;
        let from = self.rows.partition_point(|r| u64::from(*r) < bound(rows.start));
        let to = from + self.rows[from..].partition_point(|r| u64::from(*r) < bound(rows.end));
        HistogramSlice {
            first: bound(rows.start) as u32,
            rows: &self.rows[from..to],
            values: &self.values[from..to],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(count: f64) -> Arc<Histogram> {
        Arc::new(Histogram {
            count,
            ..Histogram::default()
        })
    }

    #[test]
    fn runs_count_their_rows_from_their_first() {
        let mut column = HistogramColumn::default();
        for row in [1, 4, 5, 9] {
            column.push(row, histogram(f64::from(row)));
        }
        let run = column.slice(4..9);
        let rows: Vec<_> = run.iter().map(|(row, h)| (row, h.count)).collect();
        assert_eq!(rows, [(0, 4.0), (1, 5.0)]);
        assert_eq!(run.get(1).map(|h| h.count), Some(5.0));
        assert_eq!(run.get(2), None);
        let rows: Vec<_> = run.slice(1..5).iter().map(|(row, h)| (row, h.count)).collect();
        assert_eq!(rows, [(0, 5.0)]);
        assert!(column.slice(6..9).is_empty());
        column.truncate(5);
        assert_eq!(column.rows, [1, 4]);
        assert!(column.holds(5) && !column.holds(4));
    }
}
