//! Scanning metric series: whole series in batches of bounded size, each series' samples merged from all sources.

use std::ops::Range;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};

use super::held::Held;
use super::selection::{Selection, all_answers};
use super::{BatchStream, Fingerprint, SampleBatch, SampleColumns, SampleSelection, SampleSlice, ScanStats};
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

    fn fingerprint(&self) -> Option<&Fingerprint> {
        self.0.fingerprint.as_ref()
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
    let bytes: usize = answers.iter().map(|(_, columns)| columns.size_bytes()).sum();
    held.set(bytes)?;

    let batch = match answers.as_slice() {
        [(_, columns)] if columns.offsets.len() == series.len() + 1 => {
            let only = answers.into_iter().next();
            let columns = only.map(|(_, columns)| columns).unwrap_or_default();
            SampleBatch {
                series: selection.series[series].to_vec(),
                offsets: columns.offsets,
                timestamps: columns.timestamps,
                values: columns.values,
                histograms: columns.histograms,
                start_times: columns.start_times,
            }
        }
        _ => {
            held.set(bytes * 2)?;
            merge(selection, series, &answers)
        }
    };
    held.set(batch.size_bytes())?;
    let stats = &selection.scan.stats;
    ScanStats::add(&stats.rows, batch.timestamps.len() as u64);
    let wide = batch.start_times.len() * 8 + batch.histograms.size_bytes();
    ScanStats::add(&stats.bytes, (batch.timestamps.len() * 16 + wide) as u64);
    Ok(batch)
}

async fn read_source(selection: &Selection, source: usize, ordinals: &[u32]) -> Result<(usize, SampleColumns)> {
    let columns = selection.sources[source]
        .read_samples(ordinals, selection.range, &selection.scan)
        .await?;
    columns.check(ordinals.len())?;
    Ok((source, columns))
}

fn merge(selection: &Selection, series: Range<usize>, answers: &[(usize, SampleColumns)]) -> SampleBatch {
    let rows: usize = answers.iter().map(|(_, c)| c.timestamps.len()).sum();
    let mut batch = SampleBatch {
        series: selection.series[series.clone()].to_vec(),
        offsets: Vec::with_capacity(series.len() + 1),
        timestamps: Vec::with_capacity(rows),
        values: Vec::with_capacity(rows),
        ..SampleBatch::default()
    };
    batch.offsets.push(0);
    let mut answer_of_source = vec![0; selection.sources.len()];
    for (i, (source, _)) in answers.iter().enumerate() {
        answer_of_source[*source] = i;
    }
    // Each source answers in the order it was asked, which is the order of series.
    let mut taken = vec![0usize; answers.len()];
    let mut pieces: Vec<SampleSlice<'_>> = Vec::new();
    for s in series {
        pieces.clear();
        for part in selection.parts(s) {
            let answer = answer_of_source[part.source as usize];
            let piece = answers[answer].1.samples(taken[answer]);
            taken[answer] += 1;
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        // Pieces that do not overlap, the usual case, are copied one behind the other.
        pieces.sort_unstable_by_key(|piece| piece.timestamps[0]);
        let start = batch.timestamps.len();
        for piece in &pieces {
            batch.sink().merge(start, piece);
        }
        batch.offsets.push(batch.timestamps.len() as u32);
    }
    batch
}
