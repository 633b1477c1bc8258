//! Unsigned numbers at about the length of their information: the high bits of each by an entropy coder, those below as
//! they are.
//!
//! ```text
//! entropy(n) = u8 low                           bits of a number below its symbol, at most 60
//!              u8 symbols (1..=16), bit 7 set where the last symbol stands for all above too
//!              pfor(share * symbols)            64 in all; 0 of a symbol that does not occur
//!              u64 LE state * 4
//!              varint words, u32 LE * words
//!              packed(low, numbers) in blocks of 128, without its first 16 bytes        see `bitpack`
//!              varint above * numbers of the last symbol, where it stands for all above
//! number     = (symbol + above) << low | low bits                       modulo 2^64
//! ```
//!
//! The coder is rANS (J. Duda, "Asymmetric numeral systems", arXiv:1311.2540) in states from 2^32 to 2^64. Numbers come in
//! rounds of 16, of which state j gives number 4j to 4j + 3; those behind the last are left out. The symbols' shares, laid
//! one after the other, cover 64 slots. A state gives two numbers at once: the first has the symbol at slot
//! `state >> 6 mod 64`, the second that at `state mod 64`, and the state becomes
//! `share1 * share2 * (state >> 12) + rank1 * share2 + rank2`, a rank being how far the slot is from the first of its
//! symbol. A state that is below 2^32 after its four numbers of a round is then shifted up by the next word. States end at
//! 2^32 plus four bytes each, little endian: the first 16 of the low bits, filled up with zeros.
//!
//! Packing to whole bits costs up to half a bit a number, and two or three bytes a block; this coder costs a few hundredths
//! of a bit and 30 bytes in all, but about 0.8 ns a number more to decode. Compaction writes it, a flush does not.

use super::bitpack::{BLOCK_ROWS, pack, packed_len, unpack};
use super::error::{CodecError, CodecResult};
use super::pfor;
use super::varint::{Reader, put_varint};

/// Bits of a symbol. Two symbols and their shares fit a table entry of 32 bits.
const SYMBOL_BITS: u32 = 4;
const MAX_SYMBOLS: usize = 1 << SYMBOL_BITS;
const MAX_LOW_BITS: u32 = 64 - SYMBOL_BITS;
/// Shares of symbols are of 2^6; two symbols are decoded at a time, by the product of their shares.
const PRECISION: u32 = 6;
const SLOTS: usize = 1 << PRECISION;
const PAIR_PRECISION: u32 = 2 * PRECISION;
const PAIR_SLOTS: usize = SLOTS * SLOTS;
const PAIR_MASK: u64 = PAIR_SLOTS as u64 - 1;
const ESCAPES: u8 = 0x80;
const STATES: usize = 4;
const OF_STATE: usize = 4;
const ROUND: usize = STATES * OF_STATE;
/// States lie from here on.
const LOWEST_STATE: u64 = 1 << 32;
/// Bytes that states carry besides the symbols: where coding starts, their lower half is free.
const CARRIED_BYTES: usize = STATES * 4;
/// Of a block of low bits.
const MAX_BLOCK_BYTES: usize = BLOCK_ROWS / 8 * MAX_LOW_BITS as usize;
/// So many bits may be taken of a state before it is filled up: those of its numbers in a round must not be more.
const _: () = assert!(OF_STATE as u32 * PRECISION <= 32);
/// A shorter sequence would take longer to lay its table out than to decode, and lose its gain to shares and states.
const MIN_NUMBERS: usize = 1024;
/// Of so many numbers one may be above the symbols.
const NUMBERS_PER_ESCAPE: u32 = 32;

/// How numbers are split into symbols and low bits, and what they cost so.
#[derive(Clone, Copy, Debug)]
pub struct EntropyPlan {
    low: u32,
    /// Whether the last symbol stands for all above too.
    escapes: bool,
    symbols: usize,
    shares: [u8; MAX_SYMBOLS],
    /// Bytes that [`encode`] will append, about.
    pub cost_bytes: usize,
}

