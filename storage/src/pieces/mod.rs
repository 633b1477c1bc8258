//! Pieces of objects that were read before, kept in memory and on the local disk within set budgets.
//!
//! An [`Extent`] is bytes that are read and verified on their own: a tail, a page's column, a dictionary. [`PieceCache`]
//! keeps them by object and range, as they lie in the object; its memory and its disk are foyer's (`disk` says what that
//! takes). `read` answers for several at once: what is kept costs nothing, what another reader is reading already is waited
//! for, and the rest is read from the [`Origin`] with neighbours taken together. Objects are immutable and their names
//! never used again, so nothing here can be stale.
//!
//! What fails its check is never kept, and what comes from the disk is checked again: damage costs a read, not an answer. What
//! passed it is told so, and checked no more.

mod cache;
mod disk;
mod extent;
mod origin;
mod piece;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use cache::{PieceCache, PieceCacheSettings, PieceCounts};
pub use disk::DiskCacheSettings;
#[cfg(test)]
pub(crate) use extent::MAX_READ_BYTES;
pub(crate) use extent::{Check, Extent, coalesce, joins};
pub(crate) use origin::Origin;
pub use origin::ReadCounters;
pub(crate) use read::{CheckedBytes, PARALLEL_READS};
