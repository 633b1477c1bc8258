//! Native histograms as bytes one behind the other, each told by its difference to the one before: for the WAL and the
//! head, where histograms come one at a time and are read in the order in which they came.
//!
//! ```text
//! flags 1   bit 0: layout as before │ bit 1: whole numbers │ bits 2-3: counter reset (0 unknown, 1 reset, 2 none, 3 gauge)
//! layout    unless as before: zigzag schema │ f64 zero threshold │ spans │ spans (negative) │ varint n │ f64 custom value * n
//! spans     varint n │ { zigzag offset │ varint length } * n
//! sum       f64
//! numbers   count, zero count, positive buckets, negative buckets. Whole: each the zigzag difference to the same number of the
//!           histogram before, or, where its layout or kind differs, to the number before it (the first three: to 0);
//!           a difference of 0 is followed by a varint of how many more there are. Otherwise: f64 each.
//! ```
//!
//! The first histogram stands behind an empty one (all fields 0, whole). Equal layouts are equal by their bits.

use super::error::{CodecError, CodecResult};
use super::varint::{Reader, put_varint, put_zigzag};
use crate::model::{BucketSpan, CounterReset, Histogram};

/// Buckets, spans and custom values that a stored histogram may have of each kind. Ingest has lower limits; this one
/// bounds what damaged bytes can make a reader allocate.
pub const MAX_BUCKETS: usize = 1 << 20;

/// Whole numbers up to here are exact as `f64`.
const MAX_WHOLE: f64 = (1u64 << 53) as f64;

const SAME_LAYOUT: u8 = 1;
const WHOLE: u8 = 2;

/// Writes histograms one behind the other.
#[derive(Clone, Debug)]
pub struct HistogramWriter {
    previous: Histogram,
    whole: bool,
    numbers: Vec<i64>,
}

impl Default for HistogramWriter {
    fn default() -> Self {
        HistogramWriter {
            previous: Histogram::default(),
            whole: true,
            numbers: Vec::new(),
        }
    }
}

impl HistogramWriter {
    /// Appends `histogram`, whose buckets must be as many as its spans say, to `out`.
    pub fn push(&mut self, histogram: &Histogram, out: &mut Vec<u8>) {
        let same = same_layout(&self.previous, histogram);
        let whole = is_whole(histogram);
        let flags = if same { SAME_LAYOUT } else { 0 } | if whole { WHOLE } else { 0 };
        out.push(flags | reset_code(histogram.counter_reset) << 2);
        if !same {
            put_layout(histogram, out);
        }
        out.extend_from_slice(&histogram.sum.to_bits().to_le_bytes());
        if whole {
            self.numbers.clear();
            self.numbers.extend(numbers(histogram).map(|n| n as i64));
            if same && self.whole {
                let before = numbers(&self.previous);
                self.numbers
                    .iter_mut()
                    .zip(before)
                    .for_each(|(n, before)| *n -= before as i64);
            } else {
                for at in (3..self.numbers.len()).rev() {
                    self.numbers[at] -= self.numbers[at - 1];
                }
            }
            put_differences(&self.numbers, out);
        } else {
            for number in numbers(histogram) {
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
        }
        self.previous.clone_from(histogram);
        self.whole = whole;
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.previous.size_bytes() + self.numbers.capacity() * 8
    }
}

/// Reads what a [`HistogramWriter`] wrote from the first histogram on.
#[derive(Clone, Debug)]
pub struct HistogramReader<'a> {
    bytes: Reader<'a>,
    previous: Histogram,
    whole: bool,
}

impl<'a> HistogramReader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        HistogramReader {
            bytes: Reader::new(bytes),
            previous: Histogram::default(),
            whole: true,
        }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.rest()
    }

    /// Reads the next histogram, which stands until the one after it is read.
    pub fn read(&mut self) -> CodecResult<&Histogram> {
        let flags = self.bytes.u8("flags of a histogram")?;
        if flags >> 4 != 0 {
            return Err(CodecError::Invalid("flags of a histogram"));
        }
        let (same, whole) = (flags & SAME_LAYOUT != 0, flags & WHOLE != 0);
        if !same {
            read_layout(&mut self.bytes, &mut self.previous)?;
        }
        self.previous.counter_reset = reset_of_code(flags >> 2 & 3);
        self.previous.sum = f64_le(&mut self.bytes, "sum of a histogram")?;
        if whole {
            self.read_whole(same && self.whole)?;
        } else {
            for number in numbers_mut(&mut self.previous) {
                *number = f64_le(&mut self.bytes, "numbers of a histogram")?;
            }
        }
        self.whole = whole;
        Ok(&self.previous)
    }

    fn read_whole(&mut self, to_the_one_before: bool) -> CodecResult<()> {
        const WHAT: &str = "numbers of a histogram";
        let (mut zeros, mut last) = (0u64, 0i64);
        for (at, number) in numbers_mut(&mut self.previous).enumerate() {
            let difference = match zeros.checked_sub(1) {
                Some(left) => {
                    zeros = left;
                    0
                }
                None => {
                    let difference = self.bytes.zigzag(WHAT)?;
                    if difference == 0 {
                        zeros = self.bytes.varint(WHAT)?;
                    }
                    difference
                }
            };
            let base = match (to_the_one_before, at) {
                (true, _) => *number as i64,
                (false, 0..3) => 0,
                (false, _) => last,
            };
            last = base.checked_add(difference).ok_or(CodecError::Invalid(WHAT))?;
            *number = last as f64;
        }
        match zeros {
            0 => Ok(()),
            _ => Err(CodecError::Invalid(WHAT)),
        }
    }
}

