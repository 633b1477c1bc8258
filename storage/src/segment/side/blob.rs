//! A piece of a segment that is read and verified on its own, as a column of a page is.

use bytes::Bytes;

use crate::error::Result;
use crate::pieces::Extent;
use crate::segment::bytes::{Broken, Cursor, Parsed, put_varint};
use crate::segment::fetch::Fetcher;

/// Fewest bytes a blob takes in a list.
pub(super) const MIN_BLOB_BYTES: usize = 10;

/// Where a blob lies, from the segment's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::segment) struct Blob {
    pub offset: u64,
    pub len: u32,
    pub checksum: u64,
}

impl Blob {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.offset);
        put_varint(out, u64::from(self.len));
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// A blob inside the first `pages_end` bytes.
    pub fn take(cursor: &mut Cursor<'_>, pages_end: u64) -> Parsed<Blob> {
        let blob = Blob {
            offset: cursor.varint()?,
            len: cursor.varint_u32()?,
            checksum: cursor.u64()?,
        };
        match blob.offset.checked_add(u64::from(blob.len)) {
            Some(end) if end <= pages_end => Ok(blob),
            _ => Err(cursor.broken()),
        }
    }

    /// The blob's bytes, verified.
    pub async fn fetch(&self, fetcher: &Fetcher<'_>) -> Result<Bytes> {
        let extent = Extent::new(self.offset..self.offset + u64::from(self.len), self.checksum);
        let bytes = fetcher.read_one(extent.clone()).await?;
        match extent.is_whole(&bytes) {
            true => Ok(bytes),
            false => Err(Broken("blob (checksum)").at(fetcher.place())),
        }
    }
}
