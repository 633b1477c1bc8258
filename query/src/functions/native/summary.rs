//! Numbers that native histograms tell: quantiles, fractions, deviations (prometheus promql/quantile.go,
//! `HistogramQuantile`, `HistogramFraction`; promql/functions.go, `histogramVariance`).

use garner_storage::model::Histogram;

use super::buckets::{Bucket, ascending, descending};
use crate::functions::kahan::kahan_add;

/// What NaN among the observations did to a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanEffect {
    /// The quantile falls above all buckets.
    ResultIsNan,
    /// NaN counted as greater than all buckets.
    SkewedHigher,
}

/// The φ-quantile, interpolated inside its bucket: on a logarithmic scale, linearly in the zero bucket and in custom ones.
pub fn quantile(phi: f64, histogram: &Histogram) -> (f64, Option<NanEffect>) {
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || phi.is_nan() {
        return (f64::NAN, None);
    }
    // NaN observations count but stand in no bucket, so ranks are known only from below.
    let has_nan = histogram.sum.is_nan();
    if has_nan || phi < 0.5 {
        from_below(phi * histogram.count, histogram, has_nan)
    } else {
        from_above((1.0 - phi) * histogram.count, histogram)
    }
}

fn from_below(rank: f64, histogram: &Histogram, has_nan: bool) -> (f64, Option<NanEffect>) {
    let mut buckets = ascending(histogram);
    let (bucket, count) = seek(&mut buckets, rank, histogram);
    let bucket = match settle(bucket, histogram) {
        Ok(bucket) => bucket,
        Err(value) => return (value, None),
    };
    if count < rank {
        return if has_nan {
            (f64::NAN, Some(NanEffect::ResultIsNan))
        } else {
            (bucket.upper, None)
        };
    }
    let inside = rank - (count - bucket.count);
    if !has_nan {
        return (interpolate(&bucket, inside, histogram), None);
    }
    // Upstream interpolates in the last bucket it looks at while it counts what there is.
    let (mut last, mut all) = (bucket, count);
    for bucket in buckets {
        last = bucket;
        all += bucket.count;
    }
    // Infinities of both signs make the sum NaN too, but stand in buckets.
    let effect = (all < histogram.count).then_some(NanEffect::SkewedHigher);
    (interpolate(&last, inside, histogram), effect)
}

fn from_above(rank: f64, histogram: &Histogram) -> (f64, Option<NanEffect>) {
    let (bucket, count) = seek(&mut descending(histogram), rank, histogram);
    let bucket = match settle(bucket, histogram) {
        Ok(bucket) => bucket,
        Err(value) => return (value, None),
    };
    if count < rank {
        return (bucket.upper, None);
    }
    (interpolate(&bucket, count - rank, histogram), None)
}

/// Walks to the bucket in which `rank` falls, or the last one, and counts up to its end.
fn seek(buckets: &mut impl Iterator<Item = Bucket>, rank: f64, histogram: &Histogram) -> (Bucket, f64) {
    let mut found = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
    };
    let mut count = 0.0;
    for bucket in buckets {
        found = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    // Rounding must not give more observations than there are.
    (
        found,
        if count > histogram.count {
            histogram.count
        } else {
            count
        },
    )
}

/// Gives a bucket that reaches across zero or into infinity the bounds to interpolate between, or the quantile itself.
fn settle(mut bucket: Bucket, histogram: &Histogram) -> Result<Bucket, f64> {
    if histogram.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Err(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Err(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero(&mut bucket, histogram);
    }
    Ok(bucket)
}

/// The zero bucket of a histogram with buckets on one side only holds nothing of the other sign.
fn narrow_zero(bucket: &mut Bucket, histogram: &Histogram) {
    let (negative, positive) = (
        histogram.negative_buckets.is_empty(),
        histogram.positive_buckets.is_empty(),
    );
    if negative && !positive {
        bucket.lower = 0.0;
    } else if positive && !negative {
        bucket.upper = 0.0;
    }
}

fn interpolate(bucket: &Bucket, rank: f64, histogram: &Histogram) -> f64 {
    let fraction = rank / bucket.count;
    if histogram.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// The share of observations between two values, and whether NaN observations were left out of all shares.
pub fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let (mut count, mut rank) = (0.0, 0.0);
    let mut buckets = ascending(histogram);
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let across_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if across_zero {
            narrow_zero(&mut bucket, histogram);
        }
        let linear = histogram.uses_custom_buckets() || across_zero;
        for (found, value) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if found.is_some() {
                continue;
            }
            if bucket.lower >= value {
                *found = Some(rank);
            } else if bucket.upper > value {
                // In a bucket without a lower end there is nothing to interpolate from.
                *found = Some(if linear && bucket.lower == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    rank + bucket.count * bucket.fraction_below(value, linear)
                });
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut without_nan = false;
    if histogram.sum.is_nan() {
        count = buckets.fold(count, |sum, b| sum + b.count);
        without_nan = count < histogram.count;
    } else {
        count = histogram.count;
    }
    let within = |rank: Option<f64>| match rank {
        Some(rank) if rank <= count || rank.is_nan() => rank,
        _ => count,
    };
    ((within(upper_rank) - within(lower_rank)) / histogram.count, without_nan)
}

/// The mean of all observations.
pub fn average(histogram: &Histogram) -> f64 {
    histogram.sum / histogram.count
}

/// The estimated variance of all observations, each taken for the middle of its bucket.
pub fn variance(histogram: &Histogram) -> f64 {
    let mean = average(histogram);
    let (mut variance, mut lost) = (0.0, 0.0);
    for bucket in ascending(histogram).filter(|b| b.count != 0.0) {
        let middle = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = middle - mean;
        (variance, lost) = kahan_add(bucket.count * delta * delta, variance, lost);
    }
    (variance + lost) / histogram.count
}
