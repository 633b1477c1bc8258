//! A remote write into the store. A series that is known costs one hash and one lookup: its labels are not even split.

use garner_storage::engine::Storage;
use garner_storage::model::{Exemplar, Labels, NANOS_PER_MILLI, TenantId};
use xxhash_rust::xxh3::xxh3_128;

use super::outcome::PushOutcome;
use super::rows::SampleRows;
use crate::body::{self, ReusedBody};
use crate::error::IngestError;
use crate::prometheus::{
    Part, SentExemplar, SentHistogram, SentMetadata, SeriesV2, TimeSeries, WriteRequest, WriteRequestV2, WriteVersion,
    parse_labels,
};
use crate::validate::{MetricLimits, SampleWindow, checked_histogram, series_limit_reached};
use crate::wire::WireError;

/// Bytes of a series with one sample in a request, rather less: what room for its rows is made by.
const USUAL_SERIES_BYTES: usize = 128;
/// Bytes that a sample counts for: a time and a value.
const SAMPLE_BYTES: u64 = 16;

/// Stores a remote write request; `body` is its snappy block. `Ok` once the valid samples are durable; the outcome names the
/// refused ones. `Err` means that nothing of the request is stored.
pub async fn remote_write(
    storage: &Storage,
    tenant: &TenantId,
    version: WriteVersion,
    body: &[u8],
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    // Decompressed before the append is begun, since an append holds back the seal of the head.
    let _held = storage.hold(body::snappy_len(body, limits.max_recv_msg_size)? as u64)?;
    let request = ReusedBody::snappy(body, limits.max_recv_msg_size)?;
    let mut rows = storage.begin_samples(tenant).await?;
    rows.reserve(request.len() / USUAL_SERIES_BYTES);
    let outcome = match version {
        WriteVersion::V1 => append_write_request(&mut rows, &request, limits, now_ns)?,
        WriteVersion::V2 => append_write_request_v2(&mut rows, &request, limits, now_ns)?,
    };
    if outcome.accepted_rows + outcome.written_exemplars + outcome.written_metadata > 0 {
        rows.commit().await?;
    }
    Ok(outcome)
}

/// Decodes and checks a decompressed request into `rows`, without committing. Allocates nothing for numbers of series that
/// `rows` knows by the bytes of their labels. `Err` means that `rows` must be dropped.
///
/// A series is checked when it is first seen; limits that are lowered later do not shut out series already known.
pub fn append_write_request<R: SampleRows>(
    rows: &mut R,
    request: &[u8],
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut append = Append::new(rows, request, limits, now_ns);
    let mut scratch = Vec::new();
    let mut request = WriteRequest::new(request);
    while let Some(part) = request.next(&mut scratch)? {
        match part {
            Part::Series(series) => append.series(&series, None)?,
            Part::Metadata(metadata) => append.metadata(&metadata),
        }
    }
    Ok(append.outcome)
}

/// As [`append_write_request`] for version 2. A series that names symbols which are not there is refused alone.
pub fn append_write_request_v2<R: SampleRows>(
    rows: &mut R,
    request: &[u8],
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut append = Append::new(rows, request, limits, now_ns);
    let mut labels = Vec::new();
    let mut request = WriteRequestV2::new(request, limits.enable_type_and_unit_labels)?;
    while let Some(series) = request.next(&mut labels)? {
        match series {
            SeriesV2::Series(series, metadata) => {
                append.series(&series, Some(request.symbols()))?;
                if let Some(metadata) = metadata {
                    append.metadata(&metadata);
                }
            }
            SeriesV2::Unreadable(lost, reason) => append.outcome.refused.add(lost, || reason),
        }
    }
    Ok(append.outcome)
}

/// A request on its way into rows.
struct Append<'r, R> {
    rows: &'r mut R,
    limits: &'r MetricLimits,
    window: SampleWindow,
    outcome: PushOutcome,
}

impl<'r, R: SampleRows> Append<'r, R> {
    fn new(rows: &'r mut R, request: &[u8], limits: &'r MetricLimits, now_ns: i64) -> Self {
        Append {
            rows,
            limits,
            window: SampleWindow::new(limits, now_ns),
            outcome: PushOutcome {
                decompressed_bytes: request.len() as u64,
                ..PushOutcome::default()
            },
        }
    }

