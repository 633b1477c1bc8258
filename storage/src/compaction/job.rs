//! What is merged at one time: segments of one (tenant, signal) and window.

use std::sync::Arc;

use crate::deletes::RowFilter;
use crate::model::{Signal, TenantId};
use crate::segment::SegmentMeta;

/// Segments that one new segment replaces.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub tenant: TenantId,
    pub signal: Signal,
    /// Never empty, all of the tenant's signal, oldest first.
    pub inputs: Vec<Arc<SegmentMeta>>,
    /// The level of the new segment.
    pub level: u8,
    /// For each input, what deletes have taken away of it for good; `None` where nothing is. Empty where that is so of all.
    pub deleted: Vec<Option<RowFilter>>,
}

impl Job {
    /// Stored bytes of the inputs.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|meta| meta.len).sum()
    }

    /// Rows of the inputs.
    pub fn rows(&self) -> u64 {
        self.inputs.iter().map(|meta| meta.rows).sum()
    }
}
