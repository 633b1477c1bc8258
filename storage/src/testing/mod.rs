//! For tests here and in the crates above: a clock to set, a disk that forgets, a store in memory.

mod clock;
mod disk;
mod store;

pub use clock::ManualClock;
pub use disk::{SimDisk, SimFiles};
pub use store::{StoreFixture, memory_storage};
