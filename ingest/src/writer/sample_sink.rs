//! What every way of writing metrics does alike with what it has decoded: limits, times, and the outcome's counts.

use garner_storage::model::{Exemplar, Histogram, Labels, MetadataRef, NANOS_PER_MILLI};

use super::outcome::PushOutcome;
use super::rows::SampleRows;
use crate::error::IngestError;
use crate::validate::{MetricLimits, SampleWindow, SeriesLabels, series_limit_reached};

/// Bytes that a sample counts for: a time and a value.
const SAMPLE_BYTES: u64 = 16;

/// A request on its way into rows.
pub(crate) struct SampleSink<'r, R> {
    rows: &'r mut R,
    /// The tenant's limits.
    pub limits: &'r MetricLimits,
    /// Times that are accepted.
    pub window: SampleWindow,
    /// What became of the request so far.
    pub outcome: PushOutcome,
}

impl<'r, R: SampleRows> SampleSink<'r, R> {
    /// A sink for a decompressed request of so many bytes.
    pub(crate) fn new(rows: &'r mut R, request_bytes: usize, limits: &'r MetricLimits, now_ns: i64) -> Self {
        SampleSink {
            rows,
            limits,
            window: SampleWindow::new(limits, now_ns),
            outcome: PushOutcome {
                decompressed_bytes: request_bytes as u64,
                ..PushOutcome::default()
            },
        }
    }

    /// The series known under `alias`.
    pub(crate) fn known(&self, alias: u128) -> Option<R::Series> {
        self.rows.lookup(alias)
    }

    /// The series of `labels`, where they keep to the rules and the tenant may have one more; the inner error says why not.
    /// `Err` means that `rows` must be dropped.
    pub(crate) fn register(
        &mut self,
        alias: u128,
        labels: SeriesLabels<'_>,
    ) -> Result<Result<R::Series, String>, IngestError> {
        let labels = match labels.checked(self.limits) {
            Ok(pairs) => Labels::from_pairs(pairs),
            Err(reason) => return Ok(Err(reason)),
        };
        let limit = self.limits.max_global_series_per_user;
        if limit > 0 && self.rows.active_series() >= limit {
            return Ok(Err(series_limit_reached(self.limits)));
        }
        Ok(Ok(self.rows.register(alias, labels)?))
    }

    /// Adds a number; `start_ms` is 0 where not told.
    pub(crate) fn push(&mut self, series: R::Series, time_ns: i64, start_ms: i64, value: f64) {
        self.rows.push(series, time_ns, value);
        self.start(start_ms);
        self.outcome.accepted_rows += 1;
        self.outcome.accepted_bytes += SAMPLE_BYTES;
    }

    /// Adds a native histogram.
    pub(crate) fn push_histogram(&mut self, series: R::Series, time_ns: i64, start_ms: i64, histogram: Histogram) {
        self.outcome.accepted_bytes += SAMPLE_BYTES + histogram.size_bytes() as u64;
        self.rows.push_histogram(series, time_ns, histogram);
        self.start(start_ms);
        self.outcome.accepted_rows += 1;
        self.outcome.written_histograms += 1;
    }

    /// Tells the start time of the sample pushed last.
    fn start(&mut self, start_ms: i64) {
        if start_ms != 0 {
            self.rows.set_start_time(start_ms.saturating_mul(NANOS_PER_MILLI));
        }
    }

    /// Adds an exemplar. One that cannot be kept refuses nothing: `labels` are `None` where they are too long or no text.
    pub(crate) fn exemplar(&mut self, series: R::Series, time_ms: i64, value: f64, labels: Option<Labels>) {
        let time = self.window.check(time_ms, String::new).ok();
        let room = self.rows.exemplars() < self.limits.max_exemplars;
        match time.filter(|_| room).zip(labels) {
            Some((time, labels)) => {
                self.rows.push_exemplar(series, Exemplar { labels, value, time });
                self.outcome.written_exemplars += 1;
            }
            None => self.outcome.dropped_exemplars += 1,
        }
    }

    /// Adds metadata; what is over the limits or `None`, not readable, refuses nothing.
    pub(crate) fn metadata(&mut self, checked: Option<(&str, MetadataRef<'_>)>) {
        let Some((metric, metadata)) = checked else {
            self.outcome.dropped_metadata += 1;
            return;
        };
        if self.rows.knows_metadata(metric, metadata) {
            return;
        }
        let (metrics, of_metric) = self.rows.metadata_counts(metric);
        let over = |count: usize, limit: usize| limit > 0 && count >= limit;
        if over(of_metric, self.limits.max_metadata_per_metric)
            || (of_metric == 0 && over(metrics, self.limits.max_metadata_per_user))
        {
            self.outcome.dropped_metadata += 1;
            return;
        }
        self.rows.push_metadata(metric, metadata);
        self.outcome.written_metadata += 1;
    }
}
