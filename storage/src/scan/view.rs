//! The seam between store and query engine: a reader gives views, a view selects series, a selection is scanned.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::{
    Fingerprint, LabelInterner, LogBatch, LogOrder, LogRead, SampleBatch, ScanStats, SeriesRequest, StreamVolume,
};
use crate::error::Result;
use crate::memory::QueryMemory;
use crate::model::{Exemplar, Labels, MetadataMap, TenantId, TimeRange};

/// Batches of a scan. Dropping the stream stops the scan.
pub type BatchStream<B> = BoxStream<'static, Result<B>>;

/// Gives views; shared by all queries of a process.
pub trait StoreReader: Send + Sync + Debug {
    /// One consistent view of a tenant's head and segments: each acknowledged row is in it exactly once, and nothing of
    /// another tenant is. A tenant that never wrote has an empty view.
    fn view(&self, tenant: &TenantId) -> Result<Arc<dyn StoreView>>;
}

/// One tenant's rows at one moment.
#[async_trait]
pub trait StoreView: Send + Sync + Debug {
    /// The matching series in the order of [`crate::model::SeriesKey`], each once. A series is included where its
    /// head or segment chunk overlaps the range, which can be slightly wider than its rows.
    async fn series(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<Labels>>;

    /// Names of labels on the series of [`StoreView::series`], sorted, each once.
    async fn label_names(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>>;

    /// Values of label `name` on the series of [`StoreView::series`], sorted, each once.
    async fn label_values(&self, name: &str, request: &SeriesRequest, scan: &ScanContext) -> Result<Vec<String>>;

    /// Resolves the series of a metric scan; reads index, not pages. `request.signal` must be metrics.
    async fn select_samples(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn SampleSelection>>;

    /// Exemplars inside the request's range of its series, in the order of series and time, each once. `request.signal` must
    /// be metrics.
    async fn exemplars(&self, _request: &SeriesRequest, _scan: &ScanContext) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(Vec::new())
    }

    /// What decides the rows of `request`: see [`Fingerprint`]. `None` where recent rows may be among them, or the view
    /// cannot tell. Reads nothing but the index of recent rows.
    async fn fingerprint(&self, _request: &SeriesRequest, _scan: &ScanContext) -> Result<Option<Fingerprint>> {
        Ok(None)
    }

    /// What senders lately told of their metrics.
    async fn metric_metadata(&self, _scan: &ScanContext) -> Result<MetadataMap> {
        Ok(MetadataMap::default())
    }

    /// Resolves the streams of a log scan; reads index, not pages. `request.signal` must be logs.
    async fn select_logs(&self, request: &SeriesRequest, scan: &ScanContext) -> Result<Arc<dyn LogSelection>>;
}

/// What every scan of one query shares.
#[derive(Clone, Debug)]
pub struct ScanContext {
    /// The query's memory; batches are accounted while the scan holds them.
    pub memory: QueryMemory,
    /// The query's counters.
    pub stats: Arc<ScanStats>,
    /// The label sets of the query's series, each once.
    pub labels: LabelInterner,
}

impl ScanContext {
    /// For one query, whose label sets are kept once until it ends.
    pub fn new(memory: QueryMemory, stats: Arc<ScanStats>) -> Self {
        ScanContext {
            labels: LabelInterner::new(&memory),
            memory,
            stats,
        }
    }

    /// For work that goes through series and lets them go again.
    pub fn passing(memory: QueryMemory, stats: Arc<ScanStats>) -> Self {
        ScanContext {
            memory,
            stats,
            labels: LabelInterner::none(),
        }
    }
}

/// Metric series chosen for a scan.
pub trait SampleSelection: Send + Sync + Debug {
    /// How many series.
    fn series_count(&self) -> usize;

    /// What decides the rows of its scans, as [`StoreView::fingerprint`] tells of the moment when it was made.
    fn fingerprint(&self) -> Option<&Fingerprint> {
        None
    }

    /// About how many samples lie in the range, from statistics.
    fn estimated_rows(&self) -> u64;

    /// The rows of partition `partition` of `partitions`: contiguous, non-overlapping ranges of the series order that
    /// together hold every selected series once. The same arguments on the same data give the same split. Only rows
    /// inside the request's range come out.
    fn scan(&self, partition: usize, partitions: usize) -> BatchStream<SampleBatch>;
}

/// Log streams chosen for a scan.
pub trait LogSelection: Send + Sync + Debug {
    /// How many streams.
    fn stream_count(&self) -> usize;

    /// What decides the rows of its scans, as [`StoreView::fingerprint`] tells of the moment when it was made.
    fn fingerprint(&self) -> Option<&Fingerprint> {
        None
    }

    /// About how many entries lie in the range, from statistics.
    fn estimated_rows(&self) -> u64;

    /// The rows of partition `partition` of `partitions` (ranges of the series order, as for samples, but in
    /// [`LogOrder::Any`]), slab by slab.
    ///
    /// Slabs come about in `order`, and each tells in which time all the later ones lie, so a consumer that has enough rows
    /// behind that can stop. In the order [`LogOrder::Streams`] a slab holds whole streams or a piece of one.
    fn scan(&self, partition: usize, partitions: usize, order: LogOrder, read: LogRead) -> BatchStream<LogSlab>;

    /// Entries and bytes of each stream that has any, by cells of `width_ns` nanoseconds (see
    /// [`super::VolumeGrid`]; 0 makes one cell). Reads no lines. An entry that several sources hold counts in each.
    fn volumes(&self, width_ns: i64) -> BoxFuture<'static, Result<Vec<StreamVolume>>>;
}

/// One slab of a log scan.
#[derive(Debug, Clone)]
pub struct LogSlab {
    /// The slab's rows. May be empty.
    pub batch: LogBatch,
    /// Every row of it lies inside. In the order [`LogOrder::Streams`] no other slab of the partition has rows of the same
    /// streams inside.
    pub range: TimeRange,
    /// Rows of all later slabs of the partition lie inside; empty where none can follow.
    pub rest: TimeRange,
    /// Of rows of one stream and time in several slabs, those in the slab of the lowest number came first.
    pub page: u32,
}
