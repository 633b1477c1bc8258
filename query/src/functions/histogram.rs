//! Quantiles and fractions of classic histograms (prometheus promql/quantile.go, `BucketQuantile`, `BucketFraction`).

/// Relative differences of neighbouring buckets below this are rounding, not observations (upstream,
/// `smallDeltaTolerance`).
const SMALL_DELTA_TOLERANCE: f64 = 1e-12;

/// One bucket: everything up to its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Inclusive upper bound.
    pub upper: f64,
    /// Cumulative count.
    pub count: f64,
}

/// Where and how much counts had to be raised so that they never fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forced {
    /// Least bound raised.
    pub min_bucket: f64,
    /// Greatest bound raised.
    pub max_bucket: f64,
    /// Greatest fall.
    pub max_diff: f64,
}

/// The φ-quantile of buckets sorted by bound, and what had to be forced. Linear inside a bucket; the bound below the
/// highest bucket where it falls into that; NaN without a +Inf bucket or without observations.
pub fn bucket_quantile(phi: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if phi.is_nan() {
        return (f64::NAN, None);
    }
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = force_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = phi * observations;
    // The first bucket whose count is not below the rank; a NaN count counts as below, as in Go's sort.Search.
    let index = buckets[..last].partition_point(|b| b.count < rank || b.count.is_nan() || rank.is_nan());
    let value = if index == last {
        buckets[last - 1].upper
    } else if index == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (mut start, mut count) = (0.0, buckets[index].count);
        if index > 0 {
            start = buckets[index - 1].upper;
            count -= buckets[index - 1].count;
            rank -= buckets[index - 1].count;
        }
        start + (buckets[index].upper - start) * (rank / count)
    };
    (value, forced)
}

/// The share of observations between two bounds, of buckets sorted by bound.
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut below = 0.0;
    let mut bucket_lower = if buckets[0].upper <= 0.0 {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    for bucket in buckets.iter() {
        // In a bucket without a lower end there is nothing to interpolate from.
        let interpolate = |value: f64| {
            if bucket_lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - bucket_lower) / (bucket.upper - bucket_lower)
            }
        };
        for (rank, value) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if rank.is_some() {
                continue;
            }
            if bucket_lower >= value {
                *rank = Some(below);
            } else if bucket.upper > value {
                *rank = Some(interpolate(value));
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        below = bucket.count;
        bucket_lower = bucket.upper;
    }
    // A rank that is NaN stays.
    let within = |rank: Option<f64>| rank.filter(|r| r.is_nan() || *r <= count).unwrap_or(count);
    (within(upper_rank) - within(lower_rank)) / count
}

/// Adds up buckets with one bound.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

fn force_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current) {
            bucket.count = previous;
        } else if current < previous {
            bucket.count = previous;
            let seen = forced.get_or_insert(Forced {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            seen.min_bucket = seen.min_bucket.min(bucket.upper);
            seen.max_bucket = seen.max_bucket.max(bucket.upper);
            seen.max_diff = seen.max_diff.max(previous - current);
        } else {
            previous = current;
        }
    }
    forced
}

/// Upstream util/almost/almost.go, `Equal`.
fn almost_equal(a: f64, b: f64) -> bool {
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < SMALL_DELTA_TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < SMALL_DELTA_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs
            .iter()
            .map(|(upper, count)| Bucket {
                upper: *upper,
                count: *count,
            })
            .collect()
    }

    #[test]
    fn quantiles_of_buckets() {
        let check = |phi: f64, pairs: &[(f64, f64)], expected: f64| {
            let got = bucket_quantile(phi, &mut buckets(pairs)).0;
            let same = got == expected || (got - expected).abs() < 1e-12 || (got.is_nan() && expected.is_nan());
            assert!(same, "φ {phi} of {pairs:?}: {got}");
        };
        check(0.5, &[(1.0, 1.0), (2.0, 3.0), (INF, 4.0)], 1.5);
        check(1.0, &[(1.0, 1.0), (2.0, 3.0), (INF, 4.0)], 2.0);
        check(0.1, &[(-1.0, 2.0), (INF, 4.0)], -1.0);
        check(0.5, &[(1.0, 1.0), (2.0, 3.0)], f64::NAN);
        check(0.5, &[(INF, 1.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
        check(0.5, &[(1.0, 1.0), (1.0, 1.0), (INF, 2.0)], 0.5);
        check(-1.0, &[], f64::NEG_INFINITY);
    }

    #[test]
    fn falling_counts_are_raised_and_told() {
        let mut falling = buckets(&[(1.0, 4.0), (2.0, 2.0), (3.0, 3.0), (INF, 6.0)]);
        let forced = bucket_quantile(0.5, &mut falling).1;
        let expected = Forced {
            min_bucket: 2.0,
            max_bucket: 3.0,
            max_diff: 2.0,
        };
        assert_eq!(forced, Some(expected));
        let mut rounding = buckets(&[(1.0, 1.0), (2.0, 1.0 - 1e-14), (INF, 2.0)]);
        assert_eq!(bucket_quantile(0.5, &mut rounding).1, None);
    }

    #[test]
    fn fractions_of_buckets() {
        let check = |lower: f64, upper: f64, expected: f64| {
            let mut buckets = buckets(&[(1.0, 1.0), (2.0, 3.0), (INF, 4.0)]);
            assert_eq!(
                bucket_fraction(lower, upper, &mut buckets),
                expected,
                "{lower}..{upper}"
            );
        };
        check(0.0, 1.5, 0.5);
        check(-INF, INF, 1.0);
        check(2.0, 1.0, 0.0);
        check(1.0, 2.0, 0.5);
        check(5.0, INF, 0.25);
        let mut lost = buckets(&[(1.0, 1.0), (2.0, f64::NAN), (INF, 4.0)]);
        assert!(bucket_fraction(0.0, 1.5, &mut lost).is_nan());
    }
}
