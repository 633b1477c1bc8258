//! Gathers what samples have besides time and value while a segment is written, and writes it out in blobs.

use std::sync::Arc;

use super::Blob;
use super::exemplars::{self, ExemplarList, MAX_BLOB_EXEMPLARS};
use super::histograms::{HistogramChunk, HistogramList};
use super::metadata;
use super::start_times::{self, Changes, MAX_BLOB_CHANGES, MAX_BLOB_SERIES, StartTimeList};
use crate::codec::compress::FLUSH_LEVEL;
use crate::codec::histogram_page::{self, ChunkInput, TARGET_PAGE_NUMBERS};
use crate::error::Result;
use crate::model::{Exemplar, Histogram, Labels, MetadataMap, TimeRange};
use crate::segment::footer::SectionId;

/// Takes the bytes of a blob and tells where they lie.
type Append<'a> = dyn FnMut(&[u8]) -> Blob + 'a;

/// See the module docs. Series come in the order of their ordinals.
#[derive(Debug, Default)]
pub(in crate::segment) struct SideWriter {
    histograms: HistogramList,
    open: OpenHistograms,
    start_times: StartTimeList,
    open_starts: Vec<(u32, Changes)>,
    open_changes: usize,
    exemplars: ExemplarList,
    open_exemplars: Vec<(Labels, Vec<Exemplar>)>,
    exemplar_count: usize,
    metadata: MetadataMap,
}

/// Chunks that wait for their blob.
#[derive(Debug, Default)]
struct OpenHistograms {
    /// Ordinal, times, histograms.
    chunks: Vec<(u32, Vec<i64>, Vec<Arc<Histogram>>)>,
    numbers: usize,
}

impl SideWriter {
    /// Adds histograms of series `series`, strictly ascending in time and behind those that it has.
    pub fn push_histograms(
        &mut self,
        series: u32,
        timestamps: &[i64],
        histograms: &[Arc<Histogram>],
        append: &mut Append<'_>,
    ) -> Result<()> {
        let (mut timestamps, mut histograms) = (timestamps, histograms);
        while !timestamps.is_empty() {
            let room = TARGET_PAGE_NUMBERS.saturating_sub(self.open.numbers);
            let mut numbers = 0;
            let fits = |h: &&Arc<Histogram>| {
                numbers += histogram_page::numbers_of(h);
                numbers <= room
            };
            let rows = histograms.iter().take_while(fits).count();
            // A histogram that is larger than any blob still gets one.
            let rows = if rows == 0 && self.open.chunks.is_empty() {
                1
            } else {
                rows
            };
            let (times, later_times) = timestamps.split_at(rows);
            let (own, later) = histograms.split_at(rows);
            if rows > 0 {
                self.open.numbers += own.iter().map(|h| histogram_page::numbers_of(h)).sum::<usize>();
                self.open.chunks.push((series, times.to_vec(), own.to_vec()));
            }
            (timestamps, histograms) = (later_times, later);
            if !timestamps.is_empty() {
                self.seal_histograms(append)?;
            }
        }
        Ok(())
    }

