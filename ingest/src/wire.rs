//! Protocol buffers read in place: fields come out as slices of the body, nothing is copied and nothing panics.
//!
//! Both dialects send small, old schemas, so a field walk with `match number` is shorter than generated code and lets
//! known series skip their labels. The texts are those of gogo/protobuf, which Loki and Mimir answer with.

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A length or a fixed-width value reaches past the end.
    #[error("unexpected EOF")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// Field number 0 or above 2^29 - 1.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    /// A wire type that no schema here uses (groups) or that does not exist.
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    /// A known field with another wire type than its schema has.
    #[error("proto: wrong wireType for field {0}")]
    Mismatch(&'static str),
}

/// A field's value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// Integers, booleans and enums.
    Varint(u64),
    /// Doubles and fixed 64-bit integers.
    Fixed64(u64),
    /// Strings, bytes and messages.
    Bytes(&'a [u8]),
    /// Floats and fixed 32-bit integers.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// A string, bytes or message field; `name` is told where it is something else.
    pub(crate) fn bytes(self, name: &'static str) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Mismatch(name)),
        }
    }

    /// An `int64` or `int32` field (negative values are ten bytes long, as in two's complement).
    pub(crate) fn int(self, name: &'static str) -> Result<i64, WireError> {
        match self {
            Value::Varint(value) => Ok(value as i64),
            _ => Err(WireError::Mismatch(name)),
        }
    }

    /// A `fixed64` field.
    pub(crate) fn fixed64(self, name: &'static str) -> Result<u64, WireError> {
        match self {
            Value::Fixed64(bits) => Ok(bits),
            _ => Err(WireError::Mismatch(name)),
        }
    }

    /// A `fixed32` field.
    pub(crate) fn fixed32(self, name: &'static str) -> Result<u32, WireError> {
        match self {
            Value::Fixed32(bits) => Ok(bits),
            _ => Err(WireError::Mismatch(name)),
        }
    }

    /// A `double` field, every bit kept (staleness markers are NaNs with a payload).
    pub(crate) fn double(self, name: &'static str) -> Result<f64, WireError> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::Mismatch(name)),
        }
    }
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `message`.
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Reader { message, position: 0 }
    }

    /// A reader behind the first `position` bytes, which must be whole fields.
    pub(crate) fn at(message: &'a [u8], position: usize) -> Self {
        Reader { message, position }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The next field, `None` at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.position >= self.message.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::Tag(number));
        }
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| WireError::Truncated)?;
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::Overflow)?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| WireError::Truncated)?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            other => return Err(WireError::WireType(other)),
        };
        Ok(Some((number as u32, value)))
    }

    /// The next number of a packed field, `None` at its end.
    pub(crate) fn next_varint(&mut self) -> Result<Option<u64>, WireError> {
        if self.position >= self.message.len() {
            return Ok(None);
        }
        self.varint().map(Some)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let end = self.position.checked_add(len).ok_or(WireError::Overflow)?;
        let bytes = self.message.get(self.position..end).ok_or(WireError::Truncated)?;
        self.position = end;
        Ok(bytes)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let first = *self.message.get(self.position).ok_or(WireError::Truncated)?;
        self.position += 1;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.long_varint(first)
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, WireError> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = *self.message.get(self.position).ok_or(WireError::Truncated)?;
            self.position += 1;
            // The tenth byte holds the one bit that is left of 64.
            if shift == 63 && byte > 1 {
                return Err(WireError::Overflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow)
    }
}

/// Appends a varint.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of a `sint32` or `sint64` field.
pub(crate) fn unzigzag(n: i64) -> i64 {
    ((n as u64) >> 1) as i64 ^ -(n & 1)
}

/// Bytes that a varint takes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a string, bytes or message field.
pub(crate) fn push_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    push_varint(out, u64::from(field) << 3 | 2);
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Writes messages for tests.
#[cfg(test)]
pub(crate) mod encode {
    pub(crate) use super::{push_bytes as bytes, push_varint as varint};

    pub(crate) fn int(out: &mut Vec<u8>, field: u32, value: i64) {
        varint(out, u64::from(field) << 3);
        varint(out, value as u64);
    }

    pub(crate) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
        varint(out, u64::from(field) << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn walk(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        let mut reader = Reader::new(message);
        let mut fields = Vec::new();
        while let Some(field) = reader.next()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn fields_come_back_as_they_were_written() {
        let mut message = Vec::new();
        encode::bytes(&mut message, 1, b"label");
        encode::int(&mut message, 2, -5);
        encode::double(&mut message, 300, f64::NEG_INFINITY);
        let fields = walk(&message).unwrap();
        assert_eq!(fields[0], (1, Value::Bytes(b"label")));
        assert_eq!(fields[1].1.int("f"), Ok(-5));
        assert_eq!(fields[2].0, 300);
        assert_eq!(fields[2].1.double("f"), Ok(f64::NEG_INFINITY));
        assert_eq!(fields[0].1.double("value"), Err(WireError::Mismatch("value")));
    }

    #[test]
    fn broken_messages_are_named() {
        for (message, expected) in [
            (&b"\x0a"[..], WireError::Truncated),
            (b"\x0a\x05abc", WireError::Truncated),
            (b"\x09\x00\x00", WireError::Truncated),
            (b"\x08\x80", WireError::Truncated),
            (b"\x00\x01", WireError::Tag(0)),
            (b"\x0b", WireError::WireType(3)),
            (b"\x0f", WireError::WireType(7)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", WireError::Overflow),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Overflow),
        ] {
            assert_eq!(walk(message), Err(expected), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&message);
        }
    }
}
