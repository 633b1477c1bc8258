//! The Prometheus remote write dialect, version 1: what a sender's headers must say, and its messages.

mod headers;
mod write_request;

pub use headers::check_headers;
pub(crate) use write_request::{TimeSeries, WriteRequest, parse_labels};
