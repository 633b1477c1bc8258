//! Log scans from one end of time: the pages of all sources in the order of their near ends, each read once.
//!
//! ```text
//! page 1               |---------|   read first (backward)
//! page 2     |----------------|      what is not read yet ends here: rows behind it are settled
//! page 3   |-------------|
//! time   ----------------------->
//! ```
//!
//! Pages are taken in batches that grow. Small batches come in the order of time, since most queries want the newest hundred
//! lines; large ones in the order of the store, so that neighbours are read together by the few queries that go on. Streams
//! that several sources hold at one time go through slabs ([`log_scan`](super::log_scan)), in step with the pages.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::held::Held;
use super::log_scan::{batch_bytes, count, slabs};
use super::log_stream::{Split, to_slab};
use super::selection::{Selection, all_answers};
use super::{BatchStream, LogBatch, LogOrder, LogPages, LogPiece, LogRead, LogSlab, RowBounds};
use crate::error::{Error, Result};
use crate::model::TimeRange;

/// Pages of the first batch: as many as are read at one time.
const FIRST_PAGES: usize = crate::pieces::PARALLEL_READS;
/// How much larger each batch is than the one before.
const GROWTH: usize = 2;
/// Pages of a batch that is read in the order of time.
const MAX_TIMED_PAGES: usize = 16;

/// The rows of one partition, a range of streams, from the end that `order` names.
pub(super) fn walk_pages(
    selection: &Arc<Selection>,
    partition: usize,
    partitions: usize,
    order: LogOrder,
    read: &LogRead,
) -> BatchStream<LogSlab> {
    let (selection, read) = (Arc::clone(selection), read.clone());
    let begun = async move {
        let split = Split::of(&selection, selection.partition(partition, partitions))?;
        let walk = Walk::begin(selection, split, order, read).await?;
        Ok::<_, Error>(stream::try_unfold(walk, |mut walk| async move {
            let slab = walk.next().await?;
            Ok(slab.map(|slab| (slab, walk)))
        }))
    };
    stream::once(begun).try_flatten().boxed()
}

/// The pages of one source.
struct SourcePages {
    pages: Arc<dyn LogPages>,
    /// Where the series asked for are in the selection.
    series: Vec<u32>,
    /// Of each page its place.
    places: Vec<usize>,
}

/// One page of one source.
#[derive(Clone, Copy)]
struct Place {
    source: usize,
    page: u32,
    range: TimeRange,
    is_read: bool,
}

/// Pages of one source that are being read.
struct Reading {
    source: usize,
    pages: Vec<u32>,
    pieces: BoxStream<'static, Result<(u32, Option<LogPiece>)>>,
}

struct Walk {
    selection: Arc<Selection>,
    order: LogOrder,
    read: LogRead,
    sources: Vec<SourcePages>,
    /// By their near ends.
    places: Vec<Place>,
    /// All before are read.
    settled: usize,
    /// The first that no batch has taken.
    next: usize,
    batch_pages: usize,
    reading: VecDeque<Reading>,
    /// Streams that have to be merged, and where their rows lie that did not come yet.
    slabs: Option<(BatchStream<LogSlab>, TimeRange)>,
    /// What the lists above take.
    own_bytes: usize,
    /// Their memory, and that of a slab until the next one is asked for.
    held: Held,
}

impl Walk {
    async fn begin(selection: Arc<Selection>, split: Split, order: LogOrder, read: LogRead) -> Result<Walk> {
        let mut asked = Vec::new();
        for (source, own) in split
            .pages
            .iter()
            .enumerate()
            .filter(|(_, own)| !own.ordinals.is_empty())
        {
            let source = Arc::clone(&selection.sources[source]);
            asked.push(
                source
                    .log_pages(own.ordinals.clone(), selection.range, &read, &selection.scan)
                    .boxed(),
            );
        }
        let found = all_answers(asked).await?;
        let mut sources = Vec::new();
        let asked = split.pages.into_iter().filter(|own| !own.ordinals.is_empty());
        for (own, pages) in asked.zip(found) {
            sources.push(SourcePages {
                places: vec![0; pages.bounds().len()],
                pages,
                series: own.series,
            });
        }
        let mut places: Vec<Place> = Vec::new();
        for (source, own) in sources.iter().enumerate() {
            places.extend((0..).zip(own.pages.bounds()).map(|(page, bounds)| Place {
                source,
                page,
                range: bounds.range,
                is_read: false,
            }));
        }
        match order {
            LogOrder::Backward => places.sort_by_key(|p| (std::cmp::Reverse(p.range.end), p.source, p.page)),
            _ => places.sort_by_key(|p| (p.range.start, p.source, p.page)),
        }
        for (at, place) in places.iter().enumerate() {
            sources[place.source].places[place.page as usize] = at;
        }
        let slabs = (!split.rest.series.is_empty()).then(|| {
            let range = split.rest.range;
            (slabs(split.rest, 0, 1, order, read.clone()), range)
        });
        let pages = |own: &SourcePages| own.places.len() * (size_of::<usize>() + size_of::<RowBounds>());
        let own_bytes = places.len() * size_of::<Place>() + sources.iter().map(pages).sum::<usize>();
        Ok(Walk {
            own_bytes,
            held: Held::new(&selection.scan.memory),
            selection,
            order,
            read,
            sources,
            places,
            settled: 0,
            next: 0,
            batch_pages: FIRST_PAGES,
            reading: VecDeque::new(),
            slabs,
        })
    }

