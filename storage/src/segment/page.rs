//! The columns of pages, by codec id. See FORMAT.md, "Codecs".
//!
//! A column is decoded knowing its page's row and chunk counts, which the directory gives; a codec checks that the bytes
//! hold exactly that.

use super::bytes::{Broken, Cursor, Parsed, pack, put_slice, put_varint, put_zigzag, unpack};
use crate::model::Labels;

/// Codec 1 of every column: plain numbers or bytes under zstd-1.
pub(super) const CODEC_SIMPLE: u8 = 1;

const UNKNOWN: Broken = Broken("page (a codec this garner does not read; run a newer one)");

/// Most bytes a varint takes.
const VARINT_BYTES: usize = 10;

/// Times of a page: `chunk_rows` says where series begin anew. Each chunk: first time, then differences.
pub(super) fn encode_times(chunk_rows: &[u32], times: &[i64]) -> (u8, Vec<u8>) {
    let mut raw = Vec::with_capacity(times.len() * 3);
    let mut rest = times;
    for rows in chunk_rows {
        let (own, next) = rest.split_at((*rows as usize).min(rest.len()));
        rest = next;
        let mut previous = 0i64;
        for time in own {
            put_zigzag(&mut raw, time.wrapping_sub(previous));
            previous = *time;
        }
    }
    (CODEC_SIMPLE, pack(&raw, 1))
}

pub(super) fn decode_times(codec: u8, bytes: &[u8], chunk_rows: &[u32], rows: u32) -> Parsed<Vec<i64>> {
    const WHAT: &str = "time column";
    if codec != CODEC_SIMPLE {
        return Err(UNKNOWN);
    }
    let raw = unpack(bytes, rows as usize * VARINT_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let mut out = Vec::with_capacity(rows as usize);
    for rows in chunk_rows {
        let mut previous = 0i64;
        for _ in 0..*rows {
            previous = previous.wrapping_add(cursor.zigzag()?);
            out.push(previous);
        }
    }
    cursor.end()?;
    Ok(out)
}

/// Values of a page: their bits, little endian.
pub(super) fn encode_values(_chunk_rows: &[u32], values: &[f64]) -> (u8, Vec<u8>) {
    let mut raw = Vec::with_capacity(values.len() * 8);
    for value in values {
        raw.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    (CODEC_SIMPLE, pack(&raw, 1))
}

pub(super) fn decode_values(codec: u8, bytes: &[u8], _chunk_rows: &[u32], rows: u32) -> Parsed<Vec<f64>> {
    const WHAT: &str = "value column";
    if codec != CODEC_SIMPLE {
        return Err(UNKNOWN);
    }
    let raw = unpack(bytes, rows as usize * 8, WHAT)?;
    if raw.len() != rows as usize * 8 {
        return Err(Broken(WHAT));
    }
    let bits = |b: &[u8]| f64::from_bits(b.iter().rev().fold(0u64, |n, byte| (n << 8) | u64::from(*byte)));
    Ok(raw.chunks_exact(8).map(bits).collect())
}

/// Small numbers, one a row: line lengths and metadata codes.
pub(super) fn encode_numbers(numbers: &[u32]) -> (u8, Vec<u8>) {
    let mut raw = Vec::with_capacity(numbers.len() * 2);
    for number in numbers {
        put_varint(&mut raw, u64::from(*number));
    }
    (CODEC_SIMPLE, pack(&raw, 1))
}

pub(super) fn decode_numbers(codec: u8, bytes: &[u8], rows: u32) -> Parsed<Vec<u32>> {
    const WHAT: &str = "number column";
    if codec != CODEC_SIMPLE {
        return Err(UNKNOWN);
    }
    let raw = unpack(bytes, rows as usize * VARINT_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let mut out = Vec::with_capacity(rows as usize);
    for _ in 0..rows {
        out.push(cursor.varint_u32()?);
    }
    cursor.end()?;
    Ok(out)
}

/// All lines, one after the other.
pub(super) fn encode_lines(lines: &[u8]) -> (u8, Vec<u8>) {
    (CODEC_SIMPLE, pack(lines, 1))
}

pub(super) fn decode_lines(codec: u8, bytes: &[u8], line_bytes: u64) -> Parsed<Vec<u8>> {
    const WHAT: &str = "line column";
    if codec != CODEC_SIMPLE {
        return Err(UNKNOWN);
    }
    let expected = usize::try_from(line_bytes).map_err(|_| Broken(WHAT))?;
    let raw = unpack(bytes, expected, WHAT)?;
    if raw.len() != expected {
        return Err(Broken(WHAT));
    }
    Ok(raw)
}

/// Distinct metadata sets, in canonical bytes.
pub(super) fn encode_sets(sets: &[Labels]) -> (u8, Vec<u8>) {
    let mut raw = Vec::new();
    put_varint(&mut raw, sets.len() as u64);
    for set in sets {
        put_slice(&mut raw, set.as_bytes());
    }
    (CODEC_SIMPLE, pack(&raw, 1))
}

pub(super) fn decode_sets(codec: u8, bytes: &[u8]) -> Parsed<Vec<Labels>> {
    const WHAT: &str = "metadata sets";
    if codec != CODEC_SIMPLE {
        return Err(UNKNOWN);
    }
    let raw = unpack(bytes, super::bytes::MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(1)?;
    let mut sets = Vec::with_capacity(count);
    for _ in 0..count {
        sets.push(Labels::from_canonical(cursor.slice()?).map_err(|_| Broken(WHAT))?);
    }
    cursor.end()?;
    Ok(sets)
}
