//! The buckets of a native histogram in order, with their bounds (prometheus model/histogram/float_histogram.go,
//! `AllBucketIterator` and its like).

use garner_storage::model::{BucketSpan, Histogram};

use super::bounds::bound;

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether observations at the lower bound are in it.
    pub lower_inclusive: bool,
    /// Whether observations at the upper bound are in it.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

/// The buckets of one side by index: walks spans and counts together, from either end. Ends where either ends.
#[derive(Clone, Debug)]
pub struct Indexed<'a> {
    spans: &'a [BucketSpan],
    counts: &'a [f64],
    /// Index of the next bucket from the front, and how many the first span has left.
    next: i32,
    left: u32,
    /// Index after the next bucket from the back, and how many the last span has left.
    back_end: i32,
    back_left: u32,
}

impl<'a> Indexed<'a> {
    /// The buckets of a side.
    pub fn new(spans: &'a [BucketSpan], counts: &'a [f64]) -> Self {
        let mut out = Indexed {
            spans,
            counts,
            next: 0,
            left: 0,
            back_end: 0,
            back_left: 0,
        };
        for span in spans {
            // Lengths are bounded by the counts there are; more is a histogram that does not hold together.
            let length = i32::try_from(span.length).unwrap_or(i32::MAX);
            out.back_end = out.back_end.wrapping_add(span.offset).wrapping_add(length);
        }
        if let Some(first) = spans.first() {
            (out.next, out.left) = (first.offset, first.length);
        }
        if let Some(last) = spans.last() {
            out.back_left = last.length;
        }
        out
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    #[inline]
    fn next(&mut self) -> Option<(i32, f64)> {
        let (&count, rest) = self.counts.split_first()?;
        while self.left == 0 {
            let (_, spans) = self.spans.split_first()?;
            self.spans = spans;
            let span = spans.first()?;
            (self.next, self.left) = (self.next.wrapping_add(span.offset), span.length);
        }
        self.counts = rest;
        let index = self.next;
        self.next = index.wrapping_add(1);
        self.left -= 1;
        Some((index, count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.counts.len()))
    }
}

/// The buckets of one side from the highest index down.
pub fn indexed_down<'a>(spans: &'a [BucketSpan], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + use<'a> {
    let ends = Indexed::new(spans, counts);
    let (mut spans, mut counts) = (spans, counts);
    let (mut end, mut left) = (ends.back_end, ends.back_left);
    std::iter::from_fn(move || {
        let (&count, rest) = counts.split_last()?;
        while left == 0 {
            let (last, before) = spans.split_last()?;
            end = end.wrapping_sub(last.offset);
            spans = before;
            left = before.last()?.length;
        }
        counts = rest;
        end = end.wrapping_sub(1);
        left -= 1;
        Some((end, count))
    })
}

/// All buckets from the lowest up: negative ones, the zero bucket where it holds anything, positive ones. A neighbour that
/// reaches into the zero bucket ends at it.
pub fn ascending(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    let negative = indexed_down(&histogram.negative_spans, &histogram.negative_buckets);
    let negative = negative.map(|(index, count)| clipped(histogram, negative_bucket(histogram, index, count)));
    let positive = Indexed::new(&histogram.positive_spans, &histogram.positive_buckets);
    let positive = positive.map(|(index, count)| clipped(histogram, positive_bucket(histogram, index, count)));
    negative.chain(populated_zero_bucket(histogram)).chain(positive)
}

/// All buckets from the highest down.
pub fn descending(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    let positive = indexed_down(&histogram.positive_spans, &histogram.positive_buckets);
    let positive = positive.map(|(index, count)| clipped(histogram, positive_bucket(histogram, index, count)));
    let negative = Indexed::new(&histogram.negative_spans, &histogram.negative_buckets);
    let negative = negative.map(|(index, count)| clipped(histogram, negative_bucket(histogram, index, count)));
    positive.chain(populated_zero_bucket(histogram)).chain(negative)
}

/// The positive buckets as they are, ascending.
pub fn positive(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    let indexed = Indexed::new(&histogram.positive_spans, &histogram.positive_buckets);
    indexed.map(|(index, count)| positive_bucket(histogram, index, count))
}

/// The negative buckets as they are, from zero down.
pub fn negative(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    let indexed = Indexed::new(&histogram.negative_spans, &histogram.negative_buckets);
    indexed.map(|(index, count)| negative_bucket(histogram, index, count))
}

