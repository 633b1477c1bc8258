//! Samples of the series of one head, compressed as they come.
//!
//! A series is a slot of one cache line: where its times are, what its encoder carries on, and the first bytes of its
//! values; more bytes go to a chain of blocks. Rows that do not come later than the row before lie apart, raw. All of it is in
//! pages shared by the series, so that a series costs the allocator nothing.
//!
//! ```text
//! slot  { times: column, start, count | values: state, first and last block, 18 bytes }     one a series, by id
//! block { next, 60 bytes }                                                                   as many as it takes
//! ```

use hashbrown::HashMap;

use super::paged::Paged;
use super::rows::SampleRows;
use super::time_columns::{TimeColumns, TimeRun};
use super::value_stream::{ByteSink, ValueState, decode};
use crate::model::TimeRange;
use crate::scan::dedup::{merge_samples, resolve_samples};

/// Bytes of values inside a slot: a constant never needs more, and slots are one cache line.
const SLOT_BYTES: usize = 18;
/// Bytes of values in a block; with the number of the next block a cache line.
const BLOCK_BYTES: usize = 60;
const _: () = assert!(size_of::<Slot>() == 64 && size_of::<Block>() == 64);

/// Samples of every series of a head, by series id.
#[derive(Debug, Default)]
pub(super) struct SampleStore {
    slots: Paged<Slot>,
    blocks: Paged<Block>,
    columns: TimeColumns,
    /// Runs of times that series have behind them.
    past: Paged<PastRun>,
    late: HashMap<u32, LateRows, ahash::RandomState>,
    late_bytes: usize,
    /// Samples kept; a repeat of a series' last sample is not.
    pub rows: u64,
}

#[derive(Debug, Default, Clone)]
struct Slot {
    state: ValueState,
    /// The newest times.
    run: TimeRun,
    /// The run before it in `past`, plus 1; 0 where there is none.
    past: u32,
    /// Rows in order, in `run` and before.
    rows: u32,
    /// First and last block, plus 1.
    blocks: [u32; 2],
    /// Bytes in use of the last block, or of `bytes` while there is no block.
    used: u8,
    has_late: bool,
    bytes: [u8; SLOT_BYTES],
}

#[derive(Debug, Clone)]
#[repr(align(64))]
struct Block {
    /// Plus 1.
    next: u32,
    bytes: [u8; BLOCK_BYTES],
}

#[derive(Debug)]
struct PastRun {
    run: TimeRun,
    /// The one before, plus 1.
    past: u32,
}

/// Rows of one series that did not come in order.
#[derive(Debug)]
struct LateRows {
    rows: Vec<(i64, f64)>,
    range: TimeRange,
}

/// Buffers that reads reuse.
#[derive(Debug, Default)]
pub(super) struct ReadScratch {
    stream: Vec<u8>,
    runs: Vec<TimeRun>,
    in_order: (Vec<i64>, Vec<f64>),
}

impl SampleStore {
    /// Adds rows; returns how many bytes the store grew.
    pub fn append(&mut self, rows: &SampleRows) -> usize {
        let before = self.size_bytes();
        if let Some(most) = rows.series.iter().max() {
            self.slots.extend_to(*most as usize + 1, Slot::default);
        }
        // Where the series before began in this append: the next one, new here, most likely shares its times.
        let (mut current, mut began, mut hint) = (u32::MAX, None, None);
        for ((id, time), value) in rows.series.iter().zip(&rows.times).zip(&rows.values) {
            if *id != current {
                (current, hint, began) = (*id, began.or(hint), None);
            }
            if let Some(run) = self.push(*id, *time, *value, hint)
                && began.is_none()
            {
                began = Some(TimeRun {
                    start: run.start + run.count - 1,
                    count: 1,
                    ..run
                });
            }
        }
        self.size_bytes() - before
    }

    /// Adds a sample; where it came in order, gives the run whose last row it is.
    fn push(&mut self, id: u32, time: i64, value: f64, hint: Option<TimeRun>) -> Option<TimeRun> {
        let slot = self.slots.get_mut(id as usize)?;
        if slot.rows == 0 {
            slot.run = self.columns.place(time, None, hint);
        } else {
            let last = self.columns.last(slot.run)?;
            if time <= last {
                if time < last || !slot.state.is_last(value) {
                    self.push_late(id, time, value);
                }
                return None;
            }
            if !self.columns.lengthen(&mut slot.run, time) {
                let next = self.columns.place(time, Some(slot.run), hint);
                self.past.push(PastRun {
                    run: slot.run,
                    past: slot.past,
                });
                slot.past = self.past.len() as u32;
                slot.run = next;
            }
        }
        let (mut state, rows) = (slot.state, slot.rows);
        let mut sink = SlotSink {
            slot,
            blocks: &mut self.blocks,
        };
        state.push(value, rows, &mut sink);
        slot.state = state;
        slot.rows += 1;
        self.rows += 1;
        Some(slot.run)
    }

