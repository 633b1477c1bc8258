//! A Loki push into the store: streams checked, service name and level made, rows appended, committed once.

use garner_storage::engine::Storage;
use garner_storage::model::{Labels, TenantId};
use xxhash_rust::xxh3::xxh3_128;

use super::outcome::PushOutcome;
use super::rows::LogRows;
use crate::error::{IngestError, IngestErrorKind};
use crate::loki::{self, Entry, LokiPush, PushVisitor, RawPair, StreamLabels};
use crate::otlp::{self, OtlpPush};
use crate::patterns::{Observed, Patterns};
use crate::validate::{
    EntryWindow, LevelDetector, LogLimits, Metadata, MetadataSize, check_entry, check_stream, discover_service_name,
    normalize_metadata, truncate_line, valid_utf8,
};

/// Pairs of metadata that are handed to the store without an allocation.
const METADATA_PAIRS_INLINE: usize = 16;

/// Where pushes go.
#[derive(Clone, Copy, Debug)]
pub struct LogSink<'s> {
    /// The store.
    pub storage: &'s Storage,
    /// What looks at the lines as they pass, if anything does.
    pub patterns: Option<&'s Patterns>,
}

/// Stores a Loki push. `Ok` once the valid entries are durable; the outcome names the refused ones. `Err` means that
/// nothing of the push is stored: the body could not be read, a label set could not be parsed (Loki refuses the whole push
/// then), no stream was in it, or the store takes no writes.
pub async fn push_loki(
    into: LogSink<'_>,
    tenant: &TenantId,
    push: LokiPush<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    // Decompressed before the append is begun, since an append holds back the seal of the head.
    let body = loki::decompress(push, limits.max_decompressed_size)?;
    store(into, tenant, &body, limits, now_ns).await
}

/// Stores the log records of an OTLP request; as [`push_loki`].
pub async fn push_otlp(
    into: LogSink<'_>,
    tenant: &TenantId,
    push: OtlpPush<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let body = otlp::decompress(push, limits.max_decompressed_size)?;
    store(into, tenant, &body, limits, now_ns).await
}

async fn store(
    into: LogSink<'_>,
    tenant: &TenantId,
    body: &impl PushBody,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let mut rows = into.storage.begin_logs(tenant).await?;
    let outcome = match into.patterns.filter(|patterns| patterns.is_enabled()) {
        None => body.append(&mut rows, tenant, limits, now_ns)?,
        Some(patterns) => {
            let mut observed = Observed::new(rows, patterns, tenant, now_ns);
            let outcome = body.append(&mut observed, tenant, limits, now_ns);
            rows = observed.finish();
            outcome?
        }
    };
    if outcome.accepted_rows > 0 {
        rows.commit().await?;
    }
    Ok(outcome)
}

/// A push body that is decompressed.
trait PushBody {
    /// Decodes and checks it into `rows`, without committing. `Err` means that `rows` must be dropped.
    fn append(
        &self,
        rows: &mut impl LogRows,
        tenant: &TenantId,
        limits: &LogLimits,
        now_ns: i64,
    ) -> Result<PushOutcome, IngestError>;
}

impl PushBody for loki::Decompressed<'_> {
    fn append(
        &self,
        rows: &mut impl LogRows,
        tenant: &TenantId,
        limits: &LogLimits,
        now_ns: i64,
    ) -> Result<PushOutcome, IngestError> {
        let mut writer = LogWriter::new(rows, tenant, limits, now_ns);
        writer.outcome.decompressed_bytes = self.len() as u64;
        match self.walk(&mut writer)? {
            0 => Err(no_streams()),
            _ => Ok(writer.outcome),
        }
    }
}

impl PushBody for otlp::Decompressed<'_> {
    fn append(
        &self,
        rows: &mut impl LogRows,
        tenant: &TenantId,
        limits: &LogLimits,
        now_ns: i64,
    ) -> Result<PushOutcome, IngestError> {
        let mut writer = LogWriter::new(rows, tenant, limits, now_ns);
        writer.outcome.decompressed_bytes = self.len() as u64;
        // Resources name their service by rules of their own.
        writer.discovers_service_name = false;
        match self.walk(&mut writer, limits, now_ns)? {
            0 => Err(no_streams()),
            _ => Ok(writer.outcome),
        }
    }
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
    body.append(rows, tenant, limits, now_ns)
}

