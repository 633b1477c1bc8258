//! Samples of one series as columns: borrowed from a source, and appended to an answer.

use std::ops::Range;
use std::sync::Arc;

use super::{HistogramColumn, HistogramSlice, SampleColumns, dedup};
use crate::model::Histogram;

/// The samples of one series, or of a piece of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleSlice<'a> {
    /// Nanoseconds, strictly ascending.
    pub timestamps: &'a [i64],
    /// Values; of histograms their sum.
    pub values: &'a [f64],
    /// Which rows are histograms.
    pub histograms: HistogramSlice<'a>,
    /// Start times in nanoseconds, 0 where unknown; empty where no row has one.
    pub start_times: &'a [i64],
}

/// One sample with all that belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct SampleRow<'a> {
    /// Nanoseconds.
    pub time: i64,
    /// The value; of a histogram its sum.
    pub value: f64,
    /// The histogram, where it is one.
    pub histogram: Option<&'a Arc<Histogram>>,
    /// Nanoseconds, 0 where unknown.
    pub start_time: i64,
}

impl<'a> SampleSlice<'a> {
    /// Samples that are numbers without start times.
    pub fn plain(timestamps: &'a [i64], values: &'a [f64]) -> Self {
        SampleSlice {
            timestamps,
            values,
            ..SampleSlice::default()
        }
    }

    /// Whether no row is a histogram or has a start time.
    pub fn is_plain(&self) -> bool {
        self.histograms.is_empty() && self.start_times.is_empty()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Sample `row`.
    pub fn row(&self, row: usize) -> SampleRow<'a> {
        SampleRow {
            time: self.timestamps[row],
            value: self.values[row],
            histogram: self.histograms.get(row),
            start_time: self.start_times.get(row).copied().unwrap_or(0),
        }
    }

    /// The samples of `rows`.
    pub fn slice(&self, rows: Range<usize>) -> SampleSlice<'a> {
        SampleSlice {
            timestamps: &self.timestamps[rows.clone()],
            values: &self.values[rows.clone()],
            histograms: self.histograms.slice(rows.clone()),
            start_times: self.start_times.get(rows).unwrap_or(&[]),
        }
    }
}

/// Columns to which samples are appended; start times come into being with the first that is known.
#[derive(Debug)]
pub struct SampleSink<'a> {
    /// See [`SampleSlice::timestamps`].
    pub timestamps: &'a mut Vec<i64>,
    /// See [`SampleSlice::values`].
    pub values: &'a mut Vec<f64>,
    /// See [`SampleSlice::histograms`].
    pub histograms: &'a mut HistogramColumn,
    /// See [`SampleSlice::start_times`].
    pub start_times: &'a mut Vec<i64>,
}

