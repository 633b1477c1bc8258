//! Results of queries, kept as long as they are exact.
//!
//! Segments are immutable, so a query that read nothing but segments has the same answer as long as each of its reads would
//! find the same segments under the same deletes, and no recent row. Nothing has to be known of the plan for that: a query
//! reads only through selections, an entry remembers which ones it made and what decided them
//! ([`garner_storage::scan::Fingerprint`]), and it is used while the view at hand has the same fingerprint for each. What an
//! evaluation asks next depends on nothing but what it was answered before, so if the first read is as it was, then so is
//! the second, and so on.
//!
//! What else an answer depends on is in the [`ResultKey`]: tenant, language, text, times, and what a request may change of
//! the settings. Not in it: the clock, which only bounds how long a query runs (`now` of a LogQL template is its line's
//! time, `time()` is the step's); what retention hides, which the fingerprint knows; and settings of the process, whose
//! cache this is. Answers that damaged pages are missing from are not kept, nor are errors.
//!
//! Views over several tenants have no fingerprints, so nothing crosses tenants.

mod cache;
mod key;
#[cfg(test)]
mod tests;

pub use cache::{ResultCache, ResultCounts};
pub(crate) use key::ResultKey;
pub use key::{AskedTimes, Language};
