//! Scanning log streams: slabs of time, each merged from all sources.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::BinaryArray;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::held::Held;
use super::log_merge::{StreamPiece, append_stream, share_a_time};
use super::log_rows::{LogRowsBuilder, SetCodes};
use super::log_stream::stream_pages;
use super::log_walk::walk_pages;
use super::selection::{Selection, all_answers};
use super::slabs::{Slab, SlabPlanner, TARGET_ROWS};
use super::volume::{StreamVolume, selection_volumes};
use super::{
    BatchStream, Fingerprint, LogBatch, LogOrder, LogRead, LogRows, LogSelection, LogSlab, RowBounds, ScanStats,
};
use crate::error::Result;
use crate::model::{Labels, TimeRange};

/// Bytes of rows a slab may hold, by estimate. Bounds a scan's memory where lines are long.
const MAX_SLAB_BYTES: u64 = 32 << 20;

/// Streams of a slab in stream order, so that a scan over a million quiet streams is not one slab.
const MAX_SLAB_STREAMS: usize = 16 << 10;

/// How much larger slabs may be where a filter keeps few rows: what comes next may be kept all the same.
const MAX_ROWS_A_ROW_KEPT: u64 = 64;

/// Bytes a line is taken to have before the scan has seen any.
const USUAL_LINE_BYTES: u64 = 256;

/// The log streams of a view that a request chose.
#[derive(Debug)]
pub(super) struct MergedLogs(pub Arc<Selection>);

impl LogSelection for MergedLogs {
    fn stream_count(&self) -> usize {
        self.0.series.len()
    }

    fn fingerprint(&self) -> Option<&Fingerprint> {
        self.0.fingerprint.as_ref()
    }

    fn estimated_rows(&self) -> u64 {
        self.0.rows(0..self.0.series.len())
    }

    fn scan(&self, partition: usize, partitions: usize, order: LogOrder, read: LogRead) -> BatchStream<LogSlab> {
        match order {
            LogOrder::Any => stream_pages(&self.0, partition, partitions, &read),
            LogOrder::Forward | LogOrder::Backward => walk_pages(&self.0, partition, partitions, order, &read),
            LogOrder::Streams => slabs(Arc::clone(&self.0), partition, partitions, order, read),
        }
    }

    fn volumes(&self, width_ns: i64) -> BoxFuture<'static, Result<Vec<StreamVolume>>> {
        selection_volumes(self.0.clone(), width_ns).boxed()
    }
}

/// The rows of one partition in `order`, slab by slab.
pub(super) fn slabs(
    selection: Arc<Selection>,
    partition: usize,
    partitions: usize,
    order: LogOrder,
    read: LogRead,
) -> BatchStream<LogSlab> {
    let columns = read.columns;
    let row_bytes = 16 + if columns.lines { USUAL_LINE_BYTES } else { 0 } + if columns.metadata { 8 } else { 0 };
    let scan = LogScan {
        rest: selection.partition(partition, partitions),
        held: Held::new(&selection.scan.memory),
        selection,
        order,
        read,
        current: None,
        row_bytes,
        has_read: false,
        rows_a_row_kept: 1,
    };
    let slabs = stream::try_unfold(scan, |mut scan| async move {
        let slab = scan.next_slab().await?;
        Ok(slab.map(|slab| (slab, scan)))
    });
    slabs.boxed()
}

struct LogScan {
    selection: Arc<Selection>,
    order: LogOrder,
    read: LogRead,
    /// Series not begun yet.
    rest: Range<usize>,
    /// Series being cut, and where.
    current: Option<(Range<usize>, SlabPlanner)>,
    /// Bytes a row took in the last slab, or is expected to take in the first.
    row_bytes: u64,
    has_read: bool,
    /// Rows that a filter looked at for each that it kept, in the last slab. Those refused take no memory, so a slab can be
    /// larger by as much, and cut fewer pages in two.
    rows_a_row_kept: u64,
    /// The memory of a slab, held until the next one is asked for.
    held: Held,
}

impl LogScan {
    async fn next_slab(&mut self) -> Result<Option<LogSlab>> {
        self.held.set(0)?;
        loop {
            let max_rows = MAX_SLAB_BYTES / self.row_bytes.max(1);
            let Some((series, planner)) = &mut self.current else {
                if self.rest.is_empty() {
                    return Ok(None);
                }
                self.begin(max_rows).await?;
                continue;
            };
            let (series, Some(slab)) = (series.clone(), planner.next_filtered(max_rows, self.rows_a_row_kept)) else {
                self.current = None;
                continue;
            };
            let batch = self.read(series, slab).await?;
            if !batch.is_empty() {
                return Ok(Some(LogSlab {
                    batch,
                    range: slab.range,
                    rest: self.rest_behind(slab.range),
                    page: 0,
                }));
            }
        }
    }

