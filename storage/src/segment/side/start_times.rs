//! Start times: of each series that has any, where in time they change. Blobs of up to [`MAX_BLOB_SERIES`] series.

use super::blob::{Blob, MIN_BLOB_BYTES};
use crate::segment::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_varint, put_zigzag, unpack};

/// Series at which a blob ends: some 100 KB.
pub(super) const MAX_BLOB_SERIES: usize = 8192;
/// Changes at which a blob ends.
pub(super) const MAX_BLOB_CHANGES: usize = 256 << 10;

/// Start times of a series: from each time on, until the next, rows have that start time; before the first none (0).
pub(super) type Changes = Vec<(i64, i64)>;

/// The start time of a row at `time`.
pub(super) fn start_at(changes: &[(i64, i64)], time: i64) -> i64 {
    match changes.partition_point(|(from, _)| *from <= time).checked_sub(1) {
        Some(at) => changes[at].1,
        None => 0,
    }
}

/// Where the start times of rows change, behind a row that has the start time `before`. Times ascend; both columns have one
/// length, or no row has a start time.
pub(super) fn changes_after(before: i64, timestamps: &[i64], start_times: &[i64]) -> Changes {
    let mut changes = Vec::new();
    let mut now = before;
    let none = start_times.is_empty().then_some(&0);
    let starts = start_times.iter().chain(none.into_iter().cycle());
    for (time, start) in timestamps.iter().zip(starts) {
        if *start != now {
            changes.push((*time, *start));
            now = *start;
        }
    }
    changes
}

/// Section 19, decoded: blobs with the first and the last series in each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct StartTimeList(pub Vec<(Blob, u32, u32)>);

impl StartTimeList {
    pub fn size_bytes(&self) -> usize {
        self.0.len() * size_of::<(Blob, u32, u32)>()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        for (blob, first, last) in &self.0 {
            blob.put(&mut out);
            put_varint(&mut out, u64::from(*first));
            put_varint(&mut out, u64::from(last - first));
        }
        pack(&out, 1)
    }

    /// `pages_end` bounds where blobs may lie.
    pub fn decode(bytes: &[u8], pages_end: u64) -> Parsed<StartTimeList> {
        const WHAT: &str = "list of start times";
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let mut cursor = Cursor::new(&raw, WHAT);
        let mut list = Vec::new();
        for _ in 0..cursor.count(MIN_BLOB_BYTES + 2)? {
            let blob = Blob::take(&mut cursor, pages_end)?;
            let first = cursor.varint_u32()?;
            let last = first.checked_add(cursor.varint_u32()?).ok_or(Broken(WHAT))?;
            list.push((blob, first, last));
        }
        cursor.end()?;
        Ok(StartTimeList(list))
    }
}

/// A blob of these series, which ascend.
pub(super) fn encode_blob(series: &[(u32, Changes)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, series.len() as u64);
    let mut previous = 0;
    for (ordinal, _) in series {
        put_varint(&mut out, u64::from(ordinal - previous));
        previous = *ordinal;
    }
    for (_, changes) in series {
        put_varint(&mut out, changes.len() as u64);
    }
    // All times, then all start times: equal columns lie close for the compressor.
    for part in [|c: &(i64, i64)| c.0, |c: &(i64, i64)| c.1] {
        let mut previous = 0i64;
        for change in series.iter().flat_map(|(_, changes)| changes) {
            put_zigzag(&mut out, part(change).wrapping_sub(previous));
            previous = part(change);
        }
    }
    pack(&out, 3)
}

/// The series of a blob, ascending.
pub(super) fn decode_blob(bytes: &[u8]) -> Parsed<Vec<(u32, Changes)>> {
    const WHAT: &str = "start times";
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(2)?;
    let mut series: Vec<(u32, Changes)> = Vec::with_capacity(count);
    for _ in 0..count {
        let previous = series.last().map_or(0, |(ordinal, _)| *ordinal);
        let ordinal = previous.checked_add(cursor.varint_u32()?).ok_or(Broken(WHAT))?;
        if !series.is_empty() && ordinal == previous {
            return Err(Broken(WHAT));
        }
        series.push((ordinal, Vec::new()));
    }
    let mut total = 0usize;
    for (_, changes) in &mut series {
        let count = cursor.count(2)?;
        total = total.saturating_add(count);
        if total > MAX_RAW_BYTES / size_of::<(i64, i64)>() {
            return Err(Broken(WHAT));
        }
        changes.resize(count, (0, 0));
    }
    let mut previous = 0i64;
    for change in series.iter_mut().flat_map(|(_, changes)| changes) {
        previous = previous.wrapping_add(cursor.zigzag()?);
        change.0 = previous;
    }
    previous = 0;
    for change in series.iter_mut().flat_map(|(_, changes)| changes) {
        previous = previous.wrapping_add(cursor.zigzag()?);
        change.1 = previous;
    }
    cursor.end()?;
    let ascend = |changes: &Changes| changes.is_sorted_by(|a, b| a.0 < b.0);
    match series.iter().all(|(_, changes)| ascend(changes)) {
        true => Ok(series),
        false => Err(Broken(WHAT)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn start_times_come_back(
            rows in prop::collection::btree_map(0..40u32, prop::collection::btree_map(any::<i64>(), 0..3i64, 0..6), 0..6),
        ) {
            let series: Vec<(u32, Changes)> = rows
                .iter()
                .map(|(ordinal, rows)| {
                    let (times, starts): (Vec<i64>, Vec<i64>) = rows.iter().map(|(t, s)| (*t, *s)).unzip();
                    (*ordinal, changes_after(0, &times, &starts))
                })
                .collect();
            let back = decode_blob(&encode_blob(&series)).expect("was written");
            prop_assert_eq!(&back, &series);
            for ((_, rows), (_, changes)) in rows.iter().zip(&back) {
                prop_assert!(rows.iter().all(|(time, start)| start_at(changes, *time) == *start));
            }
        }

        #[test]
        fn damage_is_refused_without_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let blob = Blob { offset: 3, len: 4, checksum: 5 };
            let list = StartTimeList(vec![(blob, 0, 5), (blob, 6, 6)]);
            let back = StartTimeList::decode(&list.encode(), 7);
            prop_assert_eq!(back.as_ref(), Ok(&list));
            for bytes in [list.encode(), encode_blob(&[(3, vec![(1, 2), (3, 0)]), (9, vec![(1, 2)])])] {
                let mut raw = unpack(&bytes, MAX_RAW_BYTES, "test").expect("was written");
                let at = at.index(raw.len());
                raw[at] = byte;
                let _ = decode_blob(&pack(&raw, 1));
                let _ = StartTimeList::decode(&pack(&raw, 1), 100);
            }
        }
    }
}
