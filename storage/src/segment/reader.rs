//! Reads one segment: a source of series for scans.

use std::sync::Arc;

use async_trait::async_trait;

use super::{SegmentMeta, TailCache};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LabelMatcher, TimeRange};
use crate::object::Bucket;
use crate::scan::{LogColumns, LogRows, SampleColumns, ScanContext, SeriesSource, SourceSeries};

/// A live segment as a source. Making one costs nothing: its tail is read at the first question, and kept in the cache.
#[derive(Debug)]
pub struct SegmentReader {
    _bucket: Bucket,
    meta: Arc<SegmentMeta>,
    _cache: Arc<TailCache>,
}

impl SegmentReader {
    /// A reader of the segment that `meta` names.
    pub fn new(bucket: Bucket, meta: Arc<SegmentMeta>, cache: Arc<TailCache>) -> Self {
        SegmentReader {
            _bucket: bucket,
            meta,
            _cache: cache,
        }
    }

    /// What the catalog knows of the segment.
    pub fn meta(&self) -> &Arc<SegmentMeta> {
        &self.meta
    }
}

#[async_trait]
impl SeriesSource for SegmentReader {
    fn time_range(&self) -> TimeRange {
        self.meta.range
    }

    async fn select(&self, _: &[LabelMatcher], _: TimeRange, _: &ScanContext) -> Result<Vec<SourceSeries>> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    async fn read_samples(&self, _: &[u32], _: TimeRange, _: &ScanContext) -> Result<SampleColumns> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    async fn read_logs(&self, _: &[u32], _: TimeRange, _: LogColumns, _: &ScanContext) -> Result<LogRows> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }
}