    /// Appends all that stands in a series; `symbols` are the texts of a request of version 2.
    fn series(&mut self, series: &TimeSeries<'_, '_>, symbols: Option<&[&[u8]]>) -> Result<(), IngestError> {
        let Some(known) = self.find(series)? else {
            self.outcome.dropped_exemplars += series.exemplars;
            return Ok(());
        };
        series.each_sample(
            |sample| match self.window.check(sample.timestamp_ms, || metric_name(series)) {
                Ok(time_ns) => {
                    self.rows.push(known, time_ns, sample.value);
                    self.start(sample.start_ms);
                    self.outcome.accepted_rows += 1;
                    self.outcome.accepted_bytes += SAMPLE_BYTES;
                }
                Err(reason) => self.outcome.refused.add(1, || reason),
            },
        )?;
        if series.histograms > 0 {
            series.each_histogram(|sent| self.histogram(known, series, sent))?;
        }
        if series.exemplars > 0 {
            series.each_exemplar(|message| self.exemplar(known, series, message, symbols))?;
        }
        Ok(())
    }

    /// The series, made where it is new, has samples, and the tenant may have one more.
    fn find(&mut self, series: &TimeSeries<'_, '_>) -> Result<Option<R::Series>, IngestError> {
        let alias = xxh3_128(series.label_bytes);
        if let Some(known) = self.rows.lookup(alias) {
            return Ok(Some(known));
        }
        let samples = series.samples + series.histograms;
        let labels = match parse_labels(series.label_bytes)?.checked(self.limits) {
            Ok(pairs) => Labels::from_pairs(pairs),
            Err(reason) => {
                self.outcome.refused.add(samples, || reason);
                return Ok(None);
            }
        };
        if samples == 0 {
            return Ok(None);
        }
        let limit = self.limits.max_global_series_per_user;
        if limit > 0 && self.rows.active_series() >= limit {
            self.outcome.refused.add(samples, || series_limit_reached(self.limits));
            return Ok(None);
        }
        Ok(Some(self.rows.register(alias, labels)?))
    }

    /// Tells the start time of the sample pushed last.
    fn start(&mut self, start_ms: i64) {
        if start_ms != 0 {
            self.rows.set_start_time(start_ms.saturating_mul(NANOS_PER_MILLI));
        }
    }

    fn histogram(&mut self, known: R::Series, series: &TimeSeries<'_, '_>, sent: SentHistogram) {
        let start_ms = sent.start_ms;
        let time_ns = self.window.check(sent.timestamp_ms, || metric_name(series));
        let checked = time_ns.and_then(|time_ns| {
            let histogram = checked_histogram(sent, self.limits, || shown_labels(series))?;
            Ok((time_ns, histogram))
        });
        match checked {
            Ok((time_ns, histogram)) => {
                self.outcome.accepted_bytes += SAMPLE_BYTES + histogram.size_bytes() as u64;
                self.rows.push_histogram(known, time_ns, histogram);
                self.start(start_ms);
                self.outcome.accepted_rows += 1;
                self.outcome.written_histograms += 1;
            }
            Err(reason) => self.outcome.refused.add(1, || reason),
        }
    }

    /// An exemplar; one that cannot be kept refuses nothing.
    fn exemplar<'a>(
        &mut self,
        known: R::Series,
        series: &TimeSeries<'_, '_>,
        message: &'a [u8],
        symbols: Option<&[&'a [u8]]>,
    ) -> Result<(), WireError> {
        let sent = match SentExemplar::read(message, symbols)? {
            Ok(sent) => sent,
            Err(reason) => {
                let reason = || format!("parsing exemplar for series {}: {reason}", shown_labels(series));
                self.outcome.refused.add(0, reason);
                return Ok(());
            }
        };
        let time = self.window.check(sent.timestamp_ms, String::new).ok();
        let room = self.rows.exemplars() < self.limits.max_exemplars;
        match time.filter(|_| room).zip(sent.checked_labels()) {
            Some((time, labels)) => {
                let value = sent.value;
                self.rows.push_exemplar(known, Exemplar { labels, value, time });
                self.outcome.written_exemplars += 1;
            }
            None => self.outcome.dropped_exemplars += 1,
        }
        Ok(())
    }

    /// Metadata; what is over the limits or not readable refuses nothing.
    fn metadata(&mut self, sent: &SentMetadata<'_>) {
        let Some((metric, metadata)) = sent.checked(self.limits.max_metadata_length) else {
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

/// The metric's name for a message.
fn metric_name(series: &TimeSeries<'_, '_>) -> String {
    let labels = parse_labels(series.label_bytes).unwrap_or_default();
    String::from_utf8_lossy(labels.metric_name().unwrap_or_default()).into_owned()
}

/// All labels for a message.
fn shown_labels(series: &TimeSeries<'_, '_>) -> String {
    let labels = parse_labels(series.label_bytes).unwrap_or_default();
    labels.shown()
}
