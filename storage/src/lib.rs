//! garner's store: write-ahead log, head, columnar segments, catalog and scan over one object store.
//!
//! Knows no query language, no HTTP and no DataFusion.

pub mod catalog;
pub mod clock;
pub mod codec;
pub mod compaction;
pub mod deletes;
pub mod engine;
pub mod error;
pub mod file;
mod flush;
mod head;
pub mod memory;
pub mod model;
pub mod object;
pub mod pieces;
pub mod repair;
pub mod retention;
pub mod scan;
pub mod segment;
#[cfg(feature = "testing")]
pub mod testing;
mod wal;

pub use error::{Error, ErrorKind, Result};
pub use flush::{FailAction, FailPoints};
