//! The time columns of a segment while it is written: a dictionary that finds the column that a chunk's times are in.
//!
//! Series of one scrape target arrive far apart, since series are sorted by metric first. So each distinct column is kept,
//! encoded, and found again by a hash of its content. A series that began later, ended earlier or missed scrapes has only
//! some of the times of its target: it is found by *anchors*, a sixteenth of the times chosen by their own hash, so that
//! both sides choose the same ones.

use ahash::RandomState;
use hashbrown::HashMap;

use super::time_columns::{Run, TimeGroupBuilder, TimeGroupEntry, TimeHead, TimeRef, decode_column};
use crate::error::Result;

/// Encoded bytes of the columns that new chunks are compared with; one more, and the dictionary starts afresh: columns
/// already written stay, later chunks no longer find them.
const MAX_DICTIONARY_BYTES: usize = 16 << 20;
/// Decoded rows kept beside them.
const MAX_DECODED_ROWS: usize = 1 << 20;
/// Anchors kept, about 24 bytes each.
const MAX_ANCHORS: usize = 1 << 20;
/// One time in so many is an anchor, besides the first and last of a column.
const ANCHOR_EVERY: u64 = 16;
/// Anchors of a chunk that are looked up before it gets a column of its own.
const MAX_LOOKUPS: usize = 4;
/// Rows from which a chunk may be split where the column that holds its beginning ends.
const MIN_SPLIT_ROWS: usize = 64;

/// Rows a run must save to be worth its two numbers.
fn max_runs(rows: usize) -> usize {
    2 + rows / 16
}

/// See the module docs. Sealed groups wait here until the builder takes them.
#[derive(Debug)]
pub(super) struct TimeWriter {
    hasher: RandomState,
    open: TimeGroupBuilder,
    open_first: u32,
    /// Columns before this one are no longer in the dictionary.
    by_content: HashMap<u64, u32, RandomState>,
    anchors: HashMap<i64, u32, RandomState>,
    known: HashMap<u32, Known, RandomState>,
    known_bytes: usize,
    decoded_rows: usize,
}

#[derive(Debug)]
struct Known {
    head: TimeHead,
    code: Vec<u8>,
    times: Option<Vec<i64>>,
}

impl Default for TimeWriter {
    fn default() -> Self {
        let hasher = RandomState::with_seed(0);
        TimeWriter {
            open: TimeGroupBuilder::default(),
            open_first: 0,
            by_content: HashMap::with_hasher(hasher.clone()),
            anchors: HashMap::with_hasher(hasher.clone()),
            known: HashMap::with_hasher(hasher.clone()),
            known_bytes: 0,
            decoded_rows: 0,
            hasher,
        }
    }
}

impl TimeWriter {
    /// Where the first of `times` (strictly ascending, not empty) stand, and how many they are: all of them, unless a
    /// column that holds their beginning ends before they do.
    pub fn place(&mut self, times: &[i64]) -> Result<(TimeRef, usize)> {
        let hash = self.hasher.hash_one(times);
        if let Some(column) = self.by_content.get(&hash).copied()
            && self.times_of(column)?.is_some_and(|known| known == times)
        {
            return Ok((
                TimeRef {
                    column,
                    runs: Vec::new(),
                },
                times.len(),
            ));
        }
        if let Some(found) = self.place_inside(times)? {
            return Ok(found);
        }
        Ok((self.add(times, hash), times.len()))
    }

    /// The column as some rows of a known one.
    fn place_inside(&mut self, times: &[i64]) -> Result<Option<(TimeRef, usize)>> {
        let inner = times.iter().copied().filter(|t| self.is_anchor(*t));
        let ends = [times.first(), times.last()].into_iter().flatten().copied();
        let wanted: Vec<i64> = inner.take(MAX_LOOKUPS).chain(ends).collect();
        let mut last_tried = None;
        for time in wanted {
            let Some(column) = self.anchors.get(&time).copied().filter(|c| Some(*c) != last_tried) else {
                continue;
            };
            last_tried = Some(column);
            let Some(known) = self.times_of(column)? else { continue };
            if let Some((runs, taken)) = runs_of(times, known) {
                return Ok(Some((TimeRef { column, runs }, taken)));
            }
        }
        Ok(None)
    }

