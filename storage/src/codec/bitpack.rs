//! Fixed-width bit packing, in a layout that unpacks by vector instructions.
//!
//! ```text
//! packed(width, n)   = a full block where n is 128, a short one otherwise
//! full, width <= 32  = four lanes of 32-bit words side by side: word j of lane l is the little-endian u32 at byte
//!                      16 j + 4 l, and number i lies in lane i % 4 at bit (i / 4) * width of that lane's words
//! full, width > 32   = a full block of the low 32 bits, then one of the width - 32 bits above them
//! short              = the numbers one after the other, least significant bit first; unused bits of the last byte are 0
//! ```
//!
//! Both take `ceil(n * width / 8)` bytes. In a full block four neighbours are shifted by the same amount, so that one
//! loop per width with constant shifts compiles to four numbers an instruction on any x86-64 or AArch64.

use super::error::{CodecError, CodecResult};

/// Numbers of a full block.
pub const BLOCK_ROWS: usize = 128;

/// Numbers that share a shift.
const LANES: usize = 4;
const LANE_ROWS: usize = BLOCK_ROWS / LANES;
const LANE_WORD_BYTES: usize = LANES * 4;

/// Bytes of `n` numbers of `width` bits.
pub fn packed_len(width: u32, n: usize) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `numbers` (at most [`BLOCK_ROWS`]) packed to `width` bits; higher bits are cut off.
pub fn pack(numbers: &[u64], width: u32, out: &mut Vec<u8>) {
    debug_assert!(numbers.len() <= BLOCK_ROWS && width <= 64);
    match <&[u64; BLOCK_ROWS]>::try_from(numbers) {
        Ok(block) if width > 32 => {
            pack_lanes(block, 0, 32, out);
            pack_lanes(block, 32, width - 32, out);
        }
        Ok(block) => pack_lanes(block, 0, width, out),
        Err(_) => pack_short(numbers, width, out),
    }
}

/// `width` bits of each number from bit `from` on.
fn pack_lanes(block: &[u64; BLOCK_ROWS], from: u32, width: u32, out: &mut Vec<u8>) {
    let mask = mask(width) as u32;
    let mut filled = 0u32;
    let mut words = [0u32; LANES];
    for row in block.as_chunks::<LANES>().0 {
        let row = row.map(|n| (n >> from) as u32 & mask);
        for (word, n) in words.iter_mut().zip(row) {
            *word |= n << filled;
        }
        filled += width;
        if filled >= 32 {
            out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
            filled -= 32;
            // What of each number did not fit the word that is now written.
            words = row.map(|n| if filled == 0 { 0 } else { n >> (width - filled) });
        }
    }
}

fn pack_short(numbers: &[u64], width: u32, out: &mut Vec<u8>) {
    let mask = mask(width);
    let (mut buffer, mut filled) = (0u128, 0u32);
    for n in numbers {
        buffer |= u128::from(n & mask) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(buffer as u64).to_le_bytes());
            buffer >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(buffer as u64).to_le_bytes()[..(filled as usize).div_ceil(8)]);
}

/// Fills `out` (at most [`BLOCK_ROWS`]) from `bytes`, which must be exactly [`packed_len`] long.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) -> CodecResult<()> {
    if width > 64 || out.len() > BLOCK_ROWS || bytes.len() != packed_len(width, out.len()) {
        return Err(CodecError::Invalid("packed length"));
    }
    match <&mut [u64; BLOCK_ROWS]>::try_from(&mut *out) {
        Ok(block) if width > 32 => {
            let (low, high) = bytes.split_at(packed_len(32, BLOCK_ROWS));
            let mut numbers = [0u32; BLOCK_ROWS];
            unpack_width(low, 32, &mut numbers);
            for (out, n) in block.iter_mut().zip(&numbers) {
                *out = u64::from(*n);
            }
            unpack_width(high, width - 32, &mut numbers);
            for (out, n) in block.iter_mut().zip(&numbers) {
                *out |= u64::from(*n) << 32;
            }
        }
        Ok(block) => {
            let mut numbers = [0u32; BLOCK_ROWS];
            unpack_width(bytes, width, &mut numbers);
            for (out, n) in block.iter_mut().zip(&numbers) {
                *out = u64::from(*n);
            }
        }
        Err(_) => unpack_short(bytes, width, out),
    }
    Ok(())
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

