//! One input of a merge: a segment, and what is left out of it.

use std::sync::Arc;

use crate::deletes::{CoveredSource, RowFilter};
use crate::error::Result;
use crate::scan::{ScanContext, SeriesSource, SourceSeries};
use crate::segment::WholeSegment;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Input {
    pub segment: Arc<WholeSegment>,
    /// Rows of the segment that deletes have taken away for good are not handed out.
    covered: Option<Arc<CoveredSource>>,
}

impl Input {
    pub fn new(segment: Arc<WholeSegment>, deleted: Option<RowFilter>) -> Self {
        let covered = deleted
            .filter(|filter| !filter.is_empty())
            .map(|filter| Arc::new(CoveredSource::new(segment.clone(), filter)));
        Input { segment, covered }
    }

    /// Where its rows are read.
    pub fn source(&self) -> Arc<dyn SeriesSource> {
        match &self.covered {
            Some(covered) => covered.clone(),
            None => self.segment.clone(),
        }
    }

    /// As [`WholeSegment::series_from`]. Only series that were asked for here may be read.
    pub async fn series_from(&self, from: u32, max: u32, scan: &ScanContext) -> Result<Vec<SourceSeries>> {
        let series = self.segment.series_from(from, max, scan).await?;
        if let Some(covered) = &self.covered {
            covered.will_read(&series);
        }
        Ok(series)
    }
}
