//! Functions of windows that reach beyond their bounds, over native histograms (prometheus promql/functions.go,
//! `extendedHistogramRate`, `pickFirstSampleIndices`; promql/engine.go, `smoothSeries`).

use std::sync::Arc;

use garner_storage::model::{CounterReset, Histogram, NANOS_PER_MILLI, Timestamp};

use super::add::{Incompatible, add, sub};
use super::layout::compact;
use super::mixed::MixedSamples;
use super::range::{count_differences, differs, marks};
use super::reset::was_reset;
use super::scale::{div, mul};
use crate::functions::RangeFunction;
use crate::functions::annotate::Notes;
use crate::functions::reach::{ReachKernel, ends};
use crate::functions::seconds::seconds;
use crate::functions::window::{Reach, Windows};
use crate::vector::RowBuffer;

impl ReachKernel {
    /// Evaluates every step of one series into `out`, and says what there is to tell of it.
    pub fn eval_mixed(&self, samples: &MixedSamples<'_>, out: &mut RowBuffer) -> Notes {
        match samples.started_floats() {
            Some(floats) => self.eval_started(floats, out),
            None => self.eval(samples.float_times, samples.floats, out),
        }
        let float_ranges = ranges(&self.windows, samples.float_times);
        let marks = marks(self.function, samples);
        let mut notes = Notes::default();
        self.windows.for_each(samples.times, |step, low, high| {
            if low == high {
                return;
            }
            let seen = Seen {
                samples: samples.part(float_ranges[step], (low, high)),
                marks: marks.get(low..high).unwrap_or(&[]),
                start: self.bounds.start(step),
                end: self.bounds.end(step),
                smoothed: self.reach == Reach::Smoothed,
            };
            out.unset(step);
            match self.function {
                RangeFunction::Changes | RangeFunction::Resets => {
                    if let Some(count) = seen.since_anchor(self.function) {
                        out.set(step, count);
                    }
                }
                _ if !seen.samples.floats.is_empty() => notes.add(Notes::MIXED_TYPES),
                function => {
                    let counter = function != RangeFunction::Delta;
                    let Ok(Some(mut change)) = seen.change(counter, &mut notes) else {
                        return;
                    };
                    if function == RangeFunction::Rate {
                        div(&mut change, seconds(self.bounds.width_ns));
                    }
                    change.counter_reset = CounterReset::Gauge;
                    compact(&mut change);
                    out.set_histogram(step, Arc::new(change));
                }
            }
        });
        notes
    }
}

/// The value of a smoothed instant selector at each step.
pub fn interpolated(samples: &MixedSamples<'_>, windows: &Windows, bounds: &Windows, out: &mut RowBuffer) -> Notes {
    crate::functions::reach::interpolated(samples.float_times, samples.floats, windows, bounds, out);
    let float_ranges = ranges(windows, samples.float_times);
    let mut notes = Notes::default();
    windows.for_each(samples.times, |step, low, high| {
        if low == high {
            return;
        }
        out.unset(step);
        let window = samples.part(float_ranges[step], (low, high));
        if !window.floats.is_empty() {
            notes.add(Notes::MIXED_TYPES);
            return;
        }
        if let Some(histogram) = value_at(&window, bounds.end(step), &mut notes) {
            out.set_histogram(step, histogram);
        }
    });
    notes
}

fn value_at(window: &MixedSamples<'_>, at: Timestamp, notes: &mut Notes) -> Option<Arc<Histogram>> {
    let (times, histograms) = (window.times, window.histograms);
    let next = times.partition_point(|t| *t < at);
    if times.get(next) == Some(&at) {
        return Some(Arc::clone(&histograms[next]));
    }
    let before = next.checked_sub(1)?;
    if next == times.len() {
        // No next one yet: the newest stands. Its hint is of another neighbour.
        let mut newest = Histogram::clone(&histograms[before]);
        newest.counter_reset = CounterReset::Unknown;
        return Some(Arc::new(newest));
    }
    if histograms[before].uses_custom_buckets() != histograms[next].uses_custom_buckets() {
        notes.add(Notes::MIXED_BUCKETS);
        return None;
    }
    let gauge = |index: usize| histograms[index].counter_reset == CounterReset::Gauge;
    let between = Between {
        times: &times[before..=next],
        histograms: &histograms[before..=next],
    };
    match between.at(at, !(gauge(before) && gauge(next)), notes) {
        Ok(histogram) => Some(Arc::new(histogram)),
        Err(Incompatible) => {
            notes.add(Notes::MIXED_BUCKETS);
            None
        }
    }
}

/// The samples of each step.
fn ranges(windows: &Windows, times: &[Timestamp]) -> Vec<(usize, usize)> {
    let mut out = vec![(0, 0); windows.steps.len()];
    windows.for_each(times, |step, low, high| out[step] = (low, high));
    out
}

/// What one step sees, at least one histogram.
struct Seen<'a> {
    samples: MixedSamples<'a>,
    marks: &'a [bool],
    /// The window itself is `(start, end]`.
    start: Timestamp,
    end: Timestamp,
    smoothed: bool,
}

