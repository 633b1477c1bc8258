//! Whether a counter was reset between two native histograms of a series (prometheus model/histogram/float_histogram.go,
//! `DetectReset`).

use garner_storage::model::{BucketSpan, CounterReset, Histogram};

use super::bounds::{coarser_index, exponential_bound};
use super::buckets::Indexed;
use super::{custom, zero};

/// Whether `now` tells that it was reset since `before`: by its hint, by a count that fell, by a populated bucket that is
/// missing, or by a finer resolution.
pub fn was_reset(now: &Histogram, before: &Histogram) -> bool {
    match now.counter_reset {
        CounterReset::Reset => return true,
        CounterReset::NotReset => return false,
        // Gauges are looked at like counters; who asks warns of them.
        CounterReset::Unknown | CounterReset::Gauge => {}
    }
    if now.count < before.count {
        return true;
    }
    if now.uses_custom_buckets() {
        if !before.uses_custom_buckets() {
            return true;
        }
        if !custom::same_bounds(&now.custom_values, &before.custom_values) {
            return custom::any_fell(now, before);
        }
    }
    if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    let zero_before = zero::widened(before, None, now.zero_threshold);
    if zero_before.threshold != now.zero_threshold || now.zero_count < zero_before.count {
        return true;
    }
    side_fell(
        now,
        (&now.positive_spans, &now.positive_buckets),
        (&before.positive_spans, &before.positive_buckets),
        before.schema,
    ) || side_fell(
        now,
        (&now.negative_spans, &now.negative_buckets),
        (&before.negative_spans, &before.negative_buckets),
        before.schema,
    )
}

type SideOf<'a> = (&'a [BucketSpan], &'a [f64]);

/// Whether a bucket of `before`, brought to the resolution of `now`, holds more than the same one of `now`.
fn side_fell(now: &Histogram, side: SideOf<'_>, before: SideOf<'_>, before_schema: i32) -> bool {
    let mut current = outside_zero(now, Merged::new(side, now.schema, now.schema)).peekable();
    for (index, count) in outside_zero(now, Merged::new(before, before_schema, now.schema)) {
        while current.next_if(|(i, _)| *i < index).is_some() {}
        match current.peek() {
            Some((i, held)) if *i == index => {
                if *held < count {
                    return true;
                }
            }
            // It is missing now.
            _ => {
                if count != 0.0 {
                    return true;
                }
            }
        }
    }
    false
}

/// Leaves out the first buckets that lie inside the zero bucket of `histogram`.
fn outside_zero<'a>(
    histogram: &'a Histogram,
    buckets: impl Iterator<Item = (i32, f64)> + 'a,
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let cuts = histogram.zero_threshold != 0.0 && !histogram.uses_custom_buckets();
    let (schema, threshold) = (histogram.schema, histogram.zero_threshold);
    buckets.skip_while(move |(index, _)| cuts && exponential_bound(*index, schema) <= threshold)
}

/// Buckets of one schema as those of a coarser one.
struct Merged<'a> {
    buckets: std::iter::Peekable<Indexed<'a>>,
    from: i32,
    to: i32,
}

impl<'a> Merged<'a> {
    fn new((spans, counts): SideOf<'a>, from: i32, to: i32) -> Self {
        Merged {
            buckets: Indexed::new(spans, counts).peekable(),
            from,
            to,
        }
    }

    fn index(&self, index: i32) -> i32 {
        if self.from == self.to {
            index
        } else {
            coarser_index(index, self.from, self.to)
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<(i32, f64)> {
        let (first, mut count) = self.buckets.next()?;
        let index = self.index(first);
        while self.from != self.to
            && let Some((next, _)) = self.buckets.peek().copied()
            && self.index(next) == index
            && let Some((_, more)) = self.buckets.next()
        {
            count += more;
        }
        Some((index, count))
    }
}
