//! The seam to whoever understands the line filters of tombstones.

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, Timestamp};

/// Compiles the filter texts of tombstones. Handed to the store when it is opened, so that the store knows no query
/// language.
pub trait EntryFilterCompiler: Send + Sync + Debug {
    /// The filter that `text` means. Whatever was compiled once must compile for ever: tombstones outlive processes.
    fn compile(&self, text: &str) -> Result<Arc<dyn EntryFilter>>;
}

/// Tells which log entries a tombstone hides. Pure: the same entry always has the same answer.
pub trait EntryFilter: Send + Sync + Debug {
    /// The filter for the entries of one stream.
    fn of_stream(&self, stream: &Labels) -> Box<dyn StreamFilter>;
}

/// An [`EntryFilter`] at work on one stream.
pub trait StreamFilter: Send {
    /// Whether the entry is hidden.
    fn matches(&mut self, entry: EntryRef<'_>) -> bool;
}

/// A log entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// Nanoseconds.
    pub time: Timestamp,
    /// The line.
    pub line: &'a [u8],
    /// Structured metadata as the client sent it.
    pub metadata: &'a Labels,
    /// Structured metadata that the server derived.
    pub derived: &'a Labels,
}

/// Understands no filter text: for stores that are opened without a query language.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEntryFilters;

impl EntryFilterCompiler for NoEntryFilters {
    fn compile(&self, text: &str) -> Result<Arc<dyn EntryFilter>> {
        Err(Error::new(
            ErrorKind::Internal,
            format!("this store was opened without a language for line filters and cannot read {text:?}"),
        ))
    }
}
