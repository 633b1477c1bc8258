//! Native histograms out of OpenTelemetry's: exponential buckets, and listed ones as custom buckets (prometheus
//! `prometheusremotewrite/histograms.go`).

use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset};

use super::point::{Buckets, Point, Temporality};
use crate::prometheus::{Counts, SentHistogram};

/// Width of the zero bucket where the sender tells none, and also where it does, as in Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The finest resolution that is kept; finer ones are lowered.
const MAX_SCHEMA: i32 = 8;
const MIN_SCHEMA: i32 = -4;
/// Empty buckets in a row that are written out before a new span costs less.
const MAX_GAP: i64 = 2;

/// The native histogram of an exponential point; `Err` is the text where it cannot become one.
pub(super) fn exponential(
    point: &Point<'_>,
    temporality: Temporality,
    times_ms: (i64, i64),
) -> Result<SentHistogram, String> {
    if point.scale < MIN_SCHEMA {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {MIN_SCHEMA}, was {}",
            point.scale
        ));
    }
    let schema = point.scale.min(MAX_SCHEMA);
    let steps = point.scale - schema;
    let (positive_spans, positive) = sparse(exponential_buckets(&point.positive, steps));
    let (negative_spans, negative) = sparse(exponential_buckets(&point.negative, steps));
    Ok(SentHistogram {
        schema,
        zero_threshold: ZERO_THRESHOLD,
        positive_spans,
        negative_spans,
        counts: Counts::Whole {
            count: point.count,
            zero: point.zero_count,
            positive,
            negative,
        },
        ..described(point, temporality, times_ms)
    })
}

/// The native histogram with custom buckets of a point with listed bounds.
pub(super) fn custom(point: &Point<'_>, temporality: Temporality, times_ms: (i64, i64)) -> SentHistogram {
    let counts = point.bucket_counts.iter().enumerate();
    let (positive_spans, positive) = sparse(counts.map(|(at, count)| (at as i64, *count)));
    SentHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans,
        custom_values: point.bounds.clone(),
        counts: Counts::Whole {
            count: point.count,
            zero: 0,
            positive,
            negative: Vec::new(),
        },
        ..described(point, temporality, times_ms)
    }
}

fn described(point: &Point<'_>, temporality: Temporality, (start_ms, timestamp_ms): (i64, i64)) -> SentHistogram {
    SentHistogram {
        timestamp_ms,
        start_ms,
        // OpenTelemetry and Prometheus see resets differently, so that only a comparison is safe.
        counter_reset: match temporality {
            Temporality::Delta => CounterReset::Gauge,
            _ => CounterReset::Unknown,
        },
        sum: point.sum.unwrap_or(0.0),
        ..SentHistogram::default()
    }
}

/// Index and count of each bucket, at a resolution lowered by `steps`; an index may come several times in a row. Bucket 0
/// of OpenTelemetry is `(1, base]`, which Prometheus numbers 1.
fn exponential_buckets(buckets: &Buckets, steps: i32) -> impl Iterator<Item = (i64, u64)> + '_ {
    let steps = steps.min(31);
    let counts = buckets.counts.iter().enumerate();
    counts.map(move |(at, count)| (((at as i64 + i64::from(buckets.offset)) >> steps) + 1, *count))
}

/// Spans over the buckets that hold something, and their counts. Indexes must not go down.
fn sparse(buckets: impl Iterator<Item = (i64, u64)>) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut counts): (Vec<BucketSpan>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut last = 0;
    for (index, count) in buckets.filter(|(_, count)| *count > 0) {
        // Of more than 63 bits, counts wrap as Prometheus' do.
        let count = count as i64;
        let gap = index - last - 1;
        match (spans.last_mut(), counts.last_mut()) {
            (Some(_), Some(sum)) if index == last => {
                *sum = sum.wrapping_add(count);
                continue;
            }
            (Some(span), _) if gap <= MAX_GAP => {
                span.length += gap as u32 + 1;
                counts.extend((0..gap).map(|_| 0));
            }
            (before, _) => {
                let offset = if before.is_some() { gap } else { index };
                // Indexes of 32 bits and a few more: one out of bounds is refused with the histogram's own text later.
                let offset = i32::try_from(offset).unwrap_or(i32::MAX);
                spans.push(BucketSpan { offset, length: 1 });
            }
        }
        counts.push(count);
        last = index;
    }
    (spans, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(of: &[(i32, u32)]) -> Vec<BucketSpan> {
        of.iter()
            .map(|(offset, length)| BucketSpan {
                offset: *offset,
                length: *length,
            })
            .collect()
    }

    #[test]
    fn empty_buckets_are_left_out() {
        let buckets = |offset, counts: &[u64], steps| {
            let buckets = Buckets {
                offset,
                counts: counts.to_vec(),
            };
            sparse(exponential_buckets(&buckets, steps))
        };
        assert_eq!(buckets(0, &[], 0), (vec![], vec![]));
        assert_eq!(buckets(-1, &[1, 0, 0, 2], 0), (spans(&[(0, 4)]), vec![1, 0, 0, 2]));
        assert_eq!(
            buckets(2, &[0, 1, 0, 0, 0, 2, 0], 0),
            (spans(&[(4, 1), (3, 1)]), vec![1, 2])
        );
        // Buckets 1 to 4 at half the resolution: (0, 1, 1, 2) + 1.
        assert_eq!(buckets(1, &[1, 2, 4, 8], 1), (spans(&[(1, 3)]), vec![1, 6, 8]));
        assert_eq!(buckets(0, &[0, 0, 1, 1], 1), (spans(&[(2, 1)]), vec![2]));
        assert_eq!(buckets(i32::MIN, &[1], 0), (spans(&[(i32::MIN + 1, 1)]), vec![1]));
        assert_eq!(buckets(i32::MAX, &[1, 1], 0).1, vec![1, 1]);
        assert_eq!(buckets(-3, &[1, 1], 40), (spans(&[(0, 1)]), vec![2]));
    }

    #[test]
    fn resolutions_that_prometheus_does_not_have() {
        let at = |scale| {
            let mut point = Point {
                scale,
                count: 3,
                ..Point::default()
            };
            point.positive.counts = vec![1, 2];
            exponential(&point, Temporality::Cumulative, (0, 5))
        };
        assert_eq!(at(20).map(|h| h.schema), Ok(8));
        assert_eq!(at(-4).map(|h| h.schema), Ok(-4));
        assert_eq!(
            at(-5).err().as_deref(),
            Some("cannot convert exponential to native histogram. Scale must be >= -4, was -5")
        );
    }
}
