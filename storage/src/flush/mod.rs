//! Sealed heads become segments: sorted, cut into time windows, one object a round.
//!
//! [`build`] is pure: heads in, object bytes and segment metadata out. The engine drives the arrows around it (object put,
//! catalog commit, view swap, WAL truncation) and names each in its [`FailPoints`].

mod build;
mod fail_points;

pub use build::{BuiltObject, SealedLane, build};
pub use fail_points::{FailAction, FailPoints};
