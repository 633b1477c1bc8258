//! Some entries of one stream in order of arrival: open while they come, packed once there are enough.

use lz4_flex::block::{compress_into, decompress, get_maximum_output_size};

use crate::codec::varint::{Reader, put_varint, put_zigzag};
use crate::codec::{CodecError, CodecResult};
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;

/// Bytes a row of an open block takes besides its line: time, line end and two metadata codes.
const ROW_BYTES: usize = 20;

/// Entries as columns of one length.
#[derive(Debug, Default, Clone)]
pub(super) struct LogBlock {
    pub times: Vec<i64>,
    /// Where each line ends in `bytes`; it starts where the one before ends.
    pub line_ends: Vec<u32>,
    pub bytes: Vec<u8>,
    pub metadata: Vec<u32>,
    pub derived: Vec<u32>,
    /// Bounds of `times`.
    first: i64,
    last: i64,
}

/// A block that is full. Lines are compressed, the rest is small enough as variable-length numbers; the two lie apart,
/// since counting needs no lines.
#[derive(Debug)]
pub(super) struct PackedBlock {
    columns: Box<[u8]>,
    lines: Box<[u8]>,
    rows: u32,
    line_bytes: u32,
    first: i64,
    last: i64,
}

/// Buffers that packing reuses.
#[derive(Debug, Default)]
pub(super) struct PackScratch {
    columns: Vec<u8>,
    lines: Vec<u8>,
}

impl LogBlock {
    pub fn push(&mut self, time: i64, line: &[u8], metadata: u32, derived: u32) {
        if self.times.is_empty() {
            (self.first, self.last) = (time, time);
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.times.push(time);
        self.bytes.extend_from_slice(line);
        self.line_ends.push(self.bytes.len() as u32);
        self.metadata.push(metadata);
        self.derived.push(derived);
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.times.capacity() * ROW_BYTES + self.bytes.capacity()
    }

    /// Bounds of the rows.
    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    /// The line of row `row`, empty where the lines were not unpacked.
    pub fn line(&self, row: usize) -> &[u8] {
        self.bytes
            .get(self.line_start(row)..self.line_ends[row] as usize)
            .unwrap_or(&[])
    }

    /// Length of the line of row `row`.
    pub fn line_len(&self, row: usize) -> usize {
        self.line_ends[row] as usize - self.line_start(row)
    }

    fn line_start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.line_ends[row - 1] as usize }
    }

    /// The rows, packed.
    pub fn pack(&self, scratch: &mut PackScratch) -> PackedBlock {
        let PackScratch { columns, lines } = scratch;
        columns.clear();
        let mut before = self.first;
        for time in &self.times {
            put_zigzag(columns, time.wrapping_sub(before));
            before = *time;
        }
        for row in 0..self.times.len() {
            put_varint(columns, self.line_len(row) as u64);
        }
        for code in self.metadata.iter().chain(&self.derived) {
            put_varint(columns, u64::from(*code));
        }
        let room = get_maximum_output_size(self.bytes.len());
        if lines.len() < room {
            lines.resize(room, 0);
        }
        // The output is as large as lz4 can ever need, so this cannot fail.
        let written = compress_into(&self.bytes, lines).unwrap_or(0);
        PackedBlock {
            columns: columns.as_slice().into(),
            lines: lines[..written].into(),
            rows: self.times.len() as u32,
            line_bytes: self.bytes.len() as u32,
            first: self.first,
            last: self.last,
        }
    }
}

impl PackedBlock {
    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.columns.len() + self.lines.len()
    }

    /// Bounds of the rows.
    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }

    /// The rows without their lines.
    pub fn unpack_columns(&self) -> Result<LogBlock> {
        self.columns()
            .map_err(|e| Error::with_source(ErrorKind::Internal, UNREADABLE, e))
    }

    fn columns(&self) -> CodecResult<LogBlock> {
        let rows = self.rows as usize;
        let mut reader = Reader::new(&self.columns);
        let mut block = LogBlock {
            times: Vec::with_capacity(rows),
            line_ends: Vec::with_capacity(rows),
            metadata: Vec::with_capacity(rows),
            derived: Vec::with_capacity(rows),
            bytes: Vec::new(),
            first: self.first,
            last: self.last,
        };
        let mut time = self.first;
        for _ in 0..rows {
            time = time.wrapping_add(reader.zigzag("time")?);
            block.times.push(time);
        }
        let mut end = 0;
        for _ in 0..rows {
            end += reader.varint("line length")?;
            block
                .line_ends
                .push(u32::try_from(end).map_err(|_| CodecError::Invalid("line length"))?);
        }
        for codes in [&mut block.metadata, &mut block.derived] {
            for _ in 0..rows {
                let code = reader.varint("metadata code")?;
                codes.push(u32::try_from(code).map_err(|_| CodecError::Invalid("metadata code"))?);
            }
        }
        Ok(block)
    }

    /// The bytes of all lines.
    pub fn unpack_lines(&self) -> Result<Vec<u8>> {
        decompress(&self.lines, self.line_bytes as usize)
            .map_err(|e| Error::with_source(ErrorKind::Internal, UNREADABLE, e))
    }
}

const UNREADABLE: &str = "recent log entries in memory cannot be unpacked";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(rows in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..50), any::<u32>(), 0..3u32), 1..200)) {
            let mut scratch = PackScratch::default();
            // The second time in memory that was used before.
            for _ in 0..2 {
                let mut block = LogBlock::default();
                rows.iter().for_each(|(time, line, metadata, derived)| block.push(*time, line, *metadata, *derived));
                let (range, bytes) = (block.range(), block.bytes.clone());
                let packed = block.pack(&mut scratch);
                prop_assert_eq!(packed.range(), range);
                let mut found = packed.unpack_columns().expect("columns");
                prop_assert_eq!(found.line(0), b"");
                prop_assert_eq!(found.range(), range);
                found.bytes = packed.unpack_lines().expect("lines");
                prop_assert_eq!(&found.bytes, &bytes);
                for (row, (time, line, metadata, derived)) in rows.iter().enumerate() {
                    let at = (found.times[row], found.line(row), found.metadata[row], found.derived[row]);
                    prop_assert_eq!(at, (*time, line.as_slice(), *metadata, *derived));
                    prop_assert_eq!(found.line_len(row), line.len());
                }
            }
        }
    }

    #[test]
    fn usual_lines_pack_well() {
        let (mut block, mut scratch) = (LogBlock::default(), PackScratch::default());
        for row in 0..800 {
            let line = format!(
                "level=info ts=2026-01-10T00:00:{:02} msg=\"request done\" path=/api/v1/orders status=200 took={row}ms",
                row % 60
            );
            block.push(1_768_003_200_000_000_000 + row * 1_000_000, line.as_bytes(), 0, 1);
        }
        let raw = block.bytes.len();
        let packed = block.pack(&mut scratch).size_bytes();
        assert!(packed * 4 < raw, "{packed} of {raw}");
    }
}
