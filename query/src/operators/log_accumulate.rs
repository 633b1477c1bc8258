//! Folds samples of log lines into windows: one state a group and step, or the samples themselves where a function needs
//! them all.

use garner_storage::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::forms::bits;
use crate::plan::Steps;

/// A function over the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum LogRangeFunction {
    /// How many.
    Count,
    /// How many per second of the window.
    CountRate,
    /// Their sum.
    Sum,
    /// Their sum per second of the window.
    SumRate,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The variance of the population.
    Stdvar,
    /// The standard deviation of the population.
    Stddev,
    /// The φ-quantile.
    Quantile(#[serde(with = "bits")] f64),
    /// The value of the earliest.
    First,
    /// The value of the newest.
    Last,
    /// The increase per second of a counter, extrapolated to the window's ends.
    RateCounter,
}

/// The windows `(t - offset - range, t - offset]` of all steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogWindows {
    /// The steps.
    pub steps: Steps,
    /// Width in nanoseconds.
    pub range_ns: i64,
    /// Shift into the past in nanoseconds.
    pub offset_ns: i64,
}

impl LogWindows {
    /// Steps whose window holds `time_ns`, and which other times around it the same steps hold.
    pub fn steps_of(&self, time_ns: Timestamp) -> SameSteps {
        let step = i128::from(self.steps.step_ns.max(1));
        let offset = i128::from(self.offset_ns) - i128::from(self.steps.start_ns);
        let len = self.steps.len() as i128;
        // A time is behind the first `n` of these bounds: `step * n - offset`, and the same `range_ns` earlier.
        let ceil = |n: i128| n.div_euclid(step) + i128::from(n.rem_euclid(step) != 0);
        let since = i128::from(time_ns) + offset;
        let range = i128::from(self.range_ns);
        let (first, end) = (ceil(since).clamp(0, len), ceil(since + range).clamp(0, len));
        let low = |n: i128, back: i128| {
            if n == 0 {
                i128::MIN
            } else {
                (n - 1) * step - offset - back
            }
        };
        let high = |n: i128, back: i128| if n == len { i128::MAX } else { n * step - offset - back };
        let time = |n: i128| n.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        SameSteps {
            after: time(low(first, 0).max(low(end, range))),
            until: time(high(first, 0).min(high(end, range))),
            first: first as usize,
            end: end as usize,
        }
    }

    /// The times that some window holds, first and last.
    pub fn bounds(&self) -> (Timestamp, Timestamp) {
        let first = self
            .steps
            .start_ns
            .saturating_sub(self.offset_ns)
            .saturating_sub(self.range_ns);
        (
            first.saturating_add(1),
            self.steps.end_ns().saturating_sub(self.offset_ns),
        )
    }

    fn seconds(&self) -> f64 {
        self.range_ns as f64 / 1e9
    }
}

/// Steps that hold every time of an interval: found once, they serve many lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameSteps {
    /// The times, behind the first and up to the second.
    after: Timestamp,
    until: Timestamp,
    /// The steps, as a half-open range of indices.
    first: usize,
    end: usize,
}

impl SameSteps {
    /// Whether these are the steps of this time.
    pub fn hold(&self, time_ns: Timestamp) -> bool {
        (self.after < time_ns || self.after == Timestamp::MIN) && time_ns <= self.until
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first >= self.end
    }
}

/// The state of one group.
#[derive(Debug)]
pub enum Accumulator {
    /// Counts: each sample adds at the first step that sees it and takes off after the last.
    Count(Vec<i64>),
    /// A state a step.
    Steps(Vec<StepState>),
    /// All samples, in the order they came.
    Samples(Vec<(Timestamp, f64)>),
}

/// What is known of one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepState {
    count: f64,
    value: f64,
    mean: f64,
    time: Timestamp,
}

impl Accumulator {
    /// An empty state.
    pub fn new(function: LogRangeFunction, windows: &LogWindows) -> Self {
        let steps = windows.steps.len();
        match function {
            LogRangeFunction::Count | LogRangeFunction::CountRate => Accumulator::Count(vec![0; steps + 1]),
            LogRangeFunction::Quantile(_) | LogRangeFunction::RateCounter => Accumulator::Samples(Vec::new()),
            _ => Accumulator::Steps(vec![StepState::default(); steps]),
        }
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        match self {
            Accumulator::Count(steps) => steps.len() * 8,
            Accumulator::Steps(steps) => steps.len() * size_of::<StepState>(),
            Accumulator::Samples(samples) => samples.capacity() * 16,
        }
    }

