//! `rate`, `increase`, `delta` with extrapolation to the window's edges, `irate` and `idelta` (prometheus
//! promql/functions.go, `extrapolatedRate` and `instantValue`).

use garner_storage::model::Timestamp;

use super::range::Window;
use super::seconds::seconds;

/// Which of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateKind {
    /// A falling value is a reset, not a loss.
    pub counter: bool,
    /// Per second of the window instead of over it.
    pub per_second: bool,
}

/// A sample this much further from the edge than samples from each other is not the next one of a regular series.
const EXTRAPOLATION_THRESHOLD: f64 = 1.1;

/// The change over a window, extrapolated to its edges; nothing of fewer than two samples. `resets` says that the series
/// falls somewhere, so that windows must be looked through for it.
pub fn extrapolated(window: &Window<'_>, kind: RateKind, resets: bool) -> Option<f64> {
    let (times, values) = (window.times, window.values);
    let last = values.len().checked_sub(1)?;
    if last == 0 {
        return None;
    }
    let mut change = values[last] - values[0];
    if kind.counter && resets {
        for pair in values.windows(2) {
            if pair[1] < pair[0] {
                change += pair[0];
            }
        }
    }
    Some(change * extrapolation(times, window.start, window.end, kind, values[0], change, None))
}

/// What the change between the first and the last sample is to be multiplied with, so that it covers `(start, end]`. There
/// are at least two times, or one where the series has `begun` inside, at zero; `first` is the value (of a histogram, the
/// count) of the first sample.
#[inline]
pub fn extrapolation(
    times: &[Timestamp],
    start: Timestamp,
    end: Timestamp,
    kind: RateKind,
    first: f64,
    change: f64,
    begun: Option<Timestamp>,
) -> f64 {
    let last = times.len() - 1;
    // All in nanoseconds: only ratios of them matter, and each division saved counts (it is the hottest place of a query).
    let mut sampled = (times[last] - times[0]) as f64;
    let spacing = sampled / last.max(1) as f64;
    let threshold = spacing * EXTRAPOLATION_THRESHOLD;

    let mut to_start = times[0].saturating_sub(start) as f64;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if let Some(begun) = begun {
        sampled = (times[last] - begun) as f64;
        to_start = 0.0;
    }
    // A counter starts at zero, so it is not extrapolated to before it would have been zero.
    if kind.counter && change > 0.0 && first >= 0.0 && sampled * first < to_start * change {
        to_start = sampled * (first / change);
    }
    let mut to_end = end.saturating_sub(times[last]) as f64;
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    let mut factor = if sampled == 0.0 {
        1.0
    } else {
        (sampled + to_start + to_end) / sampled
    };
    if kind.per_second {
        factor /= seconds(end.saturating_sub(start));
    }
    factor
}

/// The change between the last two samples of a window.
pub fn between_last_two(window: &Window<'_>, kind: RateKind) -> Option<f64> {
    let last = window.values.len().checked_sub(1)?;
    let before = last.checked_sub(1)?;
    let interval = window.times[last] - window.times[before];
    if interval == 0 {
        return None;
    }
    let reset = kind.counter && window.values[last] < window.values[before];
    let mut change = window.values[last];
    if !reset {
        change -= window.values[before];
    }
    if kind.per_second {
        change /= seconds(interval);
    }
    Some(change)
}
