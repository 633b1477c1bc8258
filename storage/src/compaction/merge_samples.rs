//! Samples: series after series, each merged from all inputs.

use futures::TryStreamExt;

use super::merge::{Finished, Merging, Output};
use crate::error::Result;
use crate::model::{Signal, TimeRange};
use crate::scan::{KnownSeries, MergedView, SeriesRequest, StoreView};
use crate::segment::SampleSegmentWriter;

/// Series that are looked up at one time.
const BLOCK_SERIES: usize = 4096;
/// Rows, by estimate, that are read at one time: a series that has more comes in pieces of time.
const BLOCK_ROWS: u64 = 256 << 10;
/// Time whose exemplars are held at one time, in nanoseconds: a day.
const EXEMPLARS_NS: i64 = 24 * 3600 * 1_000_000_000;

pub(super) async fn merge_samples(merging: &Merging<'_>, output: &mut Output<'_>) -> Result<Finished> {
    let mut writer = SampleSegmentWriter::new(merging.job.tenant.clone(), merging.job.level);
    let mut first = 0;
    while first < merging.union.len() {
        let looked_up = lookup(merging, first..(first + BLOCK_SERIES).min(merging.union.len())).await?;
        let mut rest = looked_up.as_slice();
        while !rest.is_empty() {
            let (mut count, mut rows) = (0, 0u64);
            while count < rest.len() && (count == 0 || rows + rest[count].rows() <= BLOCK_ROWS) {
                rows = rows.saturating_add(rest[count].rows());
                count += 1;
            }
            let (block, behind) = rest.split_at(count);
            rest = behind;
            match block {
                [long] if rows > BLOCK_ROWS => long_series(merging, long, &mut writer, output).await?,
                block => write(merging, block, TimeRange::ALL, &mut writer, output).await?,
            }
        }
        first += looked_up.len();
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

/// A series, and where its rows are.
struct Located {
    series: usize,
    /// (input, ordinal, bounds and number of the rows there).
    places: Vec<(u32, u32, TimeRange, u64)>,
}

impl Located {
    fn rows(&self) -> u64 {
        self.places.iter().fold(0, |sum, place| sum.saturating_add(place.3))
    }

    /// Bounds of all its rows.
    fn range(&self) -> TimeRange {
        let bounds = self.places.iter().map(|place| place.2);
        let range = bounds.reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)));
        range.unwrap_or(TimeRange::new(0, 0))
    }
}

/// Looks up where the rows of neighbouring series are.
async fn lookup(merging: &Merging<'_>, series: std::ops::Range<usize>) -> Result<Vec<Located>> {
    let mut ordinals: Vec<Vec<u32>> = vec![Vec::new(); merging.inputs.len()];
    for place in series.clone().flat_map(|s| merging.union.places(s)) {
        ordinals[place.input as usize].push(place.ordinal);
    }
    let mut bounds = Vec::with_capacity(ordinals.len());
    for (input, own) in merging.inputs.iter().zip(&ordinals) {
        // Ordinals ascend with the series.
        bounds.push(input.segment.bounds_of(own, &merging.scan).await?.into_iter());
    }
    let mut located = Vec::with_capacity(series.len());
    for series in series {
        let places = merging.union.places(series).iter().filter_map(|place| {
            let (range, rows) = bounds[place.input as usize].next().flatten()?;
            Some((place.input, place.ordinal, range, rows))
        });
        located.push(Located {
            series,
            places: places.collect(),
        });
    }
    Ok(located)
}

/// A series of many rows, piece by piece.
async fn long_series(
    merging: &Merging<'_>,
    series: &Located,
    writer: &mut SampleSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    let range = series.range();
    let pieces = series.rows().div_ceil(BLOCK_ROWS).max(1);
    let len = i128::from(range.end) - i128::from(range.start);
    let bound = |piece: u64| (i128::from(range.start) + len * i128::from(piece) / i128::from(pieces)) as i64;
    for piece in 0..pieces {
        let within = TimeRange::new(bound(piece), bound(piece + 1));
        write(merging, std::slice::from_ref(series), within, writer, output).await?;
    }
    Ok(())
}

async fn write(
    merging: &Merging<'_>,
    block: &[Located],
    within: TimeRange,
    writer: &mut SampleSegmentWriter,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut known = KnownSeries::new(&merging.sources, within, &merging.scan);
    for located in block {
        known.push(&merging.union.labels[located.series], located.places.iter().copied());
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
