//! For tests here and in the crates above: a clock to set, a disk that forgets, a store in memory.

mod clock;
mod faulty_store;

pub use clock::ManualClock;
pub use faulty_store::{Faults, FaultyStore};
