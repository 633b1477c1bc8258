//! `/api/v1/read`: stored samples for another Prometheus or for Thanos, raw or as compressed chunks.

mod bits;
mod encode;
mod float_histogram;
mod handler;
mod xor;

pub use handler::{MAX_SAMPLES, read};