/// Each number by one unaligned load, where it spans at most eight bytes.
fn unpack_short(bytes: &[u8], width: u32, out: &mut [u64]) {
    const PADDING: usize = 16;
    let mut padded = [0u8; BLOCK_ROWS * 8 + PADDING];
    padded[..bytes.len()].copy_from_slice(bytes);
    let mask = mask(width);
    let mut bit = 0usize;
    for number in out {
        let from = bit / 8;
        // Never beyond the padding: the last number starts inside `bytes`, or `width` is 0.
        let word = padded.get(from..).and_then(<[u8]>::first_chunk::<8>);
        let low = word.map_or(0, |w| u64::from_le_bytes(*w)) >> (bit % 8);
        let high = match bit % 8 + width as usize > 64 {
            true => u64::from(padded[from + 8]) << (64 - bit % 8),
            false => 0,
        };
        *number = (low | high) & mask;
        bit += width as usize;
    }
}

/// A full block of `W` bits: with `W` known, all shifts and word positions are constants after unrolling.
#[inline(always)]
fn unpack_lanes<const W: usize>(bytes: &[u8], out: &mut [u32; BLOCK_ROWS]) {
    let Some(bytes) = bytes.get(..W * LANE_WORD_BYTES) else {
        return;
    };
    let mut words = [[0u32; LANES]; W];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<LANE_WORD_BYTES>().0) {
        for (lane, bytes) in word.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *lane = u32::from_le_bytes(*bytes);
        }
    }
    let mask = u32::MAX >> (32 - W);
    for row in 0..LANE_ROWS {
        let (word, shift) = (row * W / 32, row * W % 32);
        for lane in 0..LANES {
            let mut n = words[word][lane] >> shift;
            if shift + W > 32 {
                n |= words[word + 1][lane] << (32 - shift);
            }
            out[row * LANES + lane] = n & mask;
        }
    }
}

macro_rules! unpack_by_width {
    ($bytes:expr, $width:expr, $out:expr, $($w:literal)*) => {
        match $width {
            $($w => unpack_lanes::<$w>($bytes, $out),)*
            _ => $out.fill(0),
        }
    };
}

/// `width` is at most 32; of 0 bits all numbers are 0.
fn unpack_width(bytes: &[u8], width: u32, out: &mut [u32; BLOCK_ROWS]) {
    unpack_by_width!(bytes, width, out, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(width: u32, numbers: Vec<u64>) {
        let numbers: Vec<u64> = numbers.into_iter().map(|n| n & mask(width)).collect();
        let mut bytes = Vec::new();
        pack(&numbers, width, &mut bytes);
        assert_eq!(bytes.len(), packed_len(width, numbers.len()));
        let mut out = vec![7; numbers.len()];
        assert!(unpack(&bytes, width, &mut out).is_ok());
        assert_eq!(out, numbers);
    }

    proptest! {
        #[test]
        fn numbers_come_back(width in 0u32..=64, numbers in proptest::collection::vec(any::<u64>(), 0..=BLOCK_ROWS)) {
            round_trip(width, numbers);
        }

        #[test]
        fn full_blocks_come_back(width in 0u32..=64, numbers in proptest::collection::vec(any::<u64>(), BLOCK_ROWS)) {
            round_trip(width, numbers);
        }
    }

    /// The layout is part of the format: neighbours lie in neighbouring words.
    #[test]
    fn four_neighbours_share_a_place_in_their_lanes() {
        let mut numbers = [0u64; BLOCK_ROWS];
        numbers[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut bytes = Vec::new();
        pack(&numbers, 8, &mut bytes);
        let mut expected = vec![0; 128];
        expected[..16].copy_from_slice(&[1, 5, 0, 0, 2, 6, 0, 0, 3, 7, 0, 0, 4, 8, 0, 0]);
        assert_eq!(bytes, expected);
        bytes.clear();
        pack(&numbers[..3], 8, &mut bytes);
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert!(unpack(&[0; 3], 8, &mut [0; 4]).is_err());
        assert!(unpack(&[0; 5], 8, &mut [0; 4]).is_err());
        assert!(unpack(&[0; 65], 65, &mut [0; 8]).is_err());
        assert!(unpack(&[0; 129], 8, &mut [0; 129]).is_err());
    }
}
