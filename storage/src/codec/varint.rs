//! Variable-length integers and a reader over untrusted bytes.
//!
//! ```text
//! varint = LEB128: 7 bits a byte, least significant first, the top bit says that another byte follows; at most 10 bytes
//! zigzag = varint of (n << 1) ^ (n >> 63), so that small negative numbers are short too
//! ```

use super::error::{CodecError, CodecResult};

/// Appends `n` as a varint.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends `n` as a zigzag varint.
pub fn put_zigzag(out: &mut Vec<u8>, n: i64) {
    put_varint(out, zigzag(n));
}

/// Bytes that [`put_varint`] uses for `n`.
pub fn varint_len(n: u64) -> usize {
    let bits = 64 - (n | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Signed to unsigned, small magnitudes to small numbers.
#[inline]
pub fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Reads fields from the front of untrusted bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte; `what` names the field in the error.
    pub fn u8(&mut self, what: &'static str) -> CodecResult<u8> {
        let (first, rest) = self.bytes.split_first().ok_or(CodecError::Truncated(what))?;
        self.bytes = rest;
        Ok(*first)
    }

    /// Eight little-endian bytes.
    pub fn u64_le(&mut self, what: &'static str) -> CodecResult<u64> {
        let (first, rest) = self.bytes.split_first_chunk::<8>().ok_or(CodecError::Truncated(what))?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*first))
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, what: &'static str) -> CodecResult<&'a [u8]> {
        let (first, rest) = self.bytes.split_at_checked(len).ok_or(CodecError::Truncated(what))?;
        self.bytes = rest;
        Ok(first)
    }

    /// A varint.
    pub fn varint(&mut self, what: &'static str) -> CodecResult<u64> {
        let mut n = 0u64;
        for (i, byte) in self.bytes.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && *byte > 1 {
                    return Err(CodecError::Invalid(what));
                }
                self.bytes = &self.bytes[i + 1..];
                return Ok(n);
            }
        }
        match self.bytes.len() {
            0..10 => Err(CodecError::Truncated(what)),
            _ => Err(CodecError::Invalid(what)),
        }
    }

    /// A zigzag varint.
    pub fn zigzag(&mut self, what: &'static str) -> CodecResult<i64> {
        Ok(unzigzag(self.varint(what)?))
    }

    /// A varint that counts something and may be at most `max`.
    pub fn count(&mut self, max: usize, what: &'static str) -> CodecResult<usize> {
        let n = self.varint(what)?;
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= max)
            .ok_or(CodecError::Invalid(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_bad_bytes_are_refused() {
        for n in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            assert_eq!(out.len(), varint_len(n), "{n}");
            assert_eq!(Reader::new(&out).varint("n"), Ok(n));
            assert_eq!(zigzag(unzigzag(n)), n);
            out.pop();
            assert_eq!(Reader::new(&out).varint("n"), Err(CodecError::Truncated("n")));
        }
        assert_eq!(Reader::new(&[0xff; 10]).varint("n"), Err(CodecError::Invalid("n")));
        let mut over = [0xff; 10];
        over[9] = 2;
        assert_eq!(Reader::new(&over).varint("n"), Err(CodecError::Invalid("n")));
        assert_eq!(Reader::new(&[5]).count(4, "n"), Err(CodecError::Invalid("n")));
    }
}
