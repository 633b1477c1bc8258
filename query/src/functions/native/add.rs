//! Sums and differences of native histograms: zero buckets are widened, schemas made coarser and custom bounds cut down to
//! what both sides have (prometheus model/histogram/float_histogram.go, `Add`, `Sub`, `KahanAdd`).

use garner_storage::model::{CounterReset, Histogram};

use super::buckets::Indexed;
use super::custom;
use super::layout::{Side, reduce, reduce_lossy};
use super::zero;
use crate::functions::kahan::kahan_add;

/// One side has exponential buckets and the other custom ones, which cannot be brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and with custom buckets cannot be combined")]
pub struct Incompatible;

/// What had to be settled between two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// One said that its counter was reset, the other that it was not.
    pub reset_collision: bool,
    /// Their custom bounds differ and were cut down to those of both.
    pub bounds_reconciled: bool,
}

/// Adds `other`.
pub fn add(histogram: &mut Histogram, other: &Histogram) -> Result<Settled, Incompatible> {
    combine(histogram, None, other, 1.0)
}

/// Subtracts `other`. Hints about resets are settled as for a sum.
pub fn sub(histogram: &mut Histogram, other: &Histogram) -> Result<Settled, Incompatible> {
    combine(histogram, None, other, -1.0)
}

/// Adds `other` and collects in `lost` what rounding loses; `lost` has the layout of `histogram` before and after.
pub fn add_compensated(histogram: &mut Histogram, lost: &mut Lost, other: &Histogram) -> Result<Settled, Incompatible> {
    combine(histogram, Some(lost), other, 1.0)
}

/// What rounding lost of each number of a histogram: Kahan's compensations, in the layout of that histogram's buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lost {
    /// Of the zero bucket.
    pub zero_count: f64,
    /// Of the count of observations.
    pub count: f64,
    /// Of the sum of observations.
    pub sum: f64,
    /// Of the positive buckets.
    pub positive: Vec<f64>,
    /// Of the negative buckets.
    pub negative: Vec<f64>,
}

impl Lost {
    /// Nothing lost yet of `histogram`.
    pub fn nothing_of(histogram: &Histogram) -> Self {
        Lost {
            positive: vec![0.0; histogram.positive_buckets.len()],
            negative: vec![0.0; histogram.negative_buckets.len()],
            ..Lost::default()
        }
    }
}

fn combine(
    histogram: &mut Histogram,
    mut lost: Option<&mut Lost>,
    other: &Histogram,
    sign: f64,
) -> Result<Settled, Incompatible> {
    if histogram.uses_custom_buckets() != other.uses_custom_buckets() {
        return Err(Incompatible);
    }
    let mut settled = Settled {
        reset_collision: settle_resets(histogram, other.counter_reset),
        bounds_reconciled: false,
    };
    if !histogram.uses_custom_buckets() {
        let (zero_count, zero_lost) = zero::reconcile(histogram, lost.as_deref_mut(), other);
        accumulate(
            &mut histogram.zero_count,
            lost.as_deref_mut().map(|l| &mut l.zero_count),
            sign * zero_count,
        );
        if let Some(lost) = lost.as_deref_mut() {
            accumulate(&mut histogram.zero_count, Some(&mut lost.zero_count), sign * zero_lost);
        }
    }
    accumulate(
        &mut histogram.count,
        lost.as_deref_mut().map(|l| &mut l.count),
        sign * other.count,
    );
    accumulate(
        &mut histogram.sum,
        lost.as_deref_mut().map(|l| &mut l.sum),
        sign * other.sum,
    );

    if histogram.uses_custom_buckets() {
        if custom::same_bounds(&histogram.custom_values, &other.custom_values) {
            let own = own_positive(histogram, lost.as_deref_mut());
            let merged = merge(
                own,
                borrowed(&other.positive_spans, &other.positive_buckets),
                |_| false,
                sign,
            );
            put_positive(histogram, lost, merged);
        } else {
            settled.bounds_reconciled = true;
            custom::combine(histogram, lost, other, sign);
        }
        return Ok(settled);
    }
    if other.schema < histogram.schema {
        coarsen(histogram, lost.as_deref_mut(), other.schema);
    }
    let (schema, threshold) = (histogram.schema, histogram.zero_threshold);
    // What lies inside the zero bucket was counted there.
    let inside_zero = |index| super::bounds::exponential_bound(index, schema) <= threshold;
    let sides = [
        (&other.positive_spans, &other.positive_buckets),
        (&other.negative_spans, &other.negative_buckets),
    ];
    for (negative, (spans, counts)) in sides.into_iter().enumerate() {
        let reduced = (other.schema > schema).then(|| match lost {
            Some(_) => reduce_lossy(spans, counts, &[], other.schema, schema),
            None => reduce(spans, counts, other.schema, schema),
        });
        let theirs = match &reduced {
            Some(side) => Theirs {
                spans: &side.spans,
                counts: &side.counts,
                lost: &side.lost,
            },
            None => borrowed(spans, counts),
        };
        if negative == 0 {
            let own = own_positive(histogram, lost.as_deref_mut());
            let merged = merge(own, theirs, inside_zero, sign);
            put_positive(histogram, lost.as_deref_mut(), merged);
        } else {
            let own = own_negative(histogram, lost.as_deref_mut());
            let merged = merge(own, theirs, inside_zero, sign);
            put_negative(histogram, lost.as_deref_mut(), merged);
        }
    }
    Ok(settled)
}