/// Numbers by their length in bits and the three bits behind the first: enough to know the symbols at any split.
type Lengths = [[u32; 8]; 65];

/// The best plan for `numbers`; `None` where there are too few.
pub fn plan(numbers: &[u64]) -> Option<EntropyPlan> {
    if numbers.len() < MIN_NUMBERS {
        return None;
    }
    let lengths = lengths(numbers);
    let total = |bits: usize| lengths[bits].iter().sum::<u32>();
    let longest = (0..=64).rev().find(|bits| total(*bits) > 0).unwrap_or(0);
    let mut above = 0;
    let mut best: Option<EntropyPlan> = None;
    for bits in (SYMBOL_BITS as usize..=longest.max(SYMBOL_BITS as usize)).rev() {
        let plan = plan_at(&lengths, bits, longest, numbers.len());
        if best.is_none_or(|b| plan.cost_bytes < b.cost_bytes) {
            best = Some(plan);
        }
        above += total(bits);
        if above > numbers.len() as u32 / NUMBERS_PER_ESCAPE {
            break;
        }
    }
    best
}

fn lengths(numbers: &[u64]) -> Lengths {
    let mut lengths: Lengths = [[0; 8]; 65];
    for n in numbers {
        let bits = 64 - n.leading_zeros();
        // The first bit of four stands for itself; short numbers are shifted up.
        let behind = (n << 3).checked_shr(bits.wrapping_sub(1)).unwrap_or(0) & 7;
        let behind = if bits > 61 { n >> (bits - 4) & 7 } else { behind };
        lengths[bits as usize][behind as usize] += 1;
    }
    lengths
}

/// The plan whose symbols are the highest four of `bits` bits.
fn plan_at(lengths: &Lengths, bits: usize, longest: usize, numbers: usize) -> EntropyPlan {
    let low = bits - SYMBOL_BITS as usize;
    let mut counts = [0u32; MAX_SYMBOLS];
    let mut bytes_above = 0;
    for (length, row) in lengths.iter().enumerate().take(longest + 1) {
        for (behind, count) in row.iter().enumerate() {
            let symbol = match length {
                0 => 0,
                _ if length > bits => MAX_SYMBOLS - 1,
                _ => (8 | behind) >> (bits - length).min(SYMBOL_BITS as usize),
            };
            counts[symbol] += count;
            if length > bits {
                bytes_above += *count as usize * (length - low).div_ceil(7);
            }
        }
    }
    let escapes = longest > bits;
    let symbols = counts.iter().rposition(|c| *c > 0).map_or(1, |at| at + 1);
    let shares = shares(&counts, numbers as u32);
    let mut millibits = 0;
    for (count, share) in counts.iter().zip(shares) {
        millibits += u64::from(*count) * u64::from(SHARE_MILLIBITS[usize::from(share)]);
    }
    if escapes {
        let longer: u32 = lengths[bits + 1..].iter().flatten().sum();
        bytes_above += (counts[MAX_SYMBOLS - 1] - longer) as usize;
    }
    let low_bytes = (numbers * low).div_ceil(8);
    // Of what states hold a quarter are numbers, on the average, and half is carried.
    let state_bytes = STATES * 6 - low_bytes.min(CARRIED_BYTES);
    let head_bytes = 5 + pfor::cost_bytes(&shares.map(u64::from)[..symbols]) + state_bytes;
    EntropyPlan {
        low: low as u32,
        escapes,
        symbols,
        shares,
        cost_bytes: head_bytes + low_bytes + millibits as usize / 8000 + bytes_above,
    }
}

