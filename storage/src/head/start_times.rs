//! When the counting of each sample of a head began. A process begins to count once and then sends many samples, so what
//! is kept of a series is where in time its start time changes.

use hashbrown::{HashMap, HashSet};

use super::rows::SampleRows;

/// Bytes a series takes besides its changes: its place in the map.
const SERIES_OVERHEAD_BYTES: usize = 48;

/// See the module docs. Series whose samples all have no start time are not in it.
#[derive(Debug, Default)]
pub(super) struct StartTimes {
    series: HashMap<u32, Changes, ahash::RandomState>,
}

/// Start times of one series: from each time on, until the next, samples have that start time; before the first 0.
#[derive(Debug, Default)]
pub(super) struct Changes {
    at: Vec<(i64, i64)>,
    /// The greatest time of any sample.
    last: i64,
}

impl StartTimes {
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn get(&self, id: u32) -> Option<&Changes> {
        self.series.get(&id)
    }

    /// Notes the start times of `rows`, which the head does not hold yet. `last` is the greatest time of a series in the
    /// head, `holds` whether it has a sample of a series at a time: of samples of one time the latest start stays.
    /// Returns how many bytes this grew.
    pub fn note(
        &mut self,
        rows: &SampleRows,
        last: impl Fn(u32) -> Option<i64>,
        holds: impl Fn(u32, i64) -> bool,
    ) -> usize {
        let mut grown = 0;
        // Of series without an entry yet, the greatest time among the rows passed.
        let mut passed: HashMap<u32, i64, ahash::RandomState> = HashMap::default();
        // All rows passed; made when the first comes out of order.
        let mut seen: Option<HashSet<(u32, i64), ahash::RandomState>> = None;
        for (row, (id, time)) in rows.series.iter().copied().zip(rows.times.iter().copied()).enumerate() {
            let start = rows.start_times.get(row).copied().unwrap_or(0);
            let series = match self.series.get_mut(&id) {
                Some(series) => series,
                None if rows.start_times.is_empty() => continue,
                None if start == 0 => {
                    let latest = passed.entry(id).or_insert(time);
                    *latest = time.max(*latest);
                    continue;
                }
                None => {
                    grown += size_of::<Changes>() + SERIES_OVERHEAD_BYTES;
                    let before = last(id).into_iter().chain(passed.get(&id).copied()).max();
                    self.series.entry(id).or_insert(Changes {
                        at: Vec::new(),
                        last: before.unwrap_or(i64::MIN),
                    })
                }
            };
            let room = series.at.capacity();
            if time > series.last || series.get(time) == start {
                series.set(time, start);
            } else {
                let seen = seen.get_or_insert_with(|| {
                    let before = rows.series[..row]
                        .iter()
                        .copied()
                        .zip(rows.times[..row].iter().copied());
                    before.collect()
                });
                let known = seen.contains(&(id, time)) || holds(id, time);
                series.set(time, if known { start.max(series.get(time)) } else { start });
            }
            grown += (series.at.capacity() - room) * size_of::<(i64, i64)>();
            if let Some(seen) = &mut seen {
                seen.insert((id, time));
            }
        }
        grown
    }
}

impl Changes {
    /// The start time of a sample at `time`.
    pub fn get(&self, time: i64) -> i64 {
        match self.at.partition_point(|(from, _)| *from <= time).checked_sub(1) {
            Some(at) => self.at[at].1,
            None => 0,
        }
    }

    fn set(&mut self, time: i64, start: i64) {
        let now = self.get(time);
        if start != now {
            let mut at = self.at.partition_point(|(from, _)| *from < time);
            if self.at.get(at).is_some_and(|(from, _)| *from == time) {
                self.at[at].1 = start;
            } else {
                self.at.insert(at, (time, start));
            }
            at += 1;
            // What comes after stays as it was.
            if time < self.last && self.at.get(at).is_none_or(|(from, _)| *from != time + 1) {
                self.at.insert(at, (time + 1, now));
            }
        }
        self.last = self.last.max(time);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_sample_keeps_its_latest_start_in_any_order(
            batches in prop::collection::vec(prop::collection::vec((0..2u32, 0..8i64, 0..4i64), 0..8), 0..8),
        ) {
            let mut starts = StartTimes::default();
            let mut model: BTreeMap<(u32, i64), i64> = BTreeMap::new();
            for batch in batches {
                let mut rows = SampleRows::default();
                for (id, time, start) in &batch {
                    rows.push(*id, *time, 0.0);
                    rows.start_times.push(*start);
                }
                if rows.start_times.iter().all(|s| *s == 0) {
                    rows.start_times.clear();
                }
                let last = |id: u32| model.keys().filter(|k| k.0 == id).map(|k| k.1).max();
                starts.note(&rows, last, |id, time| model.contains_key(&(id, time)));
                for (id, time, start) in batch {
                    let known = model.entry((id, time)).or_insert(start);
                    *known = start.max(*known);
                }
                for ((id, time), start) in &model {
                    prop_assert_eq!(starts.get(*id).map_or(0, |c| c.get(*time)), *start);
                }
            }
        }
    }

    #[test]
    fn a_series_that_never_restarts_has_one_change() {
        let mut starts = StartTimes::default();
        for time in 0..1000 {
            let mut rows = SampleRows::default();
            rows.push(7, time, 1.0);
            rows.start_times.push(-5);
            starts.note(&rows, |_| None, |_, _| false);
        }
        assert_eq!(starts.get(7).map(|c| c.at.len()), Some(1));
    }
}
