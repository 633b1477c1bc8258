//! A remote write into the store. A series that is known costs one hash and one lookup: its labels are not even split.

use garner_storage::engine::Storage;
use garner_storage::model::TenantId;
use xxhash_rust::xxh3::xxh3_128;

use super::outcome::PushOutcome;
use super::rows::SampleRows;
use super::sample_sink::SampleSink;
use crate::body::{self, ReusedBody};
use crate::error::IngestError;
use crate::prometheus::{
    Part, SentExemplar, SentHistogram, SentMetadata, SeriesV2, TimeSeries, WriteRequest, WriteRequestV2, WriteVersion,
    parse_labels,
};
use crate::validate::{MetricLimits, checked_histogram};
use crate::wire::WireError;

/// Bytes of a series with one sample in a request, rather less: what room for its rows is made by.
const USUAL_SERIES_BYTES: usize = 128;

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
    Ok(append.sink.outcome)
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
            SeriesV2::Unreadable(lost, reason) => append.sink.outcome.refused.add(lost, || reason),
        }
    }
    Ok(append.sink.outcome)
}

/// A request on its way into rows.
struct Append<'r, R> {
    sink: SampleSink<'r, R>,
}

impl<'r, R: SampleRows> Append<'r, R> {
    fn new(rows: &'r mut R, request: &[u8], limits: &'r MetricLimits, now_ns: i64) -> Self {
        Append {
            sink: SampleSink::new(rows, request.len(), limits, now_ns),
        }
    }

    /// Appends all that stands in a series; `symbols` are the texts of a request of version 2.
    fn series(&mut self, series: &TimeSeries<'_, '_>, symbols: Option<&[&[u8]]>) -> Result<(), IngestError> {
        let Some(known) = self.find(series)? else {
            self.sink.outcome.dropped_exemplars += series.exemplars;
            return Ok(());
        };
        series.each_sample(
            |sample| match self.sink.window.check(sample.timestamp_ms, || metric_name(series)) {
                Ok(time_ns) => self.sink.push(known, time_ns, sample.start_ms, sample.value),
                Err(reason) => self.sink.outcome.refused.add(1, || reason),
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
        if let Some(known) = self.sink.known(alias) {
            return Ok(Some(known));
        }
        let labels = parse_labels(series.label_bytes)?;
        let samples = series.samples + series.histograms;
        let found = match samples {
            // Nothing to store, but wrong labels are told.
            0 => labels.checked(self.sink.limits).map(|_| None),
            _ => self.sink.register(alias, labels)?.map(Some),
        };
        Ok(found.unwrap_or_else(|reason| {
            self.sink.outcome.refused.add(samples, || reason);
            None
        }))
    }

    fn histogram(&mut self, known: R::Series, series: &TimeSeries<'_, '_>, sent: SentHistogram) {
        let start_ms = sent.start_ms;
        let time_ns = self.sink.window.check(sent.timestamp_ms, || metric_name(series));
        let checked = time_ns.and_then(|time_ns| {
            let histogram = checked_histogram(sent, self.sink.limits, || shown_labels(series))?;
            Ok((time_ns, histogram))
        });
        match checked {
            Ok((time_ns, histogram)) => self.sink.push_histogram(known, time_ns, start_ms, histogram),
            Err(reason) => self.sink.outcome.refused.add(1, || reason),
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
        match SentExemplar::read(message, symbols)? {
            Ok(sent) => {
                let labels = sent.checked_labels();
                self.sink.exemplar(known, sent.timestamp_ms, sent.value, labels);
            }
            Err(reason) => {
                let reason = || format!("parsing exemplar for series {}: {reason}", shown_labels(series));
                self.sink.outcome.refused.add(0, reason);
            }
        }
        Ok(())
    }

    fn metadata(&mut self, sent: &SentMetadata<'_>) {
        self.sink.metadata(sent.checked(self.sink.limits.max_metadata_length));
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
