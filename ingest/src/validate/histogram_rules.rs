//! Rules for native histograms, in Prometheus' order and words (`model/histogram/histogram.go` and `float_histogram.go`,
//! `Validate`; `generic.go`; `storage/remote/write_handler.go`, which lowers resolutions over 8). The limit on buckets is
//! Mimir's (`pkg/distributor/validate.go`, `validateSampleHistogram`).

use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram};

use super::limits::MetricLimits;
use super::metric_rules::limit_message;
use crate::prometheus::{Counts, SentHistogram};
use crate::text::go_float;

const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;
/// Schemas up to here may be sent and are lowered.
const MAX_SENT_SCHEMA: i32 = 52;
/// Buckets on one side that are stored at all, limit or not: what the store can hold (its `MAX_BUCKETS`).
const MAX_BUCKETS_STORED: usize = 1 << 20;

const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";
const SPAN_OFFSET: &str = "histogram has a span whose offset is negative";
const SPANS_MISMATCH: &str = "histogram spans specify different number of buckets than provided";

/// Buckets of one side with their counts, whole or not.
trait Count: Copy {
    fn below_zero(self) -> bool;
    fn plus(self, other: Self) -> Self;
    fn shown(self) -> String;
}

impl Count for i64 {
    fn below_zero(self) -> bool {
        self < 0
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn shown(self) -> String {
        self.to_string()
    }
}

impl Count for f64 {
    fn below_zero(self) -> bool {
        self < 0.0
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn shown(self) -> String {
        go_float(self)
    }
}

/// The histogram to store, or why it is refused; `series` names its series where it is.
pub(crate) fn checked_histogram(
    mut sent: SentHistogram,
    limits: &MetricLimits,
    series: impl Fn() -> String,
) -> Result<Histogram, String> {
    let refused = |reason: String| format!("{reason} for series {}", series());
    if (MAX_SCHEMA + 1..=MAX_SENT_SCHEMA).contains(&sent.schema) {
        lower(&mut sent, MAX_SCHEMA).map_err(refused)?;
    }
    validate(&sent).map_err(refused)?;
    if sent.positive_spans.len().max(sent.negative_spans.len()) > MAX_BUCKETS_STORED
        || buckets(&sent) > MAX_BUCKETS_STORED
        || sent.custom_values.len() > MAX_BUCKETS_STORED
    {
        return Err(refused(format!(
            "histogram has more than {MAX_BUCKETS_STORED} buckets, spans or bounds"
        )));
    }
    keep_to_limit(&mut sent, limits, &series)?;
    Ok(histogram(sent))
}

fn histogram(sent: SentHistogram) -> Histogram {
    let numbers = |counts: Vec<i64>| counts.into_iter().map(|n| n as f64).collect();
    let (count, zero_count, positive_buckets, negative_buckets) = match sent.counts {
        Counts::Whole {
            count,
            zero,
            positive,
            negative,
        } => (count as f64, zero as f64, numbers(positive), numbers(negative)),
        Counts::Floats {
            count,
            zero,
            positive,
            negative,
        } => (count, zero, positive, negative),
    };
    Histogram {
        schema: sent.schema,
        counter_reset: sent.counter_reset,
        zero_threshold: sent.zero_threshold,
        zero_count,
        count,
        sum: sent.sum,
        positive_spans: sent.positive_spans,
        negative_spans: sent.negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: sent.custom_values,
    }
}

fn validate(sent: &SentHistogram) -> Result<(), String> {
    match &sent.counts {
        Counts::Whole {
            count,
            zero,
            positive,
            negative,
        } => {
            let in_negative = check_layout(sent, positive, negative, *zero == 0, || Ok(()))?;
            let in_positive = check_buckets(positive).map_err(|e| format!("positive side: {e}"))?;
            // Sums wrap as the numbers they are made of do.
            let sum = |counts: &[i64]| counts.iter().fold(0u64, |sum, n| sum.wrapping_add(*n as u64));
            let negatives = if in_negative { sum(negative) } else { 0 };
            let found = negatives
                .wrapping_add(if in_positive { sum(positive) } else { 0 })
                .wrapping_add(*zero);
            let told = format!("{found} observations found in buckets, but the Count field is {count}");
            if sent.sum.is_nan() && found > *count {
                return Err(format!(
                    "{told}: histogram's observation count should be at least the number of observations found in the \
                     buckets"
                ));
            }
            if !sent.sum.is_nan() && found != *count {
                return Err(format!(
                    "{told}: histogram's observation count should equal the number of observations found in the buckets (in \
                     absence of NaN)"
                ));
            }
        }
        Counts::Floats {
            count,
            zero,
            positive,
            negative,
        } => {
            check_layout(sent, positive, negative, *zero == 0.0, || {
                if zero.below_zero() {
                    let shown = go_float(*zero);
                    return Err(format!(
                        "zero bucket has observation count of {shown}: {NEGATIVE_BUCKET}"
                    ));
                }
                Ok(())
            })?;
            if count.below_zero() {
                let shown = go_float(*count);
                return Err(format!(
                    "observation count is  {shown}: histogram's observation count is negative"
                ));
            }
            check_buckets(positive).map_err(|e| format!("positive side: {e}"))?;
        }
    }
    Ok(())
}

/// Schema, spans and bounds; `check_zero` is asked where a zero bucket is allowed. Gives whether there are negative buckets.
fn check_layout<C: Count>(
    sent: &SentHistogram,
    positive: &[C],
    negative: &[C],
    zero_is_empty: bool,
    check_zero: impl FnOnce() -> Result<(), String>,
) -> Result<bool, String> {
    let refuse = |reason: &str| Err(reason.to_string());
    if sent.schema == CUSTOM_BUCKETS_SCHEMA {
        check_bounds(&sent.custom_values, &sent.positive_spans, positive.len())
            .map_err(|e| format!("custom buckets: {e}"))?;
        if !zero_is_empty {
            return refuse("custom buckets: must have zero count of 0");
        }
        if sent.zero_threshold != 0.0 {
            return refuse("custom buckets: must have zero threshold of 0");
        }
        if !sent.negative_spans.is_empty() {
            return refuse("custom buckets: must not have negative spans");
        }
        if !negative.is_empty() {
            return refuse("custom buckets: must not have negative buckets");
        }
        return Ok(false);
    }
    if !(MIN_SCHEMA..=MAX_SCHEMA).contains(&sent.schema) {
        return Err(format!(
            "histogram has an invalid schema, which must be between {MIN_SCHEMA} and {MAX_SCHEMA} for exponential buckets, or \
             {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {}",
            sent.schema
        ));
    }
    check_spans(&sent.positive_spans, positive.len()).map_err(|e| format!("positive side: {e}"))?;
    check_spans(&sent.negative_spans, negative.len()).map_err(|e| format!("negative side: {e}"))?;
    check_buckets(negative).map_err(|e| format!("negative side: {e}"))?;
    check_zero()?;
    if !sent.custom_values.is_empty() {
        return refuse("histogram with exponential schema must not have custom bounds");
    }
    Ok(true)
}

fn check_spans(spans: &[BucketSpan], buckets: usize) -> Result<(), String> {
    let negative = spans.iter().enumerate().skip(1).find(|(_, span)| span.offset < 0);
    if let Some((at, span)) = negative {
        return Err(format!(
            "span number {} with offset {}: {SPAN_OFFSET}",
            at + 1,
            span.offset
        ));
    }
    same_number(spans, buckets)
}

fn same_number(spans: &[BucketSpan], buckets: usize) -> Result<(), String> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    match needed == buckets as u64 {
        true => Ok(()),
        false => Err(format!(
            "spans need {needed} buckets, have {buckets} buckets: {SPANS_MISMATCH}"
        )),
    }
}

fn check_buckets<C: Count>(buckets: &[C]) -> Result<bool, String> {
    match buckets.iter().enumerate().find(|(_, count)| count.below_zero()) {
        Some((at, count)) => Err(format!(
            "bucket number {} has observation count of {}: {NEGATIVE_BUCKET}",
            at + 1,
            count.shown()
        )),
        None => Ok(true),
    }
}

fn check_bounds(bounds: &[f64], spans: &[BucketSpan], buckets: usize) -> Result<(), String> {
    for (at, bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return Err("histogram custom bounds must not be NaN".to_string());
        }
        if at > 0 && *bound <= bounds[at - 1] {
            let shown = |bound: f64| match bound.is_infinite() {
                true => go_float(bound),
                false => format!("{bound:.6}"),
            };
            return Err(format!(
                "previous bound is {} and current is {}: histogram custom bounds must be in strictly increasing order",
                shown(bounds[at - 1]),
                shown(*bound)
            ));
        }
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(
            "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite".to_string(),
        );
    }
    if let Some((at, span)) = spans.iter().enumerate().find(|(_, span)| span.offset < 0) {
        return Err(format!(
            "span number {} with offset {}: {SPAN_OFFSET}",
            at + 1,
            span.offset
        ));
    }
    same_number(spans, buckets)?;
    let covered: u64 = spans
        .iter()
        .map(|span| u64::from(span.length) + u64::from(span.offset.unsigned_abs()))
        .sum();
    if (bounds.len() as u64 + 1) < covered {
        return Err(format!(
            "only {} custom bounds defined which is insufficient to cover total span length of {covered}: histogram custom \
             bounds are too few",
            bounds.len()
        ));
    }
    Ok(())
}

