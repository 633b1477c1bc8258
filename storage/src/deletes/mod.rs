//! Deletes: what a tenant no longer wants to see of the rows it had when it asked.
//!
//! ```text
//! create:  seal the lane's head ─> flush ─> commit a Tombstone; it covers the segments that are live in that commit
//! read:    covered segment ─> CoveredSource ─> RowFilter leaves hidden rows out       rows accepted later are not covered
//! merge:   applied through the same RowFilter once it cannot be cancelled any more, inherited by the new segment before
//! cancel:  the tombstone leaves the catalog, the rows are there again
//! ```
//!
//! A tombstone's line filter is a text that the store does not understand: whoever opened the store gave it an
//! [`EntryFilterCompiler`].

mod entry_filter;
mod row_filter;
mod source;
#[cfg(test)]
mod tests;
mod tombstone;

pub use entry_filter::{EntryFilter, EntryFilterCompiler, EntryRef, NoEntryFilters, StreamFilter};
pub use row_filter::{RowFilter, SeriesFilter};
pub(crate) use source::CoveredSource;
pub use tombstone::{Tombstone, TombstoneId};
