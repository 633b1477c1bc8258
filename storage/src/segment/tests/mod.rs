//! Round trips and damage of whole segments, and what their tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod golden;
mod logs;
mod open;
mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::BinaryArray;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use self::logs::{Entry, Logs, read_all_logs, write_logs};
use self::samples::{Samples, inside, key, labels_strategy, read_all_samples, write_samples, write_samples_as};
use super::footer::{Footer, SectionId};
use super::{LogSegmentWriter, SampleSegmentWriter, SegmentBytes, SegmentReader, TailCache, UnplacedMeta};
use crate::memory::{MemoryAccountant, MemoryUse};
use crate::model::{LabelMatcher, Labels, MatchOp, STALE_NAN_BITS, SeriesKey, Signal, TenantId, TimeRange};
use crate::object::{Bucket, RetryPolicy, Verb};
use crate::scan::{
    LineFilter, LineSlice, LogColumns, LogOrder, LogPiece, LogRead, LogRows, MergedView, ScanContext, ScanStats,
    SeriesRequest, SeriesSource, Share, StoreView,
};

const ALL_COLUMNS: LogColumns = LogColumns {
    lines: true,
    metadata: true,
};
/// Bytes of something else before the segment in its object.
const BEFORE: usize = 77;

pub(super) struct Fixture {
    pub runtime: Runtime,
    pub bucket: Bucket,
    pub account: MemoryAccountant,
    pub cache: Arc<TailCache>,
}

impl Fixture {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store = Arc::new(InMemory::new());
        let policy = RetryPolicy {
            backoff_max: Duration::from_micros(10),
            ..Default::default()
        };
        let bucket = Bucket::new(store, "pre/fix", runtime.handle().clone(), policy, 7);
        let account = MemoryAccountant::new(1 << 30);
        Fixture {
            runtime,
            bucket,
            cache: Arc::new(TailCache::new(account.clone(), 64 << 20)),
            account,
        }
    }

    /// A reader of the segment that is all of a file.
    pub fn open_file(&self, path: &str) -> SegmentReader {
        let bytes = std::fs::read(path).unwrap();
        let footer = Footer::decode(&bytes).unwrap();
        let meta = UnplacedMeta {
            tenant: footer.tenant,
            signal: footer.signal,
            len: bytes.len() as u64,
            tail_len: footer.tail_len,
            range: footer.range,
            rows: footer.rows,
            series: footer.series,
            raw_bytes: footer.raw_bytes,
            level: footer.level,
        };
        self.place(path, &SegmentBytes { bytes, meta })
    }

    pub fn scan(&self) -> ScanContext {
        ScanContext::passing(self.account.query(1 << 30), Arc::new(ScanStats::default()))
    }

    /// Puts `segment` into an object `name` behind other bytes.
    pub fn place(&self, name: &str, segment: &SegmentBytes) -> SegmentReader {
        let mut object = vec![0xaa; BEFORE];
        object.extend_from_slice(&segment.bytes);
        object.extend_from_slice(b"after");
        self.runtime.block_on(self.bucket.put(name, object.into())).unwrap();
        let meta = segment.meta.clone().at(name.into(), BEFORE as u64);
        SegmentReader::new(self.bucket.clone(), Arc::new(meta), Arc::clone(&self.cache))
    }
}

pub(super) fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// Writes a golden file.
pub(super) fn keep_file(path: &str, segment: &SegmentBytes) {
    std::fs::write(path, &segment.bytes).unwrap();
}
