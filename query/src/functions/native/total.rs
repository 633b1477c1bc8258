//! Running sums and means of native histograms, compensated, and mergeable across partitions (prometheus
//! promql/engine.go, `aggregation`; promql/functions.go, `funcSumOverTime`, `funcAvgOverTime`).

use garner_storage::model::{CounterReset, Histogram};

use super::add::{Incompatible, Lost, Settled, add_compensated};
use super::scale::{div, has_overflow, is_far_from_overflow, mul};

/// What the histograms that went into a total said of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// One said that its counter was reset.
    pub reset: bool,
    /// One said that it was not.
    pub not_reset: bool,
    /// Custom bounds differed.
    pub bounds_reconciled: bool,
}

impl Seen {
    /// Whether some said that counters were reset and others that they were not.
    pub fn collision(self) -> bool {
        self.reset && self.not_reset
    }

    /// Adds what another total has seen.
    pub fn merge(&mut self, other: Seen) {
        self.reset |= other.reset;
        self.not_reset |= other.not_reset;
        self.bounds_reconciled |= other.bounds_reconciled;
    }

    fn note(&mut self, hint: CounterReset) {
        self.reset |= hint == CounterReset::Reset;
        self.not_reset |= hint == CounterReset::NotReset;
    }

    fn settle(&mut self, settled: Settled) {
        self.bounds_reconciled |= settled.bounds_reconciled;
    }
}

/// A sum of histograms, or a mean that sums as long as nothing overflows and then goes on with incremental means.
#[derive(Clone, Debug, PartialEq)]
pub struct Total {
    /// The sum, or the mean once `incremental`.
    pub value: Histogram,
    /// What rounding lost of `value`.
    pub lost: Lost,
    /// Histograms that went in.
    pub count: f64,
    /// Whether `value` is a mean.
    pub incremental: bool,
    /// Of all that went in.
    pub seen: Seen,
}

impl Total {
    /// The total of one histogram.
    pub fn of(first: Histogram) -> Self {
        let mut seen = Seen::default();
        seen.note(first.counter_reset);
        Total {
            lost: Lost::nothing_of(&first),
            value: first,
            count: 1.0,
            incremental: false,
            seen,
        }
    }

    /// Adds one more to a sum. After a refusal the total has no meaning.
    pub fn add_to_sum(&mut self, other: &Histogram) -> Result<(), Incompatible> {
        self.seen.note(other.counter_reset);
        self.count += 1.0;
        let settled = add_compensated(&mut self.value, &mut self.lost, other)?;
        self.seen.settle(settled);
        Ok(())
    }

    /// Adds one more to a mean. After a refusal the total has no meaning.
    pub fn add_to_mean(&mut self, other: &Histogram) -> Result<(), Incompatible> {
        self.seen.note(other.counter_reset);
        self.count += 1.0;
        if !self.incremental {
            if self.try_sum(other, None)? {
                return Ok(());
            }
            self.become_incremental(self.count - 1.0);
        }
        let weight = (self.count - 1.0) / self.count;
        mul(&mut self.value, weight);
        self.lost.mul(weight);
        let mut share = other.clone();
        div(&mut share, self.count);
        let settled = add_compensated(&mut self.value, &mut self.lost, &share)?;
        self.seen.settle(settled);
        Ok(())
    }

    /// Adds all of another sum.
    pub fn merge_sum(&mut self, other: Total) -> Result<(), Incompatible> {
        self.seen.merge(other.seen);
        self.count += other.count;
        let settled = add_compensated(&mut self.value, &mut self.lost, &other.value)?;
        self.seen.settle(settled);
        self.add_lost(&other)
    }

    /// Adds all of another mean.
    pub fn merge_mean(&mut self, mut other: Total) -> Result<(), Incompatible> {
        self.seen.merge(other.seen);
        let (own, its) = (self.count, other.count);
        self.count = own + its;
        if !self.incremental && !other.incremental && self.try_sum(&other.value, Some(&other))? {
            return Ok(());
        }
        if !self.incremental {
            self.become_incremental(own);
        }
        if !other.incremental {
            other.become_incremental(its);
        }
        for (total, weight) in [(&mut *self, own / (own + its)), (&mut other, its / (own + its))] {
            mul(&mut total.value, weight);
            total.lost.mul(weight);
        }
        let settled = add_compensated(&mut self.value, &mut self.lost, &other.value)?;
        self.seen.settle(settled);
        self.add_lost(&other)
    }

    /// The sum.
    pub fn into_sum(self) -> Histogram {
        let Total { mut value, lost, .. } = self;
        give_back(&mut value, &lost);
        value
    }

    /// The mean.
    pub fn into_mean(mut self) -> Histogram {
        if !self.incremental {
            div(&mut self.value, self.count);
            self.lost.div(self.count);
        }
        self.into_sum()
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.value.size_bytes() + (self.lost.positive.len() + self.lost.negative.len()) * size_of::<f64>()
    }

    /// Adds `other` (and what was lost of it) unless the sum overflows; says whether it was added.
    fn try_sum(&mut self, other: &Histogram, with_lost: Option<&Total>) -> Result<bool, Incompatible> {
        let safe = is_far_from_overflow(&self.value) && is_far_from_overflow(other);
        let before = (!safe).then(|| (self.value.clone(), self.lost.clone()));
        let settled = add_compensated(&mut self.value, &mut self.lost, other)?;
        self.seen.settle(settled);
        if let Some((value, lost)) = before
            && has_overflow(&self.value)
        {
            (self.value, self.lost) = (value, lost);
            return Ok(false);
        }
        if let Some(total) = with_lost {
            self.add_lost(total)?;
        }
        Ok(true)
    }

    fn add_lost(&mut self, other: &Total) -> Result<(), Incompatible> {
        let lost = lost_histogram(&other.value, &other.lost);
        add_compensated(&mut self.value, &mut self.lost, &lost).map(|_| ())
    }

    fn become_incremental(&mut self, count: f64) {
        self.incremental = true;
        div(&mut self.value, count);
        self.lost.div(count);
    }
}

/// What was lost of `histogram` as a histogram of the same layout.
pub fn lost_histogram(histogram: &Histogram, lost: &Lost) -> Histogram {
    Histogram {
        zero_count: lost.zero_count,
        count: lost.count,
        sum: lost.sum,
        positive_buckets: lost.positive.clone(),
        negative_buckets: lost.negative.clone(),
        ..histogram.clone()
    }
}

/// Adds to a sum what was lost of it, which has its layout.
fn give_back(histogram: &mut Histogram, lost: &Lost) {
    histogram.zero_count += lost.zero_count;
    histogram.count += lost.count;
    histogram.sum += lost.sum;
    let sides = [
        (&mut histogram.positive_buckets, &lost.positive),
        (&mut histogram.negative_buckets, &lost.negative),
    ];
    for (counts, lost) in sides {
        counts.iter_mut().zip(lost).for_each(|(count, lost)| *count += lost);
    }
}
