//! Sealed heads become segments: sorted, cut into time windows, one object a round.
//!
//! [`build`] is pure: heads in, the object's bytes out piece by piece, segment metadata at the end. The engine drives the
//! arrows around it (object put, catalog commit, view swap, WAL truncation) and names each in its [`FailPoints`].

mod build;
mod fail_points;
mod output;
#[cfg(test)]
mod tests;
mod windows;

pub use build::{SealedLane, build};
pub use fail_points::{FailAction, FailPoints};