    fn seal_histograms(&mut self, append: &mut Append<'_>) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        if open.chunks.is_empty() {
            return Ok(());
        }
        let inputs: Vec<ChunkInput<'_>> = open
            .chunks
            .iter()
            .map(|(_, timestamps, histograms)| ChunkInput { timestamps, histograms })
            .collect();
        let page = histogram_page::encode(&inputs, FLUSH_LEVEL)?;
        let blob = self.histograms.blobs.len() as u32;
        self.histograms.blobs.push(append(&page));
        for (index, (series, times, _)) in (0..).zip(&open.chunks) {
            self.histograms.chunks.push(HistogramChunk {
                series: *series,
                blob,
                index,
                rows: times.len() as u32,
                first: times[0],
                last: times[times.len() - 1],
            });
        }
        Ok(())
    }

    /// Tells the start times of rows of series `series`, behind those that were told of it before; both columns have one
    /// length, or no row has a start time and `starts` is empty.
    pub fn push_start_times(&mut self, series: u32, timestamps: &[i64], starts: &[i64], append: &mut Append<'_>) {
        if let Some((_, known)) = self.open_starts.last_mut().filter(|(last, _)| *last == series) {
            let before = known.last().map_or(0, |(_, start)| *start);
            let more = start_times::changes_after(before, timestamps, starts);
            self.open_changes += more.len();
            known.extend(more);
            return;
        }
        // Not before the next series comes: a blob has all that is known of one.
        if self.open_starts.len() >= MAX_BLOB_SERIES || self.open_changes >= MAX_BLOB_CHANGES {
            self.seal_start_times(append);
        }
        let changes = start_times::changes_after(0, timestamps, starts);
        if !changes.is_empty() {
            self.open_changes += changes.len();
            self.open_starts.push((series, changes));
        }
    }

    fn seal_start_times(&mut self, append: &mut Append<'_>) {
        let series = std::mem::take(&mut self.open_starts);
        self.open_changes = 0;
        if let (Some((first, _)), Some((last, _))) = (series.first(), series.last()) {
            let blob = append(&start_times::encode_blob(&series));
            self.start_times.0.push((blob, *first, *last));
        }
    }

    /// Adds exemplars of the series `labels`.
    pub fn push_exemplars(&mut self, labels: &Labels, exemplars: &[Exemplar], append: &mut Append<'_>) {
        for part in exemplars.chunks(MAX_BLOB_EXEMPLARS) {
            self.open_exemplars.push((labels.clone(), part.to_vec()));
            self.exemplar_count += part.len();
            if self.exemplar_count >= MAX_BLOB_EXEMPLARS {
                self.seal_exemplars(append);
            }
        }
    }

    fn seal_exemplars(&mut self, append: &mut Append<'_>) {
        let series = std::mem::take(&mut self.open_exemplars);
        self.exemplar_count = 0;
        let bounds = series
            .iter()
            .flat_map(|(_, exemplars)| exemplars)
            .map(|e| TimeRange::closed(e.time, e.time));
        if let Some(range) = bounds.reduce(|a, b| a.union(&b)) {
            let blob = append(&exemplars::encode_blob(&series));
            self.exemplars.0.push((blob, range));
        }
    }

    /// Bounds of all exemplars; `None` without any.
    pub fn exemplar_range(&self) -> Option<TimeRange> {
        let open = self.open_exemplars.iter().flat_map(|(_, exemplars)| exemplars);
        let open = open.map(|e| TimeRange::closed(e.time, e.time));
        self.exemplars
            .0
            .iter()
            .map(|(_, range)| *range)
            .chain(open)
            .reduce(|a, b| a.union(&b))
    }

    /// Adds metric metadata.
    pub fn add_metadata(&mut self, metadata: &MetadataMap) {
        self.metadata.extend(metadata);
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.open.numbers * 8
            + self.histograms.size_bytes()
            + self.open_changes * size_of::<(i64, i64)>()
            + self.exemplar_count * size_of::<Exemplar>()
            + self.metadata.size_bytes()
    }

    /// Writes what is still open; the sections, first those that a reader needs last.
    pub fn finish(mut self, append: &mut Append<'_>) -> Result<Vec<(SectionId, Vec<u8>)>> {
        self.seal_histograms(append)?;
        self.seal_start_times(append);
        self.seal_exemplars(append);
        let mut sections = Vec::new();
        if !self.metadata.is_empty() {
            sections.push((SectionId::Metadata, metadata::encode(&self.metadata)));
        }
        if !self.exemplars.0.is_empty() {
            sections.push((SectionId::Exemplars, self.exemplars.encode()));
        }
        if !self.start_times.0.is_empty() {
            sections.push((SectionId::StartTimes, self.start_times.encode()));
        }
        if !self.histograms.blobs.is_empty() {
            sections.push((SectionId::Histograms, self.histograms.encode()));
        }
        Ok(sections)
    }
}
