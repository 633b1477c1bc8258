//! Which segments are live, and from where each writer's WAL is still needed.
//!
//! ```text
//! v1/catalog/…0.checkpoint? …1.delta …2.delta … …64.delta …64.checkpoint …65.delta
//! ```
//!
//! A commit creates the delta of the next version, conditionally: of several writers one wins, the others read the
//! winner's delta, check their commit again on the new state and try the version after. [`state`] is the catalog in
//! memory (with [`deletes`], and with objects on their way out and bad segments in [`housekeeping`]), [`stored`] its bytes,
//! [`invariants`] what every commit is held to, [`commit`] the protocol, [`heartbeat`] single-writer mode for stores
//! without conditional create, which [`probe`] finds out. [`salvage`] is for repair.

mod commit;
mod deletes;
#[cfg(test)]
mod deletes_tests;
mod heartbeat;
mod housekeeping;
mod invariants;
mod open;
mod probe;
mod salvage;
mod state;
mod stored;
mod stored_deletes;
#[cfg(test)]
mod tests;

pub use commit::{Catalog, CatalogSettings};
pub use deletes::{DeleteStatus, Deletes};
pub use housekeeping::Quarantine;
pub use invariants::{INVARIANTS, Invariant};
pub(crate) use probe::require_conditional_create;
pub(crate) use salvage::{Salvage, broken_invariants, replace, salvage};
pub use state::{CatalogState, CatalogVersion, CommitRequest, WalPosition};
