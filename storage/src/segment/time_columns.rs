//! Time columns: the times that series of one scrape target share, each distinct column once in a segment. See FORMAT.md,
//! "Time columns".
//!
//! Columns lie in *groups* of a few hundred: the heads of a group say rows and bounds, so that a series' bounds are known
//! without decoding times; its codes are read when rows are. The directory in the tail says where the groups lie.

use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_varint, put_zigzag, unpack};
use super::directory::MAX_PAGE_ROWS;
use crate::codec::times;
use crate::codec::varint::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::pieces::Extent;

/// Columns of one group, and bytes of codes from which a group ends: a group is read as a whole.
pub(super) const MAX_GROUP_COLUMNS: usize = 256;
pub(super) const MAX_GROUP_BYTES: usize = 64 << 10;
/// Groups of one segment. Bounds what a damaged directory can make a reader allocate.
const MAX_GROUPS: usize = 1 << 20;
const WHAT: &str = "time columns";

/// What is known of a column without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeHead {
    pub rows: u32,
    pub first: i64,
    pub last: i64,
    /// Where its code lies in the codes of its group.
    start: u32,
    len: u32,
}

/// Where a group lies: its heads, and right behind them its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeGroupEntry {
    /// Number of its first column; columns are numbered through the segment.
    pub first_column: u32,
    pub columns: u32,
    pub offset: u64,
    pub heads_len: u32,
    pub codes_len: u32,
    heads_checksum: u64,
    codes_checksum: u64,
}

impl TimeGroupEntry {
    /// Its heads, and its codes.
    pub fn extents(&self) -> [Extent; 2] {
        let middle = self.offset + u64::from(self.heads_len);
        [
            Extent::new(self.offset..middle, self.heads_checksum),
            Extent::new(middle..middle + u64::from(self.codes_len), self.codes_checksum),
        ]
    }
}

/// A group while it is written.
#[derive(Debug, Default)]
pub(super) struct TimeGroupBuilder {
    heads: Vec<TimeHead>,
    codes: Vec<u8>,
}

impl TimeGroupBuilder {
    /// Appends a column of strictly ascending times, not empty.
    pub fn push(&mut self, column: &[i64]) {
        let start = self.codes.len();
        times::encode(column, &mut self.codes);
        self.heads.push(TimeHead {
            rows: column.len() as u32,
            first: column.first().copied().unwrap_or(0),
            last: column.last().copied().unwrap_or(0),
            start: start as u32,
            len: (self.codes.len() - start) as u32,
        });
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn is_full(&self) -> bool {
        self.heads.len() >= MAX_GROUP_COLUMNS || self.codes.len() >= MAX_GROUP_BYTES
    }

    pub fn size_bytes(&self) -> usize {
        self.codes.len() + self.heads.len() * size_of::<TimeHead>()
    }

    /// The heads and codes of this group's column `at`.
    pub fn column(&self, at: usize) -> Option<(TimeHead, &[u8])> {
        let head = *self.heads.get(at)?;
        let code = self.codes.get(head.start as usize..(head.start + head.len) as usize)?;
        Some((head, code))
    }

    /// The bytes of the group, to be written at `offset`, and its entry; `first_column` numbers its first column.
    pub fn seal(self, first_column: u32, offset: u64) -> (TimeGroupEntry, Vec<u8>) {
        let mut raw = Vec::new();
        let mut before = 0i64;
        for head in &self.heads {
            put_zigzag(&mut raw, head.first.wrapping_sub(before));
            put_varint(&mut raw, head.last.wrapping_sub(head.first) as u64);
            put_varint(&mut raw, u64::from(head.rows));
            put_varint(&mut raw, u64::from(head.len));
            before = head.first;
        }
        let mut bytes = pack(&raw, 3);
        let entry = TimeGroupEntry {
            first_column,
            columns: self.heads.len() as u32,
            offset,
            heads_len: bytes.len() as u32,
            codes_len: self.codes.len() as u32,
            heads_checksum: xxh3_64(&bytes),
            codes_checksum: xxh3_64(&self.codes),
        };
        bytes.extend_from_slice(&self.codes);
        (entry, bytes)
    }
}

/// The directory of all groups.
pub(super) fn encode_time_directory(groups: &[TimeGroupEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, groups.len() as u64);
    for group in groups {
        put_varint(&mut out, u64::from(group.columns));
        put_varint(&mut out, group.offset);
        put_varint(&mut out, u64::from(group.heads_len));
        put_varint(&mut out, u64::from(group.codes_len));
        out.extend_from_slice(&group.heads_checksum.to_le_bytes());
        out.extend_from_slice(&group.codes_checksum.to_le_bytes());
    }
    pack(&out, 1)
}

/// `pages_end` bounds where groups may lie.
pub(super) fn decode_time_directory(bytes: &[u8], pages_end: u64) -> Parsed<Vec<TimeGroupEntry>> {
    let broken = Broken(WHAT);
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(20)?;
    if count > MAX_GROUPS {
        return Err(broken);
    }
    let mut groups = Vec::with_capacity(count);
    let mut first_column = 0u32;
    for _ in 0..count {
        let columns = cursor.varint_u32()?;
        let entry = TimeGroupEntry {
            first_column,
            columns,
            offset: cursor.varint()?,
            heads_len: cursor.varint_u32()?,
            codes_len: cursor.varint_u32()?,
            heads_checksum: cursor.u64()?,
            codes_checksum: cursor.u64()?,
        };
        let len = u64::from(entry.heads_len) + u64::from(entry.codes_len);
        let end = entry.offset.checked_add(len).ok_or(broken)?;
        if columns == 0 || columns as usize > MAX_GROUP_COLUMNS || end > pages_end {
            return Err(broken);
        }
        first_column = first_column.checked_add(columns).ok_or(broken)?;
        groups.push(entry);
    }
    cursor.end()?;
    Ok(groups)
}

/// The heads of one group, opened.
#[derive(Debug)]
pub(super) struct TimeHeads {
    pub first_column: u32,
    heads: Vec<TimeHead>,
}

impl TimeHeads {
    pub fn decode(bytes: &[u8], entry: &TimeGroupEntry) -> Parsed<TimeHeads> {
        if xxh3_64(bytes) != entry.heads_checksum {
            return Err(Broken("time columns (checksum)"));
        }
        Self::parse(bytes, entry.first_column, entry.columns, entry.codes_len)
    }

