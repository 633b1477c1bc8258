//! Immutable segments: the byte format (`FORMAT.md`), its writers, and the reader that answers as a
//! [`crate::scan::SeriesSource`].
//!
//! [`SampleSegmentWriter`] and [`LogSegmentWriter`] cut rows into pages and share `builder`, which puts the tail behind
//! them: `label_index` (read by `label_lookup`, with `postings`), `series_groups` (label sets of `series_table`, chunks of
//! `sample_chunks`), `time_columns` (shared by `time_writer`), `directory`, `footer`. [`SegmentReader`] opens that `tail`,
//! kept in [`TailCache`], reads the other `parts` it needs, then `fetch`es `pages` and assembles answers in `read_samples`
//! and `read_logs` (page by page in `stream_logs`); a [`WholeSegment`] is read from front to back. The columns' codecs are [`crate::codec`]'s. `verify`
//! checks everything, for repair. Native histograms, start times, exemplars and metric metadata lie in sections of their
//! own, see `side`.

mod ahead;
mod builder;
mod bytes;
mod cache;
mod directory;
mod fetch;
mod footer;
#[cfg(feature = "testing")]
mod fuzz;
mod label_index;
mod label_lookup;
mod log_writer;
mod meta;
mod pages;
mod parts;
mod postings;
mod read_logs;
mod read_samples;
mod reader;
mod sample_chunks;
mod sample_writer;
mod series_groups;
mod series_table;
mod side;
#[cfg(test)]
mod side_tests;
mod sizes;
mod stream_logs;
mod tail;
#[cfg(test)]
mod tests;
mod time_columns;
mod time_writer;
mod verify;
mod whole;
#[cfg(test)]
mod wide_tests;

pub use cache::TailCache;
#[cfg(feature = "testing")]
pub use fuzz::decode_parts;
pub use log_writer::LogSegmentWriter;
pub use meta::{SegmentBytes, SegmentId, SegmentMeta, UnplacedMeta};
pub use reader::SegmentReader;
pub use sample_writer::SampleSegmentWriter;
pub(crate) use sizes::stored_sizes;
pub use sizes::{SegmentSizes, segment_sizes};
pub(crate) use verify::{Depth, last_footer_before, segment_ending_at, verify};
pub(crate) use whole::WholeSegment;
