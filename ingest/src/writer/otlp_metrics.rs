//! OTLP metrics into the store.

use garner_storage::engine::Storage;
use garner_storage::model::TenantId;

use super::outcome::PushOutcome;
use super::rows::SampleRows;
use super::sample_sink::SampleSink;
use crate::error::IngestError;
use crate::otlp::{self, Decompressed, OtlpPush};
use crate::validate::MetricLimits;

/// Stores the data points of an OTLP request. `Ok` once the valid ones are durable; the outcome counts the refused points,
/// whatever number of samples they would have made. `Err` means that nothing of the request is stored.
pub async fn push_otlp_metrics(
    storage: &Storage,
    tenant: &TenantId,
    push: OtlpPush<'_>,
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let body = otlp::decompress(push, limits.max_recv_msg_size)?;
    let _held = storage.hold(body.len() as u64)?;
    let mut rows = storage.begin_samples(tenant).await?;
    let outcome = append_decompressed(&mut rows, &body, limits, now_ns)?;
    if outcome.accepted_rows + outcome.written_exemplars + outcome.written_metadata > 0 {
        rows.commit().await?;
    }
    Ok(outcome)
}

/// Decodes and checks a request into `rows`, without committing. `Err` means that `rows` must be dropped.
pub fn append_otlp_metrics<R: SampleRows>(
    rows: &mut R,
    push: OtlpPush<'_>,
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    append_decompressed(rows, &otlp::decompress(push, limits.max_recv_msg_size)?, limits, now_ns)
}

fn append_decompressed<R: SampleRows>(
    rows: &mut R,
    body: &Decompressed<'_>,
    limits: &MetricLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut sink = SampleSink::new(rows, body.len(), limits, now_ns);
    otlp::translate_metrics(body, &mut sink)?;
    Ok(sink.outcome)
}
