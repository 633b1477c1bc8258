//! Log rows of a segment page by page, each page an answer of its own: in the order of the segment, or as they are asked for.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::directory::{Chunk, PageStats};
use super::fetch::{self, Held, HeldRead, PlannedRead};
use super::pages::PageInput;
use super::read_logs::{self, LogAssembler};
use super::reader::{SegmentReader, log_chunks};
use super::tail::OpenTail;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Signal, TimeRange};
use crate::pieces::PARALLEL_READS;
use crate::scan::{LogPages, LogPiece, LogRead, NoPages, RowBounds, ScanContext, ScanStats, Share};

/// The chunks wanted of one page, with the position of their series among those asked for.
type PageRun = (u32, Vec<(u32, Chunk)>);

/// What all pages of one answer share.
struct Reading {
    reader: Arc<SegmentReader>,
    tail: Arc<OpenTail>,
    /// In the order of pages.
    runs: Vec<PageRun>,
    range: TimeRange,
    /// Of each run, where its pages are asked for one by one.
    bounds: Vec<RowBounds>,
    read: LogRead,
    scan: ScanContext,
}

/// See [`crate::scan::SeriesSource::log_pages`].
pub(super) async fn log_pages(
    reader: Arc<SegmentReader>,
    ordinals: &[u32],
    range: TimeRange,
    read: &LogRead,
    scan: &ScanContext,
) -> Result<Arc<dyn LogPages>> {
    reader.expect_signal(Signal::Logs)?;
    let Some(tail) = reader.tail(scan).await? else {
        return Ok(Arc::new(NoPages));
    };
    let chunks = log_chunks(&tail, ordinals, range);
    ScanStats::add(&scan.stats.pages_skipped, chunks.skipped);
    // A page that the directory does not have cannot be read either.
    let mut runs = chunks.runs;
    runs.retain(|(page, _)| (*page as usize) < tail.pages.len());
    let bounds = runs
        .iter()
        .filter_map(|(page, own)| run_bounds(&tail, *page, own))
        .collect::<Vec<_>>();
    if bounds.len() != runs.len() {
        return Err(Error::new(ErrorKind::Internal, "a page of logs without bounds"));
    }
    Ok(Arc::new(Reading {
        reader,
        tail,
        runs,
        range,
        bounds,
        read: read.clone(),
        scan: scan.clone(),
    }))
}

/// What is known of the chunks of a page.
pub(super) fn run_bounds(tail: &OpenTail, page: u32, own: &[(u32, Chunk)]) -> Option<RowBounds> {
    let entry = tail.pages.get(page as usize)?;
    let PageStats::Logs { line_bytes } = entry.stats else {
        return None;
    };
    let rows: u64 = own.iter().map(|(_, c)| u64::from(c.rows)).sum();
    Some(RowBounds {
        range: TimeRange {
            start: own.iter().map(|(_, c)| c.range().start).min()?,
            end: own.iter().map(|(_, c)| c.range().end).max()?,
        },
        rows,
        // The share of the page's bytes that falls to these rows.
        bytes: (u128::from(line_bytes) * u128::from(rows) / u128::from(entry.rows.max(1))) as u64,
    })
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
            bounds: Vec::new(),
            read,
            scan,
        });
        let pieces = reading.pieces(reads);
        Ok(pieces
            .try_filter_map(|(_, piece)| std::future::ready(Ok(piece)))
            .boxed())
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
    /// What is wanted of the pages of these reads, which hold runs; nothing of one that is damaged or has nothing.
    fn pieces(self: Arc<Self>, reads: Vec<PlannedRead>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>> {
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
            stream::iter(pages).map(move |page| Ok((page, reading.piece(&read, page)?)))
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

impl LogPages for Reading {
    fn bounds(&self) -> &[RowBounds] {
        &self.bounds
    }

    fn read(self: Arc<Self>, pages: Vec<u32>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>> {
        let pages: Vec<u32> = pages
            .iter()
            .filter_map(|at| Some(self.runs.get(*at as usize)?.0))
            .collect();
        let reads = fetch::plan(&self.tail.pages, &pages, read_logs::wanted(&self.read));
        let reading = Arc::clone(&self);
        let pieces = self.pieces(reads).map_ok(move |(page, piece)| {
            let at = reading.runs.partition_point(|(p, _)| *p < page);
            (at as u32, piece)
        });
        pieces.boxed()
    }
}