/// Adds to a number, compensated where `lost` is given.
#[inline]
fn accumulate(value: &mut f64, lost: Option<&mut f64>, inc: f64) {
    match lost {
        Some(lost) => (*value, *lost) = kahan_add(inc, *value, *lost),
        None => *value += inc,
    }
}

/// Makes the hint of the first of two histograms that of both; says whether they contradict each other (upstream,
/// `adjustCounterReset`).
pub fn settle_resets(histogram: &mut Histogram, other: CounterReset) -> bool {
    use CounterReset as R;
    let own = histogram.counter_reset;
    let (settled, collision) = match (own, other) {
        (own, other) if own == other => (own, false),
        (R::Gauge, _) | (_, R::Gauge) => (R::Gauge, false),
        (R::Unknown, _) | (_, R::Unknown) => (R::Unknown, false),
        _ => (R::Unknown, true),
    };
    histogram.counter_reset = settled;
    collision
}

/// The buckets that are added.
#[derive(Clone, Copy)]
struct Theirs<'a> {
    spans: &'a [garner_storage::model::BucketSpan],
    counts: &'a [f64],
    /// As many as counts, or none.
    lost: &'a [f64],
}

fn borrowed<'a>(spans: &'a [garner_storage::model::BucketSpan], counts: &'a [f64]) -> Theirs<'a> {
    Theirs {
        spans,
        counts,
        lost: &[],
    }
}

/// A side taken out of a histogram, and whether losses are kept.
struct Own {
    side: Side,
    keeps_lost: bool,
}

fn own_positive(histogram: &mut Histogram, lost: Option<&mut Lost>) -> Own {
    let (spans, counts) = (&mut histogram.positive_spans, &mut histogram.positive_buckets);
    take(spans, counts, lost.map(|l| &mut l.positive))
}

fn own_negative(histogram: &mut Histogram, lost: Option<&mut Lost>) -> Own {
    let (spans, counts) = (&mut histogram.negative_spans, &mut histogram.negative_buckets);
    take(spans, counts, lost.map(|l| &mut l.negative))
}

fn take(spans: &mut Vec<garner_storage::model::BucketSpan>, counts: &mut Vec<f64>, lost: Option<&mut Vec<f64>>) -> Own {
    let keeps_lost = lost.is_some();
    let mut lost = lost.map(std::mem::take).unwrap_or_default();
    if keeps_lost {
        lost.resize(counts.len(), 0.0);
    }
    Own {
        side: Side::of(std::mem::take(spans), std::mem::take(counts), lost),
        keeps_lost,
    }
}