impl Seen<'_> {
    /// The change from bound to bound, of a counter with what its resets took away. Exponential and custom buckets do not go
    /// together, which is noted.
    fn change(&self, counter: bool, notes: &mut Notes) -> Result<Option<Histogram>, Incompatible> {
        let out = self.change_of_one_kind(counter, notes);
        if out.is_err() {
            notes.add(Notes::MIXED_BUCKETS);
        }
        out
    }

    fn change_of_one_kind(&self, counter: bool, notes: &mut Notes) -> Result<Option<Histogram>, Incompatible> {
        let MixedSamples { times, histograms, .. } = self.samples;
        let Some((first, last)) = ends(times, self.start, self.end, self.smoothed) else {
            return Ok(None);
        };
        let is_gauge = |h: &Histogram| h.counter_reset == CounterReset::Gauge;
        let custom = histograms[first].uses_custom_buckets();
        for histogram in &histograms[first..=last] {
            if histogram.uses_custom_buckets() != custom {
                return Err(Incompatible);
            }
            if counter && is_gauge(histogram) {
                notes.add(Notes::NOT_COUNTER);
            }
        }
        let interpolates_left = self.smoothed && times[first] < self.start;
        let left = match interpolates_left {
            true => self.between(first).at(self.start, counter, notes)?,
            false => Histogram::clone(&histograms[first]),
        };
        let right = match self.smoothed && last > 0 && times[last] > self.end {
            true => self.between(last - 1).at(self.end, counter, notes)?,
            false => Histogram::clone(&histograms[last]),
        };
        let both_gauges = is_gauge(&left) && is_gauge(&right);
        if !counter && !both_gauges {
            notes.add(Notes::NOT_GAUGE);
        }
        let mut out = right.clone();
        if sub(&mut out, &left)?.bounds_reconciled {
            notes.add(Notes::RECONCILED_SUB);
        }
        if counter
            && let Some(lost) = self.lost(first, last, interpolates_left, &left, &right, notes)?
            && add(&mut out, &lost)?.bounds_reconciled
        {
            notes.add(Notes::RECONCILED_ADD);
        }
        Ok(Some(out))
    }

    /// What resets between the bounds took away.
    fn lost(
        &self,
        first: usize,
        last: usize,
        interpolates_left: bool,
        left: &Histogram,
        right: &Histogram,
        notes: &mut Notes,
    ) -> Result<Option<Histogram>, Incompatible> {
        let histograms = self.samples.histograms;
        let (mut next, mut before) = (first + 1, left);
        // A reset that the interpolation of the left bound spans is accounted for there.
        if interpolates_left && was_reset(&histograms[first + 1], &histograms[first]) {
            before = &histograms[first + 1];
            next += 1;
        }
        if next > last {
            return Ok(None);
        }
        let mut lost: Option<Histogram> = None;
        let between = histograms[next..last].iter().map(|h| &**h);
        // The last one stands for the right bound, or was interpolated to it.
        for now in between.chain([right]) {
            if was_reset(now, before) {
                match &mut lost {
                    None => lost = Some(before.clone()),
                    Some(lost) => {
                        if add(lost, before)?.bounds_reconciled {
                            notes.add(Notes::RECONCILED_ADD);
                        }
                    }
                }
            }
            before = now;
        }
        Ok(lost)
    }

    fn between(&self, first: usize) -> Between<'_> {
        Between {
            times: &self.samples.times[first..first + 2],
            histograms: &self.samples.histograms[first..first + 2],
        }
    }

    /// How often samples differ from the one before, from the newest at or before the start on; `None` where none is after it.
    fn since_anchor(&self, function: RangeFunction) -> Option<f64> {
        let samples = self.samples;
        let inside = |times: &[Timestamp]| times.partition_point(|t| *t <= self.start);
        let (mut float, mut histogram) = (inside(samples.float_times), inside(samples.times));
        if float == samples.floats.len() && histogram == samples.times.len() {
            return None;
        }
        let before = |times: &[Timestamp], index: usize| index.checked_sub(1).map(|i| times[i]);
        match (before(samples.float_times, float), before(samples.times, histogram)) {
            (None, None) => {}
            (Some(of_float), of_histogram) if of_histogram.is_none_or(|t| of_float >= t) => float -= 1,
            _ => histogram -= 1,
        }
        let part = samples.part((float, samples.floats.len()), (histogram, samples.times.len()));
        Some(count_differences(
            &part,
            self.marks.get(histogram..).unwrap_or(&[]),
            differs(function),
        ))
    }
}

/// Two neighbours.
struct Between<'a> {
    times: &'a [Timestamp],
    histograms: &'a [Arc<Histogram>],
}

impl Between<'_> {
    /// The histogram at `at`, on the line from one to the other. A counter that was reset started at zero.
    fn at(&self, at: Timestamp, counter: bool, notes: &mut Notes) -> Result<Histogram, Incompatible> {
        let ([from, to], [before, after]) = (self.times, self.histograms) else {
            return Err(Incompatible);
        };
        if at == *from {
            return Ok(Histogram::clone(before));
        }
        let mut out = Histogram::clone(after);
        if at == *to {
            return Ok(out);
        }
        let millis = |ns: i64| (ns / NANOS_PER_MILLI) as f64;
        let fraction = millis(at - from) / millis(to - from);
        if counter && was_reset(after, before) {
            mul(&mut out, fraction);
            return Ok(out);
        }
        if sub(&mut out, before)?.bounds_reconciled {
            notes.add(Notes::RECONCILED_SUB);
        }
        mul(&mut out, fraction);
        if add(&mut out, before)?.bounds_reconciled {
            notes.add(Notes::RECONCILED_ADD);
        }
        Ok(out)
    }
}
