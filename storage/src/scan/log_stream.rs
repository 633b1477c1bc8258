//! Log scans that need no order: page by page as rows lie in the sources, without gathering streams across pages.
//!
//! A stream's rows may come so only where no two sources hold rows of it at the same time, since such rows have to be
//! compared. What is left of streams goes through slabs, as do sources that cannot answer piece by piece.

use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::held::Held;
use super::log_scan::{batch_bytes, count, into_batch, slabs};
use super::selection::{Part, Selection};
use super::{BatchStream, LogOrder, LogPiece, LogRead, LogSlab, Share};
use crate::error::Result;
use crate::model::TimeRange;

/// The rows of one partition; a partition is a share of each source's pages, and a range of the streams that are left.
pub(super) fn stream_pages(
    selection: &Arc<Selection>,
    partition: usize,
    partitions: usize,
    read: &LogRead,
) -> BatchStream<LogSlab> {
    let Split { pages, rest } = match Split::of(selection, 0..selection.series.len()) {
        Ok(split) => split,
        Err(error) => return stream::once(async { Err(error) }).boxed(),
    };
    let share = Share {
        number: partition,
        of: partitions.max(1),
    };
    let (whole, asked) = (Arc::clone(selection), read.clone());
    let pages = stream::iter(pages.into_iter().enumerate())
        .filter(|(_, own)| std::future::ready(!own.ordinals.is_empty()))
        .flat_map(move |(source, own)| pages_of(Arc::clone(&whole), source, own, asked.clone(), share));
    let rest = slabs(rest, partition, partitions, LogOrder::Any, read.clone());
    pages.chain(rest).boxed()
}

/// What is read of one source page by page.
#[derive(Default)]
pub(super) struct Own {
    pub ordinals: Vec<u32>,
    /// Where each is in the selection.
    pub series: Vec<u32>,
}

/// What of a selection can be read page by page, and what has to be merged.
pub(super) struct Split {
    /// By source.
    pub pages: Vec<Own>,
    pub rest: Arc<Selection>,
}

impl Split {
    /// The parts of these series.
    pub fn of(selection: &Selection, series: Range<usize>) -> Result<Split> {
        let mut pages: Vec<Own> = selection.sources.iter().map(|_| Own::default()).collect();
        let mut rest = Selection::empty(selection.sources.clone(), selection.range, &selection.scan);
        let streams: Vec<bool> = selection.sources.iter().map(|s| s.streams_logs()).collect();
        let mut left: Vec<Part> = Vec::new();
        for series in series {
            let parts = selection.parts(series);
            left.clear();
            for (i, part) in parts.iter().enumerate() {
                let alone = || {
                    let mut others = parts.iter().enumerate().filter(|(j, _)| *j != i);
                    others.all(|(_, other)| !other.range.overlaps(&part.range))
                };
                if streams[part.source as usize] && alone() {
                    let own = &mut pages[part.source as usize];
                    own.ordinals.push(part.ordinal);
                    own.series.push(series as u32);
                } else {
                    left.push(*part);
                }
            }
            if !left.is_empty() {
                rest.push(&selection.series[series], left.iter().copied());
            }
        }
        rest.account()?;
        Ok(Split {
            pages,
            rest: Arc::new(rest),
        })
    }
}

fn pages_of(selection: Arc<Selection>, source: usize, own: Own, read: LogRead, share: Share) -> BatchStream<LogSlab> {
    let scan = selection.scan.clone();
    let pieces = Arc::clone(&selection.sources[source]).stream_logs(
        own.ordinals,
        selection.range,
        read.clone(),
        share,
        scan.clone(),
    );
    let mut held = Held::new(&scan.memory);
    let series = own.series;
    pieces
        .filter_map(move |piece| {
            let slab = piece.and_then(|piece| {
                let slab = to_slab(&selection, &series, piece, selection.range, 0);
                held.set(batch_bytes(&slab.batch))?;
                count(&slab.batch, &read, &scan.stats);
                Ok(slab)
            });
            let wanted = !matches!(&slab, Ok(slab) if slab.batch.is_empty());
            std::future::ready(wanted.then_some(slab))
        })
        .boxed()
}

/// The slab of a piece: `rest` and `page` are those of [`LogSlab`].
pub(super) fn to_slab(selection: &Selection, series: &[u32], piece: LogPiece, rest: TimeRange, page: u32) -> LogSlab {
    let LogPiece { indexes, mut rows } = piece;
    let labels = |index: u32| selection.series[series[index as usize] as usize].clone();
    // A batch has no stream without rows; a filter may have left some none.
    let (mut streams, mut offsets) = (Vec::with_capacity(indexes.len()), vec![0]);
    for (index, ends) in indexes.iter().zip(rows.offsets.windows(2)) {
        if ends[0] < ends[1] {
            streams.push(labels(*index));
            offsets.push(ends[1]);
        }
    }
    rows.offsets = offsets;
    let times = &rows.timestamps;
    let range = match (times.iter().min(), times.iter().max()) {
        (Some(first), Some(last)) => TimeRange::closed(*first, *last),
        _ => selection.range,
    };
    LogSlab {
        batch: into_batch(streams, rows),
        range,
        rest,
        page,
    }
}
