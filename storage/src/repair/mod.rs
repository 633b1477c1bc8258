//! Tools for a store that is not running: [`fsck`] checks everything that lies in a bucket, [`rebuild`] makes a catalog
//! from what segments tell of themselves, [`check_bucket`] tries whether a bucket can do what garner asks of it,
//! [`store_sizes`] says what its bytes are spent on.
//!
//! Segments are self-describing (see segment/FORMAT.md): the objects alone say whose rows they hold. What they cannot say is
//! which of them were replaced or deleted; that is why a rebuilt catalog starts from what is left of the old one.

mod bucket_check;
mod fsck;
mod objects;
mod progress;
mod rebuild;
mod sizes;
#[cfg(test)]
mod tests;

pub use bucket_check::{BucketCheck, CheckStep, ConditionalCreate, check_bucket};
pub use fsck::{Fault, FsckOptions, FsckReport, fsck};
pub use progress::{NoProgress, Progress};
pub use rebuild::{RebuildReport, rebuild};
pub use sizes::{SizesOf, store_sizes};
