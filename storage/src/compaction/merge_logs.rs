//! Log entries: era after era, inside an era stream after stream, each merged from all inputs.
//!
//! Pages of logs are cut by the hour, so the pages of one stream lie all over a segment. Going stream by stream through
//! all of its time would read every page again for each of its streams, or hold as many pages as there are hours; going
//! era by era reads each once and holds those of one era.

use futures::TryStreamExt;

use super::eras::eras;
use super::merge::{Finished, Merging, Output};
use super::streams::{EraStreams, StreamPlaces};
use super::walk::SeriesWalk;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SeriesKey, TimeRange};
use crate::scan::{KnownSeries, LogRows, LogSlab};
use crate::segment::LogSegmentWriter;

/// Streams whose names are held at one time.
const BLOCK_STREAMS: usize = 8192;

pub(super) async fn merge_logs(merging: &Merging<'_>, output: &mut Output<'_>) -> Result<Finished> {
    let places = StreamPlaces::of(&merging.inputs, &merging.scan).await?;
    let mut writer = LogSegmentWriter::new(merging.job.tenant.clone(), merging.job.level);
    for era in eras(merging.inputs.iter().flat_map(|input| input.segment.pages())) {
        let mut at = 0;
        while at < places.len() {
            let found = places.in_era(&merging.inputs, era, at, BLOCK_STREAMS, &merging.scan);
            let (block, next) = found.await?;
            at = next;
            write(merging, &block, era, &mut writer, output).await?;
        }
        writer.end_era()?;
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
    }
    name_streams(merging, &mut writer).await?;
    writer.finish()
}

/// Walks through the streams once more to say who they are.
async fn name_streams(merging: &Merging<'_>, writer: &mut LogSegmentWriter) -> Result<()> {
    writer.begin_names()?;
    let mut walk = SeriesWalk::new(&merging.inputs, &merging.scan);
    let mut number = 0;
    while let Some(block) = walk.next(BLOCK_STREAMS, &merging.scan).await? {
        for labels in &block.labels {
            writer.name_stream(number, labels)?;
            number += 1;
        }
        merging.pace(0).await?;
    }
    Ok(())
}

async fn write(
    merging: &Merging<'_>,
    block: &EraStreams,
    era: TimeRange,
    writer: &mut LogSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    if block.numbers.is_empty() {
        return Ok(());
    }
    let mut known = KnownSeries::new(&merging.sources, era, &merging.scan);
    for (stream, labels) in block.labels.iter().enumerate() {
        known.push(labels, block.places(stream).iter().copied());
    }
    let mut at = 0;
    let mut slabs = known.logs()?;
    while let Some(LogSlab { batch, .. }) = slabs.try_next().await? {
        let streams = batch.streams;
        let rows = LogRows {
            offsets: batch.offsets,
            timestamps: batch.timestamps,
            lines: batch.lines,
            line_lengths: batch.line_lengths,
            metadata_sets: batch.metadata_sets,
            metadata: batch.metadata,
            derived: batch.derived,
        };
        for (labels, bounds) in streams.iter().zip(rows.offsets.windows(2)) {
            let (start, end) = (bounds[0] as usize, bounds[1] as usize);
            let cutoff = merging.cutoff(labels);
            let expired = rows.timestamps[start..end].partition_point(|time| *time < cutoff);
            output.rows_expired += expired as u64;
            at = position(&block.labels, at, labels)?;
            writer.push_numbered(block.numbers[at], &rows, start + expired..end)?;
        }
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
        merging.pace(rows.size_bytes()).await?;
    }
    Ok(())
}

/// Where `labels` stand among `streams` from position `at` on; neighbours mostly follow each other.
fn position(streams: &[Labels], at: usize, labels: &Labels) -> Result<usize> {
    let near = streams[at..].iter().take(2).position(|s| s == labels);
    let by_key = || streams[at..].binary_search_by(|s| SeriesKey::compare(s, labels)).ok();
    let found = near.or_else(by_key).ok_or_else(|| {
        let message = format!("a merge was handed rows of stream {labels} that it did not ask for, or too late");
        Error::new(ErrorKind::Internal, message)
    })?;
    Ok(at + found)
}
