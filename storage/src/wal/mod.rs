//! The write-ahead log: what was acknowledged and is not yet in a segment survives in it. `FORMAT.md` beside this file
//! describes its bytes.
//!
//! One log for all tenants and both signals. [`Wal`] owns a thread that writes appends in groups, so that many of them
//! share one fdatasync; [`replay`] reads the files back at start; whole files are removed once the catalog holds all rows
//! in them.

mod ahead;
mod body;
mod committer;
mod files;
#[cfg(feature = "testing")]
mod fuzz;
mod pace;
mod record;
mod replay;
mod scratch;
mod side;
#[cfg(test)]
mod tests;
mod writer;

pub use committer::{PendingRows, Wal, WalSettings, WalThread};
pub use files::LaneKey;
#[cfg(feature = "testing")]
pub use fuzz::decode_bodies;
pub use replay::{ReplayedRows, replay};

pub use body::{RowsBody, encode_rows};
