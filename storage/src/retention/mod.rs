//! How long rows are kept: per tenant and signal, per selector, and by the bytes of the whole store.
//!
//! [`rules`] says when a row of a series expires; [`plan`] which segments hold nothing but expired rows or are over the
//! store's limit, and which are worth writing again without theirs. What has expired is not answered from the moment it
//! has, whatever is still stored: scans begin at the cutoff of the tenant's signal, and where series have cutoffs of their own,
//! sources that reach before one are read through a filter.

mod plan;
#[cfg(test)]
mod plan_tests;
mod rules;

pub(crate) use plan::{drops, half_expired, newly_expired_periods, worth_writing_again};
pub(crate) use rules::{RetentionAt, SeriesCutoffs};
pub use rules::{RetentionRules, RetentionSettings, StreamRule};
