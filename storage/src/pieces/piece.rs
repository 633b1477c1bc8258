//! A kept piece and its name, in memory and as bytes on disk.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use foyer::{Code, Error, ErrorKind, Result};

use crate::memory::{MemoryAccountant, MemoryUse, Reservation};

/// Longest path of an object that is kept on disk; ours have about a hundred bytes.
const MAX_PATH_BYTES: u64 = 1024;
/// What an entry costs in memory beside its bytes: record, key, queue and map.
const ENTRY_BYTES: u64 = 256;

/// Names bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PieceKey {
    pub object: Arc<str>,
    /// First byte, counted from the object's first.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// The bytes, and the account of what they take. It is dropped with them: when neither foyer's memory nor its queue to the
/// disk has them any more.
#[derive(Debug)]
pub(super) struct Piece {
    pub bytes: Bytes,
    /// `None` as it comes from the disk.
    _held: Option<Reservation>,
}

impl Piece {
    /// The piece of these bytes, or a copy of them; `None` where the account has no memory for it.
    pub fn new(bytes: &Bytes, copy: bool, account: &MemoryAccountant) -> Option<Piece> {
        let mut held = account.reservation(MemoryUse::Cache);
        held.try_grow(bytes.len() as u64 + ENTRY_BYTES).ok()?;
        Some(Piece {
            bytes: if copy {
                Bytes::copy_from_slice(bytes)
            } else {
                bytes.clone()
            },
            _held: Some(held),
        })
    }

    /// What it takes in memory.
    pub fn weight(&self) -> u64 {
        self.bytes.len() as u64 + ENTRY_BYTES
    }
}

fn parse_error(message: &'static str) -> Error {
    Error::new(ErrorKind::Parse, message)
}

fn read_u64(reader: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).map_err(Error::io_error)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Exactly `len` bytes. What says that there are more than follow makes nothing allocate.
fn read_exactly(reader: &mut impl Read, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes).map_err(Error::io_error)?;
    match bytes.len() as u64 == len {
        true => Ok(bytes),
        false => Err(parse_error("a kept piece ends early")),
    }
}

impl Code for PieceKey {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        for number in [self.start, self.end, self.object.len() as u64] {
            writer.write_all(&number.to_le_bytes()).map_err(Error::io_error)?;
        }
        writer.write_all(self.object.as_bytes()).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> Result<Self> {
        let (start, end, len) = (read_u64(reader)?, read_u64(reader)?, read_u64(reader)?);
        if len > MAX_PATH_BYTES {
            return Err(parse_error("a kept piece's object has no such long path"));
        }
        let path = String::from_utf8(read_exactly(reader, len)?);
        let path = path.map_err(|_| parse_error("a kept piece's object has no such path"))?;
        Ok(PieceKey {
            object: path.into(),
            start,
            end,
        })
    }

    fn estimated_size(&self) -> usize {
        24 + self.object.len()
    }
}

impl Code for Piece {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        let len = self.bytes.len() as u64;
        writer.write_all(&len.to_le_bytes()).map_err(Error::io_error)?;
        writer.write_all(&self.bytes).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> Result<Self> {
        let len = read_u64(reader)?;
        Ok(Piece {
            bytes: read_exactly(reader, len)?.into(),
            _held: None,
        })
    }

    fn estimated_size(&self) -> usize {
        8 + self.bytes.len()
    }
}
