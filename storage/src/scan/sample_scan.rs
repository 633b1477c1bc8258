//! Scanning metric series: whole series in batches of bounded size, each series' samples merged from all sources.

use std::ops::Range;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};

use super::held::Held;
use super::selection::{Selection, all_answers};
use super::{BatchStream, SampleBatch, SampleColumns, SampleSelection, ScanStats, dedup};
use crate::error::Result;

/// Rows at which a batch ends: 2 MiB of samples, enough to spread the costs of a batch, little enough to stay near the CPU.
const TARGET_BATCH_ROWS: u64 = 128 << 10;

/// Series at which a batch ends, so that an instant query over a million series is not one batch.
const MAX_BATCH_SERIES: usize = 16 << 10;

/// The metric series of a view that a request chose.
#[derive(Debug)]
pub(super) struct MergedSamples(pub Arc<Selection>);

impl SampleSelection for MergedSamples {
    fn series_count(&self) -> usize {
        self.0.series.len()
    }

    fn estimated_rows(&self) -> u64 {
        self.0.rows(0..self.0.series.len())
    }

    fn scan(&self, partition: usize, partitions: usize) -> BatchStream<SampleBatch> {
        let selection = self.0.clone();
        let rest = selection.partition(partition, partitions);
        // The memory of a batch is held until the next one is asked for.
        let held = Held::new(&selection.scan.memory);
        let batches = stream::try_unfold((selection, rest, held), |(selection, mut rest, mut held)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let series = next_batch(&selection, &rest);
            rest.start = series.end;
            let batch = read_batch(&selection, series, &mut held).await?;
            Ok(Some((batch, (selection, rest, held))))
        });
        batches.boxed()
    }
}

fn next_batch(selection: &Selection, rest: &Range<usize>) -> Range<usize> {
    let longest = rest.len().min(MAX_BATCH_SERIES);
    let fits = (1..longest).find(|n| selection.rows(rest.start..rest.start + n) >= TARGET_BATCH_ROWS);
    rest.start..rest.start + fits.unwrap_or(longest)
}

async fn read_batch(selection: &Selection, series: Range<usize>, held: &mut Held) -> Result<SampleBatch> {
    // Refused before anything is read where statistics already say that it does not fit.
    held.set((selection.rows(series.clone()) as usize).saturating_mul(16))?;
    let mut ordinals: Vec<Vec<u32>> = vec![Vec::new(); selection.sources.len()];
    for part in series.clone().flat_map(|s| selection.parts(s)) {
        ordinals[part.source as usize].push(part.ordinal);
    }
    let mut asked = Vec::new();
    for (source, ordinals) in ordinals.iter().enumerate().filter(|(_, o)| !o.is_empty()) {
        asked.push(read_source(selection, source, ordinals).boxed());
    }
    let answers = all_answers(asked).await?;
    let rows: usize = answers.iter().map(|(_, c)| c.timestamps.len()).sum();
    held.set(rows * 16)?;

    let batch = match answers.as_slice() {
        [(_, columns)] if columns.offsets.len() == series.len() + 1 => {
            let SampleColumns {
                offsets,
                timestamps,
                values,
            } = answers
                .into_iter()
                .next()
                .map(|(_, columns)| columns)
                .unwrap_or_default();
            SampleBatch {
                series: selection.series[series].to_vec(),
                offsets,
                timestamps,
                values,
            }
        }
        _ => {
            held.set(rows * 32)?;
            merge(selection, series, &answers, rows)
        }
    };
    held.set(batch.size_bytes())?;
    let stats = &selection.scan.stats;
    ScanStats::add(&stats.rows, batch.timestamps.len() as u64);
    ScanStats::add(&stats.bytes, batch.timestamps.len() as u64 * 16);
    Ok(batch)
}

async fn read_source(selection: &Selection, source: usize, ordinals: &[u32]) -> Result<(usize, SampleColumns)> {
    let columns = selection.sources[source]
        .read_samples(ordinals, selection.range, &selection.scan)
        .await?;
    columns.check(ordinals.len())?;
    Ok((source, columns))
}

fn merge(selection: &Selection, series: Range<usize>, answers: &[(usize, SampleColumns)], rows: usize) -> SampleBatch {
    let mut batch = SampleBatch {
        series: selection.series[series.clone()].to_vec(),
        offsets: Vec::with_capacity(series.len() + 1),
        timestamps: Vec::with_capacity(rows),
        values: Vec::with_capacity(rows),
    };
    batch.offsets.push(0);
    let mut answer_of_source = vec![0; selection.sources.len()];
    for (i, (source, _)) in answers.iter().enumerate() {
        answer_of_source[*source] = i;
    }
    // Each source answers in the order it was asked, which is the order of series.
    let mut taken = vec![0usize; answers.len()];
    let mut pieces: Vec<(&[i64], &[f64])> = Vec::new();
    let mut overlap = (Vec::new(), Vec::new());
    for s in series {
        pieces.clear();
        for part in selection.parts(s) {
            let answer = answer_of_source[part.source as usize];
            let piece = answers[answer].1.rows(taken[answer]);
            taken[answer] += 1;
            if !piece.0.is_empty() {
                pieces.push(piece);
            }
        }
        merge_pieces(&mut pieces, &mut batch.timestamps, &mut batch.values, &mut overlap);
        batch.offsets.push(batch.timestamps.len() as u32);
    }
    batch
}

/// Appends the samples of one series from several sources. Pieces that do not overlap, the usual case, are copied.
fn merge_pieces(
    pieces: &mut [(&[i64], &[f64])],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
    overlap: &mut (Vec<i64>, Vec<f64>),
) {
    pieces.sort_unstable_by_key(|(times, _)| times[0]);
    let start = timestamps.len();
    for (times, piece_values) in pieces {
        let shared = start + timestamps[start..].partition_point(|t| *t < times[0]);
        if shared == timestamps.len() {
            timestamps.extend_from_slice(times);
            values.extend_from_slice(piece_values);
            continue;
        }
        overlap.0.clear();
        overlap.0.extend(timestamps.drain(shared..));
        overlap.1.clear();
        overlap.1.extend(values.drain(shared..));
        dedup::merge_samples((&overlap.0, &overlap.1), (times, piece_values), (timestamps, values));
    }
}
