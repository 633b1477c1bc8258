//! The Prometheus dialect: what a sender's headers must say, the messages of remote write 1 and 2, and those of remote
//! read.

mod headers;
mod read_request;
mod write_request;
mod write_request_v2;

pub use headers::{WriteVersion, check_headers};
pub use read_request::{ReadAnswer, ReadQuery, ReadRequest};
pub(crate) use write_request::{TimeSeries, WriteRequest, parse_labels};
pub(crate) use write_request_v2::{SeriesV2, WriteRequestV2};