    /// The packed heads of `columns` columns whose codes take `codes_len` bytes.
    pub fn parse(bytes: &[u8], first_column: u32, columns: u32, codes_len: u32) -> Parsed<TimeHeads> {
        let broken = Broken(WHAT);
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let mut cursor = Cursor::new(&raw, WHAT);
        let mut heads = Vec::with_capacity(columns as usize);
        let (mut before, mut start) = (0i64, 0u32);
        for _ in 0..columns {
            let first = before.wrapping_add(cursor.zigzag()?);
            let last = first.wrapping_add(cursor.varint()? as i64);
            let (rows, len) = (cursor.varint_u32()?, cursor.varint_u32()?);
            if rows == 0 || rows > MAX_PAGE_ROWS || first > last || last == i64::MAX {
                return Err(broken);
            }
            heads.push(TimeHead {
                rows,
                first,
                last,
                start,
                len,
            });
            before = first;
            start = start.checked_add(len).ok_or(broken)?;
        }
        cursor.end()?;
        if start != codes_len {
            return Err(broken);
        }
        Ok(TimeHeads { first_column, heads })
    }

    pub fn head(&self, column: u32) -> Option<&TimeHead> {
        self.heads.get(column.checked_sub(self.first_column)? as usize)
    }

    pub fn size_bytes(&self) -> usize {
        self.heads.len() * size_of::<TimeHead>()
    }
}

/// The codes of one group, verified.
#[derive(Debug, Clone)]
pub(super) struct TimeCodes(Bytes);

impl TimeCodes {
    /// A copy, since `bytes` may be a slice of a long read and what is kept should be no more than it says.
    pub fn verify(bytes: &[u8], entry: &TimeGroupEntry) -> Parsed<TimeCodes> {
        if bytes.len() != entry.codes_len as usize || xxh3_64(bytes) != entry.codes_checksum {
            return Err(Broken("time columns (checksum)"));
        }
        Ok(TimeCodes(Bytes::copy_from_slice(bytes)))
    }

    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// The times of the column with this head.
    pub fn times(&self, head: &TimeHead) -> Result<Vec<i64>> {
        let range = head.start as usize..head.start as usize + head.len as usize;
        let code = self.0.get(range).ok_or_else(|| Error::from(Broken(WHAT)))?;
        decode_column(head, code)
    }
}

/// The times of a column.
pub(super) fn decode_column(head: &TimeHead, code: &[u8]) -> Result<Vec<i64>> {
    let times = times::decode(&mut Reader::new(code), head.first, head.rows as usize)?;
    // The bounds of chunks were taken from the head.
    if times.last() != Some(&head.last) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "a time column does not end where its head says",
        ));
    }
    Ok(times)
}

