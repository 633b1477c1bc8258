//! What samples of a head can have besides time and value: native histograms, start times, exemplars, metric metadata.

use super::exemplars::ExemplarStore;
use super::histograms::HistogramStore;
use super::rows::SampleRows;
use super::samples::{ReadScratch, SampleStore};
use super::start_times::StartTimes;
use crate::error::Result;
use crate::model::{MetadataMap, TimeRange};
use crate::scan::SampleColumns;

/// See the module docs. All empty where senders send plain samples.
#[derive(Debug, Default)]
pub(super) struct SideStore {
    pub histograms: HistogramStore,
    start_times: StartTimes,
    pub exemplars: ExemplarStore,
    pub metadata: MetadataMap,
}

impl SideStore {
    /// Adds what is in `rows` besides numbers, before `numbers` gets those; returns how many bytes it grew.
    pub fn append(&mut self, rows: &SampleRows, numbers: &SampleStore) -> usize {
        let mut grown = 0;
        if !rows.start_times.is_empty() || !self.start_times.is_empty() {
            let histograms = &self.histograms;
            let last = |id: u32| {
                let ends = [
                    numbers.get(id).map(|s| s.range()),
                    histograms.get(id).map(|s| s.range()),
                ];
                ends.into_iter().flatten().map(|range| range.end - 1).max()
            };
            let holds = |id: u32, time: i64| {
                let number = || {
                    let (mut times, mut values) = (Vec::new(), Vec::new());
                    if let Some(series) = numbers.get(id) {
                        let mut scratch = ReadScratch::default();
                        series.read(TimeRange::closed(time, time), &mut times, &mut values, &mut scratch);
                    }
                    !times.is_empty()
                };
                histograms.get(id).is_some_and(|s| s.has(time)) || number()
            };
            grown += self.start_times.note(rows, last, holds);
        }
        grown += self.histograms.append(rows) + self.exemplars.append(&rows.exemplars);
        for (metric, known) in rows.metadata.iter() {
            grown += known
                .iter()
                .map(|m| self.metadata.add(metric, m.borrow()))
                .sum::<usize>();
        }
        grown
    }

    /// Bounds and number of the histograms of series `id`.
    pub fn series(&self, id: u32) -> Option<(TimeRange, u64)> {
        self.histograms.get(id).map(|s| (s.range(), s.rows()))
    }

    /// Completes the rows of series `id`, whose numbers inside `range` stand in `out` from row `from` on.
    pub fn complete(&self, id: u32, range: TimeRange, from: usize, out: &mut SampleColumns) -> Result<()> {
        if !out.start_times.is_empty() {
            out.start_times.resize(out.timestamps.len(), 0);
        }
        if let Some(series) = self.histograms.get(id) {
            let histograms = series.read(range)?;
            out.sink().merge(from, &histograms.all());
        }
        if let Some(changes) = self.start_times.get(id) {
            out.start_times.resize(out.timestamps.len(), 0);
            for row in from..out.timestamps.len() {
                out.start_times[row] = changes.get(out.timestamps[row]);
            }
        }
        Ok(())
    }

    /// Whether there is anything that is no row.
    pub fn has_loose(&self) -> bool {
        !self.exemplars.is_empty() || !self.metadata.is_empty()
    }
}
