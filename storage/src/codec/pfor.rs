//! Patched frame of reference: unsigned numbers in blocks of 128, each packed to the width that makes it smallest.
//!
//! ```text
//! pfor(n) = block of 128 numbers * , last block of the rest
//! block   = u8 width (0..=64), bit 7 set where a base follows
//!           u8 patches
//!           [varint base]
//!           packed(width, numbers of the block)            see `bitpack`
//!           u8 position * patches                          strictly ascending
//!           varint high * patches                          bits above `width` of the number at that position
//! number  = base + (packed | high << width)                modulo 2^64
//! ```

pub use super::bitpack::BLOCK_ROWS;
use super::bitpack::{pack, packed_len, unpack};
use super::error::{CodecError, CodecResult};
use super::varint::{Reader, put_varint, varint_len};

const HAS_BASE: u8 = 0x80;

/// How one block is packed, and the bytes it takes.
#[derive(Clone, Copy, Debug)]
pub struct BlockPlan {
    width: u32,
    base: u64,
    cost_bytes: usize,
}

/// Replaces `plans` by how the blocks of `numbers` are packed best; gives the bytes they take.
pub fn plan(numbers: &[u64], plans: &mut Vec<BlockPlan>) -> usize {
    plans.clear();
    plans.extend(numbers.chunks(BLOCK_ROWS).map(plan_block));
    plans.iter().map(|plan| plan.cost_bytes).sum()
}

/// Bytes that [`encode`] appends for `numbers`.
pub fn cost_bytes(numbers: &[u64]) -> usize {
    numbers
        .chunks(BLOCK_ROWS)
        .map(|block| plan_block(block).cost_bytes)
        .sum()
}

/// Appends `numbers`.
pub fn encode(numbers: &[u64], out: &mut Vec<u8>) {
    for block in numbers.chunks(BLOCK_ROWS) {
        encode_block(block, plan_block(block), out);
    }
}

/// Appends `numbers` by the plans that [`plan`] made of them.
pub fn encode_planned(numbers: &[u64], plans: &[BlockPlan], out: &mut Vec<u8>) {
    for (block, plan) in numbers.chunks(BLOCK_ROWS).zip(plans) {
        encode_block(block, *plan, out);
    }
}

fn encode_block(block: &[u64], plan: BlockPlan, out: &mut Vec<u8>) {
    let BlockPlan { width, base, .. } = plan;
    let mut shifted = [0u64; BLOCK_ROWS];
    let shifted = &mut shifted[..block.len()];
    for (to, from) in shifted.iter_mut().zip(block) {
        *to = from - base;
    }
    let above = |n: u64| n.checked_shr(width).unwrap_or(0);
    let patches = shifted.iter().filter(|n| above(**n) != 0).count();
    out.push(width as u8 | if base > 0 { HAS_BASE } else { 0 });
    out.push(patches as u8);
    if base > 0 {
        put_varint(out, base);
    }
    pack(shifted, width, out);
    if patches == 0 {
        return;
    }
    let patched = || shifted.iter().enumerate().filter(|(_, n)| above(**n) != 0);
    out.extend(patched().map(|(i, _)| i as u8));
    for (_, n) in patched() {
        put_varint(out, above(*n));
    }
}

/// Fills `out` from the front of `reader`.
pub fn decode(reader: &mut Reader<'_>, out: &mut [u64]) -> CodecResult<()> {
    for block in out.chunks_mut(BLOCK_ROWS) {
        decode_block(reader, block)?;
    }
    Ok(())
}

fn decode_block(reader: &mut Reader<'_>, block: &mut [u64]) -> CodecResult<()> {
    let head = reader.u8("block width")?;
    let patches = reader.u8("patch count")? as usize;
    let base = if head & HAS_BASE != 0 {
        reader.varint("block base")?
    } else {
        0
    };
    let width = u32::from(head & !HAS_BASE);
    if width > 64 || patches > block.len() || (width == 64 && patches > 0) {
        return Err(CodecError::Invalid("block head"));
    }
    unpack(
        reader.take(packed_len(width, block.len()), "packed numbers")?,
        width,
        block,
    )?;
    for position in reader.take(patches, "patch positions")? {
        let high = reader.varint("patch")?;
        let number = block
            .get_mut(*position as usize)
            .ok_or(CodecError::Invalid("patch position"))?;
        *number |= high << width;
    }
    if base > 0 {
        for number in block {
            *number = number.wrapping_add(base);
        }
    }
    Ok(())
}

