//! Range functions over series that hold native histograms, alone or between floats: every step in one pass.

use std::sync::Arc;

use garner_storage::model::{Histogram, Timestamp};

use super::mixed::MixedSamples;
use super::rate::{HistogramWindow, between, extrapolated};
use super::reset::was_reset;
use super::text::equal;
use super::total::Total;
use crate::error::QueryError;
use crate::functions::RangeFunction;
use crate::functions::annotate::Notes;
use crate::functions::range::{DELTA, INCREASE, RATE, RangeKernel};
use crate::functions::rate::RateKind;
use crate::functions::seconds::seconds;
use crate::functions::starts::{Started, restarted};
use crate::vector::RowBuffer;

impl<'a> MixedSamples<'a> {
    /// The floats, where starts are looked at.
    pub(super) fn started_floats(&self) -> Option<Started<'a>> {
        (!self.float_starts.is_empty()).then_some(Started {
            times: self.float_times,
            values: self.floats,
            starts: self.float_starts,
        })
    }

    /// Parts of both.
    pub(super) fn part(&self, floats: (usize, usize), histograms: (usize, usize)) -> MixedSamples<'a> {
        MixedSamples {
            float_times: &self.float_times[floats.0..floats.1],
            floats: &self.floats[floats.0..floats.1],
            times: &self.times[histograms.0..histograms.1],
            histograms: &self.histograms[histograms.0..histograms.1],
            float_starts: self.float_starts.get(floats.0..floats.1).unwrap_or(&[]),
            starts: self.starts.get(histograms.0..histograms.1).unwrap_or(&[]),
        }
    }
}

impl RangeKernel {
    /// Evaluates every step of one series into `out`, and says what there is to tell of it.
    pub fn eval_mixed(&mut self, samples: &MixedSamples<'_>, out: &mut RowBuffer) -> Result<Notes, QueryError> {
        // Of floats first; windows with histograms are settled after.
        let mut notes = Notes::default();
        match samples.started_floats() {
            Some(floats) => notes.add(self.eval_started(floats, out)),
            None => self.eval(samples.float_times, samples.floats, out)?,
        }
        let windows = self.windows;
        let mut float_ranges = vec![(0, 0); windows.steps.len()];
        windows.for_each(samples.float_times, |step, low, high| float_ranges[step] = (low, high));
        let marks = marks(self.function, samples);
        let mut checked = Ok(());
        windows.for_each(samples.times, |step, low, high| {
            if low == high {
                return;
            }
            if self.function == RangeFunction::DoubleExponentialSmoothing && checked.is_ok() {
                checked = self.check_factors(step);
            }
            let window = Window {
                samples: samples.part(float_ranges[step], (low, high)),
                marks: marks.get(low..high).unwrap_or(&[]),
                start: windows.start(step),
                end: windows.end(step),
                step,
            };
            window.eval(self.function, &mut notes, out);
        });
        checked.map(|()| notes)
    }
}

/// What a function asks of each histogram and the one before it in the series: looked up once a sample, not once a window.
pub(super) fn marks(function: RangeFunction, samples: &MixedSamples<'_>) -> Vec<bool> {
    let pairs = |differs: fn(&Histogram, &Histogram) -> bool| {
        let rest = samples.histograms.windows(2).enumerate();
        let rest = rest.map(|(i, p)| restarted(samples.times, samples.starts, i + 1) || differs(&p[1], &p[0]));
        std::iter::once(false).chain(rest).collect()
    };
    match function {
        RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Resets => pairs(was_reset),
        RangeFunction::Changes => pairs(|now, before| !equal(now, before)),
        _ => Vec::new(),
    }
}

/// What one step sees, at least one histogram.
struct Window<'a> {
    samples: MixedSamples<'a>,
    marks: &'a [bool],
    start: Timestamp,
    end: Timestamp,
    step: usize,
}

/// A histogram or a float, with its time.
#[derive(Clone, Copy)]
enum Point<'a> {
    Float(Timestamp),
    Histogram(Timestamp, &'a Histogram),
}

impl Point<'_> {
    fn time(&self) -> Timestamp {
        match self {
            Point::Float(time) | Point::Histogram(time, _) => *time,
        }
    }
}

