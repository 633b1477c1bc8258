//! For tests here and in the crates above: a clock to set, a disk that forgets, an object store that fails, a store in
//! memory, decoders that take any bytes.

mod batch;
mod clock;
mod decode;
mod disk;
mod faulty_store;
mod histograms;
mod needle_filters;
mod read;
mod store;

pub use batch::BatchBuilder;
pub use clock::ManualClock;
pub use decode::decode_any;
pub use disk::{SimDisk, SimFiles};
pub use faulty_store::{Faults, FaultyStore};
pub use histograms::histogram;
pub use needle_filters::NeedleFilters;
pub use read::{Entry, Sample, read_all_of_samples, read_entries, read_samples, scan_context};
pub use store::{StoreFixture, memory_storage};
