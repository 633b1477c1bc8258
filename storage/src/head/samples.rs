//! Samples of the series of one head.

use crate::model::TimeRange;
use crate::scan::dedup::resolve_samples;

use super::rows::SampleRows;

/// Rows by which a full series grows at least.
const MIN_GROWTH_ROWS: usize = 4;

/// Samples of every series of a head, by series id.
#[derive(Debug, Default)]
pub(super) struct SampleStore {
    series: Vec<SampleSeries>,
    pub rows: u64,
}

/// Samples of one series in order of arrival.
#[derive(Debug, Default)]
pub(super) struct SampleSeries {
    /// (time, value): one allocation a series, and an append touches one place.
    rows: Vec<(i64, f64)>,
    /// Whether times do not strictly ascend, so that reads must sort and resolve.
    unsorted: bool,
    first: i64,
    last: i64,
}

impl SampleStore {
    /// Adds rows; returns how many bytes the store grew.
    pub fn append(&mut self, rows: &SampleRows) -> usize {
        let mut grown = 0;
        if let Some(most) = rows.series.iter().max()
            && self.series.len() <= *most as usize
        {
            let before = self.series.capacity();
            self.series.resize_with(*most as usize + 1, SampleSeries::default);
            grown += (self.series.capacity() - before) * size_of::<SampleSeries>();
        }
        for ((id, time), value) in rows.series.iter().zip(&rows.times).zip(&rows.values) {
            grown += self.series[*id as usize].push(*time, *value);
        }
        self.rows += rows.times.len() as u64;
        grown
    }

    pub fn get(&self, id: u32) -> Option<&SampleSeries> {
        self.series.get(id as usize).filter(|s| !s.rows.is_empty())
    }
}

impl SampleSeries {
    fn push(&mut self, time: i64, value: f64) -> usize {
        let before = self.rows.capacity();
        if self.rows.is_empty() {
            (self.first, self.last) = (time, time);
        } else {
            self.unsorted |= time <= self.last;
            self.first = self.first.min(time);
            self.last = self.last.max(time);
        }
        if self.rows.len() == before {
            // By half instead of doubling: less room for rows that do not come.
            self.rows.reserve_exact((before / 2).max(MIN_GROWTH_ROWS));
        }
        self.rows.push((time, value));
        (self.rows.capacity() - before) * size_of::<(i64, f64)>()
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    pub fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Appends the samples inside `range` to `times` and `values`, strictly ascending.
    pub fn read(&self, range: TimeRange, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        if !self.unsorted {
            let from = self.rows.partition_point(|(t, _)| *t < range.start);
            let to = self.rows.partition_point(|(t, _)| *t < range.end);
            if from < to {
                times.extend(self.rows[from..to].iter().map(|(t, _)| *t));
                values.extend(self.rows[from..to].iter().map(|(_, v)| *v));
            }
            return;
        }
        let mut found: Vec<(i64, f64)> = self.rows.iter().copied().filter(|(t, _)| range.contains(*t)).collect();
        found.sort_by_key(|(t, _)| *t);
        let (mut found_times, mut found_values) = found.into_iter().unzip();
        resolve_samples(&mut found_times, &mut found_values);
        times.append(&mut found_times);
        values.append(&mut found_values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_reads_sorted_and_resolved() {
        let mut store = SampleStore::default();
        let mut rows = SampleRows::default();
        for (id, time, value) in [
            (2, 10, 1.0),
            (2, 30, 3.0),
            (0, 5, 0.5),
            (2, 20, 2.0),
            (2, 20, 9.0),
            (2, 10, 0.0),
        ] {
            rows.push(id, time, value);
        }
        store.append(&rows);
        let check = |id: u32, range: TimeRange, expected: &[(i64, f64)]| {
            let (mut times, mut values) = (vec![], vec![]);
            if let Some(series) = store.get(id) {
                series.read(range, &mut times, &mut values);
            }
            assert_eq!(times.into_iter().zip(values).collect::<Vec<_>>(), expected);
        };
        check(0, TimeRange::ALL, &[(5, 0.5)]);
        check(1, TimeRange::ALL, &[]);
        check(2, TimeRange::ALL, &[(10, 1.0), (20, 9.0), (30, 3.0)]);
        check(2, TimeRange::new(11, 30), &[(20, 9.0)]);
        check(0, TimeRange::new(5, 5), &[]);
        check(7, TimeRange::ALL, &[]);
    }
}
