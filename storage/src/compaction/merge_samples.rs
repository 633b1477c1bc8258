//! Samples: series after series, each merged from all inputs.

use std::ops::Range;

use futures::TryStreamExt;

use super::merge::{Finished, Merging, Output};
use super::walk::{SeriesBlock, SeriesWalk};
use crate::error::Result;
use crate::model::{Signal, TimeRange};
use crate::scan::{KnownSeries, MergedView, SeriesRequest, StoreView};
use crate::segment::SampleSegmentWriter;

/// Series whose names and places are held at one time.
const BLOCK_SERIES: usize = 2048;
/// Rows, by estimate, that are read at one time: a series that has more comes in pieces of time.
const BLOCK_ROWS: u64 = 256 << 10;
/// Time whose exemplars are held at one time, in nanoseconds: a day.
const EXEMPLARS_NS: i64 = 24 * 3600 * 1_000_000_000;

pub(super) async fn merge_samples(merging: &Merging<'_>, output: &mut Output<'_>) -> Result<Finished> {
    let mut writer = SampleSegmentWriter::new(merging.job.tenant.clone(), merging.job.level);
    let mut walk = SeriesWalk::new(&merging.inputs, &merging.scan);
    while let Some(block) = walk.next(BLOCK_SERIES, &merging.scan).await? {
        let mut first = 0;
        while first < block.len() {
            let (mut end, mut rows) = (first, 0u64);
            while end < block.len() && (end == first || rows + block.rows(end) <= BLOCK_ROWS) {
                rows = rows.saturating_add(block.rows(end));
                end += 1;
            }
            if end == first + 1 && rows > BLOCK_ROWS {
                long_series(merging, block, first, &mut writer, output).await?;
            } else {
                write(merging, block, first..end, TimeRange::ALL, &mut writer, output).await?;
            }
            first = end;
        }
    }
    write_side(merging, &mut writer, output).await?;
    writer.finish()
}

/// Exemplars, a piece of time after the other, and metric metadata.
async fn write_side(merging: &Merging<'_>, writer: &mut SampleSegmentWriter, output: &mut Output<'_>) -> Result<()> {
    let view = MergedView::new(merging.sources.clone(), Vec::new());
    let ranges = merging.inputs.iter().map(|input| input.segment.meta().range);
    let range = ranges.reduce(|a, b| a.union(&b)).unwrap_or(TimeRange::new(0, 0));
    let mut start = range.start;
    while start < range.end {
        let end = start.saturating_add(EXEMPLARS_NS).min(range.end);
        let request = SeriesRequest {
            signal: Signal::Metrics,
            matchers: Vec::new(),
            range: TimeRange::new(start, end),
        };
        for (labels, exemplars) in view.exemplars(&request, &merging.scan).await? {
            let cutoff = merging.cutoff(&labels);
            let expired = exemplars.partition_point(|exemplar| exemplar.time < cutoff);
            writer.push_exemplars(&labels, &exemplars[expired..]);
        }
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
        merging.pace(0).await?;
        start = end;
    }
    writer.add_metadata(&view.metric_metadata(&merging.scan).await?);
    Ok(())
}

/// A series of many rows, piece by piece.
async fn long_series(
    merging: &Merging<'_>,
    block: &SeriesBlock,
    series: usize,
    writer: &mut SampleSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    let ranges = block.places(series).iter().map(|place| place.range);
    let range = ranges.reduce(|a, b| a.union(&b)).unwrap_or(TimeRange::new(0, 0));
    let pieces = block.rows(series).div_ceil(BLOCK_ROWS).max(1);
    let len = i128::from(range.end) - i128::from(range.start);
    let bound = |piece: u64| (i128::from(range.start) + len * i128::from(piece) / i128::from(pieces)) as i64;
    for piece in 0..pieces {
        let within = TimeRange::new(bound(piece), bound(piece + 1));
        write(merging, block, series..series + 1, within, writer, output).await?;
    }
    Ok(())
}

/// The rows of some series of a block.
async fn write(
    merging: &Merging<'_>,
    block: &SeriesBlock,
    series: Range<usize>,
    within: TimeRange,
    writer: &mut SampleSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut known = KnownSeries::new(&merging.sources, within, &merging.scan);
    for number in series {
        let places = block.places(number).iter();
        let places = places.map(|place| (place.input, place.ordinal, place.range, place.rows));
        known.push(&block.labels[number], places);
    }
    let mut batches = known.samples()?;
    while let Some(batch) = batches.try_next().await? {
        for (index, labels) in batch.series.iter().enumerate() {
            let samples = batch.samples(index);
            let cutoff = merging.cutoff(labels);
            let expired = samples.timestamps.partition_point(|time| *time < cutoff);
            output.rows_expired += expired as u64;
            writer.push_samples(labels, &samples.slice(expired..samples.len()))?;
        }
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
        merging.pace(batch.size_bytes()).await?;
    }
    Ok(())
}