/// What a number of a symbol with this share takes, in thousandths of a bit: 1000 * log2(64 / share).
const SHARE_MILLIBITS: [u16; SLOTS + 1] = [
    0, 6000, 5000, 4415, 4000, 3678, 3415, 3193, 3000, 2830, 2678, 2541, 2415, 2300, 2193, 2093, 2000, 1913, 1830,
    1752, 1678, 1608, 1541, 1476, 1415, 1356, 1300, 1245, 1193, 1142, 1093, 1046, 1000, 956, 913, 871, 830, 791, 752,
    715, 678, 642, 608, 574, 541, 508, 476, 445, 415, 385, 356, 328, 300, 272, 245, 219, 193, 167, 142, 117, 93, 69,
    46, 23, 0,
];

/// Shares as the counts are, at least 1 of each symbol that occurs.
fn shares(counts: &[u32; MAX_SYMBOLS], total: u32) -> [u8; MAX_SYMBOLS] {
    let exact = counts.map(|c| u64::from(c) * SLOTS as u64);
    let mut shares = exact.map(|e| if e == 0 { 0 } else { (e / u64::from(total)).max(1) });
    let mut sum: u64 = shares.iter().sum();
    // Rounding down leaves slots to those that lost most by it; rare symbols raised to 1 take theirs from the commonest.
    while sum < SLOTS as u64 {
        let gain = |at: &usize| exact[*at] as f64 / (shares[*at].max(1) as f64 + 0.5);
        let Some(at) = (0..MAX_SYMBOLS).max_by(|a, b| gain(a).total_cmp(&gain(b))) else {
            break;
        };
        shares[at] += 1;
        sum += 1;
    }
    while sum > SLOTS as u64 {
        let loss = |at: &usize| exact[*at] as f64 / (shares[*at] as f64 - 0.5);
        let can_give = (0..MAX_SYMBOLS).filter(|at| shares[*at] > 1);
        let Some(at) = can_give.min_by(|a, b| loss(a).total_cmp(&loss(b))) else {
            break;
        };
        shares[at] -= 1;
        sum -= 1;
    }
    shares.map(|share| share as u8)
}

/// Appends `numbers` by the plan made of them.
pub fn encode(numbers: &[u64], plan: &EntropyPlan, out: &mut Vec<u8>) {
    let low = plan.low;
    let shares = &plan.shares[..plan.symbols];
    let last = shares.len() as u64 - 1;
    out.push(low as u8);
    out.push(shares.len() as u8 | if plan.escapes { ESCAPES } else { 0 });
    pfor::encode(&shares.iter().map(|share| u64::from(*share)).collect::<Vec<_>>(), out);
    let mut low_bits = Vec::with_capacity(numbers.len() * low as usize / 8 + CARRIED_BYTES);
    for block in numbers.chunks(BLOCK_ROWS) {
        pack(block, low, &mut low_bits);
    }

    let mut firsts = [0u32; MAX_SYMBOLS];
    for at in 1..shares.len() {
        firsts[at] = firsts[at - 1] + u32::from(shares[at - 1]);
    }
    let symbol = |n: u64| (n >> low).min(last) as usize;
    // Any symbol that occurs fills the last round.
    let filler = numbers.last().map_or(0, |n| symbol(*n));
    let mut carried = [0; CARRIED_BYTES];
    let (first_bits, low_bits) = low_bits.split_at(low_bits.len().min(CARRIED_BYTES));
    carried[..first_bits.len()].copy_from_slice(first_bits);
    let mut states = [LOWEST_STATE; STATES];
    for (state, bytes) in states.iter_mut().zip(carried.as_chunks().0) {
        *state += u64::from(u32::from_le_bytes(*bytes));
    }
    let mut words: Vec<u32> = Vec::with_capacity(numbers.len() / 8 + STATES);
    // Backwards, since a decoder takes off first what was put on last.
    for round in numbers.chunks(ROUND).rev() {
        for (at, state) in states.iter_mut().enumerate().rev() {
            let mut own = [filler; OF_STATE];
            for (own, n) in own.iter_mut().zip(round.iter().skip(at * OF_STATE)) {
                *own = symbol(*n);
            }
            let [first, second] = [[own[0], own[1]], [own[2], own[3]]];
            let product = |pair: [usize; 2]| u64::from(shares[pair[0]]) * u64::from(shares[pair[1]]);
            // Putting four symbols on divides by their shares and multiplies by 2^24, which must stay below 2^64.
            if *state >> (64 - 2 * PAIR_PRECISION) >= product(first) * product(second) {
                words.push(*state as u32);
                *state >>= 32;
            }
            for pair in [second, first] {
                let product = product(pair);
                let (rest, left) = (*state / product, (*state % product) as u32);
                let second_share = u32::from(shares[pair[1]]);
                let high = firsts[pair[0]] + left / second_share;
                let low = firsts[pair[1]] + left % second_share;
                *state = rest << PAIR_PRECISION | u64::from(high << PRECISION | low);
            }
        }
    }
    out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    put_varint(out, words.len() as u64);
    out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
    out.extend_from_slice(low_bits);
    if plan.escapes {
        for high in numbers.iter().map(|n| n >> low).filter(|high| *high >= last) {
            put_varint(out, high - last);
        }
    }
}

