//! The pages of one read: which are wanted, and how they come, a few requests at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;

use super::directory::{Chunk, ColumnId, PageEntry};
use super::fetch::{self, Fetched, Fetcher};
use super::sample_chunks::SampleChunk;
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;
use crate::pieces::PARALLEL_READS;
use crate::scan::ScanStats;

/// Rows of one series in one page: of logs or of samples.
pub(super) trait PageChunk: Copy {
    fn page(&self) -> u32;
    fn rows(&self) -> u32;
    fn range(&self) -> TimeRange;
}

impl PageChunk for Chunk {
    fn page(&self) -> u32 {
        self.page
    }
    fn rows(&self) -> u32 {
        self.rows
    }
    fn range(&self) -> TimeRange {
        Chunk::range(self)
    }
}

impl PageChunk for SampleChunk {
    fn page(&self) -> u32 {
        self.page
    }
    fn rows(&self) -> u32 {
        self.rows
    }
    fn range(&self) -> TimeRange {
        SampleChunk::range(self)
    }
}

/// One page on its way into an answer.
pub(super) struct PageInput<'a, C> {
    pub tail: &'a OpenTail,
    pub page: u32,
    pub entry: &'a PageEntry,
    pub fetched: &'a Fetched,
    /// The chunks wanted, with the position of their series among those asked for.
    pub chunks: &'a [(u32, C)],
}

/// The chunks of a read, by page.
pub(super) struct PageChunks<C> {
    pub runs: Vec<(u32, Vec<(u32, C)>)>,
    /// Pages that hold series asked for, but no time of theirs.
    pub skipped: u64,
}

impl<C: PageChunk> PageChunks<C> {
    /// Those of `chunks` (with the position of their series) that overlap `range`.
    pub fn new(chunks: impl Iterator<Item = (u32, C)>, range: TimeRange) -> Self {
        let mut wanted: Vec<(u32, C)> = Vec::new();
        let mut skipped = BTreeSet::new();
        for (index, chunk) in chunks {
            if chunk.range().overlaps(&range) {
                wanted.push((index, chunk));
            } else {
                skipped.insert(chunk.page());
            }
        }
        // Stable: chunks of one series in one page stay in time order.
        wanted.sort_by_key(|(index, chunk)| (chunk.page(), *index));
        let mut runs: Vec<(u32, Vec<(u32, C)>)> = Vec::new();
        for (index, chunk) in wanted {
            skipped.remove(&chunk.page());
            match runs.last_mut() {
                Some((page, own)) if *page == chunk.page() => own.push((index, chunk)),
                _ => runs.push((chunk.page(), vec![(index, chunk)])),
            }
        }
        PageChunks {
            runs,
            skipped: skipped.len() as u64,
        }
    }

    /// Reads `wanted` columns of the pages and hands each page to `take`, in page order. A page that `take` or the store
    /// finds damaged is passed over.
    pub async fn read(
        &self,
        fetcher: Arc<Fetcher<'_>>,
        tail: &OpenTail,
        wanted: &[ColumnId],
        mut take: impl FnMut(PageInput<'_, C>) -> Result<()>,
    ) -> Result<()> {
        let stats = &fetcher.scan.stats;
        let pages: Vec<u32> = self.runs.iter().map(|(page, _)| *page).collect();
        ScanStats::add(&stats.pages_skipped, self.skipped);
        let reads = fetch::plan(&tail.pages, &pages, wanted);
        let mut fetches = futures::stream::iter(reads)
            .map(|read| fetch::fetch(Arc::clone(&fetcher), read))
            .buffered(PARALLEL_READS);
        let mut runs = self.runs.iter().peekable();
        while let Some(read) = fetches.next().await {
            let read = read?;
            for page in &read.pages {
                while runs.next_if(|(p, _)| p < page).is_some() {}
                let (Some(entry), Some((_, own))) = (tail.pages.get(*page as usize), runs.next_if(|(p, _)| p == page))
                else {
                    continue;
                };
                let taken = match &read.fetched {
                    Ok(fetched) => take(PageInput {
                        tail,
                        page: *page,
                        entry,
                        fetched,
                        chunks: own,
                    }),
                    Err(error) => Err(Error::new(error.kind(), error.to_string())),
                };
                match taken {
                    Ok(()) => ScanStats::add(&stats.pages, 1),
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        fetcher.count_damage();
                        let segment = fetcher.place();
                        tracing::warn!(%error, segment, page, "a damaged page is left out of an answer");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
