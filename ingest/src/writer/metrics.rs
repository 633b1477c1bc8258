//! A remote write into the store. A series that is known costs one hash and one lookup: its labels are not even split.

use garner_storage::engine::Storage;
use garner_storage::model::{Labels, TenantId};
use xxhash_rust::xxh3::xxh3_128;

use super::outcome::PushOutcome;
use super::rows::SampleRows;
use crate::body::{self, ReusedBody};
use crate::error::IngestError;
use crate::prometheus::{SeriesV2, TimeSeries, WriteRequest, WriteRequestV2, WriteVersion, parse_labels};
use crate::validate::{MetricLimits, SampleWindow, native_histograms_refused, series_limit_reached};

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
    if outcome.accepted_rows > 0 {
        rows.commit().await?;
    }
    Ok(outcome)
}

/// Decodes and checks a decompressed request into `rows`, without committing. Allocates nothing for series that `rows`
/// knows by the bytes of their labels. `Err` means that `rows` must be dropped.
///
/// A series is checked when it is first seen; limits that are lowered later do not shut out series already known.
pub fn append_write_request<R: SampleRows>(
    rows: &mut R,
    request: &[u8],
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut outcome = PushOutcome {
        decompressed_bytes: request.len() as u64,
        ..PushOutcome::default()
    };
    let window = SampleWindow::new(limits, now_ns);
    let mut scratch = Vec::new();
    let mut request = WriteRequest::new(request);
    while let Some(series) = request.next(&mut scratch)? {
        append_series(rows, &series, limits, &window, &mut outcome)?;
    }
    outcome.ignored_metadata = request.metadata();
    Ok(outcome)
}

/// As [`append_write_request`] for version 2. A series that names symbols which are not there is refused alone.
pub fn append_write_request_v2<R: SampleRows>(
    rows: &mut R,
    request: &[u8],
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut outcome = PushOutcome {
        decompressed_bytes: request.len() as u64,
        ..PushOutcome::default()
    };
    let window = SampleWindow::new(limits, now_ns);
    let mut labels = Vec::new();
    let mut request = WriteRequestV2::new(request)?;
    while let Some(series) = request.next(&mut labels)? {
        match series {
            SeriesV2::Series(series) => append_series(rows, &series, limits, &window, &mut outcome)?,
            SeriesV2::Unreadable(lost, reason) => outcome.refused.add(lost, || reason),
        }
    }
    outcome.ignored_metadata = request.metadata();
    Ok(outcome)
}

fn append_series<R: SampleRows>(
    rows: &mut R,
    series: &TimeSeries<'_, '_>,
    limits: &MetricLimits,
    window: &SampleWindow,
    outcome: &mut PushOutcome,
) -> Result<(), IngestError> {
    outcome.ignored_exemplars += series.exemplars;
    let alias = xxh3_128(series.label_bytes);
    let known = match rows.lookup(alias) {
        Some(known) => Some(known),
        None => match checked_labels(series, limits)? {
            Ok(labels) => register(rows, alias, labels, series, limits, outcome)?,
            Err(reason) => {
                outcome.refused.add(series.samples + series.histograms, || reason);
                return Ok(());
            }
        },
    };
    if series.histograms > 0 {
        let metric = || native_histograms_refused(&metric_name(series));
        outcome.refused.add(series.histograms, metric);
    }
    let Some(known) = known else {
        return Ok(());
    };
    series.each_sample(
        |sample| match window.check(sample.timestamp_ms, || metric_name(series)) {
            Ok(time_ns) => {
                rows.push(known, time_ns, sample.value);
                outcome.accepted_rows += 1;
                outcome.accepted_bytes += SAMPLE_BYTES;
            }
            Err(reason) => outcome.refused.add(1, || reason),
        },
    )?;
    Ok(())
}

/// The labels of a series, or why it is refused; the outer error means that the request cannot be read.
fn checked_labels(series: &TimeSeries<'_, '_>, limits: &MetricLimits) -> Result<Result<Labels, String>, IngestError> {
    let labels = parse_labels(series.label_bytes)?;
    Ok(labels.checked(limits).map(Labels::from_pairs))
}

/// Makes a new series where it has samples and the tenant may have one more.
fn register<R: SampleRows>(
    rows: &mut R,
    alias: u128,
    labels: Labels,
    series: &TimeSeries<'_, '_>,
    limits: &MetricLimits,
    outcome: &mut PushOutcome,
) -> Result<Option<R::Series>, IngestError> {
    if series.samples == 0 {
        return Ok(None);
    }
    let limit = limits.max_global_series_per_user;
    if limit > 0 && rows.active_series() >= limit {
        outcome.refused.add(series.samples, || series_limit_reached(limits));
        return Ok(None);
    }
    Ok(Some(rows.register(alias, labels)?))
}

/// The metric's name for a message.
fn metric_name(series: &TimeSeries<'_, '_>) -> String {
    let labels = parse_labels(series.label_bytes).unwrap_or_default();
    String::from_utf8_lossy(labels.metric_name().unwrap_or_default()).into_owned()
}
