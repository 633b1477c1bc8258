//! Times that many series share: one scrape of a target gives all its series one time, so their times are one column.
//!
//! A series names the run of a column in which its times lie. Only a series that stands at a column's end makes it longer;
//! the others of its scrape then find their time there. A series that leaves the rhythm goes on in another column.

use super::paged::Paged;
use crate::model::NANOS_PER_MILLI;

/// Strictly ascending times.
#[derive(Debug)]
pub(super) struct TimeColumn {
    base: i64,
    /// Nanoseconds of one step: times come in whole milliseconds, but for tests and other senders to come.
    unit: i64,
    /// Steps behind `base`; the first is 0. 49 days of milliseconds.
    steps: Vec<u32>,
}

impl TimeColumn {
    fn new(time: i64) -> Self {
        let whole_millis = time.rem_euclid(NANOS_PER_MILLI) == 0;
        TimeColumn {
            base: time,
            unit: if whole_millis { NANOS_PER_MILLI } else { 1 },
            steps: vec![0],
        }
    }

    #[inline]
    pub fn at(&self, index: u32) -> Option<i64> {
        self.steps
            .get(index as usize)
            .map(|step| self.base + self.unit * i64::from(*step))
    }

    /// Adds a later time; false where its distance cannot be said here.
    fn push(&mut self, time: i64) -> bool {
        let Some(distance) = time.checked_sub(self.base) else {
            return false;
        };
        match u32::try_from(distance / self.unit) {
            Ok(steps) if distance % self.unit == 0 && self.steps.len() < u32::MAX as usize => {
                if self.steps.len() == self.steps.capacity() {
                    // By half instead of doubling: a column may be one series' own.
                    self.steps.reserve_exact((self.steps.len() / 2).max(4));
                }
                self.steps.push(steps);
                true
            }
            _ => false,
        }
    }

    /// Where `time` stands behind `from`.
    fn find(&self, from: u32, time: i64) -> Option<u32> {
        let distance = time.checked_sub(self.base).filter(|d| d % self.unit == 0)?;
        let step = u32::try_from(distance / self.unit).ok()?;
        let rest = self.steps.get(from as usize..)?;
        rest.binary_search(&step).ok().map(|at| from + at as u32)
    }

    /// How many of the rows `start..start + count` come before `time`.
    pub fn rows_before(&self, start: u32, count: u32, time: i64) -> usize {
        let rows = self.rows(start, count);
        rows.partition_point(|step| self.base + self.unit * i64::from(*step) < time)
    }

    /// Appends the times of rows `start..start + count`.
    pub fn read(&self, start: u32, count: u32, times: &mut Vec<i64>) {
        let (base, unit) = (self.base, self.unit);
        times.extend(
            self.rows(start, count)
                .iter()
                .map(|step| base + unit * i64::from(*step)),
        );
    }

    fn rows(&self, start: u32, count: u32) -> &[u32] {
        let (start, end) = (start as usize, start as usize + count as usize);
        self.steps.get(start..end).unwrap_or(&[])
    }
}

/// Rows `start..start + count` of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeRun {
    pub column: u32,
    pub start: u32,
    pub count: u32,
}

impl TimeRun {
    /// A run of one row.
    fn at(column: u32, row: u32) -> Self {
        TimeRun {
            column,
            start: row,
            count: 1,
        }
    }
}

/// All columns of a head.
#[derive(Debug, Default)]
pub(super) struct TimeColumns {
    columns: Paged<TimeColumn>,
    step_bytes: usize,
}

impl TimeColumns {
    pub fn get(&self, column: u32) -> Option<&TimeColumn> {
        self.columns.get(column as usize)
    }

    /// The last time of a run.
    #[inline]
    pub fn last(&self, run: TimeRun) -> Option<i64> {
        self.get(run.column)?.at((run.start + run.count).checked_sub(1)?)
    }

    /// The first time of a run.
    pub fn first(&self, run: TimeRun) -> Option<i64> {
        self.get(run.column)?.at(run.start)
    }

    /// Makes `run` one row longer where `time`, which comes after its last, is the next of its column; false where not.
    #[inline]
    pub fn lengthen(&mut self, run: &mut TimeRun, time: i64) -> bool {
        let Some(column) = self.columns.get_mut(run.column as usize) else {
            return false;
        };
        let next = run.start + run.count;
        let fits = match column.at(next) {
            Some(known) => known == time,
            None => {
                let before = column.steps.capacity();
                let pushed = column.push(time);
                self.step_bytes += (column.steps.capacity() - before) * size_of::<u32>();
                pushed
            }
        };
        run.count += u32::from(fits);
        fits
    }

    /// A run of one row that says `time`: further on in the column of `own`, at `hint` (a row of some column), or in a new
    /// column.
    pub fn place(&mut self, time: i64, own: Option<TimeRun>, hint: Option<TimeRun>) -> TimeRun {
        if let Some(own) = own
            && let Some(row) = self.get(own.column).and_then(|c| c.find(own.start + own.count, time))
        {
            return TimeRun::at(own.column, row);
        }
        if let Some(hint) = hint
            && self.first(hint) == Some(time)
        {
            return TimeRun::at(hint.column, hint.start);
        }
        let column = TimeColumn::new(time);
        self.step_bytes += column.steps.capacity() * size_of::<u32>();
        self.columns.push(column);
        TimeRun::at(self.columns.len() as u32 - 1, 0)
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        self.columns.size_bytes() + self.step_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = NANOS_PER_MILLI;

    #[test]
    fn series_of_one_scrape_share_a_column() {
        let mut columns = TimeColumns::default();
        let mut first = columns.place(1000 * MS, None, None);
        let mut second = columns.place(1000 * MS, None, Some(first));
        assert_eq!(first, second);
        for time in [2000, 3001, 3999] {
            assert!(columns.lengthen(&mut first, time * MS));
            assert!(columns.lengthen(&mut second, time * MS));
        }
        assert_eq!(
            (first, second),
            (
                TimeRun {
                    column: 0,
                    start: 0,
                    count: 4
                },
                first
            )
        );
        assert!(columns.lengthen(&mut first, 5000 * MS));
        // Missed the scrape at 5000: no row of its own there.
        assert!(!columns.lengthen(&mut second, 6000 * MS));
        assert!(columns.lengthen(&mut first, 6000 * MS));
        let after = columns.place(6000 * MS, Some(second), None);
        assert_eq!(
            after,
            TimeRun {
                column: 0,
                start: 5,
                count: 1
            }
        );
        let mut times = vec![];
        let column = columns.get(0).expect("the first");
        column.read(1, 3, &mut times);
        assert_eq!(times, [2000 * MS, 3001 * MS, 3999 * MS]);
        assert_eq!(column.rows_before(1, 3, 3001 * MS), 1);
    }

    #[test]
    fn times_that_a_column_cannot_say_begin_another() {
        let mut columns = TimeColumns::default();
        for time in [MS + 1, MS + 5_000_000_000_000_000_000, i64::MAX] {
            let mut run = columns.place(MS, None, None);
            assert!(!columns.lengthen(&mut run, time), "{time}");
            let other = columns.place(time, Some(run), None);
            assert_ne!(other.column, run.column);
            assert_eq!((columns.first(other), columns.last(other)), (Some(time), Some(time)));
        }
        let mut old = columns.place(i64::MIN, None, None);
        assert!(columns.lengthen(&mut old, i64::MIN + 1) || columns.place(i64::MIN + 1, Some(old), None).count == 1);
        assert!(!columns.lengthen(&mut old, i64::MAX));
    }
}
