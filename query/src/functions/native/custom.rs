//! Custom buckets with different bounds, brought to the bounds that both have (prometheus
//! model/histogram/float_histogram.go, `intersectCustomBucketBounds`, `addCustomBucketsWithMismatches`).

use std::iter::Peekable;

use garner_storage::model::Histogram;

use super::add::Lost;
use super::bounds::bound;
use super::buckets::Indexed;
use super::layout::Side;
use crate::functions::kahan::kahan_add;

/// Whether two lists of bounds are the same.
pub fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a == b
}

/// The bounds in both lists, which ascend.
pub fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut rest = b.iter().copied().peekable();
    let mut out = Vec::new();
    for bound in a {
        while rest.next_if(|other| other < bound).is_some() {}
        if rest.next_if(|other| other == bound).is_some() {
            out.push(*bound);
        }
    }
    out
}

/// Adds `sign` times `other`, whose bounds differ, both cut down to the common bounds; empty buckets are left out.
pub fn combine(histogram: &mut Histogram, lost: Option<&mut Lost>, other: &Histogram, sign: f64) {
    let bounds = common_bounds(&histogram.custom_values, &other.custom_values);
    let mut counts = vec![(0.0, 0.0); bounds.len() + 1];
    let own_lost = lost.as_ref().map_or(&[][..], |l| &l.positive[..]);
    pour(histogram, own_lost, 1.0, &bounds, &mut counts);
    pour(other, &[], sign, &bounds, &mut counts);
    let mut side = Side::default();
    for (index, (count, lost)) in counts.into_iter().enumerate() {
        if count != 0.0 || lost != 0.0 {
            // As many bounds as one histogram has.
            side.push_lossy(i32::try_from(index).unwrap_or(i32::MAX), count, lost);
        }
    }
    histogram.custom_values = bounds;
    (histogram.positive_spans, histogram.positive_buckets) = (side.spans, side.counts);
    if let Some(lost) = lost {
        lost.positive = side.lost;
    }
}

fn pour(histogram: &Histogram, lost: &[f64], sign: f64, bounds: &[f64], out: &mut [(f64, f64)]) {
    let mut target = 0;
    let buckets = Indexed::new(&histogram.positive_spans, &histogram.positive_buckets);
    for (position, (index, count)) in buckets.enumerate() {
        let upper = bound(index, histogram);
        while bounds.get(target).is_some_and(|b| *b < upper) {
            target += 1;
        }
        if let Some(slot) = out.get_mut(target) {
            *slot = kahan_add(sign * count, slot.0, slot.1);
            if let Some(lost) = lost.get(position) {
                *slot = kahan_add(*lost, slot.0, slot.1);
            }
        }
    }
}

/// Whether any bucket of the common bounds holds less now than before.
pub fn any_fell(now: &Histogram, before: &Histogram) -> bool {
    let buckets = |h| upper_counts(h).peekable();
    let (mut now_buckets, mut before_buckets) = (buckets(now), buckets(before));
    let mut bounds = common_bounds(&now.custom_values, &before.custom_values);
    bounds.push(f64::INFINITY);
    bounds
        .into_iter()
        .any(|bound| up_to(&mut now_buckets, bound) < up_to(&mut before_buckets, bound))
}

fn upper_counts(histogram: &Histogram) -> impl Iterator<Item = (f64, f64)> + '_ {
    let indexed = Indexed::new(&histogram.positive_spans, &histogram.positive_buckets);
    indexed.map(|(index, count)| (bound(index, histogram), count))
}

/// Takes the buckets that end at `bound` or below, and adds them up.
fn up_to(buckets: &mut Peekable<impl Iterator<Item = (f64, f64)>>, bound: f64) -> f64 {
    let mut sum = 0.0;
    while let Some((_, count)) = buckets.next_if(|(upper, _)| *upper <= bound) {
        sum += count;
    }
    sum
}
