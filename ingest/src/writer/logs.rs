//! A Loki push into the store: streams checked, service name and level made, rows appended, committed once.

use std::borrow::Cow;

use garner_storage::engine::Storage;
use garner_storage::model::{Labels, TenantId};
use xxhash_rust::xxh3::xxh3_128;

use super::outcome::PushOutcome;
use super::rows::LogRows;
use crate::error::{IngestError, IngestErrorKind};
use crate::loki::{self, Entry, LokiPush, PushVisitor, StreamLabels};
use crate::validate::{
    EntryWindow, LevelDetector, LogLimits, check_entry, check_stream, discover_service_name, normalize_metadata,
    truncate_line,
};

/// Pairs of metadata that are handed to the store without an allocation.
const METADATA_PAIRS_INLINE: usize = 16;

/// Stores a Loki push. `Ok` once the valid entries are durable; the outcome names the refused ones. `Err` means that
/// nothing of the push is stored: the body could not be read, a label set could not be parsed (Loki refuses the whole push
/// then), no stream was in it, or the store takes no writes.
pub async fn push_loki(
    storage: &Storage,
    tenant: &TenantId,
    push: LokiPush<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    // Decompressed before the append is begun, since an append holds back the seal of the head.
    let body = loki::decompress(push, limits.max_decompressed_size)?;
    let mut rows = storage.begin_logs(tenant).await?;
    let outcome = append_decoded(&mut rows, tenant, &body, limits, now_ns)?;
    if outcome.accepted_rows > 0 {
        rows.commit().await?;
    }
    Ok(outcome)
}

/// Decodes and checks a push into `rows`, without committing. `Err` means that `rows` must be dropped.
pub fn append_push(
    rows: &mut impl LogRows,
    tenant: &TenantId,
    push: LokiPush<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let body = loki::decompress(push, limits.max_decompressed_size)?;
    append_decoded(rows, tenant, &body, limits, now_ns)
}

fn append_decoded(
    rows: &mut impl LogRows,
    tenant: &TenantId,
    body: &loki::Decompressed<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut writer = LogWriter {
        rows,
        tenant,
        limits,
        window: EntryWindow::new(limits, now_ns),
        levels: LevelDetector::new(limits),
        outcome: PushOutcome {
            decompressed_bytes: body.len() as u64,
            ..PushOutcome::default()
        },
        labels: StreamLabels::default(),
        state: StreamState::Refused,
        stream_level: None,
        metadata: Vec::new(),
        canonical: Vec::new(),
        previous: None,
    };
    let streams = body.walk(&mut writer)?;
    if streams == 0 {
        return Err(IngestError::new(
            IngestErrorKind::Unprocessable,
            "error at least one valid stream is required for ingestion",
        ));
    }
    Ok(writer.outcome)
}

/// How far the current stream has come.
#[derive(Debug, Clone, Copy)]
enum StreamState<S> {
    /// No entry seen yet, labels not checked.
    Unchecked,
    /// Labels are fine; no valid entry seen yet.
    Checked,
    /// Known to the store.
    Registered(S),
    /// All further entries are refused for the reason already given.
    Refused,
    /// Over the tenant's limit on streams.
    OverLimit,
}

/// Takes decoded streams; one value for a whole push, so that its buffers are made once.
struct LogWriter<'w, 'a, R: LogRows> {
    rows: &'w mut R,
    tenant: &'w TenantId,
    limits: &'w LogLimits,
    window: EntryWindow,
    levels: LevelDetector<'w>,
    outcome: PushOutcome,
    labels: StreamLabels<'a>,
    state: StreamState<R::Series>,
    stream_level: Option<String>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    canonical: Vec<u8>,
    previous: Option<PreviousEntry>,
}

/// What `increment_duplicate_timestamp` compares an entry with.
struct PreviousEntry {
    sent_ns: i64,
    stored_ns: i64,
    line: Vec<u8>,
}

impl<'a, R: LogRows> PushVisitor<'a> for LogWriter<'_, 'a, R> {
    fn stream(&mut self, labels: StreamLabels<'a>) -> Result<(), IngestError> {
        self.labels = labels;
        discover_service_name(&mut self.labels, self.limits);
        self.state = StreamState::Unchecked;
        self.previous = None;
        Ok(())
    }