    /// Where all rows lie that come behind a slab of this range.
    fn rest_behind(&self, slab: TimeRange) -> TimeRange {
        let all = self.selection.range;
        match self.order {
            LogOrder::Forward => TimeRange::new(slab.end, all.end),
            LogOrder::Backward => TimeRange::new(all.start, slab.start),
            LogOrder::Streams | LogOrder::Any => all,
        }
    }

    /// Takes the next series to cut: all of them, or in stream order a few small streams or one large one.
    async fn begin(&mut self, max_rows: u64) -> Result<()> {
        let range = self.selection.range;
        let series = match self.order {
            LogOrder::Forward | LogOrder::Backward => self.rest.clone(),
            LogOrder::Streams | LogOrder::Any => {
                let limit = TARGET_ROWS.min(max_rows);
                let longest = self.rest.len().min(MAX_SLAB_STREAMS);
                let start = self.rest.start;
                let over = (1..=longest).find(|n| self.selection.rows(start..start + n) > limit);
                start..start + over.map_or(longest, |n| (n - 1).max(1))
            }
        };
        self.rest.start = series.end;
        let small = self.selection.rows(series.clone()) <= TARGET_ROWS.min(max_rows);
        let pieces = if small && !matches!(self.order, LogOrder::Forward | LogOrder::Backward) {
            Vec::new()
        } else {
            self.pieces(series.clone()).await?
        };
        self.learn_row_bytes(&pieces);
        self.current = Some((series, SlabPlanner::new(range, &pieces, self.order)));
        Ok(())
    }

    /// Takes the size of rows from the pages' statistics, until rows themselves show it.
    fn learn_row_bytes(&mut self, pieces: &[RowBounds]) {
        let sum = |of: fn(&RowBounds) -> u64| pieces.iter().fold(0u64, |sum, p| sum.saturating_add(of(p)));
        let (rows, bytes) = (sum(|p| p.rows), sum(|p| p.bytes));
        if self.read.columns.lines && !self.has_read && rows > 0 {
            self.row_bytes = 16 + bytes / rows;
        }
    }

    /// Where the rows of these series lie, as finely as the sources know.
    async fn pieces(&self, series: Range<usize>) -> Result<Vec<RowBounds>> {
        let selection = &*self.selection;
        let ordinals = self.ordinals(series.clone(), selection.range);
        let mut asked = Vec::new();
        for (source, ordinals) in ordinals.iter().enumerate() {
            asked.push(source_bounds(selection, source, ordinals).boxed());
        }
        let found = all_answers(asked).await?;
        let mut pieces = Vec::new();
        let mut coarse = vec![false; selection.sources.len()];
        for (source, bounds) in found.into_iter().enumerate() {
            coarse[source] = bounds.is_none();
            pieces.extend(bounds.into_iter().flatten());
        }
        let parts = series
            .flat_map(|s| selection.parts(s))
            .filter(|p| coarse[p.source as usize]);
        pieces.extend(parts.map(|p| RowBounds {
            range: p.range,
            rows: p.rows,
            bytes: p.rows.saturating_mul(USUAL_LINE_BYTES),
        }));
        Ok(pieces)
    }

    /// For each source the ordinals of `series` that may have rows in `range`.
    fn ordinals(&self, series: Range<usize>, range: TimeRange) -> Vec<Vec<u32>> {
        let mut ordinals = vec![Vec::new(); self.selection.sources.len()];
        for part in series
            .flat_map(|s| self.selection.parts(s))
            .filter(|p| p.range.overlaps(&range))
        {
            ordinals[part.source as usize].push(part.ordinal);
        }
        ordinals
    }