    /// Adds a sample of value 1 at each of these ascending times.
    pub fn add_ones(&mut self, function: LogRangeFunction, windows: &LogWindows, mut times_ns: &[Timestamp]) {
        while let Some(time) = times_ns.first() {
            let steps = windows.steps_of(*time);
            let same = times_ns.partition_point(|t| *t <= steps.until).max(1);
            let (own, rest) = times_ns.split_at(same);
            times_ns = rest;
            if steps.is_empty() {
                continue;
            }
            match self {
                Accumulator::Count(counts) => {
                    counts[steps.first] += own.len() as i64;
                    counts[steps.end] -= own.len() as i64;
                }
                _ => own.iter().for_each(|time| self.add(function, steps, *time, 1.0)),
            }
        }
    }

    /// Adds a sample whose time `steps` hold.
    pub fn add(&mut self, function: LogRangeFunction, steps: SameSteps, time_ns: Timestamp, value: f64) {
        if steps.is_empty() {
            return;
        }
        let SameSteps { first, end, .. } = steps;
        match self {
            Accumulator::Count(steps) => {
                steps[first] += 1;
                steps[end] -= 1;
            }
            Accumulator::Steps(steps) => {
                for state in &mut steps[first..end] {
                    state.add(function, time_ns, value);
                }
            }
            Accumulator::Samples(samples) => samples.push((time_ns, value)),
        }
    }

    /// Adds the samples of another state of the same group.
    pub fn merge(&mut self, function: LogRangeFunction, other: Accumulator) {
        match (self, other) {
            (Accumulator::Count(a), Accumulator::Count(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
            (Accumulator::Steps(a), Accumulator::Steps(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| a.merge(function, b));
            }
            (Accumulator::Samples(a), Accumulator::Samples(b)) => a.extend(b),
            // States of one function have one shape.
            _ => {}
        }
    }

    /// Writes the value of each step; `None` where its window is empty.
    pub fn finish(self, function: LogRangeFunction, windows: &LogWindows, out: &mut Vec<Option<f64>>) {
        out.clear();
        match self {
            Accumulator::Count(steps) => {
                let divisor = if function == LogRangeFunction::CountRate {
                    windows.seconds()
                } else {
                    1.0
                };
                let mut count = 0i64;
                for delta in &steps[..windows.steps.len()] {
                    count += delta;
                    out.push((count > 0).then(|| count as f64 / divisor));
                }
            }
            Accumulator::Steps(steps) => {
                let value = |s: &StepState| (s.count > 0.0).then(|| s.finish(function, windows.seconds()));
                out.extend(steps.iter().map(value));
            }
            Accumulator::Samples(mut samples) => {
                samples.sort_by_key(|(time, _)| *time);
                finish_samples(&samples, function, windows, out);
            }
        }
    }
}

impl StepState {
    fn add(&mut self, function: LogRangeFunction, time_ns: Timestamp, value: f64) {
        let first = self.count == 0.0;
        self.count += 1.0;
        match function {
            LogRangeFunction::Avg => self.add_mean(value),
            LogRangeFunction::Min => {
                if first || value < self.value || self.value.is_nan() {
                    self.value = value;
                }
            }
            LogRangeFunction::Max => {
                if first || value > self.value || self.value.is_nan() {
                    self.value = value;
                }
            }
            LogRangeFunction::Stdvar | LogRangeFunction::Stddev => {
                let delta = value - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (value - self.mean);
            }
            LogRangeFunction::First => {
                if first || time_ns < self.time {
                    (self.value, self.time) = (value, time_ns);
                }
            }
            LogRangeFunction::Last => {
                if first || time_ns >= self.time {
                    (self.value, self.time) = (value, time_ns);
                }
            }
            _ => self.value += value,
        }
    }

    /// A running mean that survives infinities.
    fn add_mean(&mut self, value: f64) {
        if self.mean.is_infinite() {
            let same = value.is_infinite() && (self.mean > 0.0) == (value > 0.0);
            if same || value.is_finite() {
                return;
            }
        }
        self.mean += value / self.count - self.mean / self.count;
    }

    fn merge(&mut self, function: LogRangeFunction, other: StepState) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        match function {
            LogRangeFunction::Avg => {
                self.mean = if self.mean.is_finite() && other.mean.is_finite() {
                    self.mean + (other.mean - self.mean) * (other.count / count)
                } else {
                    self.mean + other.mean
                };
            }
            LogRangeFunction::Min => {
                if other.value < self.value || self.value.is_nan() {
                    self.value = other.value;
                }
            }
            LogRangeFunction::Max => {
                if other.value > self.value || self.value.is_nan() {
                    self.value = other.value;
                }
            }
            LogRangeFunction::Stdvar | LogRangeFunction::Stddev => {
                let delta = other.mean - self.mean;
                self.value += other.value + delta * delta * self.count * other.count / count;
                self.mean += delta * other.count / count;
            }
            LogRangeFunction::First => {
                if other.time < self.time {
                    (self.value, self.time) = (other.value, other.time);
                }
            }
            LogRangeFunction::Last => {
                if other.time >= self.time {
                    (self.value, self.time) = (other.value, other.time);
                }
            }
            _ => self.value += other.value,
        }
        self.count = count;
    }

    fn finish(&self, function: LogRangeFunction, seconds: f64) -> f64 {
        match function {
            LogRangeFunction::Avg => self.mean,
            LogRangeFunction::Stdvar => self.value / self.count,
            LogRangeFunction::Stddev => (self.value / self.count).sqrt(),
            LogRangeFunction::SumRate => self.value / seconds,
            _ => self.value,
        }
    }
}

fn finish_samples(
    samples: &[(Timestamp, f64)],
    function: LogRangeFunction,
    windows: &LogWindows,
    out: &mut Vec<Option<f64>>,
) {
    let mut sorted = Vec::new();
    for step in 0..windows.steps.len() {
        let end = windows.steps.time(step).saturating_sub(windows.offset_ns);
        let start = end.saturating_sub(windows.range_ns);
        let from = samples.partition_point(|(t, _)| *t <= start);
        let to = samples.partition_point(|(t, _)| *t <= end);
        let window = &samples[from..to.max(from)];
        out.push((!window.is_empty()).then(|| match function {
            LogRangeFunction::Quantile(q) => {
                sorted.clear();
                sorted.extend(window.iter().map(|(_, v)| *v));
                quantile(q, &mut sorted)
            }
            _ => counter_rate(window, windows.range_ns, end),
        }));
    }
}

/// The φ-quantile between the two values around it; NaN sorts first. The order of `values` is lost.
fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let order = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    };
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    let (_, at, above) = values.select_nth_unstable_by(lower as usize, order);
    let at = *at;
    let next = match upper > lower {
        true => above.iter().copied().min_by(order).unwrap_or(at),
        false => at,
    };
    at * (1.0 - weight) + next * weight
}

