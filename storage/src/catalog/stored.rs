//! The catalog's bytes. Stored structs are apart from those in memory, so that either can change alone.
//!
//! ```text
//! object = magic "GARNCATL" (8) | format version u32 LE | raw length u32 LE | checksum u64 LE | body
//! body   = zstd of JSON: a StoredDelta or a StoredCheckpoint; checksum = XXH3-64 of it, seeded with the raw length
//! ```
//!
//! Objects that speak of tombstones have version 2, so that a garner that knows none does not bring deleted rows back.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::deletes;
use super::housekeeping::{Housekeeping, Quarantine};
use super::state::{CatalogState, CatalogVersion, CommitRequest, WalPosition};
use super::stored_deletes::{StoredClear, StoredForget, StoredTombstone};
use crate::deletes::{Tombstone, TombstoneId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Signal, TenantId, TimeRange, Timestamp};
use crate::object::paths::WriterId;
use crate::segment::{SegmentId, SegmentMeta};

const MAGIC: &[u8; 8] = b"GARNCATL";
const FORMAT_VERSION: u32 = 1;
const FORMAT_VERSION_WITH_TOMBSTONES: u32 = 2;
const HEADER_BYTES: usize = 24;
/// Most bytes of JSON in one catalog object (about a million segments); bounds what a damaged header can allocate.
const MAX_RAW_BYTES: usize = 512 << 20;
const ZSTD_LEVEL: i32 = 3;

/// One commit as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredDelta {
    /// The version it makes.
    pub version: u64,
    /// Drawn for each commit: by it a writer knows its own delta again.
    pub nonce: String,
    pub writer: WriterId,
    /// The writer's clock, for people who look.
    pub created_ns: i64,
    pub add: Vec<StoredSegment>,
    pub remove: Vec<SegmentId>,
    pub wal_positions: Vec<StoredPosition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<StoredTombstone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<TombstoneId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<StoredClear>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<StoredForget>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<(SegmentId, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<SegmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans_before_ns: Option<i64>,
}

