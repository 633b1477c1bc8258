//! Native histograms as text and compared (prometheus model/histogram/float_histogram.go, `String`, `Equals`).

use std::fmt::Write;

use garner_storage::model::{BucketSpan, Histogram};

use super::buckets::{Bucket, Indexed, negative, positive, zero_bucket};
use super::custom::same_bounds;
use crate::functions::number::go_general;

/// `{count:3, sum:4.5, (0.5,1]:3}`, empty buckets left out: what `count_values` makes a label of.
pub fn text(histogram: &Histogram) -> String {
    let mut out = format!(
        "{{count:{}, sum:{}",
        go_general(histogram.count),
        go_general(histogram.sum)
    );
    // Bounds as the schema has them, also where they reach into the zero bucket.
    let mut buckets: Vec<Bucket> = negative(histogram).collect();
    buckets.reverse();
    if histogram.zero_count != 0.0 {
        buckets.push(zero_bucket(histogram));
    }
    buckets.extend(positive(histogram));
    for bucket in buckets.iter().filter(|b| b.count != 0.0) {
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let (lower, upper) = (go_general(bucket.lower), go_general(bucket.upper));
        // Writing to a string does not fail.
        let _ = write!(out, ", {open}{lower},{upper}{close}:{}", go_general(bucket.count));
    }
    out.push('}');
    out
}

/// Whether two histograms are the same: layout, and every number by its bits (a NaN is itself, 0 is not -0). Hints about
/// resets do not count.
pub fn equal(a: &Histogram, b: &Histogram) -> bool {
    let bits = |h: &Histogram| [h.count, h.sum, h.zero_count].map(f64::to_bits);
    let same_custom = !a.uses_custom_buckets() || same_bounds(&a.custom_values, &b.custom_values);
    a.schema == b.schema
        && same_custom
        && bits(a) == bits(b)
        && a.zero_threshold == b.zero_threshold
        && same_side(
            (&a.positive_spans, &a.positive_buckets),
            (&b.positive_spans, &b.positive_buckets),
        )
        && same_side(
            (&a.negative_spans, &a.negative_buckets),
            (&b.negative_spans, &b.negative_buckets),
        )
}

fn same_side(a: (&[BucketSpan], &[f64]), b: (&[BucketSpan], &[f64])) -> bool {
    let bits = |(spans, counts)| Indexed::new(spans, counts).map(|(i, c): (i32, f64)| (i, c.to_bits()));
    a.1.len() == b.1.len() && bits(a).eq(bits(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram() -> Histogram {
        Histogram {
            count: 7.0,
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_buckets: vec![3.0, 0.0],
            negative_spans: vec![BucketSpan { offset: 1, length: 1 }],
            negative_buckets: vec![3.0],
            ..Histogram::default()
        }
    }

    #[test]
    fn texts_list_populated_buckets() {
        let expected = "{count:7, sum:2.5, [-2,-1):3, [-0.001,0.001]:1, (0.5,1]:3}";
        assert_eq!(text(&histogram()), expected);
        assert_eq!(text(&Histogram::default()), "{count:0, sum:0}");
    }

    #[test]
    fn equality_is_of_layout_and_bits() {
        let one = histogram();
        let mut other = histogram();
        other.positive_spans = vec![BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: 0, length: 1 }];
        assert!(equal(&one, &other));
        other.sum = f64::NAN;
        assert!(!equal(&one, &other));
        assert!(equal(&other, &other.clone()));
        let mut other = histogram();
        other.positive_spans = vec![BucketSpan { offset: 1, length: 2 }];
        assert!(!equal(&one, &other));
    }
}