    #[cold]
    fn push_late(&mut self, id: u32, time: i64, value: f64) {
        let Some(slot) = self.slots.get_mut(id as usize) else {
            return;
        };
        slot.has_late = true;
        let late = self.late.entry(id).or_insert_with(|| LateRows {
            rows: Vec::new(),
            range: TimeRange::closed(time, time),
        });
        let before = late.rows.capacity();
        late.rows.push((time, value));
        self.late_bytes += (late.rows.capacity() - before) * size_of::<(i64, f64)>();
        late.range = TimeRange::new(
            late.range.start.min(time),
            late.range.end.max(TimeRange::closed(time, time).end),
        );
        self.rows += 1;
    }

    /// Series `id`; `None` where it has no row.
    pub fn get(&self, id: u32) -> Option<SampleSeries<'_>> {
        let slot = self.slots.get(id as usize).filter(|slot| slot.rows > 0)?;
        let late = if slot.has_late { self.late.get(&id) } else { None };
        Some(SampleSeries {
            store: self,
            slot,
            late,
        })
    }

    fn past_run(&self, past: u32) -> Option<&PastRun> {
        self.past.get((past as usize).checked_sub(1)?)
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        self.slots.size_bytes()
            + self.blocks.size_bytes()
            + self.columns.size_bytes()
            + self.past.size_bytes()
            + self.late.capacity() * (size_of::<(u32, LateRows)>() + 1)
            + self.late_bytes
    }
}

/// The samples of one series of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleSeries<'a> {
    store: &'a SampleStore,
    slot: &'a Slot,
    late: Option<&'a LateRows>,
}

impl SampleSeries<'_> {
    /// Bounds of its rows.
    pub fn range(&self) -> TimeRange {
        let columns = &self.store.columns;
        let (mut oldest, mut past) = (self.slot.run, self.slot.past);
        while let Some(before) = self.store.past_run(past) {
            (oldest, past) = (before.run, before.past);
        }
        // A run that has rows has times.
        let first = columns.first(oldest).unwrap_or(i64::MIN);
        let range = TimeRange::closed(first, columns.last(self.slot.run).unwrap_or(i64::MAX));
        match self.late {
            Some(late) => TimeRange::new(range.start.min(late.range.start), range.end.max(late.range.end)),
            None => range,
        }
    }

    /// Number of its rows.
    pub fn rows(&self) -> u64 {
        u64::from(self.slot.rows) + self.late.map_or(0, |late| late.rows.len() as u64)
    }

    /// Appends the samples inside `range` to `times` and `values`, strictly ascending.
    pub fn read(&self, range: TimeRange, times: &mut Vec<i64>, values: &mut Vec<f64>, scratch: &mut ReadScratch) {
        let Some(late) = self.late.filter(|late| late.range.overlaps(&range)) else {
            return self.read_in_order(range, times, values, scratch);
        };
        let (mut own_times, mut own_values) = std::mem::take(&mut scratch.in_order);
        own_times.clear();
        own_values.clear();
        self.read_in_order(range, &mut own_times, &mut own_values, scratch);
        let mut found: Vec<(i64, f64)> = late.rows.iter().copied().filter(|(t, _)| range.contains(*t)).collect();
        found.sort_by_key(|(time, _)| *time);
        let (mut late_times, mut late_values) = found.into_iter().unzip();
        resolve_samples(&mut late_times, &mut late_values);
        merge_samples((&own_times, &own_values), (&late_times, &late_values), (times, values));
        scratch.in_order = (own_times, own_values);
    }

    fn read_in_order(&self, range: TimeRange, times: &mut Vec<i64>, values: &mut Vec<f64>, scratch: &mut ReadScratch) {
        scratch.runs.clear();
        scratch.runs.push(self.slot.run);
        let mut past = self.slot.past;
        while let Some(before) = self.store.past_run(past) {
            scratch.runs.push(before.run);
            past = before.past;
        }
        // Times ascend over all runs, so the rows inside the range are one piece.
        let (mut skipped, mut taken) = (0, 0);
        for run in scratch.runs.iter().rev() {
            let Some(column) = self.store.columns.get(run.column) else {
                return;
            };
            let from = column.rows_before(run.start, run.count, range.start);
            let to = column.rows_before(run.start, run.count, range.end).max(from);
            column.read(run.start + from as u32, (to - from) as u32, times);
            skipped += if taken == 0 { from } else { 0 };
            taken += to - from;
        }
        if taken == 0 {
            return;
        }
        scratch.stream.clear();
        self.read_stream(&mut scratch.stream);
        let start = values.len();
        decode(&scratch.stream, skipped + taken, values);
        values.drain(start..start + skipped);
    }

    fn read_stream(&self, stream: &mut Vec<u8>) {
        let slot = self.slot;
        let [mut next, last] = slot.blocks;
        if next == 0 {
            stream.extend_from_slice(&slot.bytes[..slot.used as usize]);
            return;
        }
        stream.extend_from_slice(&slot.bytes);
        while let Some(block) = (next as usize).checked_sub(1).and_then(|at| self.store.blocks.get(at)) {
            let used = if next == last { slot.used as usize } else { BLOCK_BYTES };
            stream.extend_from_slice(&block.bytes[..used]);
            next = block.next;
        }
    }
}

