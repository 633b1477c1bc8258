//! Sequences of integers: the form that makes them smallest, out of six.
//!
//! ```text
//! const         every number is `first`
//! linear        number i is first + i * base
//! plain         q(i) = base + p(i)
//! delta         q(0) = 0, q(i) = q(i-1) + unzigzag(p(i-1))
//! offset        q(0) = 0, q(i) = q(i-1) + base + p(i-1)
//! double delta  q(0) = 0, q(1) = base, q(i) = 2 q(i-1) - q(i-2) + unzigzag(p(i-2))
//!
//! head = zigzag first  [linear: zigzag base]  [others: varint factor, and zigzag base except for delta]
//! data = packed numbers p: n (plain), n - 1 (delta, offset) or n - 2 (double delta), nothing where there are none
//!        u8 127, entropy(numbers)                                                          see `entropy`
//!        otherwise pfor(numbers), of which no block starts with 127                        see `pfor`
//! number i = first + factor * q(i), modulo 2^64
//! ```
//!
//! `factor` is the greatest common divisor of the steps. The form itself is a code (0..=5 in the order above) that the
//! caller stores, since it fits into a byte of his own.

use super::entropy::{self, EntropyPlan, EntropyScratch};
use super::error::{CodecError, CodecResult};
use super::pfor::{self, BlockPlan};
use super::varint::{Reader, put_varint, put_zigzag, unzigzag, zigzag};

/// In place of the width of a first block: the numbers are entropy coded.
const BY_ENTROPY: u8 = 127;
const _: () = assert!(BY_ENTROPY > 64, "no width of a block");

/// An entropy code is kept where it is at least this share smaller, in percent; less is not worth its slower decoding.
const MIN_ENTROPY_GAIN_PERCENT: usize = 2;

/// What an encoder may use for numbers that none of the forms makes regular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Blocks of bits: quick both ways.
    Blocks,
    /// An entropy code too: smaller, slower to decode.
    Smallest,
}

/// How a sequence is written, see the module docs. The codes are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All equal.
    Const = 0,
    /// Equal steps.
    Linear = 1,
    /// Numbers themselves.
    Plain = 2,
    /// Steps.
    Delta = 3,
    /// Steps above the smallest usual one: counters.
    Offset = 4,
    /// Steps of steps.
    DoubleDelta = 5,
}

impl Form {
    /// Number of forms.
    pub const COUNT: u8 = 6;

    /// The form of a code.
    pub fn from_code(code: u8) -> Option<Form> {
        [
            Form::Const,
            Form::Linear,
            Form::Plain,
            Form::Delta,
            Form::Offset,
            Form::DoubleDelta,
        ]
        .get(code as usize)
        .copied()
    }

    /// How many numbers of `n` are packed.
    fn packed_numbers(self, n: usize) -> usize {
        match self {
            Form::Const | Form::Linear => 0,
            Form::Plain => n,
            Form::Delta | Form::Offset => n.saturating_sub(1),
            Form::DoubleDelta => n.saturating_sub(2),
        }
    }
}

/// What stands in a chunk's head about its integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntHead {
    /// How the numbers are written.
    pub form: Form,
    first: i64,
    factor: u64,
    base: i64,
}

impl IntHead {
    /// Appends the head's fields, without the form.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first);
        match self.form {
            Form::Const => {}
            Form::Linear => put_zigzag(out, self.base),
            Form::Delta => put_varint(out, self.factor),
            Form::Plain | Form::Offset | Form::DoubleDelta => {
                put_varint(out, self.factor);
                put_zigzag(out, self.base);
            }
        }
    }

    /// Reads what [`IntHead::write`] wrote.
    pub fn read(form: Form, reader: &mut Reader<'_>) -> CodecResult<IntHead> {
        let mut head = IntHead {
            form,
            first: reader.zigzag("first integer")?,
            factor: 1,
            base: 0,
        };
        if !matches!(form, Form::Const | Form::Linear) {
            head.factor = reader.varint("integer factor")?;
        }
        if !matches!(form, Form::Const | Form::Delta) {
            head.base = reader.zigzag("integer base")?;
        }
        Ok(head)
    }
}

/// Buffers that encoding and decoding reuse.
#[derive(Debug, Default)]
pub struct IntScratch {
    steps: Vec<i64>,
    packed: Vec<u64>,
    plans: Vec<BlockPlan>,
    best: Vec<u64>,
    best_plans: Vec<BlockPlan>,
    entropy: EntropyScratch,
    /// Numbers that were entropy coded, and their bytes.
    by_entropy: (usize, usize),
}