/// What decoding reuses.
#[derive(Debug, Default)]
pub struct EntropyScratch {
    pairs: Vec<u32>,
}

/// Fills `out` from the front of `reader`.
pub fn decode(reader: &mut Reader<'_>, scratch: &mut EntropyScratch, out: &mut [u64]) -> CodecResult<()> {
    let low = u32::from(reader.u8("low bits")?);
    let head = reader.u8("symbol count")?;
    let (symbols, escapes) = (usize::from(head & !ESCAPES), head & ESCAPES != 0);
    if low > MAX_LOW_BITS || !(1..=MAX_SYMBOLS).contains(&symbols) {
        return Err(CodecError::Invalid("entropy head"));
    }
    let mut shares = [0; MAX_SYMBOLS];
    pfor::decode(reader, &mut shares[..symbols])?;
    let pairs = lay_out(&shares[..symbols], &mut scratch.pairs)?;
    let mut states = [0u64; STATES];
    for state in &mut states {
        *state = reader.u64_le("state")?;
    }
    let words = reader.count(out.len().next_multiple_of(ROUND), "word count")?;
    let (words, _) = reader.take(words * 4, "words")?.as_chunks::<4>();
    let carried = decode_symbols(words, states, pairs, low, out)?;
    add_low_bits(reader, carried, low, out)?;
    if escapes {
        let last = symbols as u64 - 1;
        for number in out.iter_mut().filter(|n| **n >> low == last) {
            let above = reader.varint("number above the symbols")?;
            *number = number.wrapping_add(above << low);
        }
    }
    Ok(())
}

/// Two symbols at each of their slots: the second in 4 bits, the first in 4, then in 12 bits each the product of their shares
/// less 1 and what stays of the slot.
fn lay_out<'s>(shares: &[u64], pairs: &'s mut Vec<u32>) -> CodecResult<&'s [u32; PAIR_SLOTS]> {
    const WRONG: CodecError = CodecError::Invalid("shares of symbols");
    let mut slots = [(0u32, 0u32, 0u32); SLOTS];
    let mut free = slots.iter_mut();
    for (symbol, share) in (0u32..).zip(shares) {
        let share = u32::try_from(*share).map_err(|_| WRONG)?;
        for rank in 0..share {
            *free.next().ok_or(WRONG)? = (symbol, share, rank);
        }
    }
    if free.next().is_some() {
        return Err(WRONG);
    }
    pairs.resize(PAIR_SLOTS, 0);
    let pairs = pairs.first_chunk_mut().ok_or(WRONG)?;
    let second_shares = slots.map(|(_, share, _)| share);
    let seconds = slots.map(|(symbol, _, rank)| symbol << (2 * PAIR_PRECISION + SYMBOL_BITS) | rank);
    for ((symbol, share, rank), row) in slots.iter().zip(pairs.as_chunks_mut::<SLOTS>().0) {
        // Product and rank by one multiplication, in a loop that vectorizes.
        let factor = share << PAIR_PRECISION | rank;
        let first = (symbol << (2 * PAIR_PRECISION)).wrapping_sub(1 << PAIR_PRECISION);
        for ((entry, share), second) in row.iter_mut().zip(&second_shares).zip(&seconds) {
            *entry = (share * factor).wrapping_add(*second).wrapping_add(first);
        }
    }
    Ok(pairs)
}

