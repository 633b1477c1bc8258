//! Picks the first rows of a log query out of slabs that overlap in time: what may still be among them is kept, and the worst
//! of the wanted ones tells which rows need not be looked at any more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ahash::AHashMap;
use garner_storage::model::{Labels, SeriesKey, TimeRange, Timestamp};
use garner_storage::scan::{LogBatch, LogOrder, LogSlab};

use super::log_input::{FilterWorker, LogRows};
use crate::error::QueryError;

/// Rows of a batch between two checks of the deadline.
const ROWS_PER_CHECK: usize = 4096;
/// Rows that may be kept beyond twice the wanted ones before those that lost are given up.
const SPARE_ROWS: usize = 4096;

/// Where a kept row comes from.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Time as [`Picker::key`] turns it.
    key: i64,
    /// Among [`Picker::streams`].
    stream: u32,
    page: u32,
    row: u32,
}

/// The rows so far.
pub(super) struct Picker {
    limit: usize,
    newest_first: bool,
    rows: LogRows,
    /// One a row.
    places: Vec<Place>,
    /// Keys of the best `limit` rows, the worst on top.
    best: BinaryHeap<i64>,
    streams: Vec<Labels>,
    numbers: AHashMap<Labels, u32>,
    /// Rows of a batch in the order in which they are looked at.
    order: Vec<(i64, u32)>,
}

impl Picker {
    /// Picks `limit` rows, at least 1, from this end.
    pub fn new(order: LogOrder, limit: usize) -> Self {
        Picker {
            limit: limit.max(1),
            newest_first: order == LogOrder::Backward,
            rows: LogRows::default(),
            places: Vec::new(),
            best: BinaryHeap::new(),
            streams: Vec::new(),
            numbers: AHashMap::new(),
            order: Vec::new(),
        }
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        let streams: usize = self.streams.iter().map(|labels| labels.size_bytes() + 64).sum();
        self.rows.size_bytes() + self.places.len() * size_of::<Place>() + self.best.len() * 8 + streams
    }

    /// A time so that wanted ones are smaller.
    fn key(&self, time: Timestamp) -> i64 {
        if self.newest_first { !time } else { time }
    }

    /// The key from which on rows are not wanted, ties apart.
    fn worst(&self) -> Option<i64> {
        self.best.peek().filter(|_| self.best.len() >= self.limit).copied()
    }

    /// Whether no row inside `rest` can be among the wanted ones.
    pub fn is_settled(&self, rest: TimeRange) -> bool {
        let nearest = match self.newest_first {
            true => rest.end.saturating_sub(1),
            false => rest.start,
        };
        rest.is_empty() || self.worst().is_some_and(|worst| self.key(nearest) > worst)
    }

    /// Looks at the rows of a slab that may be wanted; `check` says from time to time whether to go on.
    pub fn take(
        &mut self,
        slab: &LogSlab,
        worker: &mut dyn FilterWorker,
        check: impl Fn() -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let batch = &slab.batch;
        worker.begin(batch);
        let mut numbers: Vec<Option<u32>> = vec![None; batch.streams.len()];
        let order = self.ordered(batch);
        for (i, (key, row)) in order.iter().enumerate() {
            if self.worst().is_some_and(|worst| *key > worst) {
                break;
            }
            if i % ROWS_PER_CHECK == 0 {
                check()?;
            }
            let stream = batch.offsets.partition_point(|o| *o <= *row).saturating_sub(1);
            if !worker.row(batch, stream, *row as usize, &mut self.rows)? {
                continue;
            }
            let number = match numbers.get(stream).copied().flatten() {
                Some(number) => number,
                None => *numbers[stream].insert(self.number(&batch.streams[stream])?),
            };
            self.places.push(Place {
                key: *key,
                stream: number,
                page: slab.page,
                row: *row,
            });
            self.best.push(*key);
            if self.best.len() > self.limit {
                self.best.pop();
            }
        }
        self.order = order;
        if self.places.len() > self.limit.saturating_mul(2).saturating_add(SPARE_ROWS) {
            self.give_up_losers()?;
        }
        Ok(())
    }