impl SampleSink<'_> {
    /// Appends one sample.
    pub fn push(&mut self, row: SampleRow<'_>) {
        if let Some(histogram) = row.histogram {
            self.histograms.push(self.timestamps.len() as u32, histogram.clone());
        }
        if row.start_time != 0 && self.start_times.is_empty() {
            self.start_times.resize(self.timestamps.len(), 0);
        }
        self.timestamps.push(row.time);
        self.values.push(row.value);
        if row.start_time != 0 || !self.start_times.is_empty() {
            self.start_times.push(row.start_time);
        }
    }

    /// Appends samples that sort behind the last.
    pub fn extend(&mut self, rows: &SampleSlice<'_>) {
        let before = self.timestamps.len();
        self.timestamps.extend_from_slice(rows.timestamps);
        self.values.extend_from_slice(rows.values);
        for (row, histogram) in rows.histograms.iter() {
            self.histograms.push((before + row) as u32, histogram.clone());
        }
        if !rows.start_times.is_empty() {
            self.start_times.resize(before, 0);
            self.start_times.extend_from_slice(rows.start_times);
        } else if !self.start_times.is_empty() {
            self.start_times.resize(self.timestamps.len(), 0);
        }
    }

    /// Takes the samples from row `from` on out of the columns.
    fn split_off(&mut self, from: usize) -> SampleColumns {
        let mut histograms = HistogramColumn::default();
        let all = self.histograms.slice(from as u32..self.timestamps.len() as u32);
        for (row, histogram) in all.iter() {
            histograms.push(row as u32, histogram.clone());
        }
        self.histograms.truncate(from as u32);
        SampleColumns {
            offsets: Vec::new(),
            timestamps: self.timestamps.split_off(from),
            values: self.values.split_off(from),
            histograms,
            start_times: match self.start_times.is_empty() {
                true => Vec::new(),
                false => self.start_times.split_off(from),
            },
        }
    }

    /// Appends samples of the series whose rows begin at `start`, of which some may lie among those that are there already
    /// and some at the same times (resolved by [`dedup`]).
    pub fn merge(&mut self, start: usize, rows: &SampleSlice<'_>) {
        let Some(first) = rows.timestamps.first() else { return };
        let shared = start + self.timestamps[start..].partition_point(|t| t < first);
        if shared == self.timestamps.len() {
            self.extend(rows);
            return;
        }
        let there = self.split_off(shared);
        let a = there.all();
        if a.is_plain() && rows.is_plain() && self.start_times.is_empty() {
            let out = (&mut *self.timestamps, &mut *self.values);
            dedup::merge_samples((a.timestamps, a.values), (rows.timestamps, rows.values), out);
            return;
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < rows.len() {
            let (s, t) = (a.timestamps[i], rows.timestamps[j]);
            self.push(match s.cmp(&t) {
                std::cmp::Ordering::Less => a.row(i),
                std::cmp::Ordering::Greater => rows.row(j),
                std::cmp::Ordering::Equal => dedup::resolve_rows(a.row(i), rows.row(j)),
            });
            i += usize::from(s <= t);
            j += usize::from(t <= s);
        }
        self.extend(&a.slice(i..a.len()));
        self.extend(&rows.slice(j..rows.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::STALE_NAN_BITS;

    /// (time, kind, value, start): kinds are number, staleness marker, histogram.
    type Plain = (i64, u8, u8, i64);

    fn columns(rows: &[Plain]) -> SampleColumns {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        let mut columns = SampleColumns::default();
        for (time, kind, value, start_time) in rows {
            let sum = f64::from(value);
            let histogram = (kind == 2).then(|| {
                Arc::new(Histogram {
                    sum,
                    ..Histogram::default()
                })
            });
            columns.sink().push(SampleRow {
                time,
                value: if kind == 1 { f64::from_bits(STALE_NAN_BITS) } else { sum },
                histogram: histogram.as_ref(),
                start_time,
            });
        }
        columns
    }

    fn rows(columns: &SampleColumns) -> Vec<(i64, u64, Option<u64>, i64)> {
        let all = columns.all();
        let row = |i| {
            let row = all.row(i);
            (
                row.time,
                row.value.to_bits(),
                row.histogram.map(|h| h.sum.to_bits()),
                row.start_time,
            )
        };
        (0..all.len()).map(row).collect()
    }

    fn merged(pieces: &[&SampleColumns]) -> SampleColumns {
        let mut out = SampleColumns::default();
        for piece in pieces {
            out.sink().merge(0, &piece.all());
        }
        out
    }

    proptest! {
        #[test]
        fn sources_merge_to_the_same_rows_in_any_order_and_however_often(
            a in prop::collection::vec((0..9i64, 0..3u8, 0..3u8, 0..3i64), 0..8),
            b in prop::collection::vec((0..9i64, 0..3u8, 0..3u8, 0..3i64), 0..8),
            c in prop::collection::vec((0..9i64, 0..3u8, 0..3u8, 0..1i64), 0..8),
        ) {
            let (a, b, c) = (columns(&a), columns(&b), columns(&c));
            let expected = merged(&[&a, &b, &c]);
            prop_assert!(expected.timestamps.is_sorted_by(|x, y| x < y));
            prop_assert!(expected.histograms.holds(expected.timestamps.len()));
            prop_assert!(expected.start_times.is_empty() || expected.start_times.len() == expected.timestamps.len());
            for order in [[&c, &b, &a], [&b, &a, &c], [&expected, &a, &expected]] {
                prop_assert_eq!(rows(&merged(&order)), rows(&expected));
            }
            let best = |time: i64| {
                let all: Vec<_> = [&a, &b, &c].into_iter().flat_map(rows).filter(|r| r.0 == time).collect();
                let start = all.iter().map(|r| r.3).max();
                let histogram = all.iter().filter_map(|r| r.2).max_by(|x, y| f64::from_bits(*x).total_cmp(&f64::from_bits(*y)));
                let number = all.iter().map(|r| r.1).filter(|v| *v != STALE_NAN_BITS).max();
                (histogram.or(number).unwrap_or(STALE_NAN_BITS), histogram.is_some(), start)
            };
            for (time, value, histogram, start) in rows(&expected) {
                prop_assert_eq!((value, histogram.is_some(), Some(start)), best(time));
            }
        }
    }
}
