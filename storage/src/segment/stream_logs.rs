//! Log rows of a segment page by page, each page an answer of its own.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::directory::Chunk;
use super::fetch::{self, Held, HeldRead, PlannedRead};
use super::pages::PageInput;
use super::read_logs::{self, LogAssembler};
use super::reader::{SegmentReader, log_chunks};
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Signal, TimeRange};
use crate::pieces::PARALLEL_READS;
use crate::scan::{LogPiece, LogRead, ScanContext, ScanStats, Share};

/// The chunks wanted of one page, with the position of their series among those asked for.
type PageRun = (u32, Vec<(u32, Chunk)>);

/// What all pages of one answer share.
struct Reading {
    reader: Arc<SegmentReader>,
    tail: Arc<OpenTail>,
    /// In the order of pages.
    runs: Vec<PageRun>,
    range: TimeRange,
    read: LogRead,
    scan: ScanContext,
}

/// See [`crate::scan::SeriesSource::stream_logs`].
pub(super) fn stream_logs(
    reader: Arc<SegmentReader>,
    ordinals: Vec<u32>,
    range: TimeRange,
    read: LogRead,
    share: Share,
    scan: ScanContext,
) -> BoxStream<'static, Result<LogPiece>> {
    let opened = async move {
        reader.expect_signal(Signal::Logs)?;
        let Some(tail) = reader.tail(&scan).await? else {
            return Ok::<_, Error>(stream::empty().boxed());
        };
        let chunks = log_chunks(&tail, &ordinals, range);
        if share.number == 0 {
            ScanStats::add(&scan.stats.pages_skipped, chunks.skipped);
        }
        let runs = shared(chunks.runs, share);
        let pages: Vec<u32> = runs.iter().map(|(page, _)| *page).collect();
        let reads = fetch::plan(&tail.pages, &pages, read_logs::wanted(&read));
        let reading = Arc::new(Reading {
            reader,
            tail,
            runs,
            range,
            read,
            scan,
        });
        Ok(reading.pieces(reads))
    };
    stream::once(opened).try_flatten().boxed()
}

/// The pages of a share: neighbours, so that they are read together.
fn shared(runs: Vec<PageRun>, share: Share) -> Vec<PageRun> {
    let rows = |run: &PageRun| run.1.iter().map(|(_, chunk)| u64::from(chunk.rows)).sum::<u64>();
    let total: u64 = runs.iter().map(rows).sum();
    let mut before = 0;
    let mut own = runs;
    own.retain(|run| {
        // By the middle of the page, so that two pages fall to two shares.
        let at = before + rows(run) / 2;
        before += rows(run);
        share.holds(at, total)
    });
    own
}

impl Reading {
    fn pieces(self: Arc<Self>, reads: Vec<PlannedRead>) -> BoxStream<'static, Result<LogPiece>> {
        let reading = Arc::clone(&self);
        let fetches = stream::iter(reads).map(move |read| {
            let reading = Arc::clone(&reading);
            async move {
                let fetcher = Arc::new(reading.reader.fetcher(&reading.scan));
                fetch::fetch(fetcher, read).await
            }
        });
        let pages = fetches.buffered(PARALLEL_READS).map_ok(move |mut read| {
            let reading = Arc::clone(&self);
            let pages = std::mem::take(&mut read.pages);
            // Each page is decoded when it is asked for, so that one is held at a time.
            let pieces = stream::iter(pages).map(move |page| reading.piece(&read, page));
            pieces.filter_map(|piece| std::future::ready(piece.transpose()))
        });
        pages.try_flatten().boxed()
    }

    /// What is wanted of a page; `None` of one that is damaged or has nothing.
    fn piece(&self, read: &HeldRead, page: u32) -> Result<Option<LogPiece>> {
        match self.decode(read, page) {
            Ok(piece) => {
                ScanStats::add(&self.scan.stats.pages, 1);
                Ok(piece)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let fetcher = self.reader.fetcher(&self.scan);
                fetcher.count_damage();
                let segment = fetcher.place();
                tracing::warn!(%error, segment, page, "a damaged page is left out of an answer");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn decode(&self, read: &HeldRead, page: u32) -> Result<Option<LogPiece>> {
        let run = self.runs.binary_search_by_key(&page, |(page, _)| *page);
        let found = run.ok().zip(self.tail.pages.get(page as usize));
        let Some((run, entry)) = found else { return Ok(None) };
        let fetched = read
            .fetched
            .as_ref()
            .map_err(|error| Error::new(error.kind(), error.to_string()))?;
        let _held = Held::take(&self.scan, read_logs::page_bytes(entry, &self.read))?;
        let own = &self.runs[run].1;
        // Several chunks of one series in a page stand one behind the other.
        let mut indexes: Vec<u32> = own.iter().map(|(index, _)| *index).collect();
        indexes.dedup();
        let mut position = 0;
        let chunks: Vec<(u32, Chunk)> = own
            .iter()
            .map(|(index, chunk)| {
                position += usize::from(indexes[position] != *index);
                (position as u32, *chunk)
            })
            .collect();
        let mut out = LogAssembler::new(indexes.len(), self.range, &self.read, &self.scan.stats);
        out.add(&PageInput {
            tail: &self.tail,
            page,
            entry,
            fetched,
            chunks: &chunks,
        })?;
        let rows = out.finish()?;
        Ok((!rows.is_empty()).then_some(LogPiece { indexes, rows }))
    }
}