impl IntScratch {
    /// How many numbers were entropy coded with this scratch, and in how many bytes. Of sequences tried and not kept too.
    pub fn entropy_coded(&self) -> (usize, usize) {
        self.by_entropy
    }
}

/// Numbers looked at to see which forms are worth a plan.
const PROBES: usize = 32;
/// Bits a number by which a form may look worse there and still be tried.
const PROBE_SLACK_BITS: usize = 1;

/// Appends the data of `numbers` to `out` and returns their head.
pub fn encode(numbers: &[i64], packing: Packing, scratch: &mut IntScratch, out: &mut Vec<u8>) -> IntHead {
    let (head, by_entropy) = choose(numbers, packing, scratch);
    match by_entropy {
        Some(plan) => {
            let start = out.len();
            out.push(BY_ENTROPY);
            entropy::encode(&scratch.best, &plan, out);
            scratch.by_entropy.0 += scratch.best.len();
            scratch.by_entropy.1 += out.len() - start;
        }
        None => pfor::encode_planned(&scratch.best, &scratch.best_plans, out),
    }
    head
}

/// Chooses the form and leaves the numbers to pack in `scratch.best`; with the plan of their entropy code where that pays.
fn choose(numbers: &[i64], packing: Packing, scratch: &mut IntScratch) -> (IntHead, Option<EntropyPlan>) {
    let IntScratch {
        steps,
        packed,
        plans,
        best,
        best_plans,
        ..
    } = scratch;
    best.clear();
    let mut head = IntHead {
        form: Form::Const,
        first: numbers.first().copied().unwrap_or(0),
        factor: 1,
        base: 0,
    };
    steps.clear();
    steps.extend(numbers.windows(2).map(|w| w[1].wrapping_sub(w[0])));
    let step = steps.first().copied().unwrap_or(0);
    if steps.iter().all(|s| *s == step) {
        head.base = step;
        head.form = if step == 0 { Form::Const } else { Form::Linear };
        return (head, None);
    }
    head.factor = common_factor(steps);
    if head.factor > 1 {
        // `factor` divides every step, so it fits i64 unless a step is i64::MIN; then wrapping keeps the sum right.
        steps.iter_mut().for_each(|s| *s = s.wrapping_div(head.factor as i64));
    }

    let likely = likely_forms(numbers, steps, head.factor);
    let mut best_cost_bytes = usize::MAX;
    let mut best_block_bytes = usize::MAX;
    let mut best_entropy = None;
    for candidate in [Form::Plain, Form::Delta, Form::Offset, Form::DoubleDelta] {
        if !likely[candidate as usize] {
            continue;
        }
        packed.clear();
        let base = fill(candidate, steps, packed);
        let mut cost_bytes = pfor::plan(packed, plans);
        best_block_bytes = best_block_bytes.min(cost_bytes);
        let by_entropy = match packing {
            Packing::Blocks => None,
            // What is much longer in blocks has more information too.
            Packing::Smallest if cost_bytes > best_block_bytes + best_block_bytes / 8 => None,
            Packing::Smallest => entropy::plan(packed)
                .filter(|plan| plan.cost_bytes < cost_bytes - cost_bytes * MIN_ENTROPY_GAIN_PERCENT / 100),
        };
        if let Some(plan) = &by_entropy {
            cost_bytes = plan.cost_bytes;
        }
        if cost_bytes < best_cost_bytes {
            best_cost_bytes = cost_bytes;
            best_entropy = by_entropy;
            head.form = candidate;
            head.base = base;
            std::mem::swap(best, packed);
            std::mem::swap(best_plans, plans);
        }
    }
    (head, best_entropy)
}

/// The forms, by their codes, whose numbers are short enough on a spread of rows to be worth a plan; at least one.
fn likely_forms(numbers: &[i64], steps: &[i64], factor: u64) -> [bool; Form::COUNT as usize] {
    let width = |n: u64| 64 - n.leading_zeros() as usize;
    let lowest = numbers.iter().copied().min().unwrap_or(0);
    let factor_bits = width(factor) - 1;
    let base = smallest_step(steps);
    let mut bits = [usize::MAX; Form::COUNT as usize];
    let [mut plain, mut delta, mut offset, mut double, mut probes] = [0usize; 5];
    for row in (1..steps.len()).step_by(steps.len().div_ceil(PROBES).max(1)) {
        let step = steps[row];
        plain += width(numbers[row].wrapping_sub(lowest) as u64).saturating_sub(factor_bits);
        delta += width(zigzag(step));
        offset += width(step.wrapping_sub(base) as u64);
        double += width(zigzag(step.wrapping_sub(steps[row - 1])));
        probes += 1;
    }
    bits[Form::Plain as usize] = plain;
    bits[Form::Delta as usize] = delta;
    bits[Form::Offset as usize] = offset;
    bits[Form::DoubleDelta as usize] = double;
    let shortest = bits.iter().copied().min().unwrap_or(0);
    let limit = shortest.saturating_add(probes * PROBE_SLACK_BITS);
    bits.map(|b| b <= limit)
}

