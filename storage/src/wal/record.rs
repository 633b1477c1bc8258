//! The outer layer of a WAL file: its header, and records with length, kind and checksum.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// First bytes of every WAL file.
const MAGIC: [u8; 8] = *b"garnrwal";
/// Format that is written, and the newest that is read; newer ones are refused with a clear text.
pub(super) const VERSION: u32 = 2;
/// Oldest format that is read: version 1 had no records of kind 3.
const OLDEST_VERSION: u32 = 1;
/// Bytes of a file header.
pub(super) const FILE_HEADER_LEN: usize = 48;
/// Bytes of a record header.
pub(super) const RECORD_HEADER_LEN: usize = 16;
/// Longest record body: bounds what a damaged length can make a reader believe. Request limits keep appends far below.
pub(super) const MAX_BODY_BYTES: usize = 512 << 20;

/// The header of a file. `previous_len` bytes of file `previous` are good: the writer knew it when it began this file, so
/// what a failed write left behind them is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub number: u64,
    pub previous: u64,
    pub previous_len: u64,
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Cut off or damaged.
    Damaged,
    /// Written by another version.
    Version(u32),
}

impl FileHeader {
    pub fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut out = [0; FILE_HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(FILE_HEADER_LEN as u32).to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.previous.to_le_bytes());
        out[32..40].copy_from_slice(&self.previous_len.to_le_bytes());
        let checksum = xxh3_64(&out[..40]);
        out[40..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<FileHeader, BadHeader> {
        let header = bytes.get(..FILE_HEADER_LEN).ok_or(BadHeader::Damaged)?;
        if header[..8] != MAGIC {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(header, 8);
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        if u64_at(header, 40) != xxh3_64(&header[..40]) {
            return Err(BadHeader::Damaged);
        }
        Ok(FileHeader {
            number: u64_at(header, 16),
            previous: u64_at(header, 24),
            previous_len: u64_at(header, 32),
        })
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// Labels of series that later records of the file name by id.
    Series,
    /// Rows of one append.
    Rows,
    /// Samples of one append, some of them with more than time and value.
    RowsAndMore,
}

impl RecordKind {
    fn code(self) -> u8 {
        match self {
            RecordKind::Series => 1,
            RecordKind::Rows => 2,
            RecordKind::RowsAndMore => 3,
        }
    }

    fn from_code(code: u8) -> Option<RecordKind> {
        match code {
            1 => Some(RecordKind::Series),
            2 => Some(RecordKind::Rows),
            3 => Some(RecordKind::RowsAndMore),
            _ => None,
        }
    }
}

/// Appends a record to `out`, which will stand at `offset` of file `file`.
pub(super) fn push_record(out: &mut Vec<u8>, file: u64, offset: u64, kind: RecordKind, body: &[u8]) {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4] = kind.code();
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum(file, offset, &head, body).to_le_bytes());
    out.extend_from_slice(body);
}

/// A whole record found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub kind: RecordKind,
    pub body: &'a [u8],
}

/// Bytes of the record with this header, header included; `None` where no record can be so long.
pub(super) fn record_len(header: &[u8]) -> Option<usize> {
    let len = u32_at(header.get(..RECORD_HEADER_LEN)?, 0) as usize;
    (len <= MAX_BODY_BYTES).then_some(RECORD_HEADER_LEN + len)
}

/// The record of exactly these bytes, which stand at `offset` of file `file`; `None` where it is cut off or damaged.
pub(super) fn read_record(bytes: &[u8], file: u64, offset: u64) -> Option<Record<'_>> {
    if record_len(bytes)? != bytes.len() {
        return None;
    }
    let (header, body) = bytes.split_at(RECORD_HEADER_LEN);
    if u64_at(header, 8) != checksum(file, offset, &header[..8], body) {
        return None;
    }
    Some(Record {
        kind: RecordKind::from_code(header[4])?,
        body,
    })
}

/// Seeded with the record's place, so that bytes of another file or place never pass for it.
fn checksum(file: u64, offset: u64, head: &[u8], body: &[u8]) -> u64 {
    let mut hasher = Xxh3::with_seed(file.rotate_left(40) ^ offset);
    hasher.update(head);
    hasher.update(body);
    hasher.digest()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_refuse_damage() {
        let header = FileHeader {
            number: 7,
            previous: 6,
            previous_len: 4711,
        };
        let bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes), Ok(header));
        assert_eq!(FileHeader::decode(&bytes[..47]), Err(BadHeader::Damaged));
        for at in 0..FILE_HEADER_LEN {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(FileHeader::decode(&damaged).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_record_is_read_whole_at_its_place_or_not_at_all() {
        let mut file = Vec::new();
        push_record(&mut file, 3, 10, RecordKind::Rows, b"body");
        let read = read_record(&file, 3, 10);
        assert_eq!(
            read,
            Some(Record {
                kind: RecordKind::Rows,
                body: b"body",
            })
        );
        assert_eq!(record_len(&file), Some(file.len()));
        assert_eq!(read_record(&file, 4, 10), None, "another file");
        assert_eq!(read_record(&file, 3, 11), None, "another place");
        for end in 0..file.len() {
            assert_eq!(read_record(&file[..end], 3, 10), None, "cut at {end}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            assert_eq!(read_record(&damaged, 3, 10), None, "byte {at}");
        }
        file[..4].copy_from_slice(&(MAX_BODY_BYTES as u32 + 1).to_le_bytes());
        assert_eq!(record_len(&file), None);
    }
}
