//! Log entries: era after era, inside an era stream after stream, each merged from all inputs.
//!
//! Pages of logs are cut by the hour, so the pages of one stream lie all over a segment. Going stream by stream through
//! all of its time would read every page again for each of its streams, or hold as many pages as there are hours; going
//! era by era reads each once and holds those of one era.

use futures::TryStreamExt;

use super::eras::eras;
use super::merge::{Finished, Merging, Output};
use crate::error::Result;
use crate::model::TimeRange;
use crate::scan::{KnownSeries, LogRows, LogSlab};
use crate::segment::LogSegmentWriter;

/// Streams that are looked up at one time.
const BLOCK_STREAMS: usize = 8192;

pub(super) async fn merge_logs(merging: &Merging<'_>, output: &mut Output<'_>) -> Result<Finished> {
    let streams = merging.union.labels.clone();
    let mut writer = LogSegmentWriter::with_streams(merging.job.tenant.clone(), merging.job.level, streams);
    for era in eras(merging.inputs.iter().flat_map(|input| input.segment.pages())) {
        let mut at = 0;
        while at < merging.union.len() {
            let mut block = KnownSeries::new(&merging.sources, era, &merging.scan);
            while at < merging.union.len() && block.len() < BLOCK_STREAMS {
                push(merging, &mut block, at, era);
                at += 1;
            }
            write(merging, block, &mut writer, output).await?;
        }
        writer.end_era()?;
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
    }
    writer.finish()
}

/// Adds a stream that has rows in the era.
fn push(merging: &Merging<'_>, block: &mut KnownSeries, stream: usize, era: TimeRange) {
    let mut places = merging
        .union
        .places(stream)
        .iter()
        .filter_map(|place| {
            let (range, rows) = merging.inputs[place.input as usize]
                .segment
                .bounds_in(place.ordinal, era)?;
            Some((place.input, place.ordinal, range, rows))
        })
        .peekable();
    if places.peek().is_some() {
        block.push(&merging.union.labels[stream], places);
    }
}

async fn write(
    merging: &Merging<'_>,
    block: KnownSeries,
    writer: &mut LogSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    if block.len() == 0 {
        return Ok(());
    }
    let mut slabs = block.logs()?;
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
            writer.push_series(labels, &rows, start + expired..end)?;
        }
        output.pass_on(writer.drain(), writer.size_bytes()).await?;
        merging.pace(rows.size_bytes()).await?;
    }
    Ok(())
}
