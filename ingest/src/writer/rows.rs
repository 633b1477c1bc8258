//! The seam to the store: where decoded rows go. The store's appends are the real ones; tests collect rows in memory.

use garner_storage::Result;
use garner_storage::engine::{LogAppend, SampleAppend, SeriesRef};
use garner_storage::model::{Exemplar, Histogram, Labels, MetadataRef};

/// Takes samples; see [`SampleAppend`] for what each call promises.
pub trait SampleRows {
    /// A series inside this append.
    type Series: Copy;
    /// The series registered under `alias`.
    fn lookup(&self, alias: u128) -> Option<Self::Series>;
    /// Series of the tenant in memory.
    fn active_series(&self) -> usize;
    /// The series of `labels`, known under `alias` from now on.
    fn register(&mut self, alias: u128, labels: Labels) -> Result<Self::Series>;
    /// Adds a sample.
    fn push(&mut self, series: Self::Series, time_ns: i64, value: f64);
    /// Adds a native histogram.
    fn push_histogram(&mut self, series: Self::Series, time_ns: i64, histogram: Histogram);
    /// Tells when the counting of the sample pushed last began.
    fn set_start_time(&mut self, start_ns: i64);
    /// Exemplars of the tenant in memory.
    fn exemplars(&self) -> usize;
    /// Adds an exemplar.
    fn push_exemplar(&mut self, series: Self::Series, exemplar: Exemplar);
    /// Whether this metadata of a metric is in memory.
    fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool;
    /// How many metrics have metadata in memory, and how many different ones `metric` has.
    fn metadata_counts(&self, metric: &str) -> (usize, usize);
    /// Adds metadata of a metric.
    fn push_metadata(&mut self, metric: &str, metadata: MetadataRef<'_>);
}

/// Takes log entries; see [`LogAppend`] for what each call promises.
pub trait LogRows {
    /// A stream inside this append.
    type Series: Copy;
    /// The stream registered under `alias`.
    fn lookup(&mut self, alias: u128) -> Option<Self::Series>;
    /// The labels of a stream.
    fn labels(&self, series: Self::Series) -> Labels;
    /// Streams of the tenant in memory.
    fn active_series(&self) -> usize;
    /// The stream of `labels`, known under `alias` from now on.
    fn register(&mut self, alias: u128, labels: Labels) -> Result<Self::Series>;
    /// Adds an entry: `metadata` as the client sent it, `derived_level` as the server found it.
    fn push(
        &mut self,
        series: Self::Series,
        time_ns: i64,
        line: &[u8],
        metadata: &[(&str, &str)],
        derived_level: Option<&str>,
    );
}

impl SampleRows for SampleAppend {
    type Series = SeriesRef;

    fn lookup(&self, alias: u128) -> Option<SeriesRef> {
        SampleAppend::lookup(self, alias)
    }

    fn active_series(&self) -> usize {
        SampleAppend::active_series(self)
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<SeriesRef> {
        SampleAppend::register(self, alias, labels)
    }

    fn push(&mut self, series: SeriesRef, time_ns: i64, value: f64) {
        SampleAppend::push(self, series, time_ns, value);
    }

    fn push_histogram(&mut self, series: SeriesRef, time_ns: i64, histogram: Histogram) {
        SampleAppend::push_histogram(self, series, time_ns, histogram);
    }

    fn set_start_time(&mut self, start_ns: i64) {
        SampleAppend::set_start_time(self, start_ns);
    }

    fn exemplars(&self) -> usize {
        SampleAppend::exemplars(self)
    }

    fn push_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        SampleAppend::push_exemplar(self, series, exemplar);
    }

    fn knows_metadata(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        SampleAppend::knows_metadata(self, metric, metadata)
    }

    fn metadata_counts(&self, metric: &str) -> (usize, usize) {
        SampleAppend::metadata_counts(self, metric)
    }

    fn push_metadata(&mut self, metric: &str, metadata: MetadataRef<'_>) {
        SampleAppend::push_metadata(self, metric, metadata);
    }
}

impl LogRows for LogAppend {
    type Series = SeriesRef;

    fn lookup(&mut self, alias: u128) -> Option<SeriesRef> {
        LogAppend::lookup(self, alias)
    }

    fn labels(&self, series: SeriesRef) -> Labels {
        LogAppend::labels(self, series)
    }

    fn active_series(&self) -> usize {
        LogAppend::active_series(self)
    }

    fn register(&mut self, alias: u128, labels: Labels) -> Result<SeriesRef> {
        LogAppend::register(self, alias, labels)
    }

    fn push(
        &mut self,
        series: SeriesRef,
        time_ns: i64,
        line: &[u8],
        metadata: &[(&str, &str)],
        derived_level: Option<&str>,
    ) {
        LogAppend::push(self, series, time_ns, line, metadata, derived_level);
    }
}
