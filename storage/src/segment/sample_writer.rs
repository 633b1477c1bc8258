//! Builds a segment of metric samples.

use super::SegmentBytes;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, TenantId};

/// Fed series by series in the order of [`crate::model::SeriesKey`], gives the bytes of one segment.
#[derive(Debug)]
pub struct SampleSegmentWriter {
    _tenant: TenantId,
}

impl SampleSegmentWriter {
    /// An empty segment of `tenant`; `level` is how often its rows were compacted (0 from a flush).
    pub fn new(tenant: TenantId, level: u8) -> Self {
        let _ = level;
        SampleSegmentWriter { _tenant: tenant }
    }

    /// Appends a series that sorts after the one before. Times are strictly ascending and as many as values; a series
    /// without rows is left out.
    pub fn push_series(&mut self, labels: &Labels, timestamps: &[i64], values: &[f64]) -> Result<()> {
        let _ = (labels, timestamps, values);
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// The segment; `None` where nothing was pushed.
    pub fn finish(self) -> Result<Option<SegmentBytes>> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }
}