fn put_positive(histogram: &mut Histogram, lost: Option<&mut Lost>, side: Side) {
    (histogram.positive_spans, histogram.positive_buckets) = (side.spans, side.counts);
    if let Some(lost) = lost {
        lost.positive = side.lost;
    }
}

fn put_negative(histogram: &mut Histogram, lost: Option<&mut Lost>, side: Side) {
    (histogram.negative_spans, histogram.negative_buckets) = (side.spans, side.counts);
    if let Some(lost) = lost {
        lost.negative = side.lost;
    }
}

/// Adds `sign` times their buckets to ours, but the first of theirs for which `skip` holds.
fn merge(own: Own, theirs: Theirs<'_>, skip: impl Fn(i32) -> bool, sign: f64) -> Side {
    let Own { mut side, keeps_lost } = own;
    let first = Indexed::new(theirs.spans, theirs.counts).next();
    let Some((first, _)) = first else {
        return side;
    };
    if side.spans == theirs.spans && side.counts.len() == theirs.counts.len() && !skip(first) {
        for (i, count) in theirs.counts.iter().enumerate() {
            let lost = theirs.lost.get(i).copied().unwrap_or(0.0);
            add_at(&mut side, i, keeps_lost, sign * count, sign * lost);
        }
        return side;
    }
    let mut out = Side::with_capacity(side.counts.len() + theirs.counts.len());
    let mut ours = Indexed::new(&side.spans, &side.counts).enumerate().peekable();
    let mut below = true;
    for (position, (index, count)) in Indexed::new(theirs.spans, theirs.counts).enumerate() {
        below = below && skip(index);
        if below {
            continue;
        }
        let their_lost = theirs.lost.get(position).copied().unwrap_or(0.0);
        while let Some((i, (own_index, own_count))) = ours.next_if(|(_, (own, _))| *own < index) {
            push(&mut out, keeps_lost, own_index, own_count, side.lost.get(i).copied());
        }
        match ours.next_if(|(_, (own, _))| *own == index) {
            Some((i, (_, own_count))) => {
                push(&mut out, keeps_lost, index, own_count, side.lost.get(i).copied());
                let last = out.counts.len() - 1;
                add_at(&mut out, last, keeps_lost, sign * count, sign * their_lost);
            }
            None => push(&mut out, keeps_lost, index, sign * count, Some(sign * their_lost)),
        }
    }
    for (i, (index, count)) in ours {
        push(&mut out, keeps_lost, index, count, side.lost.get(i).copied());
    }
    out
}

#[inline]
fn push(side: &mut Side, keeps_lost: bool, index: i32, count: f64, lost: Option<f64>) {
    if keeps_lost {
        side.push_lossy(index, count, lost.unwrap_or(0.0));
    } else {
        side.push(index, count);
    }
}

#[inline]
fn add_at(side: &mut Side, position: usize, keeps_lost: bool, count: f64, lost: f64) {
    let slot = keeps_lost.then(|| &mut side.lost[position]);
    let value = &mut side.counts[position];
    match slot {
        None => *value += count,
        Some(slot) => {
            (*value, *slot) = kahan_add(count, *value, *slot);
            if lost != 0.0 {
                (*value, *slot) = kahan_add(lost, *value, *slot);
            }
        }
    }
}

/// Merges the buckets of an exponential histogram into those of a coarser schema.
fn coarsen(histogram: &mut Histogram, lost: Option<&mut Lost>, schema: i32) {
    let from = histogram.schema;
    histogram.schema = schema;
    let (positive, negative) = match &lost {
        Some(lost) => (
            reduce_lossy(
                &histogram.positive_spans,
                &histogram.positive_buckets,
                &lost.positive,
                from,
                schema,
            ),
            reduce_lossy(
                &histogram.negative_spans,
                &histogram.negative_buckets,
                &lost.negative,
                from,
                schema,
            ),
        ),
        None => (
            reduce(&histogram.positive_spans, &histogram.positive_buckets, from, schema),
            reduce(&histogram.negative_spans, &histogram.negative_buckets, from, schema),
        ),
    };
    let mut lost = lost;
    put_positive(histogram, lost.as_deref_mut(), positive);
    put_negative(histogram, lost, negative);
}
