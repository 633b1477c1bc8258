//! What samples can have besides time and value: native histograms, start times, exemplars, metric metadata. Each kind has a
//! section of its own, and all but metadata lie in blobs among the pages, which the section lists. Segments of plain
//! samples have none of it. See FORMAT.md, sections 18 to 21.

mod blob;
mod exemplars;
mod histograms;
mod metadata;
mod open;
mod read;
mod start_times;
mod writer;

pub(super) use blob::Blob;
pub(super) use open::OpenSide;
pub(super) use writer::SideWriter;