/// Fills `out` with symbols above low bits of zero; gives what the states carried.
fn decode_symbols(
    words: &[[u8; 4]],
    mut states: [u64; STATES],
    pairs: &[u32; PAIR_SLOTS],
    low: u32,
    out: &mut [u64],
) -> CodecResult<[u8; CARRIED_BYTES]> {
    let mut at = 0;
    let (rounds, tail) = out.as_chunks_mut::<ROUND>();
    for round in rounds {
        decode_round(words, &mut at, &mut states, pairs, low, round);
    }
    if !tail.is_empty() {
        let mut round = [0; ROUND];
        decode_round(words, &mut at, &mut states, pairs, low, &mut round);
        tail.copy_from_slice(&round[..tail.len()]);
    }
    if at != words.len() || states.iter().any(|state| *state >> 32 != 1) {
        return Err(CodecError::Invalid("end of an entropy code"));
    }
    let mut carried = [0; CARRIED_BYTES];
    for (bytes, state) in carried.as_chunks_mut().0.iter_mut().zip(states) {
        *bytes = (state as u32).to_le_bytes();
    }
    Ok(carried)
}

/// Adds low bits to `out`, of which the first bytes are those carried and the others lie at the front of `reader`.
fn add_low_bits(reader: &mut Reader<'_>, carried: [u8; CARRIED_BYTES], low: u32, out: &mut [u64]) -> CodecResult<()> {
    let mut carried = carried.as_slice();
    let mut first = [0; MAX_BLOCK_BYTES];
    let mut bits = [0; BLOCK_ROWS];
    for block in out.chunks_mut(BLOCK_ROWS) {
        let len = packed_len(low, block.len());
        let bytes = if carried.is_empty() {
            reader.take(len, "low bits")?
        } else {
            let (of_block, padding) = carried.split_at(len.min(CARRIED_BYTES));
            if padding.iter().any(|byte| *byte != 0) {
                return Err(CodecError::Invalid("end of an entropy code"));
            }
            carried = &[];
            let (front, rest) = first[..len].split_at_mut(of_block.len());
            front.copy_from_slice(of_block);
            rest.copy_from_slice(reader.take(rest.len(), "low bits")?);
            &first[..len]
        };
        let bits = &mut bits[..block.len()];
        unpack(bytes, low, bits)?;
        for (number, bits) in block.iter_mut().zip(bits) {
            *number |= *bits;
        }
    }
    Ok(())
}

