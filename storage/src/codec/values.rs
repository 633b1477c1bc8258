//! Values of one series in a page: the kind that makes them smallest.
//!
//! ```text
//! head   = u8 kind << 4 | scale, fields of the kind
//!   kind 0        constant bits   u64 LE, nothing in the data
//!   kind 1..=6    decimals        varint exceptions, head of `ints`; kind - 1 is its form
//!   kind 7..=12   bucket          the same, kind - 7 is the form, scale 0; numbers are differences to the chunk before
//!   kind 13       raw             data is n * u64 LE
//!   kind 14       float           data is a pco page, see `floats`
//!   kind 15       near decimals   u8 method, u8 form, varint exceptions, head of `ints`
//!                                 method 3: u8 form, head of `ints` of the distances
//! data   = { varint gap, u64 LE bits } * exceptions, data of `ints`, method 3: data of `ints` of the distances
//! ```
//!
//! A decimal is `number / 10^scale` (see `decimal`). A near decimal is, by method: 1 `number * 10^-scale`; 2 `number / 1000`
//! as often as three goes into the scale, then `/ 10` for what is left; 3 the float whose bits are those of
//! `number / 10^scale` plus its distance, modulo 2^64. An exception replaces the value at its position by its bits; a
//! position is the gap plus the position before it plus 1, the first is the gap itself. A bucket's number is added to the
//! value of the chunk before it at the same row, taken as 0 where that value is not a whole number below 2^53 in magnitude.

use super::decimal::{self, MAX_SCALE, Method};
use super::error::{CodecError, CodecResult};
use super::floats::{self, FloatDecoder};
use super::ints::{self, Form, IntHead, IntScratch, Packing};
use super::varint::{Reader, put_varint};

const CONST_BITS: u8 = 0;
const DECIMALS: u8 = 1;
const BUCKET: u8 = DECIMALS + Form::COUNT;
const RAW: u8 = BUCKET + Form::COUNT;
const FLOAT: u8 = RAW + 1;
const NEAR: u8 = FLOAT + 1;
/// The method code of near decimals with distances, behind those of [`Method`].
const BY_DISTANCE: u8 = 3;

/// How one chunk's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueHead {
    /// Every value has these bits.
    ConstBits(u64),
    /// Decimals.
    Decimals {
        /// Power of ten.
        scale: u8,
        /// Whether the numbers are differences to the chunk before.
        bucket: bool,
        /// Values kept aside.
        exceptions: usize,
        /// The whole numbers.
        ints: IntHead,
    },
    /// Decimals that are not quotients.
    Near {
        /// Power of ten.
        scale: u8,
        /// How numbers become values; with distances it is [`Method::Divide`].
        method: Method,
        /// Values kept aside.
        exceptions: usize,
        /// The whole numbers.
        ints: IntHead,
        /// How far the values are from the quotients.
        distances: Option<IntHead>,
    },
    /// Bits as they are.
    Raw,
    /// By pco.
    Float,
}

impl ValueHead {
    /// Whether decoding needs the values of the chunk before.
    pub fn is_bucket(&self) -> bool {
        matches!(self, ValueHead::Decimals { bucket: true, .. })
    }

    /// Whether the head says everything, so that no length of data need be stored.
    pub fn has_no_data(&self) -> bool {
        match self {
            ValueHead::ConstBits(_) => true,
            ValueHead::Decimals { exceptions, ints, .. } => {
                *exceptions == 0 && matches!(ints.form, Form::Const | Form::Linear)
            }
            ValueHead::Near { .. } | ValueHead::Raw | ValueHead::Float => false,
        }
    }

    /// Appends the head.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            ValueHead::ConstBits(bits) => {
                out.push(CONST_BITS << 4);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            ValueHead::Decimals {
                scale,
                bucket,
                exceptions,
                ints,
            } => {
                let kind = if *bucket { BUCKET } else { DECIMALS } + ints.form as u8;
                out.push(kind << 4 | scale);
                put_varint(out, *exceptions as u64);
                ints.write(out);
            }
            ValueHead::Near {
                scale,
                method,
                exceptions,
                ints,
                distances,
            } => {
                out.push(NEAR << 4 | scale);
                out.push(if distances.is_some() {
                    BY_DISTANCE
                } else {
                    *method as u8
                });
                out.push(ints.form as u8);
                put_varint(out, *exceptions as u64);
                ints.write(out);
                if let Some(distances) = distances {
                    out.push(distances.form as u8);
                    distances.write(out);
                }
            }
            ValueHead::Raw => out.push(RAW << 4),
            ValueHead::Float => out.push(FLOAT << 4),
        }
    }

    /// Reads the head of a chunk of `rows` values.
    pub fn read(reader: &mut Reader<'_>, rows: usize) -> CodecResult<ValueHead> {
        let byte = reader.u8("value kind")?;
        let (kind, scale) = (byte >> 4, byte & 0xf);
        match kind {
            CONST_BITS => Ok(ValueHead::ConstBits(reader.u64_le("constant bits")?)),
            DECIMALS..RAW => {
                let bucket = kind >= BUCKET;
                let code = kind - if bucket { BUCKET } else { DECIMALS };
                let form = Form::from_code(code).ok_or(CodecError::Invalid("integer form"))?;
                if scale > if bucket { 0 } else { MAX_SCALE } {
                    return Err(CodecError::Invalid("decimal scale"));
                }
                let exceptions = reader.count(rows, "exception count")?;
                let ints = IntHead::read(form, reader)?;
                Ok(ValueHead::Decimals {
                    scale,
                    bucket,
                    exceptions,
                    ints,
                })
            }
            RAW => Ok(ValueHead::Raw),
            FLOAT => Ok(ValueHead::Float),
            NEAR => Self::read_near(scale, reader, rows),
            found => Err(CodecError::UnknownCodec {
                what: "value chunk",
                found,
            }),
        }
    }
}

