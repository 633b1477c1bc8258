//! Series groups: 8,192 neighbours in the order of series, with their label sets and the chunks of their rows; the piece
//! in which both are read. See FORMAT.md, "Series groups".

use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_varint, unpack};
use super::directory::PageEntry;
use super::sample_chunks::SampleChunks;
use super::series_table::{GROUP_SERIES, SeriesMessage};
use crate::pieces::Extent;

const WHAT: &str = "series groups";

/// Where the group lies: its label sets, and right behind them its chunk list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupEntry {
    /// Ordinal of its first series.
    pub first: u32,
    pub series: u32,
    offset: u64,
    table_len: u32,
    /// 0 in segments of logs, whose chunks are listed by page.
    list_len: u32,
    table_checksum: u64,
    list_checksum: u64,
}

impl GroupEntry {
    pub fn new(first: u32, series: u32, offset: u64, table: &[u8], list: &[u8]) -> Self {
        GroupEntry {
            first,
            series,
            offset,
            table_len: table.len() as u32,
            list_len: list.len() as u32,
            table_checksum: xxh3_64(table),
            list_checksum: xxh3_64(list),
        }
    }

    /// Its label sets, and its chunk list.
    pub fn extents(&self) -> [Extent; 2] {
        let middle = self.offset + u64::from(self.table_len);
        [
            Extent::new(self.offset..middle, self.table_checksum),
            Extent::new(middle..middle + u64::from(self.list_len), self.list_checksum),
        ]
    }

    /// Bytes of its label sets, and of its chunk list.
    pub fn lens(&self) -> (u64, u64) {
        (u64::from(self.table_len), u64::from(self.list_len))
    }
}

pub(super) fn encode_groups(groups: &[GroupEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, groups.len() as u64);
    for group in groups {
        put_varint(&mut out, u64::from(group.series));
        put_varint(&mut out, group.offset);
        put_varint(&mut out, u64::from(group.table_len));
        put_varint(&mut out, u64::from(group.list_len));
        out.extend_from_slice(&group.table_checksum.to_le_bytes());
        out.extend_from_slice(&group.list_checksum.to_le_bytes());
    }
    pack(&out, 1)
}

/// `pages_end` bounds where groups may lie; together they have `series` series, and all but the last are full.
pub(super) fn decode_groups(bytes: &[u8], pages_end: u64, series: u32) -> Parsed<Vec<GroupEntry>> {
    let broken = Broken(WHAT);
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(20)?;
    let mut groups = Vec::with_capacity(count);
    let mut first = 0u32;
    for _ in 0..count {
        let entry = GroupEntry {
            first,
            series: cursor.varint_u32()?,
            offset: cursor.varint()?,
            table_len: cursor.varint_u32()?,
            list_len: cursor.varint_u32()?,
            table_checksum: cursor.u64()?,
            list_checksum: cursor.u64()?,
        };
        let len = u64::from(entry.table_len) + u64::from(entry.list_len);
        let end = entry.offset.checked_add(len).ok_or(broken)?;
        first = first.checked_add(entry.series).ok_or(broken)?;
        let full = entry.series as usize == GROUP_SERIES || (first == series && entry.series > 0);
        if end > pages_end || !full || entry.series as usize > GROUP_SERIES {
            return Err(broken);
        }
        groups.push(entry);
    }
    cursor.end()?;
    if first != series {
        return Err(broken);
    }
    Ok(groups)
}

/// Number of the group that a series is in.
pub(super) fn group_of(ordinal: u32) -> u32 {
    ordinal / GROUP_SERIES as u32
}

/// Those of `ordinals` that are in group `number`.
pub(super) fn members(ordinals: &RoaringBitmap, number: u32) -> impl Iterator<Item = u32> {
    let mut own = ordinals.iter();
    own.advance_to(number * GROUP_SERIES as u32);
    own.take_while(move |ordinal| group_of(*ordinal) == number)
}

/// A group, opened.
#[derive(Debug)]
pub(super) struct SeriesGroup {
    pub table: SeriesMessage,
    /// Empty in segments of logs.
    pub chunks: SampleChunks,
}

impl SeriesGroup {
    /// From the bytes of its extents. Chunks that have a whole time column still lack their bounds.
    pub fn decode(table: &[u8], list: &[u8], entry: &GroupEntry, pages: &[PageEntry]) -> Parsed<SeriesGroup> {
        if xxh3_64(table) != entry.table_checksum || xxh3_64(list) != entry.list_checksum {
            return Err(Broken("series groups (checksum)"));
        }
        let series = entry.first..entry.first + entry.series;
        Ok(SeriesGroup {
            table: SeriesMessage::decode(table, entry.first, entry.series)?,
            chunks: match list.is_empty() {
                true => SampleChunks::default(),
                false => SampleChunks::decode(list, series, pages)?,
            },
        })
    }

    pub fn size_bytes(&self) -> usize {
        self.table.size_bytes() + self.chunks.size_bytes()
    }
}