#[inline(always)]
fn decode_round(
    words: &[[u8; 4]],
    next: &mut usize,
    states: &mut [u64; STATES],
    pairs: &[u32; PAIR_SLOTS],
    low: u32,
    round: &mut [u64; ROUND],
) {
    const SYMBOL_MASK: u64 = MAX_SYMBOLS as u64 - 1;
    let (numbers, _) = round.as_chunks_mut::<OF_STATE>();
    for (state, numbers) in states.iter_mut().zip(numbers) {
        for numbers in numbers.as_chunks_mut::<2>().0 {
            let pair = u64::from(pairs[(*state & PAIR_MASK) as usize]);
            let product = (pair >> PAIR_PRECISION & PAIR_MASK) + 1;
            // At most 2^12 * (2^52 - 1) + 2^12 - 1: it fits.
            *state = product
                .wrapping_mul(*state >> PAIR_PRECISION)
                .wrapping_add(pair & PAIR_MASK);
            let symbols = pair >> (2 * PAIR_PRECISION);
            numbers[0] = (symbols & SYMBOL_MASK) << low;
            numbers[1] = (symbols >> SYMBOL_BITS) << low;
        }
        // Without a branch, since nobody can foresee it. Behind the last word come zeros, and `next` tells.
        let word = words.get(*next).map_or(0, |w| u32::from_le_bytes(*w));
        let short = *state < LOWEST_STATE;
        let filled = *state << 32 | u64::from(word);
        *state = if short { filled } else { *state };
        *next += usize::from(short);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn encoded(numbers: &[u64]) -> Option<(EntropyPlan, Vec<u8>)> {
        let plan = plan(numbers)?;
        let mut bytes = Vec::new();
        encode(numbers, &plan, &mut bytes);
        Some((plan, bytes))
    }

    fn decoded(bytes: &[u8], n: usize) -> CodecResult<Vec<u64>> {
        // As in use, the numbers of another sequence lie there.
        let mut out = vec![u64::MAX / 3; n];
        let mut reader = Reader::new(bytes);
        decode(&mut reader, &mut EntropyScratch::default(), &mut out)?;
        match reader.is_empty() {
            true => Ok(out),
            false => Err(CodecError::Invalid("bytes behind")),
        }
    }

    /// Even, bell-shaped, falling off or anything, with a share of outliers.
    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let number = (any::<u64>(), any::<u64>(), any::<u64>());
        let of = (0u8..5, 1u64..5000, 0u32..60, 0u64..40);
        (of, proptest::collection::vec(number, MIN_NUMBERS..1500)).prop_map(
            |((shape, range, shift, outliers), numbers)| {
                let number = |(a, b, c): &(u64, u64, u64)| match shape {
                    _ if c % 1000 < outliers => c >> (b % 64),
                    0 => a % range,
                    1 => (a % range + b % range + c % range) << (shift % 50),
                    2 => u64::from(a.trailing_zeros()) * range + b % range,
                    3 => range,
                    _ => *a,
                };
                numbers.iter().map(number).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn numbers_come_back_at_about_the_cost_that_was_said(numbers in numbers()) {
            let (plan, bytes) = encoded(&numbers).unwrap();
            prop_assert!(bytes.len().abs_diff(plan.cost_bytes) <= 24 + bytes.len() / 20, "{} {plan:?}", bytes.len());
            prop_assert_eq!(decoded(&bytes, numbers.len()), Ok(numbers));
        }

        #[test]
        fn damaged_codes_are_decoded_or_refused(
            numbers in numbers(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            n in 0usize..1500,
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let (_, mut bytes) = encoded(&numbers).unwrap();
            for (at, byte) in damage {
                // Half of the damage goes to the head.
                let at = if byte % 2 == 0 { at.index(bytes.len()) } else { at.index(bytes.len().min(24)) };
                bytes[at] = byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            let _ = decoded(&bytes, n);
            let _ = decoded(&bytes, numbers.len());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..300) {
            let shares = [&[3, 3, 62, 1, 1][..], &bytes].concat();
            let _ = decoded(&shares, n);
            let _ = decoded(&bytes, n);
        }
    }

    /// A deterministic source of noise.
    fn noise(n: usize) -> impl Iterator<Item = u64> {
        let mut state = 7u64;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            state >> 33
        })
        .take(n)
    }

    #[test]
    fn a_day_of_noise_takes_a_tenth_of_a_bit_more_than_its_information() {
        const DAY: usize = 5760;
        let check = |numbers: Vec<u64>, information_bits: f64, more: f64| {
            let (_, bytes) = encoded(&numbers).unwrap();
            let bits = bytes.len() as f64 * 8.0 / DAY as f64;
            assert!(bits < information_bits + more, "{bits} for {information_bits}");
            assert_eq!(decoded(&bytes, DAY), Ok(numbers));
        };
        for range in [4, 12, 101, 110, 150, 1500, 1 << 30] {
            check(noise(DAY).map(|n| n % range).collect(), (range as f64).log2(), 0.13);
        }
        // Each number half as often as the one before: two bits, were there smaller shares for the rare ones.
        check(noise(DAY).map(|n| u64::from(n.trailing_zeros())).collect(), 2.0, 0.2);
    }

    #[test]
    fn outliers_stand_beside_the_symbols() {
        let mut numbers: Vec<u64> = noise(2000).map(|n| n % 100).collect();
        for at in [0, 1, 500, 1999] {
            numbers[at] = u64::MAX - at as u64;
        }
        let (plan, bytes) = encoded(&numbers).unwrap();
        assert!(plan.escapes && bytes.len() < 2000, "{plan:?}");
        assert_eq!(decoded(&bytes, 2000), Ok(numbers));
    }

    #[test]
    fn heads_that_no_encoder_writes_are_refused() {
        let numbers: Vec<u64> = noise(1200).map(|n| n % 16).collect();
        let (plan, bytes) = encoded(&numbers).unwrap();
        assert_eq!((plan.low, plan.symbols), (0, 16));
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            decoded(&bytes, 1200)
        };
        assert!(with(0, 0).is_ok());
        assert_eq!(with(0, 61), Err(CodecError::Invalid("entropy head")));
        assert_eq!(with(1, 0), Err(CodecError::Invalid("entropy head")));
        assert_eq!(with(1, 17), Err(CodecError::Invalid("entropy head")));
        // Shares of none, and shares of more than all.
        assert_eq!(with(2, 0), Err(CodecError::Invalid("shares of symbols")));
        assert_eq!(with(2, 40), Err(CodecError::Invalid("shares of symbols")));
        assert_eq!(
            decoded(&bytes[..bytes.len() - 1], 1200),
            Err(CodecError::Truncated("words"))
        );
        // A count of words that the numbers could not have taken is no reason to look for them.
        let mut rest = Reader::new(&bytes[2..]);
        pfor::decode(&mut rest, &mut [0; 16]).unwrap();
        let words = bytes.len() - rest.rest().len() + 8 * STATES;
        let many = [&bytes[..words], &[0xff, 0xff, 0xff, 0x7f], &[0; 100]].concat();
        assert_eq!(decoded(&many, 1200), Err(CodecError::Invalid("word count")));
        // Other numbers than were put on leave other states.
        let last = bytes.len() - 1;
        assert_eq!(
            with(last, bytes[last] ^ 1),
            Err(CodecError::Invalid("end of an entropy code"))
        );
    }

    /// Fewer low bits than the states can carry.
    #[test]
    fn short_codes_come_back() {
        for n in 1..40 {
            let numbers: Vec<u64> = noise(n).map(|n| n % 64).collect();
            let plan = plan_at(&lengths(&numbers), 6, 6, n);
            let mut bytes = Vec::new();
            encode(&numbers, &plan, &mut bytes);
            assert_eq!(decoded(&bytes, n), Ok(numbers), "{n}");
        }
    }

    /// Bytes written by format version 1 are read for ever.
    #[test]
    fn codes_of_version_1_are_read() {
        let numbers: Vec<u64> = (0..131).map(|i| if i == 77 { 1 << 40 } else { i * i % 37 }).collect();
        let plan = plan_at(&lengths(&numbers), 6, 41, 131);
        let mut now = Vec::new();
        encode(&numbers, &plan, &mut now);
        let now: String = now.iter().map(|b| format!("{b:02x}")).collect();
        let hex = CODE_OF_VERSION_1.concat();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(decoded(&bytes, 131), Ok(numbers), "now it would be {now}");
    }

    const CODE_OF_VERSION_1: [&str; 3] = [
        "02900400793a337a4700001040d0f35f704e2800a9a7c3366c8c16008a0a0dd0ec850500a13de0ef6ce07b010c5fe9934244",
        "d158739fc5b89f2c974e6b5cbf4d33102b665d05f5c0a56f7ca04eca51f1147eda9554e462a2d199284d3402384b7517380b",
        "e003a75de154a70d9c02f1ffffffff07",
    ];
}