impl ValueHead {
    fn read_near(scale: u8, reader: &mut Reader<'_>, rows: usize) -> CodecResult<ValueHead> {
        let code = reader.u8("decimal method")?;
        let method = match code {
            BY_DISTANCE => Some(Method::Divide),
            code => Method::from_code(code).filter(|m| *m != Method::Divide),
        };
        let method = method.ok_or(CodecError::UnknownCodec {
            what: "decimal method",
            found: code,
        })?;
        if scale > MAX_SCALE {
            return Err(CodecError::Invalid("decimal scale"));
        }
        let form = |reader: &mut Reader<'_>| {
            let code = reader.u8("integer form")?;
            Form::from_code(code).ok_or(CodecError::Invalid("integer form"))
        };
        let ints_form = form(reader)?;
        let exceptions = reader.count(rows, "exception count")?;
        let ints = IntHead::read(ints_form, reader)?;
        let distances = match code {
            BY_DISTANCE => {
                let form = form(reader)?;
                Some(IntHead::read(form, reader)?)
            }
            _ => None,
        };
        Ok(ValueHead::Near {
            scale,
            method,
            exceptions,
            ints,
            distances,
        })
    }
}

/// Buffers that encoding and decoding reuse.
#[derive(Debug, Default)]
pub struct ValueScratch {
    numbers: Vec<i64>,
    differences: Vec<i64>,
    exceptions: Vec<u32>,
    ints: IntScratch,
}

impl ValueScratch {
    /// See [`IntScratch::entropy_coded`].
    pub fn entropy_coded(&self) -> (usize, usize) {
        self.ints.entropy_coded()
    }
}

/// Appends the data of `values` to `data` and returns the head. `previous` holds the values of the bucket before, where
/// there is one with as many rows. [`ValueHead::Float`] means that nothing was appended and the caller is to compress the
/// values by `floats` with those of the page's other float chunks.
pub fn encode(
    values: &[f64],
    previous: Option<&[f64]>,
    packing: Packing,
    scratch: &mut ValueScratch,
    data: &mut Vec<u8>,
) -> ValueHead {
    let ValueScratch {
        numbers,
        differences,
        exceptions,
        ints,
    } = scratch;
    let start = data.len();
    // Most series of most fleets are constant over an hour.
    let constant = values.iter().all(|v| v.to_bits() == values[0].to_bits());
    let tested = if constant {
        &values[..values.len().min(1)]
    } else {
        values
    };
    let Some(scale) = decimal::to_integers(tested, numbers, exceptions) else {
        return match values.first() {
            Some(first) if constant => ValueHead::ConstBits(first.to_bits()),
            _ => encode_near(values, packing, scratch, data).unwrap_or(ValueHead::Float),
        };
    };
    write_exceptions(values, exceptions, data);
    let numbers_start = data.len();
    let mut head = ValueHead::Decimals {
        scale,
        bucket: false,
        exceptions: exceptions.len(),
        ints: ints::encode(numbers, packing, ints, data),
    };
    if let Some(previous) =
        previous.filter(|p| !constant && scale == 0 && p.len() == values.len() && !head.has_no_data())
    {
        differences.clear();
        differences.extend(
            numbers
                .iter()
                .zip(previous)
                .map(|(n, p)| n.wrapping_sub(bucket_base(*p))),
        );
        // Exceptions take no part in the value, so they are free to repeat the difference before them.
        for row in exceptions.iter() {
            let row = *row as usize;
            differences[row] = if row > 0 {
                differences[row - 1]
            } else {
                differences.get(1).copied().unwrap_or(0)
            };
        }
        let plain_end = data.len();
        let difference_head = ints::encode(differences, packing, ints, data);
        if data.len() - plain_end < plain_end - numbers_start {
            data.drain(numbers_start..plain_end);
            head = ValueHead::Decimals {
                scale,
                bucket: true,
                exceptions: exceptions.len(),
                ints: difference_head,
            };
        } else {
            data.truncate(plain_end);
        }
    }
    if data.len() - start > values.len() * 8 {
        data.truncate(start);
        head = ValueHead::Raw;
        write_raw(values, data);
    }
    head
}