    async fn next(&mut self) -> Result<Option<LogSlab>> {
        self.held.set(self.own_bytes)?;
        loop {
            let near_slabs = match (&self.slabs, self.rest_of_pages()) {
                (Some((_, slabs)), Some(pages)) => self.is_nearer(*slabs, pages),
                (slabs, _) => slabs.is_some(),
            };
            if near_slabs && let Some((slabs, rest)) = &mut self.slabs {
                let Some(mut slab) = slabs.try_next().await? else {
                    self.slabs = None;
                    continue;
                };
                *rest = slab.rest;
                slab.rest = self.rest();
                return Ok(Some(slab));
            }
            let Some(reading) = self.reading.front_mut() else {
                if self.next == self.places.len() {
                    return Ok(None);
                }
                self.take_batch();
                continue;
            };
            match reading.pieces.try_next().await? {
                Some((page, piece)) => {
                    let source = reading.source;
                    return self.slab(source, page, piece).map(Some);
                }
                None => {
                    // A page that is damaged so that nothing came of it is settled all the same.
                    let (source, pages) = (reading.source, std::mem::take(&mut reading.pages));
                    pages.iter().for_each(|page| self.settle(source, *page));
                    self.reading.pop_front();
                }
            }
        }
    }

    fn settle(&mut self, source: usize, page: u32) {
        let place = self.sources.get(source).and_then(|own| own.places.get(page as usize));
        if let Some(place) = place.and_then(|place| self.places.get_mut(*place)) {
            place.is_read = true;
        }
        while self.places.get(self.settled).is_some_and(|place| place.is_read) {
            self.settled += 1;
        }
    }

    fn slab(&mut self, source: usize, page: u32, piece: Option<LogPiece>) -> Result<LogSlab> {
        self.settle(source, page);
        let rest = self.rest();
        let Some(piece) = piece else {
            // A consumer hears of it, since more is settled now.
            return Ok(LogSlab {
                batch: LogBatch::empty(&self.read),
                range: TimeRange::new(rest.end, rest.end),
                rest,
                page,
            });
        };
        let slab = to_slab(&self.selection, &self.sources[source].series, piece, rest, page);
        self.held.set(self.own_bytes + batch_bytes(&slab.batch))?;
        count(&slab.batch, &self.read, &self.selection.scan.stats);
        Ok(slab)
    }

    /// Begins to read the next pages.
    fn take_batch(&mut self) {
        let from = self.next;
        self.next = self.places.len().min(from + self.batch_pages);
        self.batch_pages *= GROWTH;
        let mut batch: Vec<usize> = (from..self.next).collect();
        if batch.len() > MAX_TIMED_PAGES {
            batch.sort_by_key(|at| (self.places[*at].source, self.places[*at].page));
        }
        // Pages of one source that follow each other are read by one call.
        for run in batch.chunk_by(|a, b| self.places[*a].source == self.places[*b].source) {
            let Some(source) = run.first().map(|at| self.places[*at].source) else {
                continue;
            };
            let pages: Vec<u32> = run.iter().map(|at| self.places[*at].page).collect();
            self.reading.push_back(Reading {
                source,
                pieces: Arc::clone(&self.sources[source].pages).read(pages.clone()),
                pages,
            });
        }
    }

    /// Where the rows of pages lie that did not come yet.
    fn rest_of_pages(&self) -> Option<TimeRange> {
        let (all, near) = (self.selection.range, self.places.get(self.settled)?.range);
        Some(match self.order {
            LogOrder::Backward => TimeRange::new(all.start, near.end),
            _ => TimeRange::new(near.start, all.end),
        })
    }

    /// Whether the first of two rests reaches nearer to the end from which the walk comes.
    fn is_nearer(&self, a: TimeRange, b: TimeRange) -> bool {
        match self.order {
            LogOrder::Backward => a.end > b.end,
            _ => a.start < b.start,
        }
    }

    /// Where all rows lie that did not come yet.
    fn rest(&self) -> TimeRange {
        let all = self.selection.range;
        let slabs = self
            .slabs
            .as_ref()
            .map(|(_, rest)| *rest)
            .filter(|rest| !rest.is_empty());
        match (self.rest_of_pages(), slabs) {
            (Some(a), Some(b)) => a.union(&b),
            (Some(rest), None) | (None, Some(rest)) => rest,
            (None, None) => TimeRange::new(all.start, all.start),
        }
    }
}