fn buckets(sent: &SentHistogram) -> usize {
    match &sent.counts {
        Counts::Whole { positive, negative, .. } => positive.len() + negative.len(),
        Counts::Floats { positive, negative, .. } => positive.len() + negative.len(),
    }
}

/// Lowers the resolution until the buckets are no more than the tenant may send.
fn keep_to_limit(sent: &mut SentHistogram, limits: &MetricLimits, series: impl Fn() -> String) -> Result<(), String> {
    let limit = limits.max_native_histogram_buckets;
    let sent_buckets = buckets(sent);
    while limit > 0 && buckets(sent) > limit {
        let lowered = sent.schema > MIN_SCHEMA && lower(sent, sent.schema - 1).is_ok();
        if !lowered {
            return Err(limit_message(
                &format!(
                    "received a native histogram sample with too many buckets, timestamp: {} series: {}, buckets: \
                     {sent_buckets}, limit: {limit}",
                    sent.timestamp_ms,
                    series(),
                ),
                "max-native-histogram-buckets",
                "validation.max-native-histogram-buckets",
            ));
        }
    }
    Ok(())
}

/// Lowers the resolution to `schema`: each step joins two neighbouring buckets.
fn lower(sent: &mut SentHistogram, schema: i32) -> Result<(), String> {
    let steps = sent.schema - schema;
    let spans = [&mut sent.positive_spans, &mut sent.negative_spans];
    match &mut sent.counts {
        Counts::Whole { positive, negative, .. } => {
            for (spans, counts) in spans.into_iter().zip([positive, negative]) {
                lower_side(spans, counts, steps)?;
            }
        }
        Counts::Floats { positive, negative, .. } => {
            for (spans, counts) in spans.into_iter().zip([positive, negative]) {
                lower_side(spans, counts, steps)?;
            }
        }
    }
    sent.schema = schema;
    Ok(())
}

