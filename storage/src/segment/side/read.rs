//! Completes what was read of pages: histograms and start times of samples; and answers for exemplars and metadata.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt;

use super::blob::Blob;
use super::exemplars::{self, ExemplarList};
use super::histograms::HistogramChunk;
use super::metadata;
use super::open::OpenSide;
use super::start_times::{self, start_at};
use crate::codec::histogram_page::HistogramPage;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, LabelMatcher, Labels, MetadataMap, TimeRange};
use crate::pieces::PARALLEL_READS;
use crate::scan::{SampleColumns, SampleRow, ScanStats};
use crate::segment::bytes::Broken;
use crate::segment::fetch::{Fetcher, Held, TailBytes};
use crate::segment::tail::section;

impl OpenSide {
    /// Adds histograms and start times to `numbers`, the samples of `ordinals` inside `range` that lie in pages. A blob that
    /// fails its checks is left out, counted and logged, as pages are.
    pub async fn complete(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        fetcher: &Fetcher<'_>,
        numbers: SampleColumns,
    ) -> Result<SampleColumns> {
        if self.is_plain() {
            return Ok(numbers);
        }
        let mut columns = self.with_histograms(ordinals, range, fetcher, numbers).await?;
        self.add_start_times(ordinals, fetcher, &mut columns).await?;
        Ok(columns)
    }

