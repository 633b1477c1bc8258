//! For tests here and in the crates above: a clock to set, a disk that forgets, a store in memory.

mod clock;

pub use clock::ManualClock;
