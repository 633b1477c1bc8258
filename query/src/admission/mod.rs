//! Admission: how many queries run at once, and in which order the others get their turn.
//!
//! [`turns`] is the order (first come, first served within a tenant; tenants in turn), [`Gate`] lets queries in and out,
//! [`counts`] is what it tells of itself, and [`Turn`] is how the engine runs a query behind it
//! ([`crate::engine::Engine::in_turn`]).

mod counts;
mod gate;
mod turn;
mod turns;

pub use counts::{GateCounts, WAIT_BOUNDS_NS};
pub use gate::{Gate, GateLimits, Permit, TurnedAway};
pub use turn::Turn;

#[cfg(test)]
mod tests;