/// What [`Form::Offset`] takes out: the smallest step that is no reset. A counter's few resets wrap to huge numbers, which
/// become patches.
fn smallest_step(steps: &[i64]) -> i64 {
    let falls = steps.iter().filter(|s| **s < 0).count();
    let resets = falls <= 1 + steps.len() / 64;
    steps.iter().copied().filter(|s| !resets || *s >= 0).min().unwrap_or(0)
}

/// Fills `packed` with what `form` packs of these steps and returns its base.
fn fill(form: Form, steps: &[i64], packed: &mut Vec<u64>) -> i64 {
    match form {
        Form::Const | Form::Linear => 0,
        Form::Plain => {
            let mut q = 0i64;
            let mut base = 0i64;
            packed.push(0);
            packed.extend(steps.iter().map(|s| {
                q = q.wrapping_add(*s);
                base = base.min(q);
                q as u64
            }));
            packed.iter_mut().for_each(|n| *n = n.wrapping_sub(base as u64));
            base
        }
        Form::Delta => {
            packed.extend(steps.iter().map(|s| zigzag(*s)));
            0
        }
        Form::Offset => {
            let base = smallest_step(steps);
            packed.extend(steps.iter().map(|s| s.wrapping_sub(base) as u64));
            base
        }
        Form::DoubleDelta => {
            packed.extend(steps.windows(2).map(|w| zigzag(w[1].wrapping_sub(w[0]))));
            steps.first().copied().unwrap_or(0)
        }
    }
}

/// The greatest common divisor of all steps, at least 1.
fn common_factor(steps: &[i64]) -> u64 {
    let mut factor = 0u64;
    for step in steps {
        let step = step.unsigned_abs();
        if factor == 0 || !step.is_multiple_of(factor) {
            factor = gcd(factor, step);
            if factor == 1 {
                return 1;
            }
        }
    }
    // 2^63 does not fit the signed division above.
    if factor > i64::MAX as u64 { 1 } else { factor.max(1) }
}