    async fn read(&mut self, series: Range<usize>, slab: Slab) -> Result<LogBatch> {
        self.held
            .set(slab.rows.saturating_mul(self.row_bytes).min(MAX_SLAB_BYTES) as usize)?;
        let ordinals = self.ordinals(series.clone(), slab.range);
        let answers = self.ask(ordinals, slab.range, &self.read).await?;
        let bytes = answers.iter().flatten().map(LogRows::size_bytes).sum::<usize>();
        self.held.set(bytes)?;

        let rows_by_stream = self.locate(series, slab.range, &answers);
        let contested = self.contested(&rows_by_stream, &answers);
        let recheck = if contested.is_empty() {
            Vec::new()
        } else {
            let whole = self.read.whole_rows();
            self.ask(self.ordinals_of(&contested, slab.range), slab.range, &whole)
                .await?
        };
        let again = recheck.iter().flatten().map(LogRows::size_bytes).sum::<usize>();
        // The merged rows are at most as large as the answers.
        self.held.set(bytes * 2 + again)?;
        let batch = self.merge(&rows_by_stream, answers, &contested, &recheck, slab.range)?;
        self.held.set(batch_bytes(&batch))?;
        if self.read.filter.is_some() {
            self.rows_a_row_kept = (slab.rows / batch.len().max(1) as u64).clamp(1, MAX_ROWS_A_ROW_KEPT);
        }
        if !batch.is_empty() {
            self.row_bytes = (row_bytes(&batch) as u64 / batch.len() as u64).max(1);
            self.has_read = true;
        }
        count(&batch, &self.read, &self.selection.scan.stats);
        Ok(batch)
    }

    /// Asks each source for its ordinals; `None` for one that has none.
    async fn ask(&self, ordinals: Vec<Vec<u32>>, range: TimeRange, read: &LogRead) -> Result<Vec<Option<LogRows>>> {
        let mut asked = Vec::new();
        for (source, ordinals) in ordinals.iter().enumerate() {
            asked.push(source_rows(&self.selection, source, ordinals, range, read).boxed());
        }
        all_answers(asked).await
    }

    /// Those of `streams` (ascending) that have rows in `answers`, which were asked for exactly these.
    fn locate(
        &self,
        streams: impl Iterator<Item = usize>,
        range: TimeRange,
        answers: &[Option<LogRows>],
    ) -> Vec<Located> {
        // A source answers in the order in which it was asked, which is the order of streams.
        let mut taken = vec![0usize; answers.len()];
        let mut located = Vec::new();
        for stream in streams {
            let mut pieces = Vec::new();
            for part in self.selection.parts(stream).iter().filter(|p| p.range.overlaps(&range)) {
                let source = part.source as usize;
                if let Some(rows) = &answers[source] {
                    let (start, end) = (rows.offsets[taken[source]], rows.offsets[taken[source] + 1]);
                    taken[source] += 1;
                    if start < end {
                        pieces.push((source, start as usize, end as usize));
                    }
                }
            }
            if !pieces.is_empty() {
                located.push(Located { stream, pieces });
            }
        }
        located
    }

    /// Streams whose entries must be compared across sources but lack a column for it, ascending.
    fn contested(&self, located: &[Located], answers: &[Option<LogRows>]) -> Vec<usize> {
        let columns = self.read.columns;
        if columns.lines && columns.metadata {
            return Vec::new();
        }
        let shared = located
            .iter()
            .filter(|l| l.pieces.len() > 1 && share_a_time(&l.pieces(answers)));
        shared.map(|l| l.stream).collect()
    }

    fn ordinals_of(&self, streams: &[usize], range: TimeRange) -> Vec<Vec<u32>> {
        let mut ordinals = vec![Vec::new(); self.selection.sources.len()];
        for stream in streams {
            for (to, from) in ordinals.iter_mut().zip(self.ordinals(*stream..*stream + 1, range)) {
                to.extend(from);
            }
        }
        ordinals
    }

    fn merge(
        &self,
        located: &[Located],
        mut answers: Vec<Option<LogRows>>,
        contested: &[usize],
        recheck: &[Option<LogRows>],
        range: TimeRange,
    ) -> Result<LogBatch> {
        let streams: Vec<Labels> = located
            .iter()
            .map(|l| self.selection.series[l.stream].clone())
            .collect();
        if answers.iter().flatten().count() == 1 {
            // One source: its rows are the batch.
            if let Some(rows) = answers.iter_mut().find_map(Option::take) {
                let mut offsets = vec![0u32];
                offsets.extend(located.iter().flat_map(|l| &l.pieces).map(|(_, _, end)| *end as u32));
                return Ok(into_batch(streams, LogRows { offsets, ..rows }));
            }
        }
        let mut again = self
            .locate(contested.iter().copied(), range, recheck)
            .into_iter()
            .peekable();
        let mut out = LogRowsBuilder::new(self.read.columns);
        let mut codes: Vec<SetCodes> = answers.iter().map(|_| SetCodes::default()).collect();
        let mut again_codes: Vec<SetCodes> = recheck.iter().map(|_| SetCodes::default()).collect();
        for stream in located {
            // Rows never leave a source, so a contested stream has rows in its second reading too.
            match again.next_if(|l| l.stream == stream.stream) {
                Some(stream) => append_stream(&mut stream.pieces(recheck), &mut again_codes, &mut out)?,
                None => append_stream(&mut stream.pieces(&answers), &mut codes, &mut out)?,
            }
            out.end_stream()?;
        }
        Ok(into_batch(streams, out.finish()?))
    }
}

