//! The samples of one series parted into floats and native histograms.

use std::sync::Arc;

use garner_storage::model::{CounterReset, Histogram, Timestamp, is_stale};
use garner_storage::scan::SampleSlice;

use super::reset::was_reset;

/// The samples of a series by kind, staleness markers left out; a time is in one of both.
#[derive(Clone, Copy, Debug)]
pub struct MixedSamples<'a> {
    /// Times of floats, ascending.
    pub float_times: &'a [Timestamp],
    /// One a time.
    pub floats: &'a [f64],
    /// Times of histograms, ascending.
    pub times: &'a [Timestamp],
    /// One a time.
    pub histograms: &'a [Arc<Histogram>],
    /// When the counting of each float began; empty where starts are not looked at.
    pub float_starts: &'a [Timestamp],
    /// When the counting of each histogram began.
    pub starts: &'a [Timestamp],
}

/// The samples of one series after the other.
#[derive(Clone, Debug, Default)]
pub struct MixedBuffer {
    float_times: Vec<Timestamp>,
    floats: Vec<f64>,
    times: Vec<Timestamp>,
    histograms: Vec<Arc<Histogram>>,
    float_starts: Vec<Timestamp>,
    starts: Vec<Timestamp>,
}

impl MixedBuffer {
    /// Forgets the series before.
    pub fn clear(&mut self) {
        self.float_times.clear();
        self.floats.clear();
        self.times.clear();
        self.histograms.clear();
        self.float_starts.clear();
        self.starts.clear();
    }

    /// Takes the samples of a series as the store has them, with their start times where `looks_at_starts`, and shows each
    /// histogram to `seen`.
    pub fn fill(&mut self, samples: SampleSlice<'_>, looks_at_starts: bool, mut seen: impl FnMut(&Histogram)) {
        self.clear();
        let mut rest = samples.histograms.iter().peekable();
        let starts = if looks_at_starts { samples.start_times } else { &[] };
        for (row, (time, value)) in samples.timestamps.iter().zip(samples.values).enumerate() {
            let histogram = rest.next_if(|(r, _)| *r == row).map(|(_, h)| h);
            if is_stale(*value) {
                continue;
            }
            match histogram {
                Some(histogram) => {
                    seen(histogram);
                    self.push_histogram(*time, Arc::clone(histogram));
                    self.starts.extend(starts.get(row));
                }
                None => {
                    self.push_float(*time, *value);
                    self.float_starts.extend(starts.get(row));
                }
            }
        }
    }

    /// Adds a float; times ascend.
    pub fn push_float(&mut self, time: Timestamp, value: f64) {
        if !is_stale(value) {
            self.float_times.push(time);
            self.floats.push(value);
        }
    }

    /// Adds a histogram; times ascend.
    pub fn push_histogram(&mut self, time: Timestamp, histogram: Arc<Histogram>) {
        self.times.push(time);
        self.histograms.push(histogram);
    }

    /// Leaves of each histogram its count and sum, and what its buckets tell of resets (prometheus
    /// promql/histogram_stats_iterator.go).
    pub fn keep_counts_only(&mut self) {
        let mut before: Option<Arc<Histogram>> = None;
        for slot in &mut self.histograms {
            let counter_reset = match (slot.counter_reset, &before) {
                (CounterReset::Unknown, Some(before)) if was_reset(slot, before) => CounterReset::Reset,
                (CounterReset::Unknown, Some(_)) => CounterReset::NotReset,
                (hint, _) => hint,
            };
            let counts = Histogram {
                counter_reset,
                schema: slot.schema,
                count: slot.count,
                sum: slot.sum,
                ..Histogram::default()
            };
            before = Some(std::mem::replace(slot, Arc::new(counts)));
        }
    }

    /// Forgets what is known of resets, because other samples may lie between these (prometheus promql/engine.go,
    /// `evalSubquery`).
    pub fn forget_resets(&mut self) {
        for slot in &mut self.histograms {
            if matches!(slot.counter_reset, CounterReset::Reset | CounterReset::NotReset) {
                Arc::make_mut(slot).counter_reset = CounterReset::Unknown;
            }
        }
    }

    /// What it holds.
    pub fn samples(&self) -> MixedSamples<'_> {
        MixedSamples {
            float_times: &self.float_times,
            floats: &self.floats,
            times: &self.times,
            histograms: &self.histograms,
            float_starts: &self.float_starts,
            starts: &self.starts,
        }
    }
}