impl Window<'_> {
    fn eval(&self, function: RangeFunction, notes: &mut Notes, out: &mut RowBuffer) {
        use RangeFunction as F;
        let MixedSamples {
            float_times,
            floats,
            times,
            histograms,
            ..
        } = self.samples;
        let counts = (floats.len() + histograms.len()) as f64;
        match function {
            F::Rate | F::Increase | F::Delta => {
                let kind = match function {
                    F::Rate => RATE,
                    F::Increase => INCREASE,
                    _ => DELTA,
                };
                let window = HistogramWindow {
                    times,
                    histograms,
                    resets: self.marks,
                    starts: self.samples.starts,
                    start: self.start,
                    end: self.end,
                };
                self.unmixed(notes, out, |notes| extrapolated(&window, kind, notes));
            }
            F::Irate => self.last_two(RATE, notes, out),
            F::Idelta => self.last_two(DELTA, notes, out),
            F::SumOverTime => self.unmixed(notes, out, |notes| {
                total(histograms, Total::add_to_sum, notes).map(Total::into_sum)
            }),
            F::AvgOverTime => self.unmixed(notes, out, |notes| {
                total(histograms, Total::add_to_mean, notes).map(Total::into_mean)
            }),
            F::CountOverTime => out.set(self.step, counts),
            F::PresentOverTime => out.set(self.step, 1.0),
            F::FirstOverTime => {
                if float_times.first().is_none_or(|t| *t > times[0]) {
                    out.set_histogram(self.step, Arc::clone(&histograms[0]));
                }
            }
            F::LastOverTime => {
                if let (Some(time), Some(last)) = (times.last(), histograms.last())
                    && float_times.last().is_none_or(|t| t < time)
                {
                    out.set_histogram(self.step, Arc::clone(last));
                }
            }
            F::TsOfFirstOverTime => {
                let first = float_times.first().into_iter().chain(times.first()).min();
                out.set(self.step, first.map_or(f64::NAN, |t| seconds(*t)));
            }
            F::TsOfLastOverTime => {
                let last = float_times.last().into_iter().chain(times.last()).max();
                out.set(self.step, last.map_or(f64::NAN, |t| seconds(*t)));
            }
            F::Changes | F::Resets => {
                out.set(
                    self.step,
                    count_differences(&self.samples, self.marks, differs(function)),
                );
            }
            F::Deriv
            | F::PredictLinear
            | F::MinOverTime
            | F::MaxOverTime
            | F::StddevOverTime
            | F::StdvarOverTime
            | F::QuantileOverTime
            | F::MadOverTime
            | F::TsOfMaxOverTime
            | F::TsOfMinOverTime
            | F::DoubleExponentialSmoothing => {
                if !floats.is_empty() {
                    notes.add(Notes::IGNORED_IN_RANGE);
                }
            }
        }
    }

    /// Keeps what `f` makes of histograms; floats among them leave nothing.
    fn unmixed(&self, notes: &mut Notes, out: &mut RowBuffer, f: impl FnOnce(&mut Notes) -> Option<Histogram>) {
        if !self.samples.floats.is_empty() {
            notes.add(Notes::MIXED_TYPES);
            out.unset(self.step);
        } else if let Some(histogram) = f(notes) {
            out.set_histogram(self.step, Arc::new(histogram));
        }
    }

    fn last_two(&self, kind: RateKind, notes: &mut Notes, out: &mut RowBuffer) {
        let floats = self.samples.float_times.iter().rev().take(2).map(|t| Point::Float(*t));
        let histograms = self.samples.times.iter().zip(self.samples.histograms).rev().take(2);
        let histograms = histograms.map(|(t, h)| Point::Histogram(*t, h));
        let mut newest: Vec<Point<'_>> = floats.chain(histograms).collect();
        newest.sort_by_key(|p| std::cmp::Reverse(p.time()));
        match newest[..] {
            [Point::Float(_), Point::Float(_), ..] => {}
            [Point::Histogram(last_time, last), Point::Histogram(time, before), ..] => {
                out.unset(self.step);
                let MixedSamples { times, starts, .. } = self.samples;
                let restarted = restarted(times, starts, times.len() - 1);
                if let Some(change) = between(before, last, last_time - time, restarted, kind, notes) {
                    out.set_histogram(self.step, Arc::new(change));
                }
            }
            [_, _, ..] => {
                out.unset(self.step);
                notes.add(Notes::MIXED_TYPES);
            }
            _ => {}
        }
    }
}

/// What makes a float count as different from the one before for `changes` and `resets`.
pub(super) fn differs(function: RangeFunction) -> fn(f64, f64) -> bool {
    match function {
        RangeFunction::Changes => |now, before| now != before && !(now.is_nan() && before.is_nan()),
        _ => |now, before| now < before,
    }
}

/// How many samples differ from the one before: floats as `differs` has it, histograms as marked, and always where one is a
/// float and the other a histogram.
pub(super) fn count_differences(samples: &MixedSamples<'_>, marks: &[bool], differs: fn(f64, f64) -> bool) -> f64 {
    let MixedSamples {
        float_times,
        floats,
        times,
        ..
    } = *samples;
    let (mut f, mut h, mut count) = (0, 0, 0.0);
    // Whether the sample before was a float; none before the first.
    let mut before = None;
    while f < floats.len() || h < times.len() {
        let is_float = h == times.len() || (f < floats.len() && float_times[f] < times[h]);
        let differs = match before {
            None => false,
            Some(was_float) if was_float != is_float => true,
            Some(true) => differs(floats[f], floats[f - 1]) || restarted(float_times, samples.float_starts, f),
            Some(false) => marks.get(h).copied().unwrap_or(false),
        };
        count += f64::from(u8::from(differs));
        before = Some(is_float);
        if is_float {
            f += 1;
        } else {
            h += 1;
        }
    }
    count
}

/// The total of a window; nothing where exponential and custom buckets meet.
fn total(
    histograms: &[Arc<Histogram>],
    add: impl Fn(&mut Total, &Histogram) -> Result<(), super::add::Incompatible>,
    notes: &mut Notes,
) -> Option<Total> {
    let (first, rest) = histograms.split_first()?;
    let mut total = Total::of(Histogram::clone(first));
    for histogram in rest {
        if add(&mut total, histogram).is_err() {
            notes.add(Notes::MIXED_BUCKETS);
            return None;
        }
    }
    if total.seen.collision() {
        notes.add(Notes::COLLISION_AGGREGATE);
    }
    if total.seen.bounds_reconciled {
        notes.add(Notes::RECONCILED_AGGREGATE);
    }
    Some(total)
}
