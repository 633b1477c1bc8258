//! What is known of the side sections when a segment is open: the lists of histograms and start times are read with the
//! tail, exemplars and metadata when somebody asks for them.

use super::histograms::{HistogramChunk, HistogramList};
use super::start_times::StartTimeList;
use crate::error::Result;
use crate::model::TimeRange;
use crate::segment::bytes::Broken;
use crate::segment::fetch::{Fetcher, TailBytes};
use crate::segment::footer::{Footer, Section, SectionId};
use crate::segment::tail::section;

/// See the module docs.
#[derive(Debug, Default)]
pub(in crate::segment) struct OpenSide {
    pub(super) histograms: HistogramList,
    pub(super) start_times: StartTimeList,
    pub(super) exemplars: Option<Section>,
    pub(super) metadata: Option<Section>,
    /// Where the pages, and with them all blobs, end.
    pub(super) pages_end: u64,
}

impl OpenSide {
    /// Reads the lists of a segment that has any.
    pub async fn open(fetcher: &Fetcher<'_>, footer: &Footer, tail: &TailBytes) -> Result<OpenSide> {
        let pages_end = footer.sections.iter().map(|s| s.offset).min().unwrap_or(0);
        let mut side = OpenSide {
            exemplars: footer.section(SectionId::Exemplars).copied(),
            metadata: footer.section(SectionId::Metadata).copied(),
            pages_end,
            ..OpenSide::default()
        };
        let at = |broken: Broken| broken.at(fetcher.place());
        if let Some(found) = footer.section(SectionId::Histograms) {
            let bytes = section(fetcher, found, tail).await?;
            side.histograms = HistogramList::decode(&bytes, pages_end, footer.series).map_err(at)?;
        }
        if let Some(found) = footer.section(SectionId::StartTimes) {
            let bytes = section(fetcher, found, tail).await?;
            side.start_times = StartTimeList::decode(&bytes, pages_end).map_err(at)?;
        }
        Ok(side)
    }

    /// Bounds and number of the histograms of a series; `None` where it has none.
    pub fn series(&self, ordinal: u32) -> Option<(TimeRange, u64)> {
        let chunks = self.histograms.of(ordinal).iter();
        let parts = chunks.map(|c: &HistogramChunk| (c.range(), u64::from(c.rows)));
        parts.reduce(|(a, m), (b, n)| (a.union(&b), m + n))
    }

    /// Whether samples need nothing from here.
    pub fn is_plain(&self) -> bool {
        self.histograms.chunks.is_empty() && self.start_times.0.is_empty()
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.histograms.size_bytes() + self.start_times.size_bytes()
    }
}
