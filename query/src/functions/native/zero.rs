//! Zero buckets of different widths: the narrower one is widened until both end at bucket bounds (prometheus
//! model/histogram/float_histogram.go, `reconcileZeroBuckets`).

use garner_storage::model::Histogram;

use super::add::Lost;
use super::buckets::Indexed;
use super::buckets::{Bucket, negative, positive};
use super::layout::Side;
use crate::functions::kahan::kahan_add;

/// The count of a zero bucket, what was lost of it, and how wide it became.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Widened {
    /// Observations.
    pub count: f64,
    /// Kahan's compensation of `count`.
    pub lost: f64,
    /// The threshold, where it had to grow the bound of a bucket that it would have cut.
    pub threshold: f64,
}

/// Widens the zero bucket of `histogram` until it includes that of `other` and both can end there. Gives what the zero
/// bucket of `other` would hold at that width, and what was lost of it.
pub fn reconcile(histogram: &mut Histogram, mut lost: Option<&mut Lost>, other: &Histogram) -> (f64, f64) {
    let mut theirs = Widened {
        count: other.zero_count,
        lost: 0.0,
        threshold: other.zero_threshold,
    };
    // Each round widens one of them to a bound of a bucket, of which there are finitely many. A threshold that is no number
    // is neither wider nor narrower, and stays.
    loop {
        if histogram.zero_threshold > theirs.threshold {
            theirs = widened(other, None, histogram.zero_threshold);
        }
        if theirs.threshold > histogram.zero_threshold {
            let own = widened(histogram, lost.as_deref(), theirs.threshold);
            (histogram.zero_count, histogram.zero_threshold) = (own.count, own.threshold);
            if let Some(lost) = lost.as_deref_mut() {
                lost.zero_count = own.lost;
            }
            clear_inside(histogram, lost.as_deref_mut());
        }
        let differ = histogram.zero_threshold > theirs.threshold || theirs.threshold > histogram.zero_threshold;
        if !differ {
            return (theirs.count, theirs.lost);
        }
    }
}

/// The zero bucket of `histogram` at a threshold that is at least its own (upstream, `zeroCountForLargerThreshold`).
pub fn widened(histogram: &Histogram, lost: Option<&Lost>, threshold: f64) -> Widened {
    let before = lost.map_or(0.0, |l| l.zero_count);
    let mut out = Widened {
        count: histogram.zero_count,
        lost: before,
        threshold,
    };
    if threshold == histogram.zero_threshold {
        return out;
    }
    loop {
        out.count = histogram.zero_count;
        let take = |bucket: &Bucket, lost: Option<f64>, out: &mut Widened| {
            (out.count, out.lost) = kahan_add(bucket.count, out.count, out.lost);
            if let Some(lost) = lost {
                (out.count, out.lost) = kahan_add(lost, out.count, out.lost);
            }
        };
        for (i, bucket) in positive(histogram).enumerate() {
            if bucket.lower >= out.threshold {
                break;
            }
            take(&bucket, lost.and_then(|l| l.positive.get(i).copied()), &mut out);
            if bucket.upper > out.threshold {
                // An empty bucket may be cut.
                if bucket.count != 0.0 {
                    out.threshold = bucket.upper;
                }
                break;
            }
        }
        let mut again = false;
        for (i, bucket) in negative(histogram).enumerate() {
            if bucket.upper <= -out.threshold {
                break;
            }
            take(&bucket, lost.and_then(|l| l.negative.get(i).copied()), &mut out);
            if bucket.lower < -out.threshold {
                if bucket.count != 0.0 {
                    // Positive buckets up to the new threshold belong to it too.
                    out.threshold = -bucket.lower;
                    again = true;
                }
                break;
            }
        }
        if !again {
            return out;
        }
    }
}

/// Removes the buckets inside the zero bucket, whose observations it already counts, and all other empty ones.
fn clear_inside(histogram: &mut Histogram, lost: Option<&mut Lost>) {
    let threshold = histogram.zero_threshold;
    let inside_positive = positive(histogram).take_while(|b| b.lower < threshold).count();
    let inside_negative = negative(histogram).take_while(|b| b.upper > -threshold).count();
    let (lost_positive, lost_negative) = match &lost {
        Some(lost) => (&lost.positive[..], &lost.negative[..]),
        None => (&[][..], &[][..]),
    };
    let keep = |spans, counts, lost: &[f64], inside| {
        let mut side = Side::default();
        for (position, (index, count)) in Indexed::new(spans, counts).enumerate().skip(inside) {
            let lost = lost.get(position).copied().unwrap_or(0.0);
            if count != 0.0 || lost != 0.0 {
                side.push_lossy(index, count, lost);
            }
        }
        side
    };
    let positive = keep(
        &histogram.positive_spans,
        &histogram.positive_buckets,
        lost_positive,
        inside_positive,
    );
    let negative = keep(
        &histogram.negative_spans,
        &histogram.negative_buckets,
        lost_negative,
        inside_negative,
    );
    (histogram.positive_spans, histogram.positive_buckets) = (positive.spans, positive.counts);
    (histogram.negative_spans, histogram.negative_buckets) = (negative.spans, negative.counts);
    if let Some(lost) = lost {
        (lost.positive, lost.negative) = (positive.lost, negative.lost);
    }
}