/// The rows of a column that a chunk has: all of them, or what is left when rows are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeRef {
    pub column: u32,
    /// None for the whole column.
    pub runs: Vec<Run>,
}

/// Rows of a column that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Rows left out before it, since the run before.
    pub skip: u32,
    pub len: u32,
}

/// Appends the times of `runs` of `column` (of all where there are none) that lie in `rows`, which counts the rows that
/// the runs have; false where the column is too short.
pub(super) fn append_runs(column: &[i64], runs: &[Run], rows: Range<usize>, out: &mut Vec<i64>) -> bool {
    if runs.is_empty() {
        return column.get(rows).map(|times| out.extend_from_slice(times)).is_some();
    }
    let (mut at, mut row) = (0usize, 0usize);
    for run in runs {
        let len = run.len as usize;
        at = at.saturating_add(run.skip as usize);
        let (from, to) = (rows.start.max(row), rows.end.min(row.saturating_add(len)));
        if from < to {
            match column.get(at + (from - row)..at + (to - row)) {
                Some(times) => out.extend_from_slice(times),
                None => return false,
            }
        }
        at = at.saturating_add(len);
        row = row.saturating_add(len);
    }
    row >= rows.end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn groups_come_back(columns in prop::collection::vec(prop::collection::btree_set(any::<i64>().prop_filter("storable", |t| *t < i64::MAX), 1..40), 1..20),
                            first in 0u32..1000, offset in 0u64..1 << 40) {
            let columns: Vec<Vec<i64>> = columns.into_iter().map(|c| c.into_iter().collect()).collect();
            let mut builder = TimeGroupBuilder::default();
            columns.iter().for_each(|c| builder.push(c));
            let (mut entry, bytes) = builder.seal(first, offset);
            let directory = encode_time_directory(&[entry]);
            let end = entry.extents()[1].range.end;
            prop_assert!(decode_time_directory(&directory, end - 1).is_err());
            let decoded = decode_time_directory(&directory, end).unwrap();
            entry.first_column = 0;
            prop_assert_eq!(&decoded, &[entry]);
            entry.first_column = first;
            let (heads, codes) = bytes.split_at(entry.heads_len as usize);
            let heads = TimeHeads::decode(heads, &entry).unwrap();
            let codes = TimeCodes::verify(codes, &entry).unwrap();
            for (i, column) in columns.iter().enumerate() {
                let head = heads.head(first + i as u32).unwrap();
                prop_assert_eq!(&codes.times(head).unwrap(), column);
            }
            prop_assert!(heads.head(first + columns.len() as u32).is_none());
        }

        #[test]
        fn runs_pick_rows(len in 0usize..50, runs in prop::collection::vec((0u32..5, 1u32..6), 0..8), from in 0usize..40, n in 0usize..40) {
            let column: Vec<i64> = (0..len as i64).collect();
            let runs: Vec<Run> = runs.into_iter().map(|(skip, len)| Run { skip, len }).collect();
            let mut expected = Vec::new();
            let mut at = 0;
            for run in &runs {
                at += run.skip;
                expected.extend((at..at + run.len).map(i64::from));
                at += run.len;
            }
            if runs.is_empty() { expected = column.clone() }
            let mut out = Vec::new();
            let whole = append_runs(&column, &runs, from..from + n, &mut out);
            let wanted = expected.get(from..from + n);
            if let Some(wanted) = wanted.filter(|w| w.iter().all(|t| (*t as usize) < len)) {
                prop_assert!(whole);
                prop_assert_eq!(out, wanted);
            } else if n > 0 {
                prop_assert!(!whole);
            }
        }
    }
}
