//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms (prometheus promql/functions.go, `histogramRate`,
//! `instantValue`).

use std::sync::Arc;

use garner_storage::model::{CounterReset, Histogram, Timestamp};

use super::add::{add, sub};
use super::layout::{at_schema, compact};
use super::reset::was_reset;
use super::scale::{div, mul};
use crate::functions::annotate::Notes;
use crate::functions::rate::{RateKind, extrapolation};
use crate::functions::seconds::seconds;
use crate::functions::starts::{any_overlaps, begun_inside};

/// The histograms that one step sees, at least one.
#[derive(Clone, Copy, Debug)]
pub struct HistogramWindow<'a> {
    /// Ascending.
    pub times: &'a [Timestamp],
    /// One a time.
    pub histograms: &'a [Arc<Histogram>],
    /// Whether each was reset since the one before in its series.
    pub resets: &'a [bool],
    /// When the counting of each began; empty where starts are not looked at.
    pub starts: &'a [Timestamp],
    /// The window is `(start, end]`.
    pub start: Timestamp,
    /// Last instant inside.
    pub end: Timestamp,
}

/// The change over a window, extrapolated to its edges; nothing of fewer than two histograms unless the series began inside,
/// or where they do not go together.
pub fn extrapolated(window: &HistogramWindow<'_>, kind: RateKind, notes: &mut Notes) -> Option<Histogram> {
    let HistogramWindow { times, starts, .. } = *window;
    let first = &**window.histograms.first()?;
    let begun = begun_inside(times, starts, window.start).filter(|_| kind.counter);
    if kind.counter && any_overlaps(times, starts) {
        notes.add(Notes::START_OVERLAP);
    }
    let mut out = match (window.histograms.len(), begun) {
        (1, None) => return None,
        (1, Some(_)) => first.clone(),
        (_, None) => change(window, kind.counter, notes)?,
        (_, Some(_)) => {
            let mut out = change(window, kind.counter, notes)?;
            let Ok(settled) = add(&mut out, first) else {
                notes.add(Notes::MIXED_BUCKETS);
                return None;
            };
            if settled.bounds_reconciled {
                notes.add(Notes::RECONCILED_ADD);
            }
            out
        }
    };
    let factor = extrapolation(times, window.start, window.end, kind, first.count, out.count, begun);
    mul(&mut out, factor);
    Some(out)
}

/// The last histogram less the first, and what was lost by resets between them.
fn change(window: &HistogramWindow<'_>, counter: bool, notes: &mut Notes) -> Option<Histogram> {
    let is_gauge = |h: &Histogram| h.counter_reset == CounterReset::Gauge;
    let [first, middle @ .., last] = window.histograms else {
        return None;
    };
    let mut told = Notes::default();
    if counter && (is_gauge(first) || is_gauge(last)) {
        told.add(Notes::NOT_COUNTER);
    }
    let second = middle.first().unwrap_or(last);
    // Before a reset there was nothing, so the layout of the first does not matter then.
    let first_was_reset = counter && window.resets.get(1) == Some(&true);
    let nothing = Histogram {
        schema: second.schema,
        custom_values: if first_was_reset {
            second.custom_values.clone()
        } else {
            Vec::new()
        },
        ..Histogram::default()
    };
    let start = if first_was_reset { &nothing } else { &**first };
    let custom = start.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        told.add(Notes::MIXED_BUCKETS);
        notes.add(told);
        return None;
    }
    let mut schema = last.schema.min(start.schema);
    if counter {
        for histogram in middle {
            if is_gauge(histogram) {
                told.add(Notes::NOT_COUNTER);
            }
            schema = schema.min(histogram.schema);
            if histogram.uses_custom_buckets() != custom {
                notes.add(Notes::MIXED_BUCKETS);
                return None;
            }
        }
    }
    let mut out = at_schema(last, schema);
    let Ok(settled) = sub(&mut out, start) else {
        notes.add(Notes::MIXED_BUCKETS);
        return None;
    };
    if settled.bounds_reconciled {
        told.add(Notes::RECONCILED_SUB);
    }
    if counter {
        for (before, _) in window.histograms[1..]
            .iter()
            .zip(&window.resets[2..])
            .filter(|(_, reset)| **reset)
        {
            let Ok(settled) = add(&mut out, before) else {
                notes.add(Notes::MIXED_BUCKETS);
                return None;
            };
            if settled.bounds_reconciled {
                told.add(Notes::RECONCILED_ADD);
            }
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        told.add(Notes::NOT_GAUGE);
    }
    notes.add(told);
    out.counter_reset = CounterReset::Gauge;
    compact(&mut out);
    Some(out)
}

/// The change between two histograms `interval_ns` apart; `restarted` says that the counting began anew between them.
pub fn between(
    before: &Histogram,
    last: &Histogram,
    interval_ns: i64,
    restarted: bool,
    kind: RateKind,
    notes: &mut Notes,
) -> Option<Histogram> {
    let gauges = [before, last].map(|h| h.counter_reset == CounterReset::Gauge);
    let told = if kind.counter && gauges.contains(&true) {
        Notes::NOT_COUNTER
    } else if !kind.counter && gauges.contains(&false) {
        Notes::NOT_GAUGE
    } else {
        Notes::default()
    };
    notes.add(told);
    let mut out = last.clone();
    if !kind.counter || !(restarted || was_reset(last, before)) {
        let Ok(settled) = sub(&mut out, before) else {
            notes.add(Notes::MIXED_BUCKETS);
            return None;
        };
        if settled.bounds_reconciled {
            notes.add(Notes::RECONCILED_SUB);
        }
    }
    out.counter_reset = CounterReset::Gauge;
    compact(&mut out);
    if kind.per_second {
        div(&mut out, seconds(interval_ns));
    }
    Some(out)
}
