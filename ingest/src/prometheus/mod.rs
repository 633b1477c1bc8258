//! The Prometheus dialect: what a sender's headers must say, the messages of remote write 1 and 2, and those of remote
//! read.

mod exemplar;
mod headers;
mod metadata;
mod read_request;
mod sent_histogram;
mod write_request;
mod write_request_v2;

pub(crate) use exemplar::{SentExemplar, checked_exemplar_labels};
pub use headers::{WriteVersion, check_headers};
pub(crate) use metadata::{SentMetadata, checked_metadata};
pub use read_request::{ReadAnswer, ReadQuery, ReadRequest};
pub(crate) use sent_histogram::{Counts, SentHistogram};
pub(crate) use write_request::{Part, TimeSeries, WriteRequest, parse_labels};
pub(crate) use write_request_v2::{SeriesV2, WriteRequestV2};
