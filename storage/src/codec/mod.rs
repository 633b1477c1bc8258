//! Page encodings: pure functions from columns to bytes and back. No I/O, no clock; every decoder takes untrusted bytes.
//!
//! [`metric_page`] and [`log_page`] are what a segment calls; they stand on the column codecs beside them. The byte
//! layouts are written at the top of each file and are part of the segment format.

pub mod bitpack;
pub mod compress;
pub mod decimal;
pub mod entropy;
mod error;
pub mod floats;
pub mod histogram_bytes;
pub mod histogram_page;
pub mod ints;
pub mod log_page;
pub mod metric_page;
#[cfg(test)]
mod metric_page_tests;
pub mod pfor;
pub mod times;
pub mod values;
pub mod varint;

pub use error::{CodecError, CodecResult};