/// Counts a batch that is handed out. Rows that a filter looked at were counted by their sources, passed or not.
pub(super) fn count(batch: &LogBatch, read: &LogRead, stats: &ScanStats) {
    ScanStats::add(&stats.rows_passed, batch.len() as u64);
    let lines = match (&batch.lines, &read.filter) {
        (Some(lines), None) => text_bytes(lines),
        _ => 0,
    };
    if read.filter.is_none() {
        ScanStats::add(&stats.rows, batch.len() as u64);
    }
    let set_bytes: Vec<u64> = batch.metadata_sets.iter().map(|set| set.size_bytes() as u64).collect();
    let sets = batch.metadata.iter().map(|code| set_bytes[*code as usize]);
    ScanStats::add(&stats.bytes, lines as u64 + sets.sum::<u64>());
}

async fn source_bounds(selection: &Selection, source: usize, ordinals: &[u32]) -> Result<Option<Vec<RowBounds>>> {
    if ordinals.is_empty() {
        return Ok(None);
    }
    selection.sources[source]
        .row_bounds(ordinals, selection.range, &selection.scan)
        .await
}

async fn source_rows(
    selection: &Selection,
    source: usize,
    ordinals: &[u32],
    range: TimeRange,
    read: &LogRead,
) -> Result<Option<LogRows>> {
    if ordinals.is_empty() {
        return Ok(None);
    }
    let rows = selection.sources[source]
        .read_logs(ordinals, range, read, &selection.scan)
        .await?;
    rows.check(ordinals.len(), read)?;
    Ok(Some(rows))
}

/// A stream's rows in the answers of a slab.
struct Located {
    stream: usize,
    /// Source, first row, end row; newest source first, none empty.
    pieces: Vec<(usize, usize, usize)>,
}

impl Located {
    fn pieces<'a>(&self, answers: &'a [Option<LogRows>]) -> Vec<StreamPiece<'a>> {
        let piece = |(source, start, end): &(usize, usize, usize)| {
            let rows = answers[*source].as_ref()?;
            Some(StreamPiece {
                answer: *source,
                rows,
                start: *start,
                end: *end,
            })
        };
        self.pieces.iter().filter_map(piece).collect()
    }
}

pub(super) fn into_batch(streams: Vec<Labels>, rows: LogRows) -> LogBatch {
    LogBatch {
        streams,
        offsets: rows.offsets,
        timestamps: rows.timestamps,
        lines: rows.lines,
        line_lengths: rows.line_lengths,
        metadata_sets: rows.metadata_sets,
        metadata: rows.metadata,
        derived: rows.derived,
    }
}

/// Bytes of the rows themselves.
fn row_bytes(batch: &LogBatch) -> usize {
    let lines = batch.lines.as_ref().map_or(0, |l| text_bytes(l) + 4 * batch.len());
    let sets: usize = batch.metadata_sets.iter().map(|l| l.size_bytes() + 24).sum();
    batch.len() * 12 + batch.streams.len() * 20 + (batch.metadata.len() + batch.derived.len()) * 4 + lines + sets
}

/// Bytes held by a batch: its lines can be a part of a page, all of which they keep.
pub(super) fn batch_bytes(batch: &LogBatch) -> usize {
    let more = |lines: &BinaryArray| lines.value_data().len() - text_bytes(lines);
    row_bytes(batch) + batch.lines.as_ref().map_or(0, more)
}

fn text_bytes(lines: &BinaryArray) -> usize {
    let offsets = lines.value_offsets();
    let bounds = offsets.first().zip(offsets.last());
    bounds.map_or(0, |(first, last)| (last - first) as usize)
}