/// As [`encode`] for values that are not quotients; `None`, and nothing appended, where they are no other decimals either.
fn encode_near(values: &[f64], packing: Packing, scratch: &mut ValueScratch, data: &mut Vec<u8>) -> Option<ValueHead> {
    let ValueScratch {
        numbers,
        differences,
        exceptions,
        ints,
    } = scratch;
    for method in [Method::Multiply, Method::Thousands] {
        if let Some(scale) = decimal::to_integers_by(method, values, numbers, exceptions) {
            write_exceptions(values, exceptions, data);
            return Some(ValueHead::Near {
                scale,
                method,
                exceptions: exceptions.len(),
                ints: ints::encode(numbers, packing, ints, data),
                distances: None,
            });
        }
    }
    let scale = decimal::to_near_integers(values, numbers, differences, exceptions)?;
    write_exceptions(values, exceptions, data);
    Some(ValueHead::Near {
        scale,
        method: Method::Divide,
        exceptions: exceptions.len(),
        ints: ints::encode(numbers, packing, ints, data),
        distances: Some(ints::encode(differences, packing, ints, data)),
    })
}

/// Appends the bits of `values` as they are.
pub fn write_raw(values: &[f64], data: &mut Vec<u8>) {
    data.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
}

fn write_exceptions(values: &[f64], exceptions: &[u32], data: &mut Vec<u8>) {
    let mut next = 0;
    for row in exceptions {
        put_varint(data, u64::from(row - next));
        data.extend_from_slice(&values[*row as usize].to_bits().to_le_bytes());
        next = row + 1;
    }
}

/// What a bucket's difference is added to.
#[inline]
fn bucket_base(value: f64) -> i64 {
    decimal::to_integer(value, 0).unwrap_or(0)
}

/// Replaces `out` by the `rows` values of a chunk. `previous` are the values of the chunk before, asked for by
/// [`ValueHead::is_bucket`]; `floats` the page's float decoder, if it has one.
pub fn decode(
    head: &ValueHead,
    data: &[u8],
    rows: usize,
    previous: &[f64],
    floats: Option<&mut FloatDecoder>,
    scratch: &mut ValueScratch,
    out: &mut Vec<f64>,
) -> CodecResult<()> {
    out.clear();
    match head {
        ValueHead::ConstBits(bits) => out.resize(rows, f64::from_bits(*bits)),
        ValueHead::Raw => {
            let (words, rest) = data.as_chunks::<8>();
            if words.len() != rows || !rest.is_empty() {
                return Err(CodecError::Invalid("raw values"));
            }
            out.extend(words.iter().map(|w| f64::from_bits(u64::from_le_bytes(*w))));
        }
        ValueHead::Float => {
            let decoder = floats.ok_or(CodecError::Invalid("float chunk in a page without floats"))?;
            floats::decode(decoder, data, rows, out)?;
        }
        ValueHead::Decimals {
            scale,
            bucket,
            exceptions,
            ints,
        } => {
            let (mut reader, exceptions) = split_exceptions(data, *exceptions)?;
            let numbers = &mut scratch.numbers;
            numbers.resize(rows, 0);
            ints::decode(ints, &mut reader, &mut scratch.ints, numbers)?;
            if *bucket {
                if previous.len() != rows {
                    return Err(CodecError::Invalid("rows of a bucket"));
                }
                for (number, previous) in numbers.iter_mut().zip(previous) {
                    *number = number.wrapping_add(bucket_base(*previous));
                }
            }
            decimal::from_integers(numbers, *scale, out);
            exceptions.apply(out)?;
        }
        ValueHead::Near {
            scale,
            method,
            exceptions,
            ints,
            distances,
        } => {
            let (mut reader, exceptions) = split_exceptions(data, *exceptions)?;
            let numbers = &mut scratch.numbers;
            numbers.resize(rows, 0);
            ints::decode(ints, &mut reader, &mut scratch.ints, numbers)?;
            out.extend(numbers.iter().map(|m| method.value(*m, *scale)));
            if let Some(distances) = distances {
                ints::decode(distances, &mut reader, &mut scratch.ints, numbers)?;
                for (value, distance) in out.iter_mut().zip(numbers) {
                    *value = f64::from_bits(value.to_bits().wrapping_add_signed(*distance));
                }
            }
            exceptions.apply(out)?;
        }
    }
    Ok(())
}

/// Exceptions lie before the numbers, but are applied after them.
struct Exceptions<'a> {
    reader: Reader<'a>,
    count: usize,
}

fn split_exceptions(data: &[u8], count: usize) -> CodecResult<(Reader<'_>, Exceptions<'_>)> {
    let mut reader = Reader::new(data);
    let exceptions = Exceptions {
        reader: reader.clone(),
        count,
    };
    for _ in 0..count {
        reader.varint("exception gap")?;
        reader.u64_le("exception")?;
    }
    Ok((reader, exceptions))
}

impl Exceptions<'_> {
    fn apply(mut self, out: &mut [f64]) -> CodecResult<()> {
        let mut next = 0usize;
        for _ in 0..self.count {
            let row = next + self.reader.count(out.len(), "exception gap")?;
            let bits = self.reader.u64_le("exception")?;
            *out.get_mut(row).ok_or(CodecError::Invalid("exception position"))? = f64::from_bits(bits);
            next = row + 1;
        }
        Ok(())
    }
}