/// A whole state as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredCheckpoint {
    pub version: u64,
    pub created_ns: i64,
    pub segments: Vec<StoredSegment>,
    pub wal_positions: Vec<StoredWriterPosition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tombstones: Vec<StoredTombstone>,
    /// Object and since when it is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<(Arc<str>, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<StoredQuarantine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans_before_ns: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredQuarantine {
    #[serde(flatten)]
    pub segment: SegmentId,
    pub reason: String,
    pub since_ns: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredSegment {
    pub tenant: TenantId,
    pub signal: Signal,
    pub object: Arc<str>,
    pub offset: u64,
    pub len: u64,
    pub tail_len: u64,
    pub start_ns: i64,
    pub end_ns: i64,
    pub rows: u64,
    pub series: u32,
    pub raw_bytes: u64,
    pub level: u8,
    /// In checkpoints: which tombstones cover it. In deltas that follows from the order of commits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tombstones: Vec<TombstoneId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPosition {
    pub tenant: TenantId,
    pub signal: Signal,
    pub file: u64,
    pub offset: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredWriterPosition {
    pub writer: WriterId,
    #[serde(flatten)]
    pub position: StoredPosition,
}

impl From<&SegmentMeta> for StoredSegment {
    fn from(meta: &SegmentMeta) -> Self {
        StoredSegment {
            tenant: meta.tenant.clone(),
            signal: meta.signal,
            object: Arc::clone(&meta.id.object),
            offset: meta.id.offset,
            len: meta.len,
            tail_len: meta.tail_len,
            start_ns: meta.range.start,
            end_ns: meta.range.end,
            rows: meta.rows,
            series: meta.series,
            raw_bytes: meta.raw_bytes,
            level: meta.level,
            tombstones: Vec::new(),
        }
    }
}

impl From<StoredSegment> for SegmentMeta {
    fn from(stored: StoredSegment) -> Self {
        SegmentMeta {
            tenant: stored.tenant,
            signal: stored.signal,
            id: SegmentId {
                object: stored.object,
                offset: stored.offset,
            },
            len: stored.len,
            tail_len: stored.tail_len,
            range: TimeRange::new(stored.start_ns, stored.end_ns),
            rows: stored.rows,
            series: stored.series,
            raw_bytes: stored.raw_bytes,
            level: stored.level,
        }
    }
}

impl From<(&SegmentId, &Quarantine)> for StoredQuarantine {
    fn from((segment, quarantine): (&SegmentId, &Quarantine)) -> Self {
        StoredQuarantine {
            segment: segment.clone(),
            reason: quarantine.reason.clone(),
            since_ns: quarantine.since,
        }
    }
}

impl StoredQuarantine {
    fn into_entry(self) -> (SegmentId, Quarantine) {
        let quarantine = Quarantine {
            reason: self.reason,
            since: self.since_ns,
        };
        (self.segment, quarantine)
    }
}

fn stored_position(tenant: &TenantId, signal: Signal, position: WalPosition) -> StoredPosition {
    StoredPosition {
        tenant: tenant.clone(),
        signal,
        file: position.file,
        offset: position.offset,
    }
}

impl StoredDelta {
    pub fn new(version: CatalogVersion, nonce: &str, created_ns: i64, request: &CommitRequest) -> Self {
        let positions = request.wal_positions.iter();
        StoredDelta {
            version: version.0,
            nonce: nonce.to_string(),
            writer: request.writer.clone(),
            created_ns,
            add: request.add.iter().map(StoredSegment::from).collect(),
            remove: request.remove.clone(),
            wal_positions: positions.map(|(t, s, p)| stored_position(t, *s, *p)).collect(),
            delete: request.delete.iter().map(|t| StoredTombstone::new(t, 0)).collect(),
            applied: request.applied.clone(),
            clear: request
                .clear
                .iter()
                .map(|(id, segment)| StoredClear {
                    id: *id,
                    segment: segment.clone(),
                })
                .collect(),
            forget: request
                .forget
                .iter()
                .map(|((tenant, signal), id)| StoredForget {
                    tenant: tenant.clone(),
                    signal: *signal,
                    id: *id,
                })
                .collect(),
            deleted: request.deleted.clone(),
            quarantine: request.quarantine.clone(),
            release: request.release.clone(),
            orphans_before_ns: request.orphans_before,
        }
    }

    /// The commit; the text says what in it cannot be read.
    pub fn into_request(self) -> Result<CommitRequest, String> {
        let position = |p: StoredPosition| {
            let at = WalPosition {
                file: p.file,
                offset: p.offset,
            };
            (p.tenant, p.signal, at)
        };
        let delete: Result<Vec<Tombstone>, String> =
            self.delete.into_iter().map(StoredTombstone::into_tombstone).collect();
        Ok(CommitRequest {
            writer: self.writer,
            add: self.add.into_iter().map(SegmentMeta::from).collect(),
            remove: self.remove,
            wal_positions: self.wal_positions.into_iter().map(position).collect(),
            delete: delete?,
            applied: self.applied,
            clear: self.clear.into_iter().map(|c| (c.id, c.segment)).collect(),
            forget: self.forget.into_iter().map(|f| ((f.tenant, f.signal), f.id)).collect(),
            deleted: self.deleted,
            quarantine: self.quarantine,
            release: self.release,
            orphans_before: self.orphans_before_ns,
        })
    }
}

/// A value that is stored as one object of the catalog.
pub(super) trait StoredObject: Serialize {
    fn has_tombstones(&self) -> bool;
}

impl StoredObject for StoredDelta {
    fn has_tombstones(&self) -> bool {
        !(self.delete.is_empty() && self.applied.is_empty() && self.clear.is_empty() && self.forget.is_empty())
    }
}

impl StoredObject for StoredCheckpoint {
    fn has_tombstones(&self) -> bool {
        !self.tombstones.is_empty()
    }
}

impl StoredCheckpoint {
    pub fn new(state: &CatalogState, created_ns: i64) -> Self {
        let mut wal_positions: Vec<_> = state
            .positions
            .iter()
            .flat_map(|(writer, positions)| positions.iter().map(move |(owner, position)| (writer, owner, position)))
            .collect();
        wal_positions.sort_unstable();
        StoredCheckpoint {
            version: state.version.0,
            created_ns,
            segments: state.all_segments().map(|meta| stored_segment(state, meta)).collect(),
            tombstones: state
                .all_deletes()
                .flat_map(|deletes| deletes.all())
                .map(|status| StoredTombstone::new(&status.tombstone, status.covered_at_first))
                .collect(),
            wal_positions: wal_positions
                .into_iter()
                .map(|(writer, (tenant, signal), position)| StoredWriterPosition {
                    writer: writer.clone(),
                    position: stored_position(tenant, *signal, *position),
                })
                .collect(),
            pending: state.pending_deletions().map(|(o, since)| (o.clone(), since)).collect(),
            quarantined: state.quarantined().map(StoredQuarantine::from).collect(),
            orphans_before_ns: Some(state.orphans_before()).filter(|at| *at != Timestamp::default()),
        }
    }

    /// The state; the text says what in it cannot be read.
    pub fn into_state(self) -> Result<CatalogState, String> {
        let covered: Vec<_> = self
            .segments
            .iter()
            .filter(|s| !s.tombstones.is_empty())
            .map(|s| {
                let id = SegmentId {
                    object: Arc::clone(&s.object),
                    offset: s.offset,
                };
                ((s.tenant.clone(), s.signal), id, s.tombstones.clone())
            })
            .collect();
        // The writer only names positions, of which this request has none.
        let mut everything = CommitRequest::new(WriterId::from_random(0));
        everything.add = self.segments.into_iter().map(SegmentMeta::from).collect();
        let mut state = CatalogState::default().apply(&everything, self.created_ns);
        for stored in self.tombstones {
            let (owner, at_first) = ((stored.tenant.clone(), stored.signal), stored.covered_at_first);
            let tombstone = stored.into_tombstone()?;
            deletes::change(&mut state, &owner, |deletes| deletes.restore(tombstone, at_first));
        }
        for (owner, segment, ids) in covered {
            deletes::change(&mut state, &owner, |deletes| {
                ids.into_iter().for_each(|id| deletes.cover(&segment, id));
            });
        }
        state.version = CatalogVersion(self.version);
        state.housekeeping = Housekeeping {
            pending: self.pending.into_iter().collect(),
            orphans_before: self.orphans_before_ns.unwrap_or_default(),
            quarantined: self.quarantined.into_iter().map(StoredQuarantine::into_entry).collect(),
        };
        for StoredWriterPosition { writer, position } in self.wal_positions {
            let at = WalPosition {
                file: position.file,
                offset: position.offset,
            };
            let positions: &mut HashMap<_, _> = state.positions.entry(writer).or_default();
            positions.insert((position.tenant, position.signal), at);
        }
        Ok(state)
    }
}

fn stored_segment(state: &CatalogState, meta: &SegmentMeta) -> StoredSegment {
    let deletes = state.deletes.get(&(meta.tenant.clone(), meta.signal));
    let covering = deletes.map_or(&[][..], |deletes| deletes.covering(&meta.id));
    StoredSegment {
        tombstones: covering.iter().map(|t| t.id).collect(),
        ..StoredSegment::from(meta)
    }
}

/// The object's bytes.
pub(super) fn encode(value: &impl StoredObject) -> Result<Vec<u8>> {
    let internal = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::with_source(ErrorKind::Internal, "cannot encode a catalog object", e)
    };
    let json = serde_json::to_vec(value).map_err(|e| internal(e.into()))?;
    let raw_len = u32::try_from(json.len())
        .ok()
        .filter(|n| *n as usize <= MAX_RAW_BYTES)
        .ok_or_else(|| {
            let message = format!(
                "a catalog object of {} bytes is over {MAX_RAW_BYTES}; compact",
                json.len()
            );
            Error::new(ErrorKind::Limit, message)
        })?;
    let body = zstd::bulk::compress(&json, ZSTD_LEVEL).map_err(|e| internal(e.into()))?;
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(MAGIC);
    let version = match value.has_tombstones() {
        true => FORMAT_VERSION_WITH_TOMBSTONES,
        false => FORMAT_VERSION,
    };
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&raw_len.to_le_bytes());
    out.extend_from_slice(&xxh3_64_with_seed(&body, u64::from(raw_len)).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// That the object at `path` does not hold what it should.
pub(super) fn corrupt(path: &str, reason: String) -> Error {
    let message = format!("catalog object {path}: {reason}; restore it or rebuild the catalog from the segments");
    Error::new(ErrorKind::Corrupt, message)
}

/// Reads an object's bytes; every error names `path`.
pub(super) fn decode<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T> {
    let corrupt = |reason: String| corrupt(path, reason);
    let (header, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or_else(|| corrupt(format!("{} bytes are too few", bytes.len())))?;
    let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..8] != MAGIC {
        return Err(corrupt("it does not start with GARNCATL".into()));
    }
    if !(FORMAT_VERSION..=FORMAT_VERSION_WITH_TOMBSTONES).contains(&field(8)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "catalog object {path} has format version {}, this garner reads {FORMAT_VERSION} to \
                 {FORMAT_VERSION_WITH_TOMBSTONES}; run a newer garner",
                field(8)
            ),
        ));
    }
    let checksum = u64::from(field(16)) | (u64::from(field(20)) << 32);
    let raw_len = field(12) as usize;
    if xxh3_64_with_seed(body, raw_len as u64) != checksum || raw_len > MAX_RAW_BYTES {
        return Err(corrupt("its checksum does not match".into()));
    }
    let json = zstd::bulk::decompress(body, raw_len).map_err(|e| corrupt(e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| corrupt(e.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn damaged_objects_are_errors() {
        let delta = StoredDelta::new(
            CatalogVersion(1),
            "n",
            5,
            &CommitRequest::new(WriterId::new("w").unwrap()),
        );
        let good = encode(&delta).unwrap();
        assert_eq!(decode::<StoredDelta>("p", &good).unwrap().nonce, "n");
        for cut in 0..good.len() {
            assert!(decode::<StoredDelta>("p", &good[..cut]).is_err());
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode::<StoredDelta>("p", &bad).is_err(), "byte {at}");
        }
    }
}