/// The zero bucket, also where it holds nothing.
pub fn zero_bucket(histogram: &Histogram) -> Bucket {
    Bucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count: histogram.zero_count,
    }
}

fn populated_zero_bucket(histogram: &Histogram) -> Option<Bucket> {
    let populated = histogram.zero_count > 0.0 && !histogram.uses_custom_buckets();
    populated.then(|| zero_bucket(histogram))
}

fn positive_bucket(histogram: &Histogram, index: i32, count: f64) -> Bucket {
    let (lower, upper) = (bound(index.wrapping_sub(1), histogram), bound(index, histogram));
    if histogram.uses_custom_buckets() {
        return Bucket {
            lower,
            upper,
            lower_inclusive: index == 0,
            upper_inclusive: true,
            count,
        };
    }
    exponential_bucket(lower, upper, count)
}

fn negative_bucket(histogram: &Histogram, index: i32, count: f64) -> Bucket {
    let (far, near) = (bound(index, histogram), bound(index.wrapping_sub(1), histogram));
    exponential_bucket(-far, -near, count)
}

fn exponential_bucket(lower: f64, upper: f64, count: f64) -> Bucket {
    Bucket {
        lower,
        upper,
        lower_inclusive: lower < 0.0,
        upper_inclusive: upper > 0.0,
        count,
    }
}

fn clipped(histogram: &Histogram, mut bucket: Bucket) -> Bucket {
    let zero = histogram.zero_threshold;
    if bucket.upper < 0.0 && bucket.upper > -zero {
        bucket.upper = -zero;
    } else if bucket.lower > 0.0 && bucket.lower < zero {
        bucket.lower = zero;
    }
    bucket
}

impl Bucket {
    /// The share of the bucket's width at or below `value`, which lies strictly inside its finite bounds: linear, or on a
    /// logarithmic scale, where exponential buckets are equally wide (upstream, `FractionBelow`).
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = value.abs().log2();
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> BucketSpan {
        BucketSpan { offset, length }
    }

    #[test]
    fn buckets_come_from_both_ends() {
        let check = |spans: &[BucketSpan], counts: &[f64], expected: &[(i32, f64)]| {
            let up: Vec<_> = Indexed::new(spans, counts).collect();
            assert_eq!(up, expected);
            let mut down: Vec<_> = indexed_down(spans, counts).collect();
            down.reverse();
            assert_eq!(down, expected);
        };
        check(&[], &[], &[]);
        check(&[span(-2, 2)], &[1.0, 2.0], &[(-2, 1.0), (-1, 2.0)]);
        check(
            &[span(0, 0), span(3, 1), span(0, 0), span(1, 2)],
            &[1.0, 2.0, 3.0],
            &[(3, 1.0), (5, 2.0), (6, 3.0)],
        );
        // What does not hold together ends early instead of reaching beyond.
        assert_eq!(Indexed::new(&[span(0, 3)], &[1.0]).count(), 1);
        assert_eq!(Indexed::new(&[span(0, 1)], &[1.0, 2.0]).count(), 1);
        assert_eq!(Indexed::new(&[span(i32::MAX, 2), span(1, 2)], &[1.0; 4]).count(), 4);
    }

    #[test]
    fn all_buckets_are_in_the_order_of_values() {
        let histogram = Histogram {
            zero_threshold: 0.3,
            zero_count: 2.0,
            positive_spans: vec![span(-1, 2)],
            positive_buckets: vec![1.0, 3.0],
            negative_spans: vec![span(0, 1), span(1, 1)],
            negative_buckets: vec![4.0, 5.0],
            ..Histogram::default()
        };
        let up: Vec<_> = ascending(&histogram).collect();
        let bounds: Vec<_> = up.iter().map(|b| (b.lower, b.upper, b.count)).collect();
        let expected = [
            (-4.0, -2.0, 5.0),
            (-1.0, -0.5, 4.0),
            (-0.3, 0.3, 2.0),
            (0.3, 0.5, 1.0),
            (0.5, 1.0, 3.0),
        ];
        assert_eq!(bounds, expected);
        let mut down: Vec<_> = descending(&histogram).collect();
        down.reverse();
        assert_eq!(down, up);
        let kinds: Vec<_> = up.iter().map(|b| (b.lower_inclusive, b.upper_inclusive)).collect();
        assert_eq!(kinds[1..4], [(true, false), (true, true), (false, true)]);
    }
}