    /// The rows of a batch from the wanted end on, without those that are not wanted for sure.
    fn ordered(&mut self, batch: &LogBatch) -> Vec<(i64, u32)> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let worst = self.worst().unwrap_or(i64::MAX);
        let keys = batch.timestamps.iter().map(|time| self.key(*time)).zip(0..);
        order.extend(keys.filter(|(key, _)| *key <= worst));
        if self.newest_first {
            // Most batches are of one stream, and in order then.
            order.reverse();
        }
        if !order.is_sorted() {
            order.sort_unstable();
        }
        order
    }

    fn number(&mut self, labels: &Labels) -> Result<u32, QueryError> {
        if let Some(number) = self.numbers.get(labels) {
            return Ok(*number);
        }
        let number = u32::try_from(self.streams.len()).map_err(|_| QueryError::internal("too many streams"))?;
        self.streams.push(labels.clone());
        self.numbers.insert(labels.clone(), number);
        Ok(number)
    }

    /// Keeps the wanted rows, in their order. Rows of one time come in the order of their streams; of one stream the last
    /// written comes first where the newest are wanted, as in Loki.
    fn give_up_losers(&mut self) -> Result<(), QueryError> {
        let streams = &self.streams;
        let of = |place: &Place| SeriesKey(streams[place.stream as usize].clone());
        let newest_first = self.newest_first;
        let compare = |a: &Place, b: &Place| {
            a.key.cmp(&b.key).then_with(|| match a.stream == b.stream {
                true if newest_first => (b.page, b.row).cmp(&(a.page, a.row)),
                true => (a.page, a.row).cmp(&(b.page, b.row)),
                false => of(a).cmp(&of(b)),
            })
        };
        let mut sorted: Vec<usize> = (0..self.places.len()).collect();
        sorted.sort_unstable_by(|a, b| match compare(&self.places[*a], &self.places[*b]) {
            Ordering::Equal => a.cmp(b),
            order => order,
        });
        sorted.truncate(self.limit);
        self.places = sorted.iter().map(|at| self.places[*at]).collect();
        self.rows = std::mem::take(&mut self.rows).pick(sorted.into_iter())?;
        Ok(())
    }

    /// The wanted rows in their order.
    pub fn finish(mut self) -> Result<LogRows, QueryError> {
        self.give_up_losers()?;
        Ok(self.rows)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps every row whose line is not `x`.
    struct NoX;

    impl FilterWorker for NoX {
        fn begin(&mut self, _: &LogBatch) {}

        fn row(&mut self, batch: &LogBatch, stream: usize, row: usize, out: &mut LogRows) -> Result<bool, QueryError> {
            let line = batch.lines.as_ref().unwrap().value(row);
            if line == b"x" {
                return Ok(false);
            }
            let keys = out.sets(batch.streams[stream].as_bytes(), b"", line)?;
            out.push(batch.timestamps[row], line, keys);
            Ok(true)
        }
    }

    /// A page: rows of two streams, each in the order of time.
    type Page = [Vec<(i64, String)>; 2];

    fn stream(number: usize) -> Labels {
        Labels::from_pairs([("s", number.to_string())])
    }

    fn slab(page: &Page, number: usize, rest: TimeRange) -> LogSlab {
        let mut batch = LogBatch::default();
        let mut lines = Vec::new();
        for (stream_number, rows) in page.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            batch.streams.push(stream(stream_number));
            for (time, line) in rows {
                batch.timestamps.push(*time);
                lines.push(line.as_bytes());
            }
            batch.offsets.push(lines.len() as u32);
        }
        batch.lines = Some(arrow_array::BinaryArray::from_vec(lines));
        LogSlab {
            batch,
            range: TimeRange::ALL,
            rest,
            page: number as u32,
        }
    }

    /// Pages in the order in which they were written: those of a stream do not go back in time.
    fn pages() -> impl Strategy<Value = Vec<Page>> {
        let rows = prop::collection::vec((0i64..6, "[a-c]|x"), 0..12);
        prop::collection::vec([rows.clone(), rows], 1..5).prop_map(|mut pages| {
            let mut last = [0; 2];
            for page in &mut pages {
                for (rows, last) in page.iter_mut().zip(&mut last) {
                    rows.sort_by_key(|(time, _)| *time);
                    for (time, _) in rows {
                        // Neighbours share times, pages too.
                        *time = (*time / 2 + *last).max(*last);
                        *last = *time;
                    }
                }
            }
            pages
        })
    }

    proptest! {
        #[test]
        fn the_wanted_rows_are_found_and_no_page_too_many_is_read(
            pages in pages(), limit in 1usize..20, newest_first: bool, spare in 0usize..2,
        ) {
            let order = if newest_first { LogOrder::Backward } else { LogOrder::Forward };
            let times = |page: &Page| page.iter().flatten().map(|(time, _)| *time).collect::<Vec<_>>();
            let mut walk: Vec<usize> = (0..pages.len()).collect();
            let near = |at: &usize| {
                let times = times(&pages[*at]).into_iter();
                if newest_first { -times.max().unwrap_or(-1) } else { times.min().unwrap_or(i64::MAX - 1) }
            };
            walk.sort_by_key(near);

            let mut picker = Picker::new(order, limit);
            let mut read = 0;
            for (i, at) in walk.iter().enumerate() {
                let rest: Vec<i64> = walk[i + 1..].iter().flat_map(|at| times(&pages[*at])).collect();
                let rest = match (rest.iter().min(), rest.iter().max()) {
                    (Some(first), Some(last)) => TimeRange::closed(*first, *last),
                    _ => TimeRange::new(0, 0),
                };
                picker.take(&slab(&pages[*at], *at, rest), &mut NoX, || Ok(())).unwrap();
                if spare == 0 {
                    picker.give_up_losers().unwrap();
                }
                read = i + 1;
                if picker.is_settled(rest) {
                    break;
                }
            }
            let batch = picker.finish().unwrap().finish().unwrap();
            let lines = batch.column(1).as_any().downcast_ref::<arrow_array::BinaryArray>().unwrap();
            let found: Vec<Vec<u8>> = lines.iter().flatten().map(<[u8]>::to_vec).collect();

            let mut all = Vec::new();
            for (number, page) in pages.iter().enumerate() {
                for (stream, rows) in page.iter().enumerate() {
                    for (row, (time, line)) in rows.iter().enumerate().filter(|(_, (_, line))| line != "x") {
                        let arrival = (number as i64) * 1000 + row as i64;
                        let (time, arrival) = if newest_first { (-time, -arrival) } else { (*time, arrival) };
                        all.push((time, stream, arrival, line.clone().into_bytes()));
                    }
                }
            }
            all.sort();
            let enough = all.len() > limit;
            all.truncate(limit);
            let last = all.last().map(|row| row.0);
            prop_assert_eq!(found, all.into_iter().map(|row| row.3).collect::<Vec<_>>());
            // Pages that lie wholly behind the last wanted row are not read.
            if let (Some(last), true) = (last, enough) {
                let needed = walk.iter().filter(|at| !times(&pages[**at]).is_empty() && near(at) <= last).count();
                prop_assert!(read <= needed.max(1) + walk.iter().filter(|at| times(&pages[**at]).is_empty()).count());
            }
        }
    }
}
