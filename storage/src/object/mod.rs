//! Bytes at rest: the only code that touches an object store.
//!
//! [`Bucket`] is what the rest of garner sees: an object store behind our timeouts, retries and counters. [`open_bucket`]
//! makes one from settings (S3 or a local folder); [`paths`] builds and parses every object path.

mod bucket;
mod local;
mod open;
pub mod paths;
mod retry;
#[cfg(test)]
mod tests;

pub use bucket::{Bucket, BucketCounts, ObjectInfo, PutOutcome, Verb};
pub use local::DurableLocalStore;
pub use open::{BucketSettings, open_bucket};
pub use retry::RetryPolicy;
