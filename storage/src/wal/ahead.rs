//! Reads a WAL file front to back in bounded pieces.

use std::path::Path;

use bytes::Bytes;

use crate::error::Result;
use crate::file::{SharedFiles, disk_error};

/// Bytes read at a time; more only where one record is longer.
pub(super) const PIECE_BYTES: u64 = 4 << 20;

/// The first `len` bytes of a file, as they are asked for.
#[derive(Debug)]
pub(super) struct ReadAhead<'a> {
    files: &'a SharedFiles,
    path: &'a Path,
    len: u64,
    piece: Bytes,
    /// Where the piece begins.
    start: u64,
}

impl<'a> ReadAhead<'a> {
    /// Reads nothing yet. The file has at least `len` bytes.
    pub fn new(files: &'a SharedFiles, path: &'a Path, len: u64) -> Self {
        ReadAhead {
            files,
            path,
            len,
            piece: Bytes::new(),
            start: 0,
        }
    }

    /// `len` bytes from `offset` on; `None` where they reach over the end. Asked in rising order, each byte is read about
    /// once.
    pub fn get(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.len) else {
            return Ok(None);
        };
        if offset < self.start || end > self.start + self.piece.len() as u64 {
            // Freed first, so that two pieces are never held.
            self.piece = Bytes::new();
            let to = end.max(offset.saturating_add(PIECE_BYTES)).min(self.len);
            let read = self.files.read_range(self.path, offset..to);
            self.piece = read.map_err(|e| disk_error("cannot read WAL file", self.path, e))?;
            self.start = offset;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(self.piece.slice(at..at + len)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::testing::SimDisk;

    #[test]
    fn a_large_file_is_read_in_pieces_and_a_long_record_whole() {
        let files: SharedFiles = Arc::new(SimDisk::new(1).files());
        let path = Path::new("/wal");
        let content: Vec<u8> = (0..3 * PIECE_BYTES as usize + 77)
            .map(|i| (i * 31 % 251) as u8)
            .collect();
        files.create_new(path).unwrap().append(&content).unwrap();
        let len = content.len() as u64 - 7;
        let mut ahead = ReadAhead::new(&files, path, len);
        let mut check = |offset: u64, len: usize, most: u64| {
            let found = ahead.get(offset, len).unwrap().unwrap();
            assert_eq!(found, &content[offset as usize..offset as usize + len], "{offset}");
            assert!(ahead.piece.len() as u64 <= most, "{offset}: {}", ahead.piece.len());
        };
        let mut offset = 48;
        while offset + 70_000 < PIECE_BYTES * 3 / 2 {
            check(offset, 16, PIECE_BYTES);
            check(offset, 70_000, PIECE_BYTES);
            offset += 70_000;
        }
        let long = PIECE_BYTES + 5;
        check(offset, 16, PIECE_BYTES);
        check(offset, long as usize, long);
        check(len - 1, 1, PIECE_BYTES);
        assert_eq!(ahead.get(len - 1, 2).unwrap(), None, "beyond the good bytes");
        assert_eq!(ahead.get(u64::MAX, 16).unwrap(), None);
    }
}
