//! Reading: what a query asks of one tenant's rows, and the batches it gets.
//!
//! [`request`] says what is wanted, [`batch`] how rows arrive, [`view`] is the seam the query engine knows: one view of
//! head and catalog, from which series are selected and scanned. Log scans go page by page, from one end of time by
//! [`log_walk`] or in the order of the store by [`log_stream`]; what has to be merged, and what is wanted stream by stream, goes
//! by [`log_scan`]. All take a [`line_filter`] down to where lines lie. [`source`] is the seam below it: heads and segments,
//! which a [`MergedView`] merges by the rules of [`dedup`].

mod batch;
pub mod dedup;
mod fingerprint;
mod held;
mod histograms;
mod interner;
mod known;
mod line_filter;
mod line_gather;
mod log_merge;
mod log_pages;
mod log_rows;
mod log_scan;
mod log_sink;
mod log_stream;
mod log_walk;
mod merged_view;
#[cfg(test)]
mod merged_view_tests;
mod request;
mod sample_rows;
mod sample_scan;
mod selection;
mod slabs;
mod source;
mod view;
mod volume;

pub use batch::{LogBatch, SampleBatch};
pub use fingerprint::{Fingerprint, SourceIdentity};
pub(crate) use held::Held;
pub use histograms::{HistogramColumn, HistogramSlice};
pub use interner::LabelInterner;
pub(crate) use known::KnownSeries;
pub use line_filter::{LineFilter, LineSlice};
pub(crate) use line_gather::LineGather;
pub(crate) use log_pages::NoPages;
pub use log_pages::{LogPages, OnePage};
pub use log_rows::{LogRowsBuilder, SetCodes};
pub use log_sink::LogSink;
pub use merged_view::MergedView;
pub use request::{LogColumns, LogOrder, LogRead, ScanStats, SeriesRequest};
pub use sample_rows::{SampleRow, SampleSink, SampleSlice};
pub use source::{LogPiece, LogRows, RowBounds, SampleColumns, SeriesSource, Share, SourceSeries, names_of, values_of};
pub use view::{BatchStream, LogSelection, LogSlab, SampleSelection, ScanContext, StoreReader, StoreView};
pub(crate) use volume::{COUNTED_COLUMNS, count_rows};
pub use volume::{SourceVolume, StreamVolume, Volume, VolumeGrid};