/// The greatest common divisor; of 0 and n it is n.
pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Fills `out` with the numbers whose data lies at the front of `reader`.
pub fn decode(head: &IntHead, reader: &mut Reader<'_>, scratch: &mut IntScratch, out: &mut [i64]) -> CodecResult<()> {
    let n = head.form.packed_numbers(out.len());
    let packed = &mut scratch.packed;
    // All are written below, so what they were before need not be cleared.
    packed.resize(n, 0);
    if n > 0 && reader.rest().first() == Some(&BY_ENTROPY) {
        reader.u8("packing")?;
        entropy::decode(reader, &mut scratch.entropy, packed)?;
    } else {
        pfor::decode(reader, packed)?;
    }
    let (first, base) = (head.first, head.base);
    let Some((out_first, out_rest)) = out.split_first_mut() else {
        return Ok(());
    };
    let factor = i64::try_from(head.factor).map_err(|_| CodecError::Invalid("integer factor"))?;
    let number = |q: i64| first.wrapping_add(q.wrapping_mul(factor));
    *out_first = first;
    match head.form {
        Form::Const => out_rest.fill(first),
        Form::Linear => {
            for (i, out) in out_rest.iter_mut().enumerate() {
                *out = first.wrapping_add(base.wrapping_mul(i as i64 + 1));
            }
        }
        Form::Plain => {
            *out_first = number(base.wrapping_add(packed[0] as i64));
            for (out, n) in out_rest.iter_mut().zip(&packed[1..]) {
                *out = number(base.wrapping_add(*n as i64));
            }
        }
        Form::Delta => {
            let mut q = 0i64;
            for (out, n) in out_rest.iter_mut().zip(packed) {
                q = q.wrapping_add(unzigzag(*n));
                *out = number(q);
            }
        }
        Form::Offset => {
            let mut q = 0i64;
            for (out, n) in out_rest.iter_mut().zip(packed) {
                q = q.wrapping_add(base).wrapping_add(*n as i64);
                *out = number(q);
            }
        }
        Form::DoubleDelta => {
            let (mut q, mut step) = (base, base);
            if let Some((second, rest)) = out_rest.split_first_mut() {
                *second = number(q);
                for (out, n) in rest.iter_mut().zip(packed) {
                    step = step.wrapping_add(unzigzag(*n));
                    q = q.wrapping_add(step);
                    *out = number(q);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(numbers: &[i64]) -> (IntHead, Vec<u8>, Vec<u8>) {
        encoded_by(numbers, Packing::Blocks)
    }

    fn encoded_by(numbers: &[i64], packing: Packing) -> (IntHead, Vec<u8>, Vec<u8>) {
        let (mut head_bytes, mut data) = (Vec::new(), Vec::new());
        let head = encode(numbers, packing, &mut IntScratch::default(), &mut data);
        head.write(&mut head_bytes);
        (head, head_bytes, data)
    }

    fn decoded(form: Form, head: &[u8], data: &[u8], n: usize) -> CodecResult<Vec<i64>> {
        let head = IntHead::read(form, &mut Reader::new(head))?;
        let mut out = vec![0; n];
        decode(&head, &mut Reader::new(data), &mut IntScratch::default(), &mut out)?;
        Ok(out)
    }

    fn sequences() -> impl Strategy<Value = Vec<i64>> {
        let noise = proptest::collection::vec(-50i64..50, 0..1500);
        (any::<i64>(), -9i64..9, 1i64..5000, 0u8..4, noise).prop_map(|(first, slope, factor, order, noise)| {
            let mut sums = [0i64; 4];
            let walk = noise.into_iter().map(|n| {
                sums[0] = n;
                for i in 1..=order as usize {
                    sums[i] = sums[i].wrapping_add(sums[i - 1]).wrapping_add(slope);
                }
                first.wrapping_add(sums[order as usize].wrapping_mul(factor))
            });
            walk.collect()
        })
    }

    proptest! {
        #[test]
        fn walks_come_back(numbers in sequences()) {
            for packing in [Packing::Blocks, Packing::Smallest] {
                let (head, head_bytes, data) = encoded_by(&numbers, packing);
                prop_assert_eq!(decoded(head.form, &head_bytes, &data, numbers.len()), Ok(numbers.clone()));
            }
        }

        #[test]
        fn any_numbers_come_back(numbers in proptest::collection::vec(any::<i64>(), 0..200)) {
            for packing in [Packing::Blocks, Packing::Smallest] {
                let (head, head_bytes, data) = encoded_by(&numbers, packing);
                prop_assert_eq!(decoded(head.form, &head_bytes, &data, numbers.len()), Ok(numbers.clone()));
            }
        }

        #[test]
        fn any_bytes_decode_or_fail(
            code in 0..Form::COUNT,
            head in proptest::collection::vec(any::<u8>(), 0..40),
            data in proptest::collection::vec(any::<u8>(), 0..100),
            n in 0usize..200,
        ) {
            let _ = decoded(Form::from_code(code).unwrap_or(Form::Const), &head, &data, n);
        }
    }

    #[test]
    fn each_shape_gets_its_form() {
        let check = |numbers: Vec<i64>, form: Form| {
            assert_eq!(encoded(&numbers).0.form, form, "{numbers:?}");
        };
        let jitter = |i: i64| (i * i * 7919 + i * 104_729) / 8 % 13;
        check(vec![], Form::Const);
        check(vec![5; 100], Form::Const);
        check((0..100).map(|i| 7 - 15 * i).collect(), Form::Linear);
        check((0..100).map(|i| 1_000_000 + jitter(i)).collect(), Form::Plain);
        check(
            (0..400).map(|i| i * i * 1000 + jitter(i) % 2).collect(),
            Form::DoubleDelta,
        );
        let mut counter = 0;
        check(
            (0..200)
                .map(|i| {
                    counter = if i == 100 {
                        0
                    } else {
                        counter + 100_000 + 17 * jitter(i) + jitter(i * i)
                    };
                    counter
                })
                .collect(),
            Form::Offset,
        );
        let steps = encoded(&(0..100).map(|i| 4096 * jitter(i)).collect::<Vec<_>>()).0;
        assert_eq!(steps.factor, 4096);
    }
}