fn plan_block(block: &[u64]) -> BlockPlan {
    let plain = plan_above(block, 0);
    let base = block.iter().copied().min().unwrap_or(0);
    // A base of 0 or 1 saves nothing; zigzagged noise around zero, the usual case, ends here.
    if base < 2 {
        return plain;
    }
    let based = plan_above(block, base);
    if based.cost_bytes < plain.cost_bytes {
        based
    } else {
        plain
    }
}

/// Bytes of a patch whose number has this many bits above the width: a position and a varint.
const PATCH_BYTES: [u8; 65] = {
    let mut bytes = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        bytes[bits] = 1 + bits.div_ceil(7) as u8;
        bits += 1;
    }
    bytes
};

fn plan_above(block: &[u64], base: u64) -> BlockPlan {
    // How many numbers have so many bits, and which counts are not 0. Neighbours mostly have equally many, and a count that
    // is changed again at once waits for itself, so they count in turn.
    let mut counts = [[0u8; 65]; 4];
    let (mut largest, mut smallest) = (0, u64::MAX);
    for row in block.chunks(4) {
        for (n, counts) in row.iter().zip(&mut counts) {
            let n = n - base;
            counts[64 - n.leading_zeros() as usize] += 1;
            largest |= n;
            smallest = smallest.min(n);
        }
    }
    let bits = |n: u64| 64 - n.leading_zeros() as usize;
    let mut count_by_bits = [0u32; 65];
    let mut used = 0u128;
    for at in bits(smallest.min(largest))..=bits(largest) {
        let count = counts.iter().map(|c| u32::from(c[at])).sum();
        count_by_bits[at] = count;
        used |= u128::from(count > 0) << at;
    }
    let fixed_bytes = 2 + if base > 0 { varint_len(base) } else { 0 };
    let mut best = BlockPlan {
        width: 64,
        base,
        cost_bytes: usize::MAX,
    };
    // Only a width that some number has can be best: a wider one adds bits to all and patches none less. From the widest
    // down the patches only grow, so it can stop where they alone cost more than the best so far.
    let mut candidates = used;
    while candidates != 0 {
        let width = 127 - candidates.leading_zeros();
        candidates &= !(1 << width);
        let mut patched = used >> width >> 1;
        let mut patch_bytes = 0;
        while patched != 0 {
            let above = patched.trailing_zeros() + 1;
            patched &= patched - 1;
            patch_bytes += count_by_bits[(width + above) as usize] as usize * usize::from(PATCH_BYTES[above as usize]);
        }
        let cost_bytes = fixed_bytes + packed_len(width, block.len()) + patch_bytes;
        if cost_bytes < best.cost_bytes {
            best.width = width;
            best.cost_bytes = cost_bytes;
        } else if patch_bytes >= best.cost_bytes {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let number = (0u32..=64, any::<u64>()).prop_map(|(bits, n)| n.checked_shr(64 - bits).unwrap_or(0));
        let alike =
            (0u32..=64, any::<u64>(), 0u64..9).prop_map(|(shift, base, _)| base.checked_shr(shift).unwrap_or(0));
        prop_oneof![
            proptest::collection::vec(number, 0..400),
            (alike, proptest::collection::vec(0u64..1000, 0..400))
                .prop_map(|(base, n)| n.into_iter().map(|n| base.saturating_add(n)).collect()),
        ]
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_cost_what_was_said(numbers in numbers()) {
            let mut bytes = Vec::new();
            encode(&numbers, &mut bytes);
            prop_assert_eq!(bytes.len(), cost_bytes(&numbers));
            let mut out = vec![0; numbers.len()];
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(decode(&mut reader, &mut out), Ok(()));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(out, numbers);
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..300) {
            let mut out = vec![0; n];
            let _ = decode(&mut Reader::new(&bytes), &mut out);
        }
    }

    #[test]
    fn an_outlier_is_patched_and_a_common_offset_is_taken_out() {
        let mut numbers: Vec<u64> = (0..128).map(|i| i % 4).collect();
        numbers[77] = 1 << 40;
        assert!(cost_bytes(&numbers) <= 2 + 32 + 1 + 6);
        let offset: Vec<u64> = (0..128).map(|i| 1_000_000 + i % 4).collect();
        assert!(cost_bytes(&offset) <= 2 + 32 + 3);
    }
}