    fn entry(&mut self, entry: &mut Entry<'a>) -> Result<(), IngestError> {
        if let StreamState::Unchecked = self.state {
            self.check_stream();
        }
        if let StreamState::Refused = self.state {
            self.outcome.refused.add_rows(1);
            return Ok(());
        }
        truncate_line(&mut entry.line, self.limits);
        let time_ns = match check_entry(&self.labels, entry, self.limits, self.window) {
            Ok(time_ns) => time_ns,
            Err(reason) => {
                self.outcome.refused.add(1, || reason);
                return Ok(());
            }
        };
        if let Err(reason) = normalize_metadata(&mut entry.metadata, &mut self.metadata) {
            self.outcome.refused.add(1, || reason);
            return Ok(());
        }
        let Some(series) = self.series()? else {
            return Ok(());
        };
        let time_ns = self.distinct_time(time_ns, &entry.line);
        self.push(series, time_ns, &entry.line);
        Ok(())
    }
}

impl<'a, R: LogRows> LogWriter<'_, 'a, R> {
    fn check_stream(&mut self) {
        self.state = match check_stream(&self.labels, self.limits) {
            Ok(()) => StreamState::Checked,
            Err(reason) => {
                self.outcome.refused.add(0, || reason);
                StreamState::Refused
            }
        };
        self.stream_level = self.levels.level_of_stream(&self.labels);
    }

    /// The stream in the store; `None` where the tenant has too many. Found by the hash of its canonical bytes, so streams
    /// that only differ in spelling are one.
    fn series(&mut self) -> Result<Option<R::Series>, IngestError> {
        match self.state {
            StreamState::Registered(series) => return Ok(Some(series)),
            StreamState::OverLimit => {
                self.outcome.refused.add_rows(1);
                return Ok(None);
            }
            _ => {}
        }
        canonical_bytes(self.labels.iter(), &mut self.canonical);
        let alias = xxh3_128(&self.canonical);
        let series = match self.rows.lookup(alias) {
            Some(series) => series,
            None => {
                let limit = self.limits.max_global_streams_per_user;
                if limit > 0 && self.rows.active_series() >= limit {
                    self.state = StreamState::OverLimit;
                    let (labels, tenant) = (&self.labels, self.tenant);
                    self.outcome.refused.limit(1, || stream_limit_reached(labels, tenant));
                    return Ok(None);
                }
                self.rows.register(alias, Labels::from_pairs(self.labels.iter()))?
            }
        };
        self.state = StreamState::Registered(series);
        Ok(Some(series))
    }

    /// With `increment_duplicate_timestamp`, an entry with another line than the one before it, but the same time, moves
    /// one nanosecond behind it (loki `pkg/distributor/distributor.go`).
    fn distinct_time(&mut self, sent_ns: i64, line: &[u8]) -> i64 {
        if !self.limits.increment_duplicate_timestamp {
            return sent_ns;
        }
        let (sent_ns, stored_ns) = match &self.previous {
            Some(p) if p.line != line && (sent_ns == p.sent_ns || sent_ns == p.stored_ns) => {
                (p.sent_ns, p.stored_ns.saturating_add(1).min(i64::MAX - 1))
            }
            _ => (sent_ns, sent_ns),
        };
        self.previous = Some(PreviousEntry {
            sent_ns,
            stored_ns,
            line: line.to_vec(),
        });
        stored_ns
    }

    fn push(&mut self, series: R::Series, time_ns: i64, line: &[u8]) {
        self.levels.spell_sent_level(&mut self.metadata);
        let level = self
            .levels
            .level_of_entry(self.stream_level.as_deref(), &self.metadata, line);
        let metadata_bytes: usize = self.metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
        with_pairs(&self.metadata, |metadata| {
            self.rows.push(series, time_ns, line, metadata, level)
        });
        self.outcome.accepted_rows += 1;
        self.outcome.accepted_bytes += (line.len() + metadata_bytes) as u64;
    }
}

/// Calls `with` with borrowed pairs, from the stack where they are few.
fn with_pairs<T>(pairs: &[(Cow<'_, str>, Cow<'_, str>)], with: impl FnOnce(&[(&str, &str)]) -> T) -> T {
    let mut inline = [("", ""); METADATA_PAIRS_INLINE];
    if pairs.len() <= inline.len() {
        for (slot, (name, value)) in inline.iter_mut().zip(pairs) {
            *slot = (name, value);
        }
        return with(&inline[..pairs.len()]);
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
    with(&pairs)
}

/// Hash input of a label set: each name and value behind its length.
fn canonical_bytes<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, out: &mut Vec<u8>) {
    out.clear();
    for (name, value) in pairs {
        for text in [name, value] {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn stream_limit_reached(labels: &StreamLabels<'_>, tenant: &TenantId) -> String {
    format!(
        "maximum active stream limit exceeded when trying to create stream {}, reduce the number of active streams (reduce \
         labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: \
         '{tenant}'",
        labels.format()
    )
}
