//! Reading and writing the small pieces of the format. A reader never trusts a length: it is checked against the bytes
//! that are there before anything is allocated.

use crate::error::{Error, ErrorKind};

/// Most bytes a compressed section or column may unpack to; writers stay far below it.
pub(super) const MAX_RAW_BYTES: usize = 512 << 20;

/// Bytes that are not what the format says; the text names the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

impl Broken {
    /// The error of a caller that knows where the bytes came from.
    pub fn at(self, place: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Corrupt, format!("{place}: damaged {}", self.0))
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Error {
        broken.at("segment")
    }
}

pub(super) type Parsed<T> = Result<T, Broken>;

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, n: i64) {
    put_varint(out, ((n << 1) ^ (n >> 63)) as u64);
}

pub(super) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Walks over bytes; `what` names them in errors.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { rest: bytes, what }
    }

    pub fn broken(&self) -> Broken {
        Broken(self.what)
    }

    pub fn take(&mut self, n: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Broken(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u8(&mut self) -> Parsed<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Parsed<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Parsed<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn f64(&mut self) -> Parsed<f64> {
        Ok(f64::from_bits(self.u64()?))
    }

    pub fn varint(&mut self) -> Parsed<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Broken(self.what))
    }

    pub fn varint_u32(&mut self) -> Parsed<u32> {
        u32::try_from(self.varint()?).map_err(|_| Broken(self.what))
    }

    /// A number of items of which each takes at least `min_bytes` of what is left.
    pub fn count(&mut self, min_bytes: usize) -> Parsed<usize> {
        let n = usize::try_from(self.varint()?).map_err(|_| Broken(self.what))?;
        if n > self.rest.len() / min_bytes.max(1) {
            return Err(Broken(self.what));
        }
        Ok(n)
    }

    pub fn zigzag(&mut self) -> Parsed<i64> {
        let n = self.varint()?;
        Ok(((n >> 1) as i64) ^ -((n & 1) as i64))
    }

    pub fn slice(&mut self) -> Parsed<&'a [u8]> {
        let n = self.count(1)?;
        self.take(n)
    }

    /// That nothing is left.
    pub fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Broken(self.what))
        }
    }
}

/// `raw length varint | zstd`, as compressed sections and columns are stored.
pub(super) fn pack(raw: &[u8], level: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() / 2 + 16);
    put_varint(&mut out, raw.len() as u64);
    match zstd::bulk::compress(raw, level) {
        Ok(packed) => out.extend_from_slice(&packed),
        // zstd fails on no input; were it to, an empty body makes the column unreadable instead of wrong.
        Err(error) => tracing::error!(%error, "zstd compression failed"),
    }
    out
}

/// Undoes [`pack`]; refuses more than `max_raw` bytes before allocating any.
pub(super) fn unpack(bytes: &[u8], max_raw: usize, what: &'static str) -> Parsed<Vec<u8>> {
    let mut cursor = Cursor::new(bytes, what);
    let raw_len = usize::try_from(cursor.varint()?).map_err(|_| Broken(what))?;
    if raw_len > max_raw.min(MAX_RAW_BYTES) {
        return Err(Broken(what));
    }
    let raw = zstd::bulk::decompress(cursor.rest, raw_len).map_err(|_| Broken(what))?;
    if raw.len() != raw_len {
        return Err(Broken(what));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_come_back_and_overlong_ones_are_refused() {
        for n in [0, 1, -1, 63, 64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_zigzag(&mut out, n);
            put_varint(&mut out, n as u64);
            let mut cursor = Cursor::new(&out, "numbers");
            assert_eq!((cursor.zigzag(), cursor.varint()), (Ok(n), Ok(n as u64)));
            assert_eq!(cursor.end(), Ok(()));
        }
        assert!(Cursor::new(&[0xff; 11], "x").varint().is_err());
        assert!(
            Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "x")
                .varint()
                .is_err()
        );
        assert!(Cursor::new(&[5, 1], "x").count(1).is_err());
        assert_eq!(unpack(&pack(b"hello", 1), 5, "x").unwrap(), b"hello");
        assert!(unpack(&pack(b"hello", 1), 4, "x").is_err());
    }
}
