//! Bytes at rest: the only code that touches an object store.
//!
//! [`Bucket`] is what the rest of garner sees: an object store behind our timeouts, retries and counters. [`open_bucket`]
//! makes one from settings (S3 or a local folder); an [`ObjectWriter`] sends an object in parts; [`paths`] builds and
//! parses every object path.

mod bucket;
mod local;
mod local_upload;
mod open;
pub mod paths;
mod retry;
mod store;
#[cfg(test)]
mod tests;
mod upload;

pub(crate) use bucket::READ_ALONG_BYTES;
pub use bucket::{Bucket, BucketCounts, ObjectInfo, PutOutcome, Verb};
pub use local::DurableLocalStore;
pub use open::{BucketSettings, open_bucket};
pub use retry::RetryPolicy;
pub use store::Store;
pub use upload::ObjectWriter;