    async fn with_histograms(
        &self,
        ordinals: &[u32],
        range: TimeRange,
        fetcher: &Fetcher<'_>,
        numbers: SampleColumns,
    ) -> Result<SampleColumns> {
        let mut wanted: BTreeMap<u32, Vec<(usize, HistogramChunk)>> = BTreeMap::new();
        for (at, ordinal) in ordinals.iter().enumerate() {
            for chunk in self.histograms.of(*ordinal) {
                if chunk.range().overlaps(&range) {
                    wanted.entry(chunk.blob).or_default().push((at, *chunk));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(numbers);
        }
        let mut found: Vec<SampleColumns> = vec![SampleColumns::default(); ordinals.len()];
        let mut held = Held::take(fetcher.scan, 0)?;
        let blobs: Vec<Blob> = wanted
            .keys()
            .filter_map(|blob| self.histograms.blobs.get(*blob as usize).copied())
            .collect();
        let mut fetches = fetch_all(fetcher, blobs);
        for chunks in wanted.values() {
            let Some(bytes) = fetches.next().await else { break };
            let taken = bytes.and_then(|bytes| {
                let mut page = HistogramPage::open(&bytes)?;
                for (at, chunk) in chunks {
                    if chunk.index as usize >= page.chunk_count()
                        || page.rows(chunk.index as usize) != chunk.rows as usize
                    {
                        return Err(Broken("histograms (not those of the list)").into());
                    }
                    for (time, histogram) in page.decode(chunk.index as usize, range)? {
                        if !chunk.range().contains(time) {
                            return Err(Broken("histograms (not at the times of the list)").into());
                        }
                        held.grow(histogram.size_bytes() as u64)?;
                        found[*at].sink().push(SampleRow {
                            time,
                            value: histogram.sum,
                            histogram: Some(&histogram),
                            start_time: 0,
                        });
                    }
                }
                Ok(())
            });
            pass_over_damage(taken, fetcher)?;
        }
        let mut columns = SampleColumns {
            offsets: vec![0],
            ..SampleColumns::default()
        };
        for (at, histograms) in found.iter().enumerate() {
            let from = columns.timestamps.len();
            columns.sink().extend(&numbers.samples(at));
            columns.sink().merge(from, &histograms.all());
            columns.offsets.push(columns.timestamps.len() as u32);
        }
        Ok(columns)
    }

    async fn add_start_times(
        &self,
        ordinals: &[u32],
        fetcher: &Fetcher<'_>,
        columns: &mut SampleColumns,
    ) -> Result<()> {
        // Ordinals rise with the order in which they are asked for.
        let asked = |first: u32, last: u32| {
            let at = ordinals.partition_point(|o| *o < first);
            ordinals.get(at).is_some_and(|o| *o <= last)
        };
        let wanted = self
            .start_times
            .0
            .iter()
            .filter(|(_, first, last)| asked(*first, *last));
        let mut fetches = fetch_all(fetcher, wanted.map(|(blob, ..)| *blob).collect());
        while let Some(bytes) = fetches.next().await {
            let decoded = bytes.and_then(|bytes| start_times::decode_blob(&bytes).map_err(Error::from));
            let series = match decoded {
                Ok(series) => series,
                Err(error) => {
                    pass_over_damage(Err(error), fetcher)?;
                    continue;
                }
            };
            for (ordinal, changes) in series {
                let Ok(at) = ordinals.binary_search(&ordinal) else {
                    continue;
                };
                let rows = columns.offsets[at] as usize..columns.offsets[at + 1] as usize;
                if !rows.is_empty() {
                    columns.start_times.resize(columns.timestamps.len(), 0);
                }
                for row in rows {
                    columns.start_times[row] = start_at(&changes, columns.timestamps[row]);
                }
            }
        }
        Ok(())
    }

    /// All blobs of the segment, for repair. An error where the list of exemplars is damaged.
    pub async fn blobs(&self, fetcher: &Fetcher<'_>, tail: &TailBytes) -> Result<Vec<Blob>> {
        let mut blobs = self.histograms.blobs.clone();
        blobs.extend(self.start_times.0.iter().map(|(blob, ..)| *blob));
        if let Some(found) = &self.exemplars {
            let bytes = section(fetcher, found, tail).await?;
            let list = ExemplarList::decode(&bytes, self.pages_end).map_err(|b| b.at(fetcher.place()))?;
            blobs.extend(list.0.iter().map(|(blob, _)| *blob));
        }
        Ok(blobs)
    }

    /// Exemplars inside `range` of the series that pass all matchers. A series can come more than once.
    pub async fn exemplars(
        &self,
        matchers: &[LabelMatcher],
        range: TimeRange,
        fetcher: &Fetcher<'_>,
        tail: &TailBytes,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let Some(found) = &self.exemplars else {
            return Ok(Vec::new());
        };
        let list = section(fetcher, found, tail).await;
        let list =
            list.and_then(|bytes| ExemplarList::decode(&bytes, self.pages_end).map_err(|b| b.at(fetcher.place())));
        let list = match list {
            Ok(list) => list.0,
            Err(error) => {
                pass_over_damage(Err(error), fetcher)?;
                Vec::new()
            }
        };
        let wanted = list.into_iter().filter(|(_, bounds)| bounds.overlaps(&range));
        let mut fetches = fetch_all(fetcher, wanted.map(|(blob, _)| blob).collect());
        let mut kept = Vec::new();
        let mut held = Held::take(fetcher.scan, 0)?;
        while let Some(bytes) = fetches.next().await {
            let decoded = bytes.and_then(|bytes| exemplars::decode_blob(&bytes).map_err(Error::from));
            let taken = decoded.and_then(|series| {
                for (labels, mut exemplars) in series {
                    exemplars.retain(|e| range.contains(e.time));
                    if !exemplars.is_empty() && matchers.iter().all(|m| m.matches_labels(&labels)) {
                        held.grow(exemplars.iter().map(|e| e.size_bytes() as u64).sum())?;
                        kept.push((labels, exemplars));
                    }
                }
                Ok(())
            });
            pass_over_damage(taken, fetcher)?;
        }
        Ok(kept)
    }

    /// Metric metadata.
    pub async fn metadata(&self, fetcher: &Fetcher<'_>, tail: &TailBytes) -> Result<MetadataMap> {
        let Some(found) = &self.metadata else {
            return Ok(MetadataMap::default());
        };
        let bytes = section(fetcher, found, tail).await;
        match bytes.and_then(|bytes| metadata::decode(&bytes).map_err(|b| b.at(fetcher.place()))) {
            Ok(map) => Ok(map),
            Err(error) => {
                pass_over_damage(Err(error), fetcher)?;
                Ok(MetadataMap::default())
            }
        }
    }
}

/// The bytes of some blobs in their order, several under way at a time.
fn fetch_all<'a>(fetcher: &'a Fetcher<'a>, blobs: Vec<Blob>) -> futures::stream::BoxStream<'a, Result<Bytes>> {
    let fetches = futures::stream::iter(blobs).map(move |blob| async move { blob.fetch(fetcher).await });
    fetches.buffered(PARALLEL_READS).boxed()
}

/// Counts and logs damage; every other error goes on.
fn pass_over_damage(taken: Result<()>, fetcher: &Fetcher<'_>) -> Result<()> {
    match taken {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            ScanStats::add(&fetcher.scan.stats.pages_corrupt, 1);
            tracing::warn!(%error, segment = fetcher.place(), "a damaged blob is left out of an answer");
            Ok(())
        }
        taken => taken,
    }
}