/// Whether spans, bounds and schema of two histograms are the same bits.
pub fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let same_bits =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && same_bits(&a.custom_values, &b.custom_values)
}

/// Whether every number of a histogram but its sum is a whole one that is exact as a float.
pub fn is_whole(histogram: &Histogram) -> bool {
    numbers(histogram).all(|n| n.abs() <= MAX_WHOLE && (n as i64 as f64).to_bits() == n.to_bits())
}

/// Count, zero count and buckets.
fn numbers(h: &Histogram) -> impl Iterator<Item = f64> {
    let buckets = h.positive_buckets.iter().chain(&h.negative_buckets).copied();
    [h.count, h.zero_count].into_iter().chain(buckets)
}

fn numbers_mut(h: &mut Histogram) -> impl Iterator<Item = &mut f64> {
    let buckets = h.positive_buckets.iter_mut().chain(&mut h.negative_buckets);
    [&mut h.count, &mut h.zero_count].into_iter().chain(buckets)
}

/// The code of a counter reset, in two bits.
pub fn reset_code(reset: CounterReset) -> u8 {
    match reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    }
}

/// The inverse of [`reset_code`].
pub fn reset_of_code(code: u8) -> CounterReset {
    match code {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

/// Appends schema, zero threshold, spans and custom values.
pub fn put_layout(histogram: &Histogram, out: &mut Vec<u8>) {
    put_zigzag(out, i64::from(histogram.schema));
    out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_zigzag(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    put_varint(out, histogram.custom_values.len() as u64);
    for value in &histogram.custom_values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Reads what [`put_layout`] wrote into `into`, whose buckets become as many as the spans say, all 0.
pub fn read_layout(bytes: &mut Reader<'_>, into: &mut Histogram) -> CodecResult<()> {
    const WHAT: &str = "layout of a histogram";
    let invalid = CodecError::Invalid(WHAT);
    into.schema = i32::try_from(bytes.zigzag(WHAT)?).map_err(|_| invalid.clone())?;
    into.zero_threshold = f64_le(bytes, WHAT)?;
    let sides = [
        (&mut into.positive_spans, &mut into.positive_buckets),
        (&mut into.negative_spans, &mut into.negative_buckets),
    ];
    for (spans, buckets) in sides {
        // A span takes at least two bytes, a custom value eight.
        let count = bytes.count(MAX_BUCKETS.min(bytes.rest().len() / 2), WHAT)?;
        spans.clear();
        spans.reserve(count);
        let mut total = 0usize;
        for _ in 0..count {
            let offset = i32::try_from(bytes.zigzag(WHAT)?).map_err(|_| invalid.clone())?;
            let length = u32::try_from(bytes.varint(WHAT)?).map_err(|_| invalid.clone())?;
            total = total.saturating_add(length as usize);
            spans.push(BucketSpan { offset, length });
        }
        if total > MAX_BUCKETS {
            return Err(invalid);
        }
        buckets.clear();
        buckets.resize(total, 0.0);
    }
    let count = bytes.count(MAX_BUCKETS.min(bytes.rest().len() / 8), WHAT)?;
    into.custom_values.clear();
    into.custom_values.reserve(count);
    for _ in 0..count {
        into.custom_values.push(f64_le(bytes, WHAT)?);
    }
    // The numbers that are told as differences to these start from nothing.
    (into.count, into.zero_count) = (0.0, 0.0);
    Ok(())
}

/// Appends differences, runs of zeros by their length.
fn put_differences(differences: &[i64], out: &mut Vec<u8>) {
    let mut rest = differences;
    while let Some((first, others)) = rest.split_first() {
        put_zigzag(out, *first);
        rest = others;
        if *first == 0 {
            let zeros = rest.iter().take_while(|d| **d == 0).count();
            put_varint(out, zeros as u64);
            rest = &rest[zeros..];
        }
    }
}

fn f64_le(bytes: &mut Reader<'_>, what: &'static str) -> CodecResult<f64> {
    bytes.u64_le(what).map(f64::from_bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::histogram;

    fn written(histograms: &[Histogram]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = HistogramWriter::default();
        histograms.iter().for_each(|h| writer.push(h, &mut out));
        out
    }

    #[test]
    fn neighbours_of_one_layout_cost_little() {
        let mut one = Histogram {
            schema: 3,
            ..Histogram::default()
        };
        one.positive_spans = vec![BucketSpan {
            offset: -20,
            length: 160,
        }];
        one.positive_buckets = (0..160).map(|i| f64::from(i * 7)).collect();
        let mut next = one.clone();
        next.positive_buckets[80] += 1.0;
        next.count += 1.0;
        let first = written(std::slice::from_ref(&one)).len();
        assert!(written(&[one, next]).len() - first <= 20);
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(seeds in prop::collection::vec(0..4000u64, 0..20)) {
            let histograms: Vec<_> = seeds.into_iter().map(histogram).collect();
            let bytes = written(&histograms);
            let mut reader = HistogramReader::new(&bytes);
            for histogram in &histograms {
                let back = reader.read().expect("was written");
                prop_assert!(back.total_cmp(histogram).is_eq(), "{:?} {:?}", back, histogram);
            }
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn damaged_bytes_are_refused_without_panic(
            seeds in prop::collection::vec(0..4000u64, 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = written(&seeds.into_iter().map(histogram).collect::<Vec<_>>());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            let mut reader = HistogramReader::new(&bytes);
            for _ in 0..4 {
                if reader.read().is_err() {
                    break;
                }
            }
        }
    }
}