    fn is_anchor(&self, time: i64) -> bool {
        self.hasher.hash_one(time).is_multiple_of(ANCHOR_EVERY)
    }

    fn add(&mut self, times: &[i64], hash: u64) -> TimeRef {
        let column = self.open_first + self.open.len() as u32;
        self.open.push(times);
        if self.known_bytes > MAX_DICTIONARY_BYTES || self.anchors.len() > MAX_ANCHORS {
            self.forget();
        }
        if let Some((head, code)) = self.open.column(self.open.len() - 1) {
            self.known_bytes += code.len() + size_of::<Known>();
            let known = Known {
                head,
                code: code.to_vec(),
                times: None,
            };
            self.known.insert(column, known);
            self.keep_decoded(column, times.to_vec());
        }
        self.by_content.insert(hash, column);
        let ends = [times[0], times[times.len() - 1]];
        for (i, time) in times.iter().chain(&ends).enumerate() {
            if i >= times.len() || self.is_anchor(*time) {
                // The newest column wins: its target is the one whose series come next.
                self.anchors.insert(*time, column);
            }
        }
        TimeRef {
            column,
            runs: Vec::new(),
        }
    }

    fn forget(&mut self) {
        self.by_content.clear();
        self.anchors.clear();
        self.known.clear();
        self.known_bytes = 0;
        self.decoded_rows = 0;
    }

    /// The times of a column of the dictionary.
    fn times_of(&mut self, column: u32) -> Result<Option<&[i64]>> {
        let Some(known) = self.known.get(&column) else {
            return Ok(None);
        };
        if known.times.is_none() {
            let times = decode_column(&known.head, &known.code)?;
            self.keep_decoded(column, times);
        }
        Ok(self.known.get(&column).and_then(|k| k.times.as_deref()))
    }

    fn keep_decoded(&mut self, column: u32, times: Vec<i64>) {
        if self.decoded_rows + times.len() > MAX_DECODED_ROWS {
            self.known.values_mut().for_each(|k| k.times = None);
            self.decoded_rows = 0;
        }
        self.decoded_rows += times.len();
        if let Some(known) = self.known.get_mut(&column) {
            known.times = Some(times);
        }
    }

    /// The group being filled, where it is full or `last` says that no more come, to be written at `offset`.
    pub fn seal_group(&mut self, last: bool, offset: u64) -> Option<(TimeGroupEntry, Vec<u8>)> {
        if self.open.len() == 0 || !(last || self.open.is_full()) {
            return None;
        }
        let group = std::mem::take(&mut self.open);
        let first = self.open_first;
        self.open_first += group.len() as u32;
        Some(group.seal(first, offset))
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.open.size_bytes() + self.known_bytes + self.decoded_rows * 8 + self.anchors.len() * 24
    }
}

