//! One tenant's view over heads and segments: what a store hands to the query engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::log_scan::MergedLogs;
use super::sample_scan::MergedSamples;
use super::selection::{Selection, all_answers, overlapping};
use super::{Fingerprint, LogSelection, SampleSelection, ScanContext, SeriesRequest, SeriesSource, StoreView};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Labels, MetadataMap, SeriesKey, Signal, Timestamp};
use crate::retention::SeriesCutoffs;

/// Newest sources that are asked for metric metadata, whose tails this reads: five days of half hours that nobody merged, or
/// all of a store that compaction keeps in shape for sixteen years. Senders repeat theirs all the time.
const MAX_METADATA_SOURCES: usize = 256;

/// The rows of several sources as one, duplicates resolved by the rules of [`super::dedup`].
///
/// Of each signal the sources stand newest first: open head, sealed heads, segments. Log entries of one nanosecond come out
/// oldest source first, so that they keep the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct MergedView {
    metrics: Vec<Arc<dyn SeriesSource>>,
    logs: Vec<Arc<dyn SeriesSource>>,
    /// Rows before this have expired, by [`Signal::code`].
    cutoffs: [Option<Timestamp>; 2],
    /// Exemplars of a series before its own cutoff have expired.
    exemplar_cutoffs: Option<Arc<SeriesCutoffs>>,
}

impl MergedView {
    /// A view over these sources of one tenant, newest first.
    pub fn new(metrics: Vec<Arc<dyn SeriesSource>>, logs: Vec<Arc<dyn SeriesSource>>) -> Self {
        MergedView {
            metrics,
            logs,
            cutoffs: [None; 2],
            exemplar_cutoffs: None,
        }
    }

    /// Answers nothing of `signal` from before `cutoff`.
    pub fn with_cutoff(mut self, signal: Signal, cutoff: Timestamp) -> Self {
        self.cutoffs[usize::from(signal.code())] = Some(cutoff);
        self
    }

    /// Answers no exemplar of a series from before its own cutoff. Those of rows are the sources' matter; exemplars may lie
    /// outside the bounds by which a source is known to hold nothing that has expired.
    pub(crate) fn with_exemplar_cutoffs(mut self, cutoffs: Arc<SeriesCutoffs>) -> Self {
        self.exemplar_cutoffs = Some(cutoffs);
        self
    }

    /// The request without what has expired.
    fn clip(&self, request: &SeriesRequest) -> SeriesRequest {
        let mut request = request.clone();
        if let Some(cutoff) = self.cutoffs[usize::from(request.signal.code())] {
            request.range.start = request.range.start.max(cutoff);
        }
        request
    }

    fn sources(&self, signal: Signal) -> &[Arc<dyn SeriesSource>] {
        match signal {
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }

    async fn select(&self, signal: Signal, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<Selection>> {
        if request.signal != signal {
            let (wanted, got) = (signal.as_str(), request.signal.as_str());
            return Err(Error::new(
                ErrorKind::Internal,
                format!("a scan of {wanted} was asked for {got}"),
            ));
        }
        let (asked, request) = (request.range, self.clip(request));
        let selection = Selection::resolve(self.sources(signal), &request, asked, scan).await?;
        Ok(Arc::new(selection))
    }
}

#[async_trait]
impl StoreView for MergedView {
    async fn series(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<Labels>> {
        let (asked, request) = (request.range, self.clip(request));
        let selection = Selection::resolve(self.sources(request.signal), &request, asked, scan).await?;
        Ok(selection.series)
    }

    async fn label_names(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>> {
        let request = self.clip(request);
        let sources = overlapping(self.sources(request.signal), request.range);
        let asked = sources
            .iter()
            .map(|s| s.label_names(&request.matchers, request.range, scan))
            .collect();
        Ok(union(all_answers(asked).await?))
    }

    async fn label_values(&self, name: &str, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>> {
        let request = self.clip(request);
        let sources = overlapping(self.sources(request.signal), request.range);
        let asked = sources
            .iter()
            .map(|s| s.label_values(name, &request.matchers, request.range, scan))
            .collect();
        Ok(union(all_answers(asked).await?))
    }

    async fn select_samples(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn SampleSelection>> {
        Ok(Arc::new(MergedSamples(
            self.select(Signal::Metrics, request, scan).await?,
        )))
    }

    async fn exemplars(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let request = self.clip(request);
        // A head's bounds are those of its samples, exemplars may lie outside: each is asked.
        let asked = self
            .metrics
            .iter()
            .map(|s| s.exemplars(&request.matchers, request.range, scan))
            .collect();
        let mut merged: BTreeMap<SeriesKey, Vec<Exemplar>> = BTreeMap::new();
        for (labels, mut exemplars) in all_answers(asked).await?.into_iter().flatten() {
            if let Some(cutoffs) = &self.exemplar_cutoffs {
                let cutoff = cutoffs.of(&labels);
                exemplars.retain(|exemplar| exemplar.time >= cutoff);
            }
            if exemplars.is_empty() {
                continue;
            }
            merged.entry(SeriesKey(labels)).or_default().extend(exemplars);
        }
        let series = merged.into_iter().map(|(key, mut exemplars)| {
            exemplars.sort_unstable_by(Exemplar::total_cmp);
            exemplars.dedup_by(|a, b| a.total_cmp(b).is_eq());
            (key.0, exemplars)
        });
        Ok(series.collect())
    }

    async fn fingerprint(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Option<Fingerprint>> {
        let (asked, request) = (request.range, self.clip(request));
        let mut fingerprint = Fingerprint::new();
        for source in overlapping(self.sources(request.signal), request.range) {
            match source.identity() {
                Some(identity) => fingerprint.push(identity, source.time_range(), asked, request.range.start),
                None if source.select(&request.matchers, request.range, scan).await?.is_empty() => {}
                None => return Ok(None),
            }
        }
        Ok(Some(fingerprint))
    }

    async fn metric_metadata(&self, scan: &ScanContext) -> Result<MetadataMap> {
        let newest = self.metrics.iter().take(MAX_METADATA_SOURCES);
        let asked = newest.map(|s| s.metric_metadata(scan)).collect();
        let mut merged = MetadataMap::default();
        for map in all_answers(asked).await? {
            merged.extend(&map);
        }
        Ok(merged)
    }

    async fn select_logs(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn LogSelection>> {
        Ok(Arc::new(MergedLogs(self.select(Signal::Logs, request, scan).await?)))
    }
}

/// Sorted, each once.
fn union(mut answers: Vec<Vec<String>>) -> Vec<String> {
    answers.retain(|answer| !answer.is_empty());
    if answers.len() == 1 {
        return answers.swap_remove(0);
    }
    answers
        .into_iter()
        .flatten()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}
