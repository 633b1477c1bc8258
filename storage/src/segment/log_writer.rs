//! Builds a segment of log entries.

use std::ops::Range;

use super::SegmentBytes;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, TenantId};
use crate::scan::LogRows;

/// Fed stream by stream in the order of [`crate::model::SeriesKey`], gives the bytes of one segment.
#[derive(Debug)]
pub struct LogSegmentWriter {
    _tenant: TenantId,
}

impl LogSegmentWriter {
    /// An empty segment of `tenant`; `level` is how often its rows were compacted (0 from a flush).
    pub fn new(tenant: TenantId, level: u8) -> Self {
        let _ = level;
        LogSegmentWriter { _tenant: tenant }
    }

    /// Appends a stream that sorts after the one before: rows `range` of `rows`, whose times never fall and whose lines
    /// and metadata are all there. A stream without rows is left out.
    pub fn push_series(&mut self, labels: &Labels, rows: &LogRows, range: Range<usize>) -> Result<()> {
        let _ = (labels, rows, range);
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// The segment; `None` where nothing was pushed.
    pub fn finish(self) -> Result<Option<SegmentBytes>> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }
}