/// Appends to a series' bytes.
struct SlotSink<'a> {
    slot: &'a mut Slot,
    blocks: &'a mut Paged<Block>,
}

impl ByteSink for SlotSink<'_> {
    #[inline]
    fn push(&mut self, byte: u8) {
        let slot = &mut *self.slot;
        let at = slot.used as usize;
        if slot.blocks[1] == 0 {
            if let Some(place) = slot.bytes.get_mut(at) {
                *place = byte;
                slot.used += 1;
                return;
            }
        } else if let Some(block) = self.blocks.get_mut(slot.blocks[1] as usize - 1)
            && let Some(place) = block.bytes.get_mut(at)
        {
            *place = byte;
            slot.used += 1;
            return;
        }
        let mut bytes = [0; BLOCK_BYTES];
        bytes[0] = byte;
        self.blocks.push(Block { next: 0, bytes });
        let new = self.blocks.len() as u32;
        match (slot.blocks[1] as usize).checked_sub(1) {
            Some(last) => {
                if let Some(block) = self.blocks.get_mut(last) {
                    block.next = new;
                }
            }
            None => slot.blocks[0] = new,
        }
        slot.blocks[1] = new;
        slot.used = 1;
    }

    /// A block is begun only for a byte, so the last byte is where bytes are added.
    #[inline]
    fn replace_last(&mut self, byte: u8) {
        let slot = &mut *self.slot;
        let at = (slot.used as usize).wrapping_sub(1);
        let place = match (slot.blocks[1] as usize).checked_sub(1) {
            None => slot.bytes.get_mut(at),
            Some(last) => self.blocks.get_mut(last).and_then(|block| block.bytes.get_mut(at)),
        };
        if let Some(place) = place {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::scan::dedup::resolve_values;

    fn read(store: &SampleStore, id: u32, range: TimeRange) -> Vec<(i64, f64)> {
        let (mut times, mut values) = (vec![-1], vec![-1.0]);
        if let Some(series) = store.get(id) {
            series.read(range, &mut times, &mut values, &mut ReadScratch::default());
        }
        assert_eq!(times.len(), values.len());
        times.into_iter().zip(values).skip(1).collect()
    }

    fn append(store: &mut SampleStore, rows: &[(u32, i64, f64)]) {
        let mut columns = SampleRows::default();
        rows.iter()
            .for_each(|(id, time, value)| columns.push(*id, *time, *value));
        let before = store.size_bytes();
        assert_eq!(store.append(&columns), store.size_bytes() - before);
    }

    #[test]
    fn any_order_reads_sorted_and_resolved() {
        let mut store = SampleStore::default();
        append(
            &mut store,
            &[
                (2, 10, 1.0),
                (2, 30, 3.0),
                (0, 5, 0.5),
                (2, 20, 2.0),
                (2, 20, 9.0),
                (2, 10, 0.0),
            ],
        );
        let check = |id: u32, range: TimeRange, expected: &[(i64, f64)]| {
            assert_eq!(read(&store, id, range), expected);
        };
        check(0, TimeRange::ALL, &[(5, 0.5)]);
        check(1, TimeRange::ALL, &[]);
        check(2, TimeRange::ALL, &[(10, 1.0), (20, 9.0), (30, 3.0)]);
        check(2, TimeRange::new(11, 30), &[(20, 9.0)]);
        check(0, TimeRange::new(5, 5), &[]);
        check(7, TimeRange::ALL, &[]);
        let bounds = |id: u32| store.get(id).map(|series| (series.range(), series.rows()));
        assert_eq!(bounds(2), Some((TimeRange::new(10, 31), 5)));
        assert_eq!((bounds(1), bounds(7)), (None, None));
    }

    #[test]
    fn a_retried_scrape_takes_no_room() {
        let mut store = SampleStore::default();
        let scrape: Vec<_> = (0..100).map(|id| (id, 1_000_000, f64::from(id) / 8.0)).collect();
        append(&mut store, &scrape);
        let (bytes, rows) = (store.size_bytes(), store.rows);
        append(&mut store, &scrape);
        assert_eq!((store.size_bytes(), store.rows), (bytes, rows));
        assert_eq!(read(&store, 3, TimeRange::ALL), [(1_000_000, 0.375)]);
    }

    #[test]
    fn scrapes_take_a_byte_or_two_a_sample() {
        let mut store = SampleStore::default();
        let (series, scrapes) = (3000u32, 120);
        for scrape in 0..scrapes {
            let rows: Vec<_> = (0..series)
                .map(|id| {
                    // A third each of constants, counters, and hundredths.
                    let value = match id % 3 {
                        0 => 1.0,
                        1 => f64::from(scrape * 40 + (scrape * id) % 17),
                        _ => f64::from((scrape * id) % 400) / 100.0,
                    };
                    (
                        id,
                        1_700_000_000_000_000_000 + i64::from(scrape) * 15_003_000_000,
                        value,
                    )
                })
                .collect();
            append(&mut store, &rows);
        }
        let per_sample = store.size_bytes() as f64 / f64::from(series * scrapes);
        assert!(per_sample < 1.7, "{per_sample}");
        assert_eq!(read(&store, 4, TimeRange::ALL).len(), scrapes as usize);
    }

    fn rows() -> impl Strategy<Value = Vec<(u32, i64, f64)>> {
        let time = prop_oneof![
            5 => (0..40i64).prop_map(|t| t * 1_000_000),
            1 => 0..1000i64,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX - 1), any::<i64>().prop_map(|t| t.min(i64::MAX - 1))],
        ];
        let value = prop_oneof![
            (0..5i32).prop_map(f64::from),
            any::<u64>().prop_map(f64::from_bits),
            Just(f64::from_bits(crate::model::STALE_NAN_BITS)),
        ];
        prop::collection::vec((0..6u32, time, value), 0..60)
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_came(
            mut appends in prop::collection::vec(rows(), 0..8),
            sorted in any::<bool>(),
            bounds in (-5i64..45, -5i64..45),
        ) {
            let mut store = SampleStore::default();
            let mut expected: BTreeMap<u32, BTreeMap<i64, f64>> = BTreeMap::new();
            let mut clock = 0;
            for rows in &mut appends {
                if sorted {
                    // As scrapes: times go on from append to append.
                    rows.iter_mut().for_each(|(_, time, _)| *time = clock + time.rem_euclid(3) * 1_000_000);
                    rows.sort_by_key(|(_, time, _)| *time);
                    clock += 3_000_000;
                }
                append(&mut store, rows);
                for (id, time, value) in rows.iter() {
                    let series = expected.entry(*id).or_default();
                    series.entry(*time).and_modify(|v| *v = resolve_values(*v, *value)).or_insert(*value);
                }
            }
            let range = TimeRange::new(bounds.0.min(bounds.1) * 1_000_000, bounds.0.max(bounds.1) * 1_000_000);
            for range in [TimeRange::ALL, range] {
                for id in 0..7 {
                    let found: Vec<_> = read(&store, id, range).into_iter().map(|(t, v)| (t, v.to_bits())).collect();
                    let rows = expected.get(&id).into_iter().flatten();
                    let wanted: Vec<_> = rows.filter(|(t, _)| range.contains(**t)).map(|(t, v)| (*t, v.to_bits())).collect();
                    prop_assert_eq!(found, wanted);
                }
            }
            for id in 0..7 {
                let bounds = expected.get(&id).map(|rows| {
                    let times: Vec<_> = rows.keys().collect();
                    TimeRange::closed(*times[0], *times[times.len() - 1])
                });
                prop_assert_eq!(store.get(id).map(|series| series.range()), bounds);
            }
        }
    }
}
