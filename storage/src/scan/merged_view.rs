//! One tenant's view over heads and segments: what a store hands to the query engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::log_scan::MergedLogs;
use super::sample_scan::MergedSamples;
use super::selection::{Selection, all_answers, overlapping};
use super::{LogSelection, SampleSelection, ScanContext, SeriesRequest, SeriesSource, StoreView};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, Signal};

/// The rows of several sources as one, duplicates resolved by the rules of [`super::dedup`].
///
/// Of each signal the sources stand newest first: open head, sealed heads, segments. Log entries of one nanosecond come out
/// oldest source first, so that they keep the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct MergedView {
    metrics: Vec<Arc<dyn SeriesSource>>,
    logs: Vec<Arc<dyn SeriesSource>>,
}

impl MergedView {
    /// A view over these sources of one tenant, newest first.
    pub fn new(metrics: Vec<Arc<dyn SeriesSource>>, logs: Vec<Arc<dyn SeriesSource>>) -> Self {
        MergedView { metrics, logs }
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
        Ok(Arc::new(Selection::resolve(self.sources(signal), request, scan).await?))
    }
}

#[async_trait]
impl StoreView for MergedView {
    async fn series(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<Labels>> {
        let selection = Selection::resolve(self.sources(request.signal), request, scan).await?;
        Ok(selection.series)
    }

    async fn label_names(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>> {
        let sources = overlapping(self.sources(request.signal), request.range);
        let asked = sources
            .iter()
            .map(|s| s.label_names(&request.matchers, request.range, scan))
            .collect();
        Ok(union(all_answers(asked).await?))
    }

    async fn label_values(&self, name: &str, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>> {
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

    async fn select_logs(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn LogSelection>> {
        Ok(Arc::new(MergedLogs(self.select(Signal::Logs, request, scan).await?)))
    }
}

/// Sorted, each once.
fn union(mut answers: Vec<Vec<String>>) -> Vec<String> {
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
