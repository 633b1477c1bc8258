//! Immutable segments: the byte format (`FORMAT.md`), its writers, and the reader that answers as a
//! [`crate::scan::SeriesSource`].

mod cache;
mod log_writer;
mod meta;
mod reader;
mod sample_writer;

pub use cache::TailCache;
pub use log_writer::LogSegmentWriter;
pub use meta::{SegmentBytes, SegmentId, SegmentMeta, UnplacedMeta};
pub use reader::SegmentReader;
pub use sample_writer::SampleSegmentWriter;