fn lower_side<C: Count>(spans: &mut Vec<BucketSpan>, counts: &mut Vec<C>, steps: i32) -> Result<(), String> {
    let mut lowered: Vec<BucketSpan> = Vec::new();
    let mut joined: Vec<C> = Vec::new();
    let (mut index, mut last) = (0i32, 0i32);
    let mut rest = counts.iter();
    for (at, span) in spans.iter().enumerate() {
        if at > 0 && span.offset < 0 {
            return Err(format!(
                "span number {} with offset {}: {SPAN_OFFSET}",
                at + 1,
                span.offset
            ));
        }
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = rest.next() else {
                let have = counts.len();
                return Err(format!("have {have} buckets but spans need more: {SPANS_MISMATCH}"));
            };
            let target = (index.wrapping_sub(1) >> steps.min(31)).wrapping_add(1);
            index = index.wrapping_add(1);
            match lowered.last_mut() {
                Some(_) if target == last => {
                    if let Some(sum) = joined.last_mut() {
                        *sum = sum.plus(*count);
                    }
                    continue;
                }
                Some(open) if target == last.wrapping_add(1) => open.length += 1,
                Some(_) => lowered.push(BucketSpan {
                    offset: target.wrapping_sub(last).wrapping_sub(1),
                    length: 1,
                }),
                None => lowered.push(BucketSpan {
                    offset: target,
                    length: 1,
                }),
            }
            joined.push(*count);
            last = target;
        }
    }
    if rest.next().is_some() {
        let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        return Err(format!(
            "spans need {needed} buckets, have {} buckets: {SPANS_MISMATCH}",
            counts.len()
        ));
    }
    *spans = lowered;
    *counts = joined;
    Ok(())
}
