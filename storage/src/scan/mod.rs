//! Reading: what a query asks of one tenant's rows, and the batches it gets.
//!
//! [`request`] says what is wanted, [`batch`] how rows arrive, [`view`] is the seam the query engine knows: one view of
//! head and catalog, from which series are selected and scanned.

mod batch;
mod request;
mod view;

pub use batch::{LogBatch, SampleBatch};
pub use request::{LogColumns, LogOrder, ScanStats, SeriesRequest};
pub use view::{BatchStream, LogSelection, LogSlab, SampleSelection, ScanContext, StoreReader, StoreView};
