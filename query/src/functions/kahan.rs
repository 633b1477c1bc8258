//! Compensated summation as Prometheus does it (util/kahansum/kahansum.go, Neumaier's variant of Kahan's algorithm).

/// Adds `inc` to the sum `sum + compensation`; both parts come back. An infinite sum has no compensation.
#[inline]
pub fn kahan_add(inc: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let t = sum + inc;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= inc.abs() {
        compensation + ((sum - t) + inc)
    } else {
        compensation + ((inc - t) + sum)
    };
    (t, c)
}

/// A running mean that sums as long as the sum stays finite and then goes on with incremental means (prometheus
/// promql/functions.go, `funcAvgOverTime`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// The sum, or the mean once `incremental`.
    pub value: f64,
    /// Kahan's compensation of `value`.
    pub compensation: f64,
    /// How many values went in.
    pub count: f64,
    /// Whether the sum would have overflowed.
    pub incremental: bool,
}

impl Mean {
    /// Takes one more value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.value = value;
            return;
        }
        if !self.incremental {
            let (sum, compensation) = kahan_add(value, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, compensation);
                return;
            }
            self.become_incremental(self.count - 1.0);
        }
        let q = (self.count - 1.0) / self.count;
        (self.value, self.compensation) = kahan_add(value / self.count, q * self.value, q * self.compensation);
    }

    /// Takes all values of another mean.
    pub fn merge(&mut self, mut other: Mean) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let (sum, compensation) = kahan_add(other.value, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation, self.count) = (sum, compensation + other.compensation, count);
                return;
            }
        }
        for mean in [&mut *self, &mut other] {
            if !mean.incremental {
                mean.become_incremental(mean.count);
            }
        }
        let (own, its) = (self.count / count, other.count / count);
        let (value, compensation) = kahan_add(its * other.value, own * self.value, own * self.compensation);
        (self.value, self.compensation, self.count) = (value, compensation + its * other.compensation, count);
    }

    /// The mean; NaN of nothing.
    pub fn get(&self) -> f64 {
        if self.incremental {
            self.value + self.compensation
        } else {
            self.value / self.count + self.compensation / self.count
        }
    }

    fn become_incremental(&mut self, count: f64) {
        self.incremental = true;
        self.value /= count;
        self.compensation /= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> Mean {
        let mut mean = Mean::default();
        values.iter().for_each(|v| mean.add(*v));
        mean
    }

    #[test]
    fn means_survive_cancellation_and_overflow() {
        let check = |values: &[f64], expected: f64| {
            let got = mean(values).get();
            let magnitude = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            assert!((got - expected).abs() <= magnitude * 1e-12, "{values:?}: {got}");
        };
        assert_eq!(mean(&[1e100, 1.0, -1e100, 1.0]).get(), 0.5);
        check(&[1e308, 1e308, 1e308], 1e308);
        check(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX], 0.0);
        assert_eq!(mean(&[f64::INFINITY, 1.0]).get(), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).get().is_nan());
    }

    #[test]
    fn merged_means_are_means_of_all() {
        let check = |left: &[f64], right: &[f64], expected: f64| {
            let mut merged = mean(left);
            merged.merge(mean(right));
            assert!((merged.get() - expected).abs() <= expected.abs() * 1e-12);
            assert_eq!(merged.count, (left.len() + right.len()) as f64);
        };
        check(&[1.0, 2.0], &[6.0], 3.0);
        check(&[1e308, 1e308], &[1e308, 1e308], 1e308);
        check(&[], &[4.0], 4.0);
    }
}
