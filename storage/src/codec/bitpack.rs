//! Fixed-width bit packing.
//!
//! ```text
//! packed(width, n) = the low `width` bits of n numbers one after the other, least significant bit first,
//!                    in ceil(n * width / 8) bytes; unused bits of the last byte are 0
//! ```
//!
//! Groups of 64 numbers are unpacked by one loop per width whose shifts are constants, the rest number by number.

use super::error::{CodecError, CodecResult};

/// Bytes of `n` numbers of `width` bits.
pub fn packed_len(width: u32, n: usize) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `numbers` packed to `width` bits; higher bits are cut off.
pub fn pack(numbers: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = mask(width);
    let mut buffer = 0u128;
    let mut filled = 0u32;
    out.reserve(packed_len(width, numbers.len()));
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

/// Fills `out` from `bytes`, which must be exactly [`packed_len`] long.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) -> CodecResult<()> {
    if width > 64 || bytes.len() != packed_len(width, out.len()) {
        return Err(CodecError::Invalid("packed length"));
    }
    let group_bytes = width as usize * 8;
    let whole = out.len() / 64;
    let (groups, tail) = out.split_at_mut(whole * 64);
    let (group_input, tail_input) = bytes.split_at(whole * group_bytes);
    for (i, group) in groups.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        unpack_group(&group_input[i * group_bytes..(i + 1) * group_bytes], width, group);
    }
    unpack_tail(tail_input, width, tail);
    Ok(())
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

fn unpack_tail(bytes: &[u8], width: u32, out: &mut [u64]) {
    if width == 0 {
        out.fill(0);
        return;
    }
    let mask = mask(width);
    let mut buffer = 0u128;
    let mut filled = 0u32;
    let mut input = bytes;
    for number in out {
        if filled < width {
            let mut word = [0u8; 8];
            let n = input.len().min(8);
            word[..n].copy_from_slice(&input[..n]);
            input = &input[n..];
            buffer |= u128::from(u64::from_le_bytes(word)) << filled;
            filled += 64;
        }
        *number = buffer as u64 & mask;
        buffer >>= width;
        filled -= width;
    }
}

/// 64 numbers of `W` bits: with `W` known, all shifts and word indices are constants after unrolling.
#[inline(always)]
fn unpack_64<const W: usize>(bytes: &[u8], out: &mut [u64; 64]) {
    let mut words = [0u64; W];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    let mask = u64::MAX >> (64 - W);
    for (i, number) in out.iter_mut().enumerate() {
        let bit = i * W;
        let (word, shift) = (bit / 64, bit % 64);
        let mut value = words[word] >> shift;
        if shift + W > 64 {
            value |= words[word + 1] << (64 - shift);
        }
        *number = value & mask;
    }
}

macro_rules! unpack_by_width {
    ($bytes:expr, $width:expr, $out:expr, $($w:literal)*) => {
        match $width {
            0 => $out.fill(0),
            $($w => unpack_64::<$w>($bytes, $out),)*
            _ => unpack_tail($bytes, $width, $out),
        }
    };
}

/// Wider numbers are rare (full-range integers); they take the loop of the tail.
fn unpack_group(bytes: &[u8], width: u32, out: &mut [u64; 64]) {
    unpack_by_width!(bytes, width, out, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(width in 0u32..=64, numbers in proptest::collection::vec(any::<u64>(), 0..300)) {
            let numbers: Vec<u64> = numbers.into_iter().map(|n| n & mask(width)).collect();
            let mut bytes = Vec::new();
            pack(&numbers, width, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(width, numbers.len()));
            let mut out = vec![7; numbers.len()];
            prop_assert!(unpack(&bytes, width, &mut out).is_ok());
            prop_assert_eq!(out, numbers);
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert!(unpack(&[0; 3], 8, &mut [0; 4]).is_err());
        assert!(unpack(&[0; 5], 8, &mut [0; 4]).is_err());
        assert!(unpack(&[0; 65], 65, &mut [0; 8]).is_err());
    }
}
