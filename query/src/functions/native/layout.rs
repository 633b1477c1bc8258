//! Spans of buckets: written from indices, compacted, reduced to coarser schemas (prometheus model/histogram/generic.go,
//! `compactBuckets`, `reduceResolution`).

use garner_storage::model::{BucketSpan, Histogram};

use super::bounds::coarser_index;
use super::buckets::Indexed;
use crate::functions::kahan::kahan_add;

/// One side of a histogram in the making; `lost` is what rounding lost of each count where that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Where the buckets lie.
    pub spans: Vec<BucketSpan>,
    /// Their counts.
    pub counts: Vec<f64>,
    /// As many as counts, or none.
    pub lost: Vec<f64>,
    /// Index of the last bucket.
    last: i32,
}

impl Side {
    /// Room for so many buckets.
    pub fn with_capacity(buckets: usize) -> Self {
        Side {
            counts: Vec::with_capacity(buckets),
            ..Side::default()
        }
    }

    /// A finished side, to which nothing is pushed any more.
    pub fn of(spans: Vec<BucketSpan>, counts: Vec<f64>, lost: Vec<f64>) -> Self {
        Side {
            spans,
            counts,
            lost,
            last: 0,
        }
    }

    /// Adds a bucket behind all others.
    #[inline]
    pub fn push(&mut self, index: i32, count: f64) {
        let gap = index.wrapping_sub(self.last).wrapping_sub(1);
        match self.spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            Some(_) => self.spans.push(BucketSpan { offset: gap, length: 1 }),
            None => self.spans.push(BucketSpan {
                offset: index,
                length: 1,
            }),
        }
        self.last = index;
        self.counts.push(count);
    }

    /// Adds a bucket with what was lost of its count.
    #[inline]
    pub fn push_lossy(&mut self, index: i32, count: f64, lost: f64) {
        self.push(index, count);
        self.lost.push(lost);
    }
}

/// Removes empty buckets, and spans that are none or follow each other without a gap.
pub fn compact(histogram: &mut Histogram) {
    compact_side(&mut histogram.positive_spans, &mut histogram.positive_buckets);
    compact_side(&mut histogram.negative_spans, &mut histogram.negative_buckets);
}

fn compact_side(spans: &mut Vec<BucketSpan>, counts: &mut Vec<f64>) {
    let tight = spans.iter().all(|s| s.length > 0) && spans.iter().skip(1).all(|s| s.offset > 0);
    if tight && !counts.contains(&0.0) {
        return;
    }
    let mut side = Side::with_capacity(counts.len());
    for (index, count) in Indexed::new(spans, counts).filter(|(_, count)| *count != 0.0) {
        side.push(index, count);
    }
    (*spans, *counts) = (side.spans, side.counts);
}

/// The buckets of schema `from` merged into those of the coarser schema `to`.
pub fn reduce(spans: &[BucketSpan], counts: &[f64], from: i32, to: i32) -> Side {
    let mut side = Side::with_capacity(counts.len());
    for (index, count) in Indexed::new(spans, counts) {
        let index = coarser_index(index, from, to);
        match side.counts.last_mut() {
            Some(last) if side.last == index => *last += count,
            _ => side.push(index, count),
        }
    }
    side
}

/// As [`reduce`], with compensated sums; `lost` is as long as `counts`, or empty where nothing was lost before.
pub fn reduce_lossy(spans: &[BucketSpan], counts: &[f64], lost: &[f64], from: i32, to: i32) -> Side {
    let mut side = Side::with_capacity(counts.len());
    for (position, (index, count)) in Indexed::new(spans, counts).enumerate() {
        let index = coarser_index(index, from, to);
        let before = lost.get(position).copied().unwrap_or(0.0);
        match (side.counts.last_mut(), side.lost.last_mut()) {
            (Some(last), Some(last_lost)) if side.last == index => {
                (*last, *last_lost) = kahan_add(count, *last, *last_lost);
                (*last, *last_lost) = kahan_add(before, *last, *last_lost);
            }
            _ => side.push_lossy(index, count, before),
        }
    }
    side
}

/// The histogram at a coarser schema; itself where it has that schema or custom buckets. What is known of resets does not
/// hold for it any more.
pub fn at_schema(histogram: &Histogram, schema: i32) -> Histogram {
    let mut out = histogram.clone();
    if histogram.schema <= schema || histogram.uses_custom_buckets() {
        return out;
    }
    let from = histogram.schema;
    let positive = reduce(&histogram.positive_spans, &histogram.positive_buckets, from, schema);
    let negative = reduce(&histogram.negative_spans, &histogram.negative_buckets, from, schema);
    out.schema = schema;
    out.counter_reset = Default::default();
    (out.positive_spans, out.positive_buckets) = (positive.spans, positive.counts);
    (out.negative_spans, out.negative_buckets) = (negative.spans, negative.counts);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> BucketSpan {
        BucketSpan { offset, length }
    }

    #[test]
    fn empty_buckets_and_spans_go() {
        let check = |spans: &[BucketSpan], counts: &[f64], expected: (&[BucketSpan], &[f64])| {
            let mut histogram = Histogram {
                positive_spans: spans.to_vec(),
                positive_buckets: counts.to_vec(),
                negative_spans: spans.to_vec(),
                negative_buckets: counts.to_vec(),
                ..Histogram::default()
            };
            compact(&mut histogram);
            assert_eq!(
                (&histogram.positive_spans[..], &histogram.positive_buckets[..]),
                expected
            );
            assert_eq!(
                (&histogram.negative_spans[..], &histogram.negative_buckets[..]),
                expected
            );
        };
        check(&[span(-2, 2)], &[1.0, 2.0], (&[span(-2, 2)], &[1.0, 2.0]));
        check(&[span(1, 3)], &[0.0, 2.0, 0.0], (&[span(2, 1)], &[2.0]));
        check(
            &[span(1, 4)],
            &[1.0, 0.0, 0.0, 2.0],
            (&[span(1, 1), span(2, 1)], &[1.0, 2.0]),
        );
        check(
            &[span(1, 1), span(0, 1), span(2, 0)],
            &[1.0, 2.0],
            (&[span(1, 2)], &[1.0, 2.0]),
        );
        check(&[span(1, 1)], &[0.0], (&[], &[]));
    }

    #[test]
    fn coarser_buckets_hold_the_same_observations() {
        let spans = [span(-3, 3), span(2, 2)];
        let counts = [1.0, 2.0, 4.0, 8.0, 16.0];
        let side = reduce(&spans, &counts, 1, 0);
        assert_eq!(
            (&side.spans[..], &side.counts[..]),
            (&[span(-1, 4)][..], &[3.0, 4.0, 8.0, 16.0][..])
        );
        let lossy = reduce_lossy(&spans, &counts, &[0.5; 5], 1, 0);
        assert_eq!(lossy.spans, side.spans);
        assert_eq!(lossy.counts.iter().chain(&lossy.lost).sum::<f64>(), 33.5);
    }
}
