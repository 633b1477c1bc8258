//! Reading: what a query asks of one tenant's rows, and the batches it gets.
//!
//! [`request`] says what is wanted, [`batch`] how rows arrive, [`view`] is the seam the query engine knows: one view of
//! head and catalog, from which series are selected and scanned. [`source`] is the seam below it: heads and segments,
//! which a view merges by the rules of [`dedup`].

mod batch;
pub mod dedup;
mod request;
mod source;
mod view;

pub use batch::{LogBatch, SampleBatch};
pub use request::{LogColumns, LogOrder, ScanStats, SeriesRequest};
pub use source::{LogRows, RowBounds, SampleColumns, SeriesSource, SourceSeries};
pub use view::{BatchStream, LogSelection, LogSlab, SampleSelection, ScanContext, StoreReader, StoreView};
