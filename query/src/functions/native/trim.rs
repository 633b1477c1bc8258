//! Native histograms cut at a value: `</` keeps what is below, `>/` what is above (prometheus
//! model/histogram/float_histogram.go, `TrimBuckets`).

use garner_storage::model::Histogram;

use super::buckets::{Bucket, negative, positive};
use super::layout::compact;

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those below the value: `</`.
    Below,
    /// Those above it: `>/`.
    Above,
}

/// Observations that stay, and where in the bucket they stand on average.
type Kept = (f64, f64);

/// Removes the observations on the other side of `at`; a bucket that holds it is interpolated. Count and sum are estimated
/// anew where anything was removed.
pub fn trim(histogram: &mut Histogram, at: f64, keep: Keep) {
    let custom = histogram.uses_custom_buckets();
    let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
    let mut cut = |buckets: &[Bucket], counts: &mut [f64], is_positive: bool| {
        let mut populated = false;
        for (bucket, slot) in buckets.iter().zip(counts).filter(|(b, _)| b.count != 0.0) {
            populated = true;
            let (kept, middle) = kept_of(bucket, at, keep, is_positive, custom);
            count += kept;
            sum += middle * kept;
            trimmed |= kept != *slot;
            *slot = kept;
        }
        populated
    };
    let buckets: Vec<Bucket> = positive(histogram).collect();
    let has_positive = cut(&buckets, &mut histogram.positive_buckets, true);
    let buckets: Vec<Bucket> = negative(histogram).collect();
    let has_negative = cut(&buckets, &mut histogram.negative_buckets, false);
    if histogram.zero_count > 0.0 && !custom {
        let lower = if has_positive && !has_negative {
            0.0
        } else {
            -histogram.zero_threshold
        };
        let upper = if has_negative && !has_positive {
            0.0
        } else {
            histogram.zero_threshold
        };
        let (share, middle) = zero_share(lower, upper, at, keep);
        let kept = histogram.zero_count * share;
        trimmed |= kept != histogram.zero_count;
        histogram.zero_count = kept;
        sum += middle * kept;
        count += kept;
    }
    if trimmed {
        (histogram.count, histogram.sum) = (count, sum);
        compact(histogram);
    }
}

fn kept_of(bucket: &Bucket, at: f64, keep: Keep, is_positive: bool, custom: bool) -> Kept {
    let (whole, part) = match keep {
        Keep::Below => (bucket.upper <= at, bucket.lower < at),
        Keep::Above => (bucket.lower >= at, bucket.upper > at),
    };
    if whole {
        return (bucket.count, middle(bucket.lower, bucket.upper, is_positive, custom));
    }
    if !part {
        return (0.0, 0.0);
    }
    if bucket.lower == f64::NEG_INFINITY {
        return kept_without_lower_end(bucket, at, keep);
    }
    if bucket.upper == f64::INFINITY {
        return kept_without_upper_end(bucket, at, keep);
    }
    let below = if at <= bucket.lower {
        0.0
    } else if at >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(at, custom)
    };
    match keep {
        Keep::Below => (below, middle(bucket.lower, at, is_positive, custom)),
        Keep::Above => (bucket.count - below, middle(at, bucket.upper, is_positive, custom)),
    }
}

/// Of a bucket from -Inf on, which has no width to interpolate in unless its observations can be taken for positive.
fn kept_without_lower_end(bucket: &Bucket, at: f64, keep: Keep) -> Kept {
    let upper_is_finite = bucket.upper != f64::INFINITY;
    match keep {
        Keep::Below if at > 0.0 && bucket.upper > 0.0 && upper_is_finite => {
            (bucket.count * at / bucket.upper, at / 2.0)
        }
        Keep::Below if bucket.upper <= 0.0 => (bucket.count, at),
        Keep::Above if at >= 0.0 && bucket.upper > at && upper_is_finite => {
            (bucket.count * (1.0 - at / bucket.upper), (at + bucket.upper) / 2.0)
        }
        // How the observations are spread is not known, so none is kept.
        _ => (0.0, 0.0),
    }
}

/// Of a bucket up to +Inf.
fn kept_without_upper_end(bucket: &Bucket, at: f64, keep: Keep) -> Kept {
    match keep {
        Keep::Above if at >= bucket.lower => (bucket.count, at),
        _ => (0.0, 0.0),
    }
}

/// The share of a zero bucket that stays, and its middle.
fn zero_share(lower: f64, upper: f64, at: f64, keep: Keep) -> (f64, f64) {
    let whole = (1.0, (lower + upper) / 2.0);
    match keep {
        Keep::Below if at <= lower => (0.0, 0.0),
        Keep::Below if at >= upper => whole,
        Keep::Below => ((at - lower) / (upper - lower), (lower + at) / 2.0),
        Keep::Above if at <= lower => whole,
        Keep::Above if at >= upper => (0.0, 0.0),
        Keep::Above => ((upper - at) / (upper - lower), (at + upper) / 2.0),
    }
}

/// Where observations between two bounds are taken to stand: the geometric mean, the arithmetic one in custom buckets.
fn middle(lower: f64, upper: f64, is_positive: bool, custom: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if custom => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if is_positive { mean } else { -mean }
        }
    }
}
