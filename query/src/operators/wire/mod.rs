//! Plans as bytes: what one process plans, another can run a part of.
//!
//! [`PlanCodec`] has the shape of DataFusion's `PhysicalExtensionCodec`: one operator at a time, its inputs beside it. It does
//! not implement that trait, because `datafusion-proto`, where it lives, brings the whole SQL engine along; an adapter is two
//! methods that hand their arguments on. [`PlanCodec::encode_plan`] writes whole trees of our operators without it.
//!
//! What travels is a description: a leaf is (tenant, matchers, time range, function, number of partitions), and the store, the
//! limits and the deadline are those of the [`crate::context::QueryContext`] in the task context where it runs. A leaf for one
//! tenant does not run in the context of another.
//!
//! ```text
//! operator  version u8 | checksum u64, of all after it | name length u8 | name | parameters, JSON
//! plan      version u8 | count u32 | operators, inputs before the one that reads them:  inputs u32 | length u32 | operator
//! ```
//!
//! Numbers are little-endian; floats are written as their bits, so that NaNs and infinities stay what they were. The version
//! is one for all operators: processes of different versions refuse each other's plans instead of guessing.
//!
//! [`codec`] frames operators and knows them all, [`parts`] is what an operator is made of on arrival, [`forms`] are the shapes of
//! what has no serde of its own, [`tree`] walks plans.

mod codec;
pub mod forms;
mod parts;
mod tree;

#[cfg(test)]
mod tests;

pub use codec::PlanCodec;
pub use parts::Parts;
