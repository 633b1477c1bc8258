//! A store in memory for tests of the languages and operators: rows in vectors, scanned as the real store hands them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::BinaryArray;
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use garner_storage::clock::Clock;
use garner_storage::error::Result;
use garner_storage::model::{Histogram, Labels, SeriesKey, Signal, TenantId, TimeRange, Timestamp};
use garner_storage::scan::{
    BatchStream, LineSlice, LogBatch, LogOrder, LogRead, LogSelection, LogSlab, SampleBatch, SampleSelection,
    ScanContext, ScanStats, SeriesRequest, StoreReader, StoreView, StreamVolume, Volume, VolumeGrid,
};
use garner_storage::testing::BatchBuilder;

/// A log entry of the test store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestEntry {
    /// Nanoseconds.
    pub time_ns: Timestamp,
    /// The line.
    pub line: String,
    /// Structured metadata as sent.
    pub metadata: Vec<(String, String)>,
}

/// A sample of the test store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestSample {
    /// The value; of a histogram its sum.
    pub value: f64,
    /// The histogram, where it is one.
    pub histogram: Option<Arc<Histogram>>,
    /// Nanoseconds, 0 where unknown.
    pub start_ns: Timestamp,
}

/// All rows of one tenant; every tenant sees the same.
#[derive(Clone, Debug, Default)]
pub struct TestStore {
    samples: BTreeMap<SeriesKey, BTreeMap<Timestamp, TestSample>>,
    logs: BTreeMap<SeriesKey, Vec<TestEntry>>,
    /// Series in one batch of a scan; small numbers show errors at the seams of batches.
    pub batch_series: usize,
}

impl TestStore {
    /// An empty store.
    pub fn new() -> Self {
        TestStore {
            batch_series: 3,
            ..TestStore::default()
        }
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &Labels, time_ns: Timestamp, value: f64) -> &mut Self {
        let sample = TestSample {
            value,
            ..TestSample::default()
        };
        self.push_sample(labels, time_ns, sample)
    }

    /// Adds a native histogram.
    pub fn push_histogram(&mut self, labels: &Labels, time_ns: Timestamp, histogram: Histogram) -> &mut Self {
        let sample = TestSample {
            value: histogram.sum,
            histogram: Some(Arc::new(histogram)),
            start_ns: 0,
        };
        self.push_sample(labels, time_ns, sample)
    }

    /// Adds a sample with all that can belong to it.
    pub fn push_sample(&mut self, labels: &Labels, time_ns: Timestamp, sample: TestSample) -> &mut Self {
        self.samples
            .entry(SeriesKey(labels.clone()))
            .or_default()
            .insert(time_ns, sample);
        self
    }

    /// Adds samples `step_ns` apart from time 0 on; `None` leaves a gap.
    pub fn load(&mut self, pairs: &[(&str, &str)], step_ns: i64, values: &[Option<f64>]) -> &mut Self {
        let labels = Labels::from_pairs(pairs.iter().copied());
        for (i, value) in values.iter().enumerate() {
            if let Some(value) = value {
                self.push(&labels, step_ns * i as i64, *value);
            }
        }
        self
    }

    /// Adds a log entry.
    pub fn push_log(
        &mut self,
        stream: &Labels,
        time_ns: Timestamp,
        line: &str,
        metadata: &[(&str, &str)],
    ) -> &mut Self {
        let entries = self.logs.entry(SeriesKey(stream.clone())).or_default();
        entries.push(TestEntry {
            time_ns,
            line: line.to_string(),
            metadata: metadata.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        });
        entries.sort_by_key(|e| e.time_ns);
        self
    }

    /// The store as the engine reads it.
    pub fn reader(self) -> Arc<dyn StoreReader> {
        Arc::new(Reader(Arc::new(self)))
    }
}

#[derive(Debug)]
struct Reader(Arc<TestStore>);

