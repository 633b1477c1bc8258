//! Commands for a store that is not running: `garner fsck`, `garner storage check`, `garner storage sizes`.

mod bar;
mod fsck;
mod setup;
mod storage_check;
mod storage_sizes;

pub use fsck::fsck;
pub use storage_check::storage_check;
pub use storage_sizes::storage_sizes;

/// Nothing is wrong.
pub const CLEAN: u8 = 0;
/// Faults were found, or left out of a rebuilt catalog.
pub const FAULTS: u8 = 1;
/// The work could not be done: a server holds the data folder, or the object store does not answer.
pub const FAILED: u8 = 3;
