//! Functions of PromQL and LogQL vectors, pure and free of plans: [`name`](RangeFunction) lists them, the other files compute.

mod name;

pub use name::{InstantFunction, RangeFunction};