impl StoreReader for Reader {
    fn view(&self, _tenant: &TenantId) -> Result<Arc<dyn StoreView>> {
        Ok(Arc::new(View(Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct View(Arc<TestStore>);

impl View {
    fn labels(&self, request: &SeriesRequest) -> Vec<Labels> {
        let passes = |l: &Labels| request.matchers.iter().all(|m| m.matches_labels(l));
        match request.signal {
            Signal::Metrics => {
                let inside = |rows: &BTreeMap<Timestamp, TestSample>| rows.keys().any(|t| request.range.contains(*t));
                let found = self.0.samples.iter().filter(|(k, rows)| passes(&k.0) && inside(rows));
                found.map(|(k, _)| k.0.clone()).collect()
            }
            Signal::Logs => {
                let inside = |rows: &[TestEntry]| rows.iter().any(|e| request.range.contains(e.time_ns));
                let found = self.0.logs.iter().filter(|(k, rows)| passes(&k.0) && inside(rows));
                found.map(|(k, _)| k.0.clone()).collect()
            }
        }
    }
}

#[async_trait]
impl StoreView for View {
    async fn series(&self, request: &SeriesRequest, _scan: &ScanContext) -> Result<Vec<Labels>> {
        Ok(self.labels(request))
    }

    async fn label_names(&self, request: &SeriesRequest, _scan: &ScanContext) -> Result<Vec<String>> {
        let names: BTreeSet<String> = self
            .labels(request)
            .iter()
            .flat_map(|l| l.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>())
            .collect();
        Ok(names.into_iter().collect())
    }

    async fn label_values(&self, name: &str, request: &SeriesRequest, _scan: &ScanContext) -> Result<Vec<String>> {
        let values: BTreeSet<String> = self
            .labels(request)
            .iter()
            .filter_map(|l| l.get(name).map(str::to_string))
            .collect();
        Ok(values.into_iter().collect())
    }

    async fn select_samples(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn SampleSelection>> {
        let mut series = Vec::new();
        for labels in self.labels(request) {
            let Some(rows) = self.0.samples.get(&SeriesKey(labels.clone())) else {
                continue;
            };
            let range = rows.range(request.range.start..request.range.end);
            series.push((labels, range.map(|(t, v)| (*t, v.clone())).collect()));
        }
        Ok(Arc::new(Samples {
            series,
            batch_series: self.0.batch_series.max(1),
            scan: scan.clone(),
        }))
    }

    async fn select_logs(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn LogSelection>> {
        let mut streams = Vec::new();
        for labels in self.labels(request) {
            let Some(rows) = self.0.logs.get(&SeriesKey(labels.clone())) else {
                continue;
            };
            let inside = rows.iter().filter(|e| request.range.contains(e.time_ns));
            streams.push((labels, inside.cloned().collect()));
        }
        Ok(Arc::new(Logs {
            streams,
            request: request.clone(),
            scan: scan.clone(),
        }))
    }
}

#[derive(Debug)]
struct Samples {
    series: Vec<(Labels, Vec<(Timestamp, TestSample)>)>,
    batch_series: usize,
    scan: ScanContext,
}

/// Rows `partition * n / partitions ..` of `n`.
fn split<T>(rows: &[T], partition: usize, partitions: usize) -> &[T] {
    let bound = |p: usize| rows.len() * p / partitions;
    &rows[bound(partition)..bound(partition + 1)]
}

impl SampleSelection for Samples {
    fn series_count(&self) -> usize {
        self.series.len()
    }

    fn estimated_rows(&self) -> u64 {
        self.series.iter().map(|(_, rows)| rows.len() as u64).sum()
    }

    fn scan(&self, partition: usize, partitions: usize) -> BatchStream<SampleBatch> {
        let mut batches = Vec::new();
        for chunk in split(&self.series, partition, partitions).chunks(self.batch_series) {
            let mut builder = BatchBuilder::default();
            for (labels, rows) in chunk {
                builder.series(labels.clone());
                for (time, sample) in rows {
                    builder.sample(*time, sample.value, sample.histogram.clone(), sample.start_ns);
                }
            }
            let batch = builder.finish();
            ScanStats::add(&self.scan.stats.rows, batch.timestamps.len() as u64);
            batches.push(Ok(batch));
        }
        stream::iter(batches).boxed()
    }
}

#[derive(Debug)]
struct Logs {
    streams: Vec<(Labels, Vec<TestEntry>)>,
    request: SeriesRequest,
    scan: ScanContext,
}

fn passes(read: &LogRead, line: &str) -> bool {
    let mut rows = Vec::new();
    if let Some(filter) = &read.filter {
        let lines = LineSlice {
            data: line.as_bytes(),
            offsets: &[0, line.len() as i32],
        };
        filter.select(lines, &mut rows);
    }
    read.filter.is_none() || rows == [0]
}

impl LogSelection for Logs {
    fn stream_count(&self) -> usize {
        self.streams.len()
    }

    fn estimated_rows(&self) -> u64 {
        self.streams.iter().map(|(_, rows)| rows.len() as u64).sum()
    }

    /// Two slabs, cut at the middle of the rows' times, so that consumers meet more than one.
    fn scan(&self, partition: usize, partitions: usize, order: LogOrder, read: LogRead) -> BatchStream<LogSlab> {
        let columns = read.columns;
        let streams = split(&self.streams, partition, partitions);
        let times = || streams.iter().flat_map(|(_, rows)| rows.iter().map(|e| e.time_ns));
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let middle = (first + (last - first) / 2 + 1).clamp(self.request.range.start, self.request.range.end);
        let mut ranges = [self.request.range, self.request.range];
        ranges[0].end = middle;
        ranges[1].start = middle;
        if order == LogOrder::Backward {
            ranges.reverse();
        }
        let mut slabs = Vec::new();
        for range in ranges {
            let mut batch = LogBatch::default();
            if columns.metadata {
                batch.metadata_sets.push(Labels::empty());
            }
            let mut lines: Vec<&[u8]> = Vec::new();
            for (labels, rows) in streams {
                let inside: Vec<_> = rows
                    .iter()
                    .filter(|e| range.contains(e.time_ns) && passes(&read, &e.line))
                    .collect();
                if inside.is_empty() {
                    continue;
                }
                batch.streams.push(labels.clone());
                for entry in inside {
                    batch.timestamps.push(entry.time_ns);
                    batch.line_lengths.push(entry.line.len() as u32);
                    lines.push(entry.line.as_bytes());
                    if columns.metadata {
                        let set = Labels::from_pairs(entry.metadata.iter().map(|(n, v)| (n, v)));
                        let found = batch.metadata_sets.iter().position(|s| *s == set);
                        let index = found.unwrap_or(batch.metadata_sets.len());
                        if found.is_none() {
                            batch.metadata_sets.push(set);
                        }
                        batch.metadata.push(index as u32);
                        batch.derived.push(0);
                    }
                }
                batch.offsets.push(batch.timestamps.len() as u32);
            }
            ScanStats::add(&self.scan.stats.rows, batch.timestamps.len() as u64);
            if columns.lines {
                batch.lines = Some(BinaryArray::from_vec(lines));
            }
            // Of two slabs the other one is left behind the first.
            let rest = match slabs.is_empty() {
                true => ranges[1],
                false => TimeRange::new(range.start, range.start),
            };
            slabs.push(Ok(LogSlab {
                batch,
                range,
                rest,
                page: 0,
            }));
        }
        stream::iter(slabs).boxed()
    }

    fn volumes(&self, width_ns: i64) -> BoxFuture<'static, Result<Vec<StreamVolume>>> {
        let grid = VolumeGrid::new(self.request.range, width_ns);
        let mut volumes = Vec::new();
        for (labels, rows) in &self.streams {
            let mut cells: BTreeMap<u32, Volume> = BTreeMap::new();
            for entry in rows {
                cells.entry(grid.cell(entry.time_ns)).or_default().add(Volume {
                    rows: 1,
                    bytes: entry.line.len() as u64,
                });
            }
            volumes.push(StreamVolume {
                labels: labels.clone(),
                parts: 1,
                cells,
            });
        }
        futures::future::ready(Ok(volumes)).boxed()
    }
}

/// A clock that stands still.
#[derive(Debug, Default, Clone, Copy)]
pub struct TestClock(pub Timestamp);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The names in backticks below a heading of docs/compatibility.md, up to the next heading.
pub fn names_in_docs(heading: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let (_, rest) = page
        .split_once(&format!("\n{heading}\n"))
        .expect("the heading is there");
    let section = rest.split("\n#").next().unwrap_or_default();
    section.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

mod tests {
    use futures::TryStreamExt;
    use garner_storage::testing::scan_context;

    use super::*;

    #[tokio::test]
    async fn histograms_stand_beside_numbers() {
        let mut store = TestStore::new();
        let labels = Labels::from_pairs([("__name__", "a")]);
        let histogram = Histogram {
            sum: 2.0,
            ..Histogram::default()
        };
        store.push(&labels, 1, 1.0).push_histogram(&labels, 2, histogram);
        let tenant = TenantId::new("t").expect("allowed");
        let request = SeriesRequest {
            signal: Signal::Metrics,
            matchers: Vec::new(),
            range: TimeRange::ALL,
        };
        let view = store.reader().view(&tenant).expect("there");
        let selection = view.select_samples(&request, &scan_context()).await.expect("there");
        let batches: Vec<SampleBatch> = selection.scan(0, 1).try_collect().await.expect("there");
        assert_eq!(batches[0].values, [1.0, 2.0]);
        assert_eq!(batches[0].histograms.rows, [1]);
    }
}