/// `times` as rows of `column`, with how many of them; `None` where they are no such rows or too scattered ones.
fn runs_of(times: &[i64], column: &[i64]) -> Option<(Vec<Run>, usize)> {
    let most = max_runs(times.len());
    let mut runs: Vec<Run> = Vec::new();
    let (mut row, mut taken) = (0, 0);
    while taken < times.len() && row < column.len() {
        let found = column[row..].partition_point(|t| *t < times[taken]);
        let start = row + found;
        if start == column.len() {
            break;
        }
        let same = column[start..].iter().zip(&times[taken..]).take_while(|(a, b)| a == b);
        let len = same.count();
        if len == 0 || runs.len() == most {
            return None;
        }
        runs.push(Run {
            skip: found as u32,
            len: len as u32,
        });
        row = start + len;
        taken += len;
    }
    if taken == times.len() {
        return Some((runs, taken));
    }
    (taken >= MIN_SPLIT_ROWS && row == column.len()).then_some((runs, taken))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::time_columns::append_runs;
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn target(offset_ms: i64, rows: i64) -> Vec<i64> {
        let jitter = |i: i64| (i * 7919 + offset_ms) % 3;
        (0..rows)
            .map(|i| 1_700_000_000 * SECOND + i * 15 * SECOND + (offset_ms + jitter(i)) * 1_000_000)
            .collect()
    }

    /// Places all of `times` and reads them back.
    fn place_all(writer: &mut TimeWriter, columns: &mut HashMap<u32, Vec<i64>>, times: &[i64]) -> Vec<TimeRef> {
        let (mut at, mut refs, mut back) = (0, Vec::new(), Vec::new());
        while at < times.len() {
            let (found, taken) = writer.place(&times[at..]).unwrap();
            assert!(taken > 0);
            if found.runs.is_empty() {
                columns
                    .entry(found.column)
                    .or_insert_with(|| times[at..at + taken].to_vec());
            }
            assert!(append_runs(&columns[&found.column], &found.runs, 0..taken, &mut back));
            refs.push(found);
            at += taken;
        }
        assert_eq!(back, times);
        refs
    }

    #[test]
    fn series_of_a_target_share_its_column() {
        let (mut writer, mut columns) = (TimeWriter::default(), HashMap::new());
        let targets: Vec<Vec<i64>> = (0..300).map(|t| target(t * 47, 480)).collect();
        for _metric in 0..3 {
            for times in &targets {
                place_all(&mut writer, &mut columns, times);
            }
        }
        assert_eq!(columns.len(), targets.len());
        // Later begin, earlier end, missed scrapes.
        let late = place_all(&mut writer, &mut columns, &targets[7][100..]);
        assert_eq!(late[0].runs, [Run { skip: 100, len: 380 }]);
        let mut missed = targets[9].clone();
        missed.drain(200..203);
        missed.remove(30);
        missed.truncate(400);
        let runs = &place_all(&mut writer, &mut columns, &missed)[0].runs;
        let lens: Vec<(u32, u32)> = runs.iter().map(|r| (r.skip, r.len)).collect();
        assert_eq!(lens, [(0, 30), (1, 169), (3, 201)]);
        assert_eq!(columns.len(), targets.len());
        // Times of its own get a column of their own, and so does what has too many gaps.
        let alone: Vec<i64> = target(5, 480).iter().map(|t| t + 1).collect();
        assert!(place_all(&mut writer, &mut columns, &alone)[0].runs.is_empty());
        let scattered: Vec<i64> = targets[3].iter().copied().step_by(2).collect();
        assert!(place_all(&mut writer, &mut columns, &scattered)[0].runs.is_empty());
        assert_eq!(columns.len(), targets.len() + 2);
    }

    #[test]
    fn a_chunk_is_split_where_its_column_ends() {
        let (mut writer, mut columns) = (TimeWriter::default(), HashMap::new());
        let all = target(3, 1000);
        place_all(&mut writer, &mut columns, &all[..500]);
        place_all(&mut writer, &mut columns, &all[500..]);
        let refs = place_all(&mut writer, &mut columns, &all[300..900]);
        assert_eq!(refs.len(), 2);
        assert_eq!(columns.len(), 2);
    }

    #[test]
    fn a_full_dictionary_starts_afresh_and_stays_bounded() {
        let (mut writer, mut columns) = (TimeWriter::default(), HashMap::new());
        let mut state = 1u64;
        let mut random_step = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            1 + (state >> 30) as i64
        };
        for _ in 0..40 {
            let mut t = 0;
            let times: Vec<i64> = (0..100_000)
                .map(|_| {
                    t += random_step();
                    t
                })
                .collect();
            let found = writer.place(&times).unwrap();
            assert_eq!((found.0.runs.len(), found.1), (0, times.len()));
            while writer.seal_group(false, 0).is_some() {}
        }
        assert!(writer.size_bytes() < 2 * MAX_DICTIONARY_BYTES + MAX_DECODED_ROWS * 8 + MAX_ANCHORS * 24);
        place_all(&mut writer, &mut columns, &target(1, 480));
    }

    proptest! {
        #[test]
        fn any_times_are_found_again(series in prop::collection::vec(prop::collection::btree_set(0i64..200, 1..150), 1..20)) {
            let (mut writer, mut columns) = (TimeWriter::default(), HashMap::new());
            for times in series {
                let times: Vec<i64> = times.into_iter().collect();
                place_all(&mut writer, &mut columns, &times);
            }
        }
    }
}