/// Prometheus' extrapolated rate of a counter over nanosecond samples (grafana/loki `pkg/logql/range_vector.go`,
/// `extrapolatedRate`); one sample gives 0.
fn counter_rate(samples: &[(Timestamp, f64)], range_ns: i64, end_ns: Timestamp) -> f64 {
    let [(first_time, first), .., (last_time, last)] = samples else {
        return 0.0;
    };
    let mut increase = last - first;
    let mut previous = 0.0;
    for (_, value) in samples {
        if *value < previous {
            increase += previous;
        }
        previous = *value;
    }
    let start_ns = end_ns.saturating_sub(range_ns);
    let mut to_start = (first_time - start_ns) as f64 / 1e9;
    let mut to_end = (end_ns - last_time) as f64 / 1e9;
    let sampled = (last_time - first_time) as f64 / 1e9;
    let between = sampled / (samples.len() - 1) as f64;
    let threshold = between * 1.1;
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if increase > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    increase * ((sampled + to_start + to_end) / sampled) / (range_ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTIONS: [LogRangeFunction; 13] = [
        LogRangeFunction::Count,
        LogRangeFunction::CountRate,
        LogRangeFunction::Sum,
        LogRangeFunction::SumRate,
        LogRangeFunction::Avg,
        LogRangeFunction::Min,
        LogRangeFunction::Max,
        LogRangeFunction::Stdvar,
        LogRangeFunction::Stddev,
        LogRangeFunction::Quantile(0.5),
        LogRangeFunction::First,
        LogRangeFunction::Last,
        LogRangeFunction::RateCounter,
    ];

    fn run(function: LogRangeFunction, windows: &LogWindows, samples: &[(i64, f64)]) -> Vec<Option<f64>> {
        let mut state = Accumulator::new(function, windows);
        samples
            .iter()
            .for_each(|(t, v)| state.add(function, windows.steps_of(*t), *t, *v));
        let mut out = Vec::new();
        state.finish(function, windows, &mut out);
        out
    }

    #[test]
    fn each_function_over_two_windows() {
        const S: i64 = 1_000_000_000;
        let windows = LogWindows {
            steps: Steps::range(10 * S, 20 * S, 10 * S),
            range_ns: 10 * S,
            offset_ns: 0,
        };
        // The sample at 0 s lies on the open edge, the one at 10 s on the closed edge of the first window.
        let samples = [(0, 100.0), (S, 1.0), (6 * S, 5.0), (10 * S, 3.0)];
        for (function, expected) in FUNCTIONS.into_iter().zip([
            3.0,
            0.3,
            9.0,
            0.9,
            3.0,
            1.0,
            5.0,
            8.0 / 3.0,
            (8.0f64 / 3.0).sqrt(),
            3.0,
            1.0,
            3.0,
            0.7777777777777778,
        ]) {
            let got = run(function, &windows, &samples);
            assert_eq!(got[1], None, "{function:?}");
            assert!(
                got[0].is_some_and(|v| (v - expected).abs() < 1e-12),
                "{function:?}: {got:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn steps_hold_for_all_times_of_their_interval(
            range in 1i64..60, step in 1i64..30, offset in -20i64..20, instant in proptest::bool::ANY,
            mut times in proptest::collection::vec(-70i64..170, 0..30),
        ) {
            let steps = if instant { Steps::instant(50) } else { Steps::range(5, 95, step) };
            let windows = LogWindows { steps, range_ns: range, offset_ns: offset };
            for a in -70..170 {
                let found = windows.steps_of(a);
                proptest::prop_assert!(found.hold(a));
                let naive: Vec<usize> = (0..steps.len())
                    .filter(|i| {
                        let end = steps.time(*i) - offset;
                        end - range < a && a <= end
                    })
                    .collect();
                proptest::prop_assert_eq!((found.first..found.end.max(found.first)).collect::<Vec<_>>(), naive);
                for b in -70..170 {
                    let other = windows.steps_of(b);
                    let same = (found.first, found.end) == (other.first, other.end);
                    proptest::prop_assert_eq!(found.hold(b), same, "{} {}", a, b);
                }
            }
            times.sort_unstable();
            for function in FUNCTIONS {
                let ones: Vec<_> = times.iter().map(|t| (*t, 1.0)).collect();
                let mut state = Accumulator::new(function, &windows);
                state.add_ones(function, &windows, &times);
                let mut got = Vec::new();
                state.finish(function, &windows, &mut got);
                proptest::prop_assert_eq!(format!("{got:?}"), format!("{:?}", run(function, &windows, &ones)));
            }
        }

        #[test]
        fn merged_parts_are_the_whole(
            samples in proptest::collection::vec((0i64..100, -5i32..5), 0..40),
            cut in 0usize..40,
            range in 1i64..60, step in 1i64..30, offset in -20i64..20,
        ) {
            let windows = LogWindows { steps: Steps::range(5, 95, step), range_ns: range, offset_ns: offset };
            let mut samples: Vec<(i64, f64)> = samples.into_iter().map(|(t, v)| (t, f64::from(v))).collect();
            samples.sort_by_key(|(t, _)| *t);
            samples.dedup_by_key(|(t, _)| *t);
            let cut = cut.min(samples.len());
            for function in FUNCTIONS {
                let whole = run(function, &windows, &samples);
                let mut left = Accumulator::new(function, &windows);
                samples[..cut].iter().for_each(|(t, v)| left.add(function, windows.steps_of(*t), *t, *v));
                let mut right = Accumulator::new(function, &windows);
                samples[cut..].iter().for_each(|(t, v)| right.add(function, windows.steps_of(*t), *t, *v));
                left.merge(function, right);
                let mut got = Vec::new();
                left.finish(function, &windows, &mut got);
                for (a, b) in whole.iter().zip(&got) {
                    let close = match (a, b) {
                        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0) || (a.is_nan() && b.is_nan()),
                        (a, b) => a == b,
                    };
                    proptest::prop_assert!(close, "{:?}: {:?} and {:?}", function, whole, got);
                }
            }
        }
    }
}