/// Decodes and checks an OTLP request into `rows`; as [`append_push`].
pub fn append_otlp(
    rows: &mut impl LogRows,
    tenant: &TenantId,
    push: OtlpPush<'_>,
    limits: &LogLimits,
    now_ns: i64,
) -> Result<PushOutcome, IngestError> {
    let body = otlp::decompress(push, limits.max_decompressed_size)?;
    body.append(rows, tenant, limits, now_ns)
}

fn no_streams() -> IngestError {
    IngestError::new(
        IngestErrorKind::Unprocessable,
        "error at least one valid stream is required for ingestion",
    )
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
    discovers_service_name: bool,
    outcome: PushOutcome,
    labels: StreamLabels<'a>,
    state: StreamState<R::Series>,
    stream_level: Option<String>,
    metadata: Metadata<'a>,
    /// What the stream's entries carry behind their own metadata.
    shared: Metadata<'a>,
    shared_size: MetadataSize,
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
        if self.discovers_service_name {
            discover_service_name(&mut self.labels, self.limits);
        }
        self.shared.clear();
        self.shared_size = MetadataSize::default();
        self.state = StreamState::Unchecked;
        self.previous = None;
        Ok(())
    }

    fn shared_metadata<'s>(&mut self, pairs: impl Iterator<Item = &'s RawPair<'a>>) -> Result<(), IngestError>
    where
        'a: 's,
    {
        for (name, value) in pairs {
            if !value.is_empty() {
                self.shared.push((valid_utf8(name.clone()), valid_utf8(value.clone())));
            }
        }
        let pairs = self
            .shared
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.shared_size = MetadataSize::of(pairs);
        self.levels.spell_sent_level(&mut self.shared);
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
        let time_ns = match check_entry(&self.labels, entry, self.shared_size, self.limits, self.window) {
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

impl<'w, R: LogRows> LogWriter<'w, '_, R> {
    fn new(rows: &'w mut R, tenant: &'w TenantId, limits: &'w LogLimits, now_ns: i64) -> Self {
        LogWriter {
            rows,
            tenant,
            limits,
            window: EntryWindow::new(limits, now_ns),
            levels: LevelDetector::new(limits),
            discovers_service_name: true,
            outcome: PushOutcome::default(),
            labels: StreamLabels::default(),
            state: StreamState::Refused,
            stream_level: None,
            metadata: Vec::new(),
            shared: Vec::new(),
            shared_size: MetadataSize::default(),
            canonical: Vec::new(),
            previous: None,
        }
    }

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
        let pairs = self.metadata.iter().chain(&self.shared);
        let pairs = pairs.map(|(name, value)| (&**name, &**value));
        let level = self
            .levels
            .level_of_entry(self.stream_level.as_deref(), pairs.clone(), line);
        let metadata_bytes: usize = pairs.clone().map(|(n, v)| n.len() + v.len()).sum();
        with_pairs(self.metadata.len() + self.shared.len(), pairs, |metadata| {
            self.rows.push(series, time_ns, line, metadata, level)
        });
        self.outcome.accepted_rows += 1;
        self.outcome.accepted_bytes += (line.len() + metadata_bytes) as u64;
    }
}

/// Calls `with` with `count` pairs as a slice, from the stack where they are few.
fn with_pairs<'p, T>(
    count: usize,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
    with: impl FnOnce(&[(&str, &str)]) -> T,
) -> T {
    let mut inline = [("", ""); METADATA_PAIRS_INLINE];
    if count <= inline.len() {
        inline.iter_mut().zip(pairs).for_each(|(slot, pair)| *slot = pair);
        return with(&inline[..count]);
    }
    with(&pairs.collect::<Vec<_>>())
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
